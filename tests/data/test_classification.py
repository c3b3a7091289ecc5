import json
import types

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data import Pipeline, classification
from keras_lm.tokenizers import train_byte_bpe

PAD, CLS, SEP, WORD = 0, 2, 3, 5  # the ids of `numbered`
LABELS = ("bad", "good")
W = WORD


def numbered_rows(number, seed=0, longest=12):
    """Row i is a text that begins with word i and is labelled by whether i is odd."""
    rng = np.random.default_rng(seed)
    return [
        {
            "text": " ".join(
                f"w{j}" for j in [i, *rng.integers(0, 3000, rng.integers(0, longest))]
            ),
            "label": LABELS[i % 2],
        }
        for i in range(number)
    ]


def make(numbered, rows, **arguments):
    arguments = {"labels": LABELS, "batch_size": 8, **arguments}
    return classification(None, numbered, rows=rows, **arguments)


def seen(dataset):
    return [(inputs["token_ids"][:, 1] - W).tolist() for inputs, *_ in dataset.as_numpy_iterator()]


def flat(batches):
    return [number for batch in batches for number in batch]


@pytest.fixture(scope="module")
def pipeline(numbered):
    return make(numbered, numbered_rows(403), num_buckets=4)


def test_files_of_every_kind_give_the_same_batches(numbered, tmp_path):
    rows = [{"text": "w1 w2", "label": "bad"}, {"text": "w3", "label": "good"}]
    (tmp_path / "a.csv").write_text('label,text\nbad,w1 w2\ngood,"w3"\n', "utf-8")
    (tmp_path / "a.tsv").write_text("label\ttext\tother\nbad\tw1 w2\tx\ngood\tw3\ty\n", "utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    options = {"labels": LABELS, "batch_size": 2, "shuffle": False, "num_buckets": 1}
    for kind in ("csv", "tsv", "jsonl"):
        data = classification(tmp_path / f"a.{kind}", numbered, **options)
        ((inputs, labels),) = data.as_numpy_iterator()
        assert set(inputs) == {"token_ids", "padding_mask", "segment_ids"}
        np.testing.assert_array_equal(
            inputs["token_ids"], [[CLS, W + 1, W + 2, SEP], [CLS, W + 3, SEP, PAD]]
        )
        np.testing.assert_array_equal(inputs["padding_mask"], [[1, 1, 1, 1], [1, 1, 1, 0]])
        assert not inputs["segment_ids"].any()
        np.testing.assert_array_equal(labels, [0, 1])
        assert labels.dtype == np.int32


def test_the_order_of_labels_is_the_models_whatever_the_file_has_first(numbered):
    rows = numbered_rows(4)
    for labels in (("bad", "good"), ("good", "other", "bad")):
        data = make(numbered, rows, labels=labels, shuffle=False, num_buckets=1)
        ((_, found),) = data.as_numpy_iterator()
        assert [labels[i] for i in found] == [row["label"] for row in rows]


def test_pairs_are_packed_as_the_tokenizer_packs_them_and_the_longer_text_loses_its_end(numbered):
    rows = [
        {"text": "w1 w2 w3 w4 w5", "text_pair": "w6 w7", "label": "good"},
        {"text": "w1", "text_pair": "w2", "label": "bad"},
    ]
    data = make(numbered, rows, sequence_length=7, shuffle=False, num_buckets=1)
    ((inputs, _),) = data.as_numpy_iterator()
    np.testing.assert_array_equal(
        inputs["token_ids"],
        [[CLS, W + 1, W + 2, SEP, W + 6, W + 7, SEP], [CLS, W + 1, SEP, W + 2, SEP, PAD, PAD]],
    )
    np.testing.assert_array_equal(
        inputs["segment_ids"], [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0]]
    )
    assert data.num_cut == 1
    ((single, _),) = make(numbered, rows, text_pair=None, shuffle=False).as_numpy_iterator()
    assert single["token_ids"][1].tolist()[:4] == [CLS, W + 1, SEP, PAD]


