"""The library is the reference: the graph gives its ids, and its words, which unknown ids hide."""

import json
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unicode_texts import BYTES, MARKS, TEXT

from keras_lm.tokenizers import WordPiece

KINDS = {
    "uncased": {},
    "cased": {"lowercase": False},
    "lower with accents": {"strip_accents": False},
    "cased without accents": {"lowercase": False, "strip_accents": True},
    "without Chinese": {"chinese": False},
}
many = settings(
    max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
STRINGS = [tf.TensorSpec([None], tf.string)]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def both(request, vocabulary):
    """A tokenizer, its ids and its words in graphs that know no batch size."""
    tokenizer = WordPiece(vocabulary, **KINDS[request.param])
    return (
        tokenizer,
        tf.function(tokenizer.tokenize, input_signature=STRINGS),
        tf.function(tokenizer.words, input_signature=STRINGS),
    )


def words_on_the_host(tokenizer, text):
    normal = tokenizer.host.normalizer.normalize_str(text)
    return [word.encode() for word, _ in tokenizer.host.pre_tokenizer.pre_tokenize_str(normal)]


def assert_equal(both, texts):
    tokenizer, ids, words = both
    batch = tf.constant(texts, tf.string, [len(texts)])
    assert words(batch).to_list() == [words_on_the_host(tokenizer, text) for text in texts]
    assert ids(batch).to_list() == tokenizer.encode_batch(texts)


@many
@given(st.lists(TEXT, max_size=12))
def test_ids_and_words_of_any_text_are_those_of_the_library(both, texts):
    assert_equal(both, texts)


@many
@given(st.lists(MARKS, min_size=1, max_size=12))
def test_marks_are_reordered_as_the_library_does(both, texts):
    assert_equal(both, texts)


@many
@given(st.lists(BYTES, max_size=12))
def test_invalid_utf8_is_replaced_as_python_does(both, texts):
    tokenizer, ids, _ = both
    expected = tokenizer.encode_batch([text.decode("utf-8", "replace") for text in texts])
    assert ids(tf.constant(texts, tf.string, [len(texts)])).to_list() == expected
    assert tokenizer.encode_batch(texts) == expected
    assert [tokenizer.encode(text, add_special_tokens=False) for text in texts] == expected


def test_every_101st_code_point_is_read_as_the_library_reads_it(both):
    scalars = [x for x in range(0, 0x110000, 101) if not 0xD800 <= x < 0xE000]
    assert_equal(both, [f"a{chr(x)}b {chr(x)}" for x in scalars])


@pytest.mark.slow
def test_every_code_point_is_read_as_the_library_reads_it(both):
    scalars = [x for x in range(0x110000) if not 0xD800 <= x < 0xE000]
    for begin in range(0, len(scalars), 50_000):
        assert_equal(both, [f"a{chr(x)}b {chr(x)}" for x in scalars[begin : begin + 50_000]])


def test_real_text_as_lines_and_as_a_whole(both, topics):
    text = topics.read_text("utf-8")[:150_000]
    assert_equal(both, text.split("\n"))
    assert_equal(both, [text])


@pytest.mark.slow
def test_all_of_the_real_text_as_lines_and_as_a_whole(both, topics):
    text = topics.read_text("utf-8")
    assert_equal(both, text.split("\n"))
    assert_equal(both, [text])


def test_a_long_word_is_unknown_and_takes_no_longer_than_a_long_text(uncased):
    texts = ["a" * 100, "a" * 101, "a" * 10_000, "", "é" * 10_000 + " a"]
    ids = tf.function(uncased.tokenize)(tf.constant(texts)).to_list()
    assert ids == uncased.encode_batch(texts)
    assert ids[1:3] == [[uncased.unk_id]] * 2


def test_whole_words_and_pieces_agree_with_a_search_letter_by_letter():
    alphabet = ["a", "b", "##a", "##b"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##", *alphabet[:3], "ab", "##bab"]
    tokenizer = WordPiece([*tokens, "##aa", "abba", "c", "babab"], max_word_length=6)
    draw = random.Random(0)
    texts = [" ".join("".join(draw.choices("aabbc", k=draw.randrange(9))) for _ in range(5))
             for _ in range(500)]  # fmt: skip
    assert tokenizer.tokenize(texts).to_list() == tokenizer.encode_batch(texts)


def in_a_pipeline(tokenizer, texts):
    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(3).map(tokenizer.tokenize)
    return [row for batch in dataset for row in batch.to_list()]


@pytest.mark.parametrize(
    "run",
    [
        lambda tokenizer, texts: tokenizer.tokenize(texts).to_list(),
        lambda tokenizer, texts: tf.function(tokenizer.tokenize)(tf.constant(texts)).to_list(),
        in_a_pipeline,
    ],
    ids=["eagerly", "in a function", "in a pipeline"],
)
@pytest.mark.parametrize("special_tokens", ["text", "parse"])
def test_it_runs_wherever_tensorflow_runs(vocabulary, run, special_tokens):
    # A new tokenizer: its tables are made inside of the function that asks for them first.
    tokenizer = WordPiece(vocabulary, special_tokens=special_tokens)
    texts = ["The import statement", "", "naïve [SEP] unaffable", "İ 的", "lambda"]
    assert run(tokenizer, texts) == tokenizer.encode_batch(texts)


def test_a_batch_without_texts_and_texts_without_words(uncased):
    assert uncased.tokenize(tf.constant([], tf.string)).to_list() == []
    assert uncased.tokenize(["", " ", "\ufffd"]).to_list() == [[], [], []]


def test_an_id_that_is_no_vector_is_refused(uncased):
    with pytest.raises(ValueError, match=r"shape \(B,\).*Received: \(\)"):
        uncased.tokenize("one string")


@many
@given(st.data())
def test_decoding_in_the_graph_is_decoding_on_the_host(uncased, data):
    size = uncased.vocab_size
    id_ = st.one_of(st.integers(-2, 30), st.integers(-2, size + 2), st.sampled_from(PUNCTUATION))
    rows = data.draw(st.lists(st.lists(id_, max_size=12), min_size=1, max_size=6))
    skip = data.draw(st.booleans())
    texts = uncased.detokenize(tf.ragged.constant(rows, tf.int32, ragged_rank=1), skip)
    assert [text.decode() for text in texts.numpy()] == [uncased.decode(row, skip) for row in rows]


PUNCTUATION = range(5, 30)


def test_padding_with_minus_one_leaves_no_text(uncased):
    ids = uncased.encode("the import statement", add_special_tokens=False)
    dense = tf.constant([ids + [-1] * 3, [-1] * (len(ids) + 3)])
    assert uncased.detokenize(dense).numpy().tolist() == [b"the import statement", b""]
    assert uncased.decode(dense.numpy()[0]) == "the import statement"


def test_a_pair_is_encoded_with_its_special_tokens(uncased):
    ids = uncased.encode("the", "class")
    assert [uncased.tokens[id_] for id_ in ids] == ["[CLS]", "the", "[SEP]", "class", "[SEP]"]
    packed = uncased.pack(uncased.tokenize(["the"]), uncased.tokenize(["class"]), max_length=7)
    assert packed["token_ids"].numpy().tolist() == [[*ids, uncased.pad_id, uncased.pad_id]]


def test_pieces_that_continue_a_word_are_marked(uncased):
    expected = [token.startswith("##") for token in uncased.tokens]
    assert uncased.continues_word.tolist() == expected
    assert any(expected)


def test_the_configuration_is_json_and_makes_the_same_tokenizer(vocabulary):
    tokenizer = WordPiece(vocabulary[:3000], False, special_tokens="parse", chinese=False)
    again = WordPiece.from_config(json.loads(json.dumps(tokenizer.get_config())))
    assert again.get_config() == tokenizer.get_config()
    kept = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(tokenizer))
    assert kept.encode("A [SEP] 的b") == tokenizer.encode("A [SEP] 的b")
    with pytest.raises(TypeError, match="lower"):
        WordPiece.from_config({**tokenizer.get_config(), "lower": True})


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.mark.parametrize(
    ("vocab", "keywords", "message"),
    [
        (["a"], {}, r"must have \[PAD\].*Received: 1 tokens without \[PAD\]"),
        ([*SPECIAL, "a", "a"], {}, "once. Received: 'a'"),
        (SPECIAL, {"special_tokens": "split"}, "\"parse\".*Received: special_tokens='split'"),
    ],
)
def test_a_vocabulary_that_cannot_work_is_refused(vocab, keywords, message):
    with pytest.raises(ValueError, match=message):
        WordPiece(vocab, **keywords)


def test_a_token_that_is_not_in_the_vocabulary_is_named(uncased):
    with pytest.raises(ValueError, match="Received: 'nowhere'"):
        uncased.id("nowhere")


def test_a_vocabulary_file_may_hold_characters_that_python_ends_lines_at(tmp_path):
    tokens = [*SPECIAL, "\u2028", "a\x85", "b"]
    (tmp_path / "vocab.txt").write_bytes("\r\n".join(tokens).encode() + b"\r\n")
    assert WordPiece(tmp_path / "vocab.txt").tokens == tokens


def test_what_is_no_text_is_refused(uncased):
    with pytest.raises(TypeError, match=r"str or bytes\. Received: int"):
        uncased.encode(3)
    with pytest.raises(TypeError, match="many texts"):
        uncased.encode_batch("one text")
    assert np.all(np.asarray(uncased.special_ids) == range(5))
