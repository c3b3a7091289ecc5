"""Words are compared as words: equal ids would hide a boundary that no merge crosses."""

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from keras_lm.tokenizers.byte_pair_graph import spell
from keras_lm.tokenizers.byte_pair_words import WordSplitter

LIBRARY = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
PIECES = ["'", "s", "t", "m", "d", "re", "ve", "ll", "l", "r", "v", "e", " ", "\n", "\u3000", "a"]
TEXTS = st.one_of(
    st.lists(st.sampled_from([*PIECES, "1", "!", "\u0301", "中"])).map("".join),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@pytest.fixture(scope="module")
def split():
    splitter = WordSplitter()
    return tf.function(
        lambda strings: splitter(strings), input_signature=[tf.TensorSpec([None], tf.string)]
    )


def words_in_graph(split, texts):
    """The words of each text, as bytes; an end closes a text."""
    rows = [[]]
    words = split(tf.constant([text.encode() for text in texts], tf.string))
    for text, is_end in zip(words.text_W.numpy(), words.is_end_W.numpy(), strict=True):
        if is_end:
            rows.append([])
        else:
            rows[-1].append(text)
    assert rows.pop() == []
    return rows


def words_in_library(text):
    return spell([word for word, _ in LIBRARY.pre_tokenize_str(text)])


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(texts=st.lists(TEXTS, max_size=8))
def test_any_text_has_the_words_of_the_library(split, texts):
    assert words_in_graph(split, texts) == [words_in_library(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x'reveal x'llama x'vex x'star x'tx", "x|'re|veal| x|'ll|ama| x|'ve|x| x|'s|tar| x|'t|x"),
        ("x'lx x'rx x'veex 's x''s", "x|'|lx| x|'|rx| x|'ve|ex| '|s| x|''|s"),
        ("X'S 'Re x\n's x'\u017f", "X|'|S| '|Re| x|\n|'s| x|'|\u017f"),
        ("a  b   \n c \n", "a| | b|   \n| c| \n"),
        ("\ta1!b", "\t|a|1|!|b"),
    ],
)
def test_known_texts_have_their_words(split, text, words):
    assert words_in_graph(split, [text]) == [[word.encode() for word in words.split("|")]]
    assert words_in_library(text) == [word.encode() for word in words.split("|")]
