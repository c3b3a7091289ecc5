"""What a decoder behind an encoder reads and predicts.

B batch, S length of the source rows, T length of the target rows.
"""

from typing import Any

import tensorflow as tf

Tensor = Any


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
