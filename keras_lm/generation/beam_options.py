"""What may be asked of each row of a beam search, beside its `Options`.

B batch.
"""

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.generation.option_checks import numbers, per_row
from keras_lm.generation.options import Status

Tensor = Any


class EarlyStopping(enum.IntEnum):
    """When a row ends that has as many finished texts as beams, with the names of Transformers.

    | value | name | Transformers | the row ends |
    |---|---|---|---|
    | 0 | NO | `False` | when the likeliest running text, were it to end now, would not get among the finished |
    | 1 | YES | `True` | at once |
    | 2 | NEVER | `"never"` | when no running text can get among the finished any more, however long |
    """  # noqa: E501

    NO = 0
    YES = 1
    NEVER = 2


class BeamOptions(NamedTuple):
    """One value for each row.

    Attributes:
        length_penalty: float32 `(B,)`; the score of a text is its log-probability divided by its
            length to this power: above 0 favours long texts.
        early_stopping: int32 `(B,)`, an `EarlyStopping`.
    """

    length_penalty: Tensor
    early_stopping: Tensor


# What each tensor holds, for the signature of a graph.
BEAM_OPTION_DTYPES = BeamOptions(length_penalty="float32", early_stopping="int32")

_CODES = {False: EarlyStopping.NO, True: EarlyStopping.YES, "never": EarlyStopping.NEVER}


def default_beam_options(like: Tensor) -> BeamOptions:
    """Gives the options of rows that ask for nothing, as many as `like`, `(B,)`, has."""
    return BeamOptions(tf.ones_like(like, tf.float32), tf.zeros_like(like, tf.int32))


def validate_beam_options(
    batch_size: int,
    *,
    length_penalty: float | Sequence[float] = 1.0,
    early_stopping: bool | str | Sequence[bool | str] = False,
) -> BeamOptions:
    """Checks what a Python caller asks for and spreads it over the rows.

    Args:
        batch_size: B.
        length_penalty: float or one for each row, finite.
        early_stopping: True, False, `"never"`, or one for each row.

    Returns:
        `BeamOptions` of tensors `(B,)`.

    Raises:
        TypeError: `length_penalty` is no number.
        ValueError: a value is none of these, or a list is not as long as the batch.
    """
    given = early_stopping if isinstance(early_stopping, (list, tuple)) else [early_stopping]
    # Not 0 and 1, which equal False and True: somebody may mean a number of texts.
    if not all(isinstance(item, (bool, np.bool_, str)) and item in _CODES for item in given):
        raise ValueError(
            "early_stopping must be True, False or 'never', or a list of one for each row. "
            f"Received: {early_stopping!r}"
        )
    codes = np.array([_CODES[item] for item in given], np.int32)
    codes = codes if given is early_stopping else codes[0]
    return BeamOptions(
        tf.constant(numbers("length_penalty", length_penalty, batch_size, "finite")),
        tf.constant(per_row("early_stopping", codes, batch_size, early_stopping)),
    )


def clamp_beam_options(options: BeamOptions) -> tuple[BeamOptions, Tensor]:
    """Brings any values into range and says where it had to; for exports.

    Args:
        options: tensors `(B,)`; an `early_stopping` of another value is read as `NO`.

    Returns:
        `BeamOptions`, and the bits of `Status`, int32 `(B,)`.
    """
    asked, largest = tf.cast(options.length_penalty, tf.float32), tf.float32.max
    clamped = tf.clip_by_value(asked, -largest, largest)
    clamped = tf.where(tf.math.is_nan(asked), 1.0, clamped)
    status_B = tf.cast(tf.not_equal(clamped, asked), tf.int32) * Status.LENGTH_PENALTY
    early = tf.cast(options.early_stopping, tf.int32)
    return BeamOptions(clamped, tf.where((early >= 0) & (early <= 2), early, 0)), status_B