def test_a_second_column_that_was_asked_for_must_be_there(numbered, tmp_path):
    (tmp_path / "a.csv").write_text("text,text2,label\nw1,w2,bad\n", "utf-8")
    options = {"labels": LABELS, "batch_size": 1}
    data = classification(tmp_path / "a.csv", numbered, text_pair="text2", **options)
    ((inputs, _),) = data.as_numpy_iterator()
    assert inputs["token_ids"].tolist() == [[CLS, W + 1, SEP, W + 2, SEP]]
    with pytest.raises(ValueError, match="'text3' missing in"):
        classification(tmp_path / "a.csv", numbered, text_pair="text3", **options)
    with pytest.raises(ValueError, match=r"Received: None in column 'text3', rows\[0\]"):
        make(numbered, numbered_rows(1), text_pair="text3")


def test_a_tokenizer_without_special_tokens_gives_the_text_alone(bytes_bpe):
    rows = [{"text": "assert it", "label": "bad"}]
    ((inputs, _),) = make(bytes_bpe, rows).as_numpy_iterator()
    assert set(inputs) == {"token_ids", "padding_mask"}
    assert inputs["token_ids"].tolist() == [bytes_bpe.encode("assert it")]
    with pytest.raises(ValueError, match="tokenizer with a separator"):
        make(bytes_bpe, [{**rows[0], "text_pair": "b"}])


def test_rows_of_roberta_have_two_separators_between(topics):
    tokenizer = train_byte_bpe(topics, 300, kind="roberta")
    data = make(tokenizer, [{"text": "ab", "text_pair": "cd", "label": "bad"}])
    ((inputs, _),) = data.as_numpy_iterator()
    assert inputs["token_ids"].tolist() == [tokenizer.encode("ab", "cd")]
    assert data.num_cut == 0


def test_an_epoch_has_every_row_once(pipeline):
    assert sorted(flat(seen(pipeline))) == list(range(403))
    assert pipeline.steps_per_epoch == len(seen(pipeline)) == len(pipeline)
    assert pipeline.num_rows == 403


def test_rows_of_a_batch_have_about_one_length(pipeline):
    assert 1 < len(pipeline.buckets) <= 4
    for inputs, labels in pipeline.as_numpy_iterator():
        assert inputs["token_ids"].shape[1] in [bucket.source_length for bucket in pipeline.buckets]
        assert len(labels) <= 8
    padding = [1 - inputs["padding_mask"].mean() for inputs, _ in pipeline.as_numpy_iterator()]
    assert np.mean(padding) < 0.2


def test_a_label_stays_with_its_text(pipeline):
    for inputs, labels in pipeline.as_numpy_iterator():
        np.testing.assert_array_equal((inputs["token_ids"][:, 1] - W) % 2, labels)


def test_batch_i_depends_on_rows_seed_and_i_alone(numbered, pipeline):
    assert isinstance(pipeline, Pipeline)
    again = make(numbered, numbered_rows(403), num_buckets=4)
    assert seen(pipeline) == seen(again)
    two_epochs = seen(pipeline.endless().take(2 * pipeline.steps_per_epoch))
    assert two_epochs[: len(pipeline)] == seen(pipeline) != two_epochs[len(pipeline) :]
    assert sorted(flat(two_epochs[len(pipeline) :])) == list(range(403))
    late = make(numbered, numbered_rows(403), num_buckets=4, start_step=30)
    assert seen(late) == seen(pipeline)[30:]
    assert seen(make(numbered, numbered_rows(403), num_buckets=4, seed=1)) != seen(pipeline)


def test_without_shuffling_and_with_one_bucket_rows_come_as_they_stand(numbered):
    data = make(numbered, numbered_rows(20), shuffle=False, num_buckets=1)
    assert flat(seen(data)) == list(range(20))


