import types

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data import Pipeline, tagging
from keras_lm.data.tagged_sentences import read_sentences
from keras_lm.tokenizers import WordPiece

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
PIECES = ["u", ".", "s", "ann", "lee", "of", "##s", "paris", "x"]
X = -100
CONLL = """-DOCSTART- -X- O O

Ann NNP B-NP B-PER
Lees NNP I-NP I-PER
of IN O O

U.S. NNP B-NP B-LOC
"""


@pytest.fixture(scope="module")
def tokenizer():
    return WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES])


def ids_of(tokenizer, text):
    return [tokenizer.tokens.index(piece) for piece in text.split()]


def one_batch(source, tokenizer, **options):
    options = {"labels": LABELS, "batch_size": 8, "shuffle": False, "num_buckets": 1, **options}
    data = tagging(None, tokenizer, rows=source, **options)
    (batch,) = data.as_numpy_iterator()
    return data, *batch


def test_the_first_token_of_each_part_of_a_word_has_its_tag(tokenizer, tmp_path):
    (tmp_path / "a.conll").write_text(CONLL, "utf-8")
    data = tagging(
        tmp_path / "a.conll", tokenizer, labels=LABELS, batch_size=8, shuffle=False, num_buckets=1
    )
    assert isinstance(data, Pipeline)
    ((inputs, labels),) = data.as_numpy_iterator()
    assert inputs["token_ids"].tolist() == [
        ids_of(tokenizer, "[CLS] ann lee ##s of [SEP]"),
        ids_of(tokenizer, "[CLS] u . s . [SEP]"),
    ]
    assert labels.tolist() == [[X, 1, 2, X, 0, X], [X, 3, 4, 4, 4, X]]
    assert labels.dtype == np.int32
    assert not inputs["segment_ids"].any()
    assert (data.num_rows, data.num_cut) == (2, 0)


def test_rows_and_columns_are_taken_by_name(tokenizer, tmp_path):
    rows = [{"tokens": ["Ann", "of"], "ner": ["B-PER", 0]}]
    _, _, labels = one_batch(rows, tokenizer, word="tokens", tag="ner")
    assert labels.tolist() == [[X, 1, 0, X]]
    (tmp_path / "a.tsv").write_text("1\tAnn\tB-PER\t_\n2\tof\tO\t_\n", "utf-8")
    found, dropped = read_sentences(tmp_path / "a.tsv", None, LABELS, word=1, tag=2)
    assert (found, dropped) == ([(["Ann", "of"], [1, 0])], [])


class Rows(list):
    """As a `datasets.Dataset`: its numbers have names of their own order."""

    @property
    def features(self):
        return {"tags": types.SimpleNamespace(feature=types.SimpleNamespace(names=LABELS[::-1]))}


def test_numbers_are_places_in_the_names_that_a_dataset_gives(tokenizer):
    rows = [{"words": ["Ann", "of"], "tags": np.array([3, 4])}]
    assert one_batch(Rows(rows), tokenizer)[2].tolist() == [[X, 1, 0, X]]
    assert one_batch(rows, tokenizer)[2].tolist() == [[X, 3, 4, X]]


def test_a_sentence_that_is_too_long_loses_words_and_is_counted(tokenizer):
    rows = [{"words": ["of"] * n, "tags": ["B-LOC"] * n} for n in (5, 3)]
    data, inputs, labels = one_batch(rows, tokenizer, sequence_length=5)
    assert inputs["token_ids"].shape == (2, 5)
    assert labels.tolist() == [[X, 3, 3, 3, X]] * 2
    assert data.num_cut == 1


def test_a_word_without_a_token_is_counted(tokenizer):
    rows = [{"words": ["of", "\u200b", "x"], "tags": ["O", "B-LOC", "B-PER"]}]
    data, inputs, labels = one_batch(rows, tokenizer)
    assert inputs["token_ids"].tolist() == [ids_of(tokenizer, "[CLS] of x [SEP]")]
    assert labels.tolist() == [[X, 0, 1, X]]
    assert data.num_cut == 1


def test_byte_pairs_have_labels_where_words_begin(bytes_bpe):
    rows = [{"words": ["An", "exception."], "tags": ["B-PER", "B-LOC"]}]
    _, inputs, labels = one_batch(rows, bytes_bpe)
    ids = bytes_bpe.encode("An exception.")
    assert inputs["token_ids"].tolist() == [ids]
    begins = {0: 1, len(bytes_bpe.encode("An")): 3, len(ids) - 1: 4}
    assert labels.tolist() == [[begins.get(i, X) for i in range(len(ids))]]


