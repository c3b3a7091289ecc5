"""How a model that has read its input goes on: the decode loop behind a tokenizer's vocabulary.

What is read, prompts (`text_generation`) or sources (`text_to_text`), makes no difference here.

B rows that were read, C copies of each, N room for new tokens.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_lm import generation

Tensor = Any

_ROW = tf.TensorSpec([None], "int32")

# What the graphs that generate take: ids of rows, their lengths, what each row asks for, copies of
# each row, and a pattern to stop at.
SIGNATURE = (
    tf.TensorSpec([None, None], "int32"),
    _ROW,
    generation.Options(*(tf.TensorSpec([None], dtype) for dtype in generation.OPTION_DTYPES)),
    tf.TensorSpec([], "int32"),
    tf.TensorSpec([], "string"),
)
PAD_ID = -1


def room_for(options: generation.Options) -> Tensor:
    """Gives N, int32 scalar: as many tokens as the row that asks for most, and at least 1."""
    return tf.reduce_max(tf.concat([options.max_new_tokens, [1]], 0))


def continue_rows(
    logits: Tensor,
    cache: Any,
    step: Callable[[Tensor, Any], tuple[Tensor, Any]],
    *,
    tokenizer: Any,
    end_id: int | None,
    options: generation.Options,
    copies: Tensor,
    stop: Tensor,
) -> generation.Generated:
    """Continues each row that was read, as many times as asked.

    Args:
        logits: float `(B, V)`, at the last token of each row.
        cache: of the model: a nest of tensors with B rows.
        step: see `keras_lm.generation.generate`.
        tokenizer: for `stop`, or None.
        end_id: the token that ends a text, or None.
        options: `keras_lm.generation.Options` of the B rows.
        copies: C, int32 scalar; copies of one row are told apart by their number.
        stop: string scalar, a regular expression that matches bytes at which a row ends; "" for
            none.

    Returns:
        `keras_lm.generation.Generated` of B x C rows, those of one row together; padded with -1.
    """

    def copied(x: Tensor) -> Tensor:
        rows = tf.repeat(x, copies, axis=0)
        rows.set_shape([None, *x.shape[1:]])
        return rows

    # A vocabulary may be padded beyond the tokenizer's; what has no text is never drawn.
    known = logits.shape[-1] if tokenizer is None else tokenizer.vocab_size

    def known_step(token_ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
        logits_BV, cache = step(token_ids, cache)
        return logits_BV[:, :known], cache

    return generation.generate(
        copied(logits[:, :known]),
        tf.nest.map_structure(copied, cache),
        known_step,
        options=generation.Options(*map(copied, options)),
        buffer_length=room_for(options),
        end_id=end_id,
        pad_id=PAD_ID,
        sequence=tf.tile(tf.range(copies), [tf.shape(logits)[0]]),
        should_stop=None if tokenizer is None else _ends_with(stop, tokenizer),
    )


def _ends_with(stop: Tensor, tokenizer: Any) -> Any:
    """Gives the decode loop's hook: does the newest text match `stop`?"""

    def text_so_far(token_ids: Tensor, lengths: Tensor) -> Tensor:
        real = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
        piece = tf.gather(tokenizer.token_bytes, tf.maximum(token_ids, 0))
        return tf.strings.reduce_join(tf.where(real, piece, ""), axis=1)

    def should_stop(token_ids: Tensor, lengths: Tensor) -> Tensor:
        def search() -> Tensor:
            text = text_so_far(token_ids, lengths)
            shorter = tf.strings.regex_replace(text, stop, "", replace_global=False)
            return tf.strings.length(shorter) < tf.strings.length(text)

        return tf.cond(tf.equal(stop, ""), lambda: tf.zeros_like(lengths, "bool"), search)

    return should_stop
