"""Texts and ids to the rows that an encoder takes: in the graph, and checked on the host.

B batch, T length, V vocabulary.
"""

from typing import Any

import tensorflow as tf

from keras_lm.models.interface import check_ids
from keras_lm.models.limits import BYTES_PER_TOKEN
from keras_lm.tokenizers import ByteBPE

Tensor = Any


def read_text(tokenizer: Any, text: Tensor, max_length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Reads texts of any length; of one that is too long the start.

    Args:
        tokenizer: has `[CLS]` and `[SEP]`, which each row gets.
        text: string `(B,)`.
        max_length: the most that T may be.

    Returns:
        int32 `(B, T)`, the ids; bool `(B, T)`, True where they are no padding; bool `(B,)`, whether
        a text was cut.
    """
    limit = BYTES_PER_TOKEN * max_length
    cut_B = tf.strings.length(text) > limit
    ids = tokenizer.tokenize(tf.strings.substr(text, 0, limit))
    # Two places are for [CLS] and [SEP].
    cut_B |= ids.row_lengths() > max_length - 2
    longest = tf.cast(tf.reduce_max(tf.concat([ids.row_lengths(), [0]], 0)), "int32")
    packed = tokenizer.pack(ids, max_length=max_length)
    width = tf.minimum(longest + 2, max_length)
    return packed["token_ids"][:, :width], packed["padding_mask"][:, :width], cut_B


def read_ids(
    tokenizer: Any, token_ids: Tensor, lengths: Tensor, max_length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Reads rows of ids of any length, special tokens included.

    Args:
        tokenizer: has an unknown token, as which ids outside the vocabulary are read.
        token_ids: int32 `(B, T)`, padded on the right.
        lengths: int32 `(B,)`, of each row without its padding.
        max_length: the most of T that is read.

    Returns:
        As `read_text`.
    """
    cut_B = lengths > max_length
    token_ids = token_ids[:, :max_length]
    inside = (token_ids >= 0) & (token_ids < tokenizer.vocab_size)
    token_ids = tf.where(inside, token_ids, tokenizer.unk_id)
    return token_ids, tf.sequence_mask(lengths, tf.shape(token_ids)[1]), cut_B


def encode_rows(
    tokenizer: Any, texts: str | list[str], max_length: int
) -> tuple[list[Any], list[list[int]]]:
    """Returns the texts of a request, and their ids with special tokens.

    Raises:
        ValueError: there is no text, or one is longer than `max_length`.
    """
    batch = [texts] if isinstance(texts, (str, bytes)) else list(texts)
    if not batch:
        raise ValueError("texts must hold at least one text. Received: none")
    rows = [tokenizer.encode(text) for text in batch]
    check_ids(rows, tokenizer.vocab_size, max_length)
    return batch, rows


def padded(tokenizer: Any, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Returns rows of ids as int32 `(B, T)`, padded on the right, and their lengths `(B,)`."""
    ids = tf.ragged.constant(rows, "int32", ragged_rank=1)
    return ids.to_tensor(tokenizer.pad_id), tf.cast(ids.row_lengths(), "int32")


def token_texts(tokenizer: Any) -> list[str]:
    """Returns what each id stands for, V strings.

    Tokens of byte-level BPE are spelled in letters that stand for bytes; here they are text.
    """
    if not isinstance(tokenizer, ByteBPE):
        return tokenizer.tokens
    return [token.decode("utf-8", "replace") for token in tokenizer.token_bytes]