def test_rows_that_fill_no_batch_are_left_out_where_that_is_wanted(numbered):
    data = make(numbered, numbered_rows(20), drop_remainder=True)
    assert [len(batch) for batch in seen(data)] == [8, 8]
    data = make(numbered, numbered_rows(21), batch_multiple=2)
    assert sorted(len(batch) for batch in seen(data)) == [4, 8, 8]


def test_several_labels_are_names_in_a_cell_a_list_or_columns(numbered):
    names = ("x", "y", "z")
    wanted = [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    cells = [{"label": "z, x"}, {"label": ""}, {"label": "y"}]
    lists = [{"label": ["x", "z"]}, {"label": []}, {"label": [1]}]
    columns = [dict(zip(names, map(str, row), strict=True)) for row in wanted]
    for rows, label in ((cells, "label"), (lists, "label"), (columns, names)):
        rows = [{"text": "w1", **row} for row in rows]
        options = {"problem": "multi_label", "labels": names, "label": label}
        data = make(numbered, rows, shuffle=False, num_buckets=1, **options)
        ((_, labels),) = data.as_numpy_iterator()
        np.testing.assert_array_equal(labels, wanted)
        assert labels.dtype == np.float32


def test_numbers_are_estimated(numbered):
    rows = [{"text": "w1", "label": "0.5", "b": 2}, {"text": "w2", "label": "-1e3", "b": 3}]
    options = {"problem": "regression", "shuffle": False, "num_buckets": 1}
    ((_, labels),) = make(numbered, rows, labels=["score"], **options).as_numpy_iterator()
    np.testing.assert_array_equal(labels, [[0.5], [-1000]])
    two = make(numbered, rows, labels=["score", "b"], label=["label", "b"], **options)
    ((_, labels),) = two.as_numpy_iterator()
    np.testing.assert_array_equal(labels, [[0.5, 2], [-1000, 3]])
    lists = [{"text": "w1", "label": [0.5, 2]}]
    ((_, labels),) = make(numbered, lists, labels=["a", "b"], **options).as_numpy_iterator()
    np.testing.assert_array_equal(labels, [[0.5, 2]])


class Rows(list):
    """As a `datasets.Dataset`: its numbers have names of their own order."""

    @property
    def features(self):
        return {"label": types.SimpleNamespace(names=("good", "bad"))}


def test_numbers_are_places_in_the_names_that_a_dataset_gives(numbered):
    rows = [{"text": "w0", "label": 0}, {"text": "w1", "label": 1}]
    options = {"shuffle": False, "num_buckets": 1}
    ((_, labels),) = make(numbered, Rows(rows), **options).as_numpy_iterator()
    assert labels.tolist() == [1, 0]
    ((_, labels),) = make(numbered, rows, **options).as_numpy_iterator()
    assert labels.tolist() == [0, 1]
    stars = [{"text": "w0", "label": 5}]  # A number that is a name is that name.
    ((_, labels),) = make(numbered, stars, labels=("1", "5"), **options).as_numpy_iterator()
    assert labels.tolist() == [1]


def test_labels_may_have_other_names_in_the_file(numbered):
    rows = [{"text": "w0", "label": "1"}, {"text": "w1", "label": "0"}]
    names = {"1": "good", "0": "bad"}
    data = make(numbered, rows, label_names=names, shuffle=False, num_buckets=1)
    ((_, labels),) = data.as_numpy_iterator()
    assert labels.tolist() == [1, 0]


def test_classes_have_weights(numbered):
    rows = numbered_rows(6)[:5]  # three are bad, two are good
    for weights, wanted in (
        ("balanced", [5 / 6, 5 / 4]),
        ({"good": 3.0, "bad": 0.5}, [0.5, 3.0]),
    ):
        data = make(numbered, rows, class_weights=weights)
        ((_, labels, found),) = data.as_numpy_iterator()
        np.testing.assert_allclose(found, np.array(wanted)[labels], rtol=1e-6)
        assert found.dtype == np.float32


BAD = [
    ({"label": "gud"}, r"one of bad, good\. Received: 'gud' in column 'label', rows\[1\]"),
    ({"label": None}, "Received: None in column 'label'"),
    ({"label": 2}, "Received: 2 in column"),
    ({"label": True}, "Received: True in column"),
    ({"text": "\u200b"}, r"text that is not empty. Received: '\\u200b' in column 'text', rows"),
    ({"text": "\ud83d b"}, r"no half of a surrogate pair. Received: '\\ud83d b' in column 'text'"),
    ({"text": " \n"}, r"text that is not empty. Received: ' \\n' in column 'text', rows\[1\]"),
    ({"text": None}, "Received: None in column 'text'"),
    ({"text_pair": "w3"}, "all rows or none must have a second text.*column 'text_pair'"),
]


@pytest.mark.parametrize(("changed", "message"), BAD)
def test_a_bad_row_is_named(changed, message, numbered):
    rows = numbered_rows(3)
    rows[1].update(changed)
    with pytest.raises(ValueError, match=message):
        make(numbered, rows)


def test_bad_rows_can_be_dropped_and_are_listed(numbered):
    rows = numbered_rows(2 * len(BAD))
    for place, (changed, _) in enumerate(BAD):
        rows[2 * place + 1].update(changed)
    data = make(numbered, rows, bad_rows="drop")
    assert data.num_rows == len(BAD) == len(data.dropped)
    assert "'gud' in column 'label', rows[1]" in data.dropped[0]
    with pytest.raises(ValueError, match=r"2 bad; the first: .*'no' in column 'label'"):
        make(numbered, [{"text": "w1", "label": "no"}] * 2, bad_rows="drop")


@pytest.mark.parametrize(
    ("problem", "label", "message"),
    [
        ("regression", "much", "a finite number. Received: 'much'"),
        ("regression", "nan", "a finite number"),
        ("regression", "", "a finite number"),
        ("multi_label", "bad;good", "Received: 'bad;good'"),
        ("multi_label", None, "a list of names. Received: None"),
        ("multi_label", {"bad": 0}, "a list of names. Received: {'bad': 0}"),
    ],
)
def test_a_bad_value_is_named(problem, label, message, numbered):
    labels = ["score"] if problem == "regression" else LABELS
    with pytest.raises(ValueError, match=message):
        make(numbered, [{"text": "w1", "label": label}], labels=labels, problem=problem)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": 2}, "must be different names"),
        ({"labels": ["a", "a"]}, "must be different names"),
        ({"problem": "ranking"}, "Received: problem='ranking'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 3, "batch_multiple": 2}, "batch_size=3, batch_multiple=2"),
        ({"bad_rows": "skip"}, "bad_rows='skip'"),
        ({"class_weights": {"good": 1}}, "a weight for each of"),
        ({"class_weights": "equal"}, "class_weights='equal'"),
        ({"class_weights": "balanced", "problem": "multi_label"}, "texts of one class"),
        ({"label": ["a", "b"]}, "label must be one column"),
        ({"label_names": {"1": "fine"}}, "'1': 'fine'"),
        ({"drop_remainder": True, "batch_size": 9}, "rows=4, batch_size=9"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message, numbered):
    with pytest.raises(ValueError, match=message):
        make(numbered, numbered_rows(4), **arguments)


def test_a_dataset_of_dicts_is_taken(numbered):
    dataset = tf.data.Dataset.from_tensor_slices({"text": ["w1", "w2"], "label": [1, 0]})
    ((inputs, labels),) = make(numbered, dataset, num_buckets=1).as_numpy_iterator()
    assert {(i - W, j) for (_, i, _), j in zip(inputs["token_ids"], labels, strict=True)} == {
        (1, 1),
        (2, 0),
    }