def test_a_label_stays_with_its_token_in_every_epoch(tokenizer):
    rng = np.random.default_rng(0)
    rows = [
        {"words": [PIECES[i] for i in picked], "tags": [int(i) % 5 for i in picked]}
        for picked in (rng.choice([0, 2, 3, 4, 5, 7, 8], n) for n in rng.integers(1, 12, 100))
    ]
    data = tagging(None, tokenizer, rows=rows, labels=LABELS, batch_size=4, num_buckets=3)
    assert len(data.buckets) > 1
    for inputs, labels in data.endless().take(2 * data.steps_per_epoch).as_numpy_iterator():
        real = labels >= 0
        np.testing.assert_array_equal((inputs["token_ids"][real] - 5) % 5, labels[real])
        np.testing.assert_array_equal(real.sum(1) + 2, inputs["padding_mask"].sum(1))
    late = tagging(
        None, tokenizer, rows=rows, labels=LABELS, batch_size=4, num_buckets=3, start_step=20
    )
    expected = list(data.as_numpy_iterator())[20:]
    for found, wanted in zip(late.as_numpy_iterator(), expected, strict=True):
        np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "Ann B-PER\nLee B-ORG\n",
            {},
            r"one of O, B-PER.*Received: 'B-ORG' in column 1, line 2 of .*a\.conll",
        ),
        ("Ann\n", {}, r"a word and a tag.*'Ann' in line 1"),
        ("Ann B-PER\nNew York O\n", {}, r"as the first one, 2\. Received: 'New York O' in line 2"),
        ("Ann B-PER\n", {"tag": 4}, "a word and a tag.*in line 1"),
        ("\tB-PER\n", {}, "a word and a tag.*in line 1"),
        ("-DOCSTART- O\n\n", {}, "a sentence at least"),
        ("Ann B-PER\n", {"tag": "ner"}, "number of a column.*tag='ner'"),
        ("Ann B-PER\n", {"sequence_length": 2}, "room for a token.*Received: 2"),
        ("Ann B-PER\n", {"batch_size": 3, "batch_multiple": 2}, "batch_multiple=2"),
        ("Ann B-PER\n", {"labels": 5}, "must be different names"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(
    content, options, message, tokenizer, tmp_path
):
    (tmp_path / "a.conll").write_text(content, "utf-8")
    with pytest.raises(ValueError, match=message):
        tagging(tmp_path / "a.conll", tokenizer, **{"labels": LABELS, "batch_size": 2, **options})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"words": ["a"]}, r"as many tags as words.*rows\[0\]"),
        ({"words": ["a"], "tags": []}, "as many tags as words"),
        ({"words": [], "tags": []}, "as many tags as words"),
        ({"words": "a", "tags": "O"}, "as many tags as words"),
        ({"words": [" "], "tags": ["O"]}, "a string that is not empty"),
        ({"words": ["a"], "tags": [5]}, r"Received: 5 in column 'tags', rows\[0\]"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(row, message, tokenizer):
    with pytest.raises(ValueError, match=message):
        tagging(None, tokenizer, rows=[row], labels=LABELS, batch_size=1)


def test_sentences_that_are_wrong_can_be_left_out_and_are_listed(tokenizer, tmp_path):
    content = "Ann B-PER\nof O\n\nAnn B-DOG\nof O\n\nof\n\nof O\n"
    (tmp_path / "a.conll").write_text(content, "utf-8")
    options = {"labels": LABELS, "batch_size": 2, "bad_rows": "drop"}
    data = tagging(tmp_path / "a.conll", tokenizer, **options)
    assert data.num_rows == 2
    assert ["line 4 of" in data.dropped[0], "line 7 of" in data.dropped[1]] == [True, True]
    rows = [{"words": ["of"], "tags": [9]}, {"words": ["of"], "tags": ["O", "O"]}]
    with pytest.raises(ValueError, match=r"a sentence at least.*2 bad.*rows\[0\]"):
        tagging(None, tokenizer, rows=rows, **options)


def test_a_dataset_of_tensorflow_gives_vectors(tokenizer):
    rows = [{"words": ["Ann", "of"], "tags": [1, 0]}, {"words": ["of"], "tags": [0]}]
    spec = {"words": tf.TensorSpec([None], "string"), "tags": tf.TensorSpec([None], "int64")}
    dataset = tf.data.Dataset.from_generator(lambda: rows, output_signature=spec)
    options = {"labels": LABELS, "batch_size": 2, "shuffle": False}
    (_, found), (_, wanted) = (
        next(tagging(None, tokenizer, rows=given, **options).as_numpy_iterator())
        for given in (dataset, rows)
    )
    np.testing.assert_array_equal(found, wanted)
