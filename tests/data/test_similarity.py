import json

import numpy as np
import pytest

from keras_lm.data import similarity
from keras_lm.data.similar_texts import groups_of

PAD, CLS, SEP, W = 0, 2, 3, 5  # the ids of `numbered`


def make(numbered, rows, **arguments):
    return similarity(None, numbered, rows=rows, **{"batch_size": 8, **arguments})


def test_files_of_every_kind_give_the_same_batches(numbered, tmp_path):
    rows = [
        {"text": "w1 w2", "text_pair": "w3", "score": 5},
        {"text": "w4", "text_pair": "w5 w6 w7", "score": 2.5},
    ]
    lines = [[row[name] for name in ("score", "text", "text_pair")] for row in rows]
    for kind, mark in (("csv", ","), ("tsv", "\t")):
        table = [mark.join(map(str, line)) for line in [["score", "text", "text_pair"], *lines]]
        (tmp_path / f"a.{kind}").write_text("\n".join(table), "utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    options = {"batch_size": 2, "shuffle": False, "num_buckets": 1, "score_range": (0, 5)}
    for kind in ("csv", "tsv", "jsonl"):
        data = similarity(tmp_path / f"a.{kind}", numbered, objective="cosine", **options)
        ((inputs, labels),) = data.as_numpy_iterator()
        assert set(inputs) == {"token_ids", "padding_mask"}
        np.testing.assert_array_equal(
            inputs["token_ids"],
            [
                [[CLS, W + 1, W + 2, SEP, PAD], [CLS, W + 3, SEP, PAD, PAD]],
                [[CLS, W + 4, SEP, PAD, PAD], [CLS, W + 5, W + 6, W + 7, SEP]],
            ],
        )
        np.testing.assert_array_equal(inputs["padding_mask"], inputs["token_ids"] != PAD)
        assert labels.dtype == np.float32
        assert labels.tolist() == [1.0, 0.5]
    assert (data.num_rows, data.num_cut, data.dropped) == (2, 0, [])


def test_a_third_text_is_read_where_it_is_there_or_asked_for(numbered):
    rows = [{"text": f"w{i}", "text_pair": f"w{i + 9}", "negative": f"w{i + 20}"} for i in range(4)]
    for objective in ("ranking", "triplet"):
        ((inputs, _),) = make(numbered, rows, objective=objective).as_numpy_iterator()
        first, second, third = inputs["token_ids"][:, :, 1].T - W
        assert sorted(first) == [0, 1, 2, 3]
        np.testing.assert_array_equal(second, first + 9)
        np.testing.assert_array_equal(third, first + 20)
    renamed = [{**row, "other": row["negative"]} for row in rows]
    ((inputs, _),) = make(numbered, renamed, negative="other").as_numpy_iterator()
    assert inputs["token_ids"].shape == (4, 3, 3)
    pairs = [{"text": row["text"], "text_pair": row["text_pair"]} for row in rows]
    ((inputs, _),) = make(numbered, pairs).as_numpy_iterator()
    assert inputs["token_ids"].shape == (4, 2, 3)


def test_every_row_comes_once_an_epoch_with_its_own_group(numbered):
    rows = [{"text": f"w{i}", "text_pair": f"w{100 + i // 2}"} for i in range(43)]
    seen = {}
    for inputs, groups in make(numbered, rows).as_numpy_iterator():
        for ids, group in zip(inputs["token_ids"], groups, strict=True):
            assert ids[1, 1] - W == 100 + (ids[0, 1] - W) // 2
            seen[int(ids[0, 1] - W)] = int(group)
    assert sorted(seen) == list(range(43))
    for i in range(43):
        for j in range(43):
            assert (seen[i] == seen[j]) == (i // 2 == j // 2)


def test_rows_that_share_a_text_by_way_of_others_are_one_group():
    assert groups_of(list("abcdx"), list("bcdey")).tolist() == [0, 0, 0, 0, 1]
    with pytest.raises(ValueError, match="2 rows that all share texts, 'a' among them"):
        groups_of(["a", "b"], ["b", "c"])


def test_long_texts_are_cut_and_counted(numbered):
    rows = [{"text": "w1 w2 w3 w4", "text_pair": "w5"}, {"text": "w6", "text_pair": "w7"}]
    data = make(numbered, rows, sequence_length=4)
    ((inputs, _),) = data.as_numpy_iterator()
    assert data.num_cut == 1
    assert inputs["token_ids"].shape == (2, 2, 4)


BAD = [
    (
        {"text": "w1", "text_pair": " "},
        r"not empty. Received: ' ' in column 'text_pair', rows\[1\]",
    ),
    ({"text": "w1"}, r"None in column 'text_pair', rows\[1\]"),
    ({"text": "w1", "text_pair": "w2", "score": "x"}, r"in 0.0 .. 1.0. Received: 'x' in column"),
    ({"text": "w1", "text_pair": "w2", "score": 5}, r"Received: 5 in column 'score', rows\[1\]"),
    ({"text": "w1", "text_pair": "w2", "score": float("nan")}, "Received: nan"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_row_is_named_or_left_out_and_listed(numbered, row, message):
    good = [{"text": f"w{i}", "text_pair": "w9", "score": 0.5} for i in (1, 2)]
    rows = [good[0], row, good[1]]
    with pytest.raises(ValueError, match=message):
        make(numbered, rows, objective="cosine")
    data = make(numbered, rows, objective="cosine", bad_rows="drop")
    assert (data.num_rows, len(data.dropped)) == (2, 1)
    assert "rows[1]" in data.dropped[0]


def test_a_column_that_is_missing_is_named_with_its_file(numbered, tmp_path):
    (tmp_path / "a.csv").write_text("text,text_pair\nw1,w2\n", "utf-8")
    for objective, column in (("cosine", "score"), ("triplet", "negative")):
        with pytest.raises(ValueError, match=f"'{column}' missing in .*a.csv"):
            similarity(tmp_path / "a.csv", numbered, objective=objective, batch_size=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objective": "contrast"}, "objective='contrast'"),
        ({"bad_rows": "skip"}, "bad_rows='skip'"),
        ({"score_range": (1, 0)}, r"score_range=\(1, 0\)"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message, numbered):
    with pytest.raises(ValueError, match=message):
        make(numbered, [{"text": "w1", "text_pair": "w2"}], **arguments)


def test_either_all_rows_or_none_have_a_third_text(numbered):
    rows = [{"text": "w1", "text_pair": "w2", "negative": "w3"}, {"text": "w4", "text_pair": "w5"}]
    with pytest.raises(
        ValueError, match=r"all rows or none .* None in column 'negative', rows\[1\]"
    ):
        make(numbered, rows)
