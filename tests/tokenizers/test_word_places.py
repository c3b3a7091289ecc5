"""Where words stand: the offsets of the library are the reference."""

import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import PreTokenizedString, normalizers, pre_tokenizers
from unicode_texts import BYTES, MARKS, TEXT

from keras_lm.tokenizers import ByteBPE, WordPiece

many = settings(
    max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TEXTS = st.lists(st.one_of(TEXT, MARKS, BYTES), max_size=8)


def columns(found):
    return [column.to_list() for column in found]


def as_text(text):
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def keeps_order(text):
    """Whether no mark is moved in front of another one when characters are taken apart."""
    apart = (unicodedata.normalize("NFD", character) for character in text)
    return unicodedata.normalize("NFD", text) == "".join(apart)


@pytest.fixture(scope="module", params=["uncased", "cased"])
def word_piece(request, vocabulary):
    return WordPiece(vocabulary, lowercase=request.param == "uncased")


@many
@given(TEXTS)
def test_words_of_word_pieces_stand_where_the_library_says(word_piece, texts):
    ids, starts, ends, tokens = columns(
        word_piece.tokenize_words(tf.constant(texts, tf.string, [len(texts)]))
    )
    for row, text in enumerate(map(as_text, texts)):
        encoding = word_piece.host.encode(text, add_special_tokens=False)
        assert ids[row] == encoding.ids
        of_word = np.array(encoding.word_ids)
        begins = np.flatnonzero(np.diff(of_word, prepend=-1))
        assert tokens[row] == begins.tolist()
        if not keeps_order(text):
            continue  # a word stands where it stands; the library says where it is moved to
        assert starts[row] == [encoding.offsets[i][0] for i in begins]
        behind = [*begins[1:], len(of_word)]
        assert ends[row] == [
            max(encoding.offsets[i][1] for i in range(*pair))
            for pair in zip(begins, behind[: len(begins)], strict=True)
        ]


def words_of(text):
    """BERT's words that keep case and accents, and where they stand."""
    normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    parts = PreTokenizedString(text)
    parts.normalize(normalizer.normalize)
    pre_tokenizers.BertPreTokenizer().pre_tokenize(parts)
    return [span for _, span, _ in parts.get_splits("original", "char")]


@pytest.fixture(scope="module", params=["gpt", "roberta", "prefix"])
def bpe(request, byte_bpe, roberta):
    if request.param == "prefix":
        return ByteBPE.from_config({**roberta.get_config(), "add_prefix_space": True})
    return {"gpt": byte_bpe, "roberta": roberta}[request.param]


@many
@given(TEXTS)
def test_words_of_byte_pairs_begin_with_the_token_that_has_their_first_character(bpe, texts):
    found = bpe.tokenize_words(tf.constant(texts, tf.string, [len(texts)]))
    ids, starts, ends, tokens = columns(found)
    for row, text in enumerate(map(as_text, texts)):
        encoding = bpe.host.encode(text, add_special_tokens=False)
        assert ids[row] == encoding.ids
        spans = words_of(text)
        assert list(zip(starts[row], ends[row], strict=True)) == spans
        assert tokens[row] == [
            next(i for i, (_, end) in enumerate(encoding.offsets) if end > start)
            for start, _ in spans
        ]


def test_punctuation_is_a_word_and_special_tokens_are_text(uncased, roberta):
    text = "Füße, (naïve) 漢字[SEP]🎉"
    spans = [(0, 4), (4, 5), (6, 7), (7, 12), (12, 13), (14, 15), (15, 16)]
    spans += [(16, 17), (17, 20), (20, 21), (21, 22)]
    for tokenizer in (uncased, roberta):
        found = tokenizer.tokenize_words([text])
        assert [*zip(found.starts.to_list()[0], found.ends.to_list()[0], strict=True)] == spans


def test_a_vocabulary_without_some_bytes_knows_no_places():
    tokenizer = ByteBPE({"a": 0, "b": 1, "<|endoftext|>": 2}, [])
    with pytest.raises(ValueError, match="every byte has a token"):
        tokenizer.tokenize_words(["ab"])
