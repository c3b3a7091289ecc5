"""Where the words of texts stand, in characters, and which token each begins with.

A word is one of BERT's (Devlin et al. 2019, arXiv:1810.04805, released code): white space, and each
punctuation mark and symbol, end it. A text of one kind of tokenizer has the words of every other.

B batch, N code points of words, W words.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm.tokenizers.bert_words import Words

Tensor = Any


class WordTokens(NamedTuple):
    """The tokens and the words of texts; int32 RaggedTensors `(B, None)`.

    Attributes:
        ids: of the tokens, without special tokens.
        starts: the place of each word's first character in its text.
        ends: the place behind its last character.
        tokens: the place in `ids` of the first token that has a part of it.
    """

    ids: Tensor
    starts: Tensor
    ends: Tensor
    tokens: Tensor


class Spans(NamedTuple):
    """The words of a batch, back to back.

    Attributes:
        begins: int64 `(W,)`, the code point with which each word begins.
        rows: int64 `(W,)`, the row of each; ascending.
        starts: int64 `(W,)`, the place of its first character in its text.
        ends: int64 `(W,)`, the place behind its last one.
    """

    begins: Tensor
    rows: Tensor
    starts: Tensor
    ends: Tensor


def spans_of(words: Words, place_N: Tensor) -> Spans:
    """Says where words stand.

    Args:
        words: of a batch.
        place_N: int64 `(N,)`, the place of each code point in its text.
    """
    begin_W = tf.where(words.begins)[:, 0]
    word_N = tf.cumsum(tf.cast(words.begins, tf.int32)) - 1
    # Not the last code point: marks may have been put into another order.
    last_W = tf.math.unsorted_segment_max(place_N, word_N, tf.size(begin_W))
    return Spans(begin_W, tf.gather(words.rows, begin_W), tf.gather(place_N, begin_W), last_W + 1)


def word_tokens(ids: Tensor, spans: Spans, token_W: Tensor) -> WordTokens:
    """Divides words into rows.

    Args:
        ids: int32 RaggedTensor `(B, None)`.
        spans: of the words.
        token_W: int64 `(W,)`, the first token of each among those of all rows.
    """
    token_W -= tf.gather(ids.row_starts(), spans.rows)
    columns = (
        tf.RaggedTensor.from_value_rowids(
            tf.cast(column, tf.int32), spans.rows, nrows=ids.nrows(), validate=False
        )
        for column in (spans.starts, spans.ends, token_W)
    )
    return WordTokens(ids, *columns)
