"""What a decoder behind an encoder reads and predicts, and the tokens that its rows begin with.

B batch, S length of the source rows, T length of the target rows.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any


def closing_id(tokenizer: Tokenizer, first: str = "end") -> int:
    """The id of the token that ends a text: the end token or the separator.

    Args:
        tokenizer: has one of them.
        first: which it is where there are both, "end" or "sep".

    Raises:
        ValueError: the tokenizer has neither.
    """
    ids = [tokenizer.end_id, tokenizer.sep_id]
    for id_ in ids if first == "end" else ids[::-1]:
        if id_ is not None:
            return id_
    raise ValueError(
        "The tokenizer must have an end or a separator token. "
        f"Received: {type(tokenizer).__name__} without end, sep"
    )


def start_ids(decoder_start: str | Sequence[str] | None, tokenizer: Tokenizer) -> list[int]:
    """The ids that a decoder's rows begin with.

    Args:
        decoder_start: a token or several; None: the token that ends a text.
        tokenizer: has them.

    Raises:
        ValueError: no token, or one that the vocabulary lacks.
    """
    if decoder_start is None:
        return [closing_id(tokenizer)]
    tokens = [decoder_start] if isinstance(decoder_start, str) else list(decoder_start)
    if not tokens:
        raise ValueError(
            f"decoder_start must be a token or several. Received: decoder_start={decoder_start!r}"
        )
    return [tokenizer.id(token) for token in tokens]


def decoder_batch(
    source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], pad_id: int
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Inputs, labels and weights.

    Args:
        source: the encoder's rows, int32 and bool `(B, S)`, True = no padding.
        target: start tokens, text and end token, int32 and bool `(B, T + 1)`. The decoder reads all
            but the last token of a row, and predicts all but the first.
        pad_id: of the target rows.
    """
    whole_BU, real_BU = target
    real_BT = real_BU[:, 1:]
    inputs = {
        "token_ids": source[0],
        "padding_mask": source[1],
        "decoder_token_ids": tf.where(real_BT, whole_BU[:, :-1], pad_id),
        "decoder_padding_mask": real_BT,
    }
    return inputs, whole_BU[:, 1:], tf.cast(real_BT, tf.float32)
