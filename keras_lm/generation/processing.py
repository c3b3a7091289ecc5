"""What was written changes what may come: penalties and rules, in the order of Transformers.

R rows, T length of the longest prompt, N room for new tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm.generation.options import Options
from keras_lm.generation.penalties import penalize, penalizes
from keras_lm.generation.rules import Rules, forbid, forbid_bad_words, forbid_repeated, force

Tensor = Any


class Prompt(NamedTuple):
    """What stands before the new tokens.

    Attributes:
        token_ids: int32 `(R, T)`, padded on the right.
        lengths: int32 `(R,)`.
    """

    token_ids: Tensor
    lengths: Tensor


def joined_index(prompt: Prompt, room: Tensor) -> Tensor:
    """Tells how to put prompts and new tokens, of `room` N, together without a gap.

    Returns:
        int32 `(R, T + N)`, places in what prompts and new tokens are, one behind the other.
    """
    first = tf.shape(prompt.token_ids)[1]
    place_1L = tf.range(first + room)[None]
    behind_RL = place_1L - prompt.lengths[:, None]
    index_RL = tf.where(behind_RL < 0, place_1L, first + behind_RL)
    return tf.minimum(index_RL, tf.maximum(first + room - 1, 0))


Processor = Callable[[Tensor, Tensor, Tensor], Tensor]


def processor(
    options: Options,
    *,
    rules: Rules | None = None,
    prompt: Prompt | None = None,
    end_ids: Sequence[int] = (),
) -> Processor:
    """Returns the function that changes logits as the rows ask.

    Where no row asks for a penalty, and no rule is given, it costs nothing.

    Args:
        options: the rows' `Options`.
        rules: for all rows.
        prompt: what the rows begin with. None: nothing.
        end_ids: tokens that end a text. One that is a bad word by itself is not forbidden.

    Returns:
        A function of logits, float32 `(R, V)`; the new tokens so far, int32 `(R, N)`; and how many
        they are, below N, int32 `(R,)`, or a scalar where it is the same for all rows. Of a row
        that has ended earlier it may make anything. It returns logits `(R, V)`.

    Raises (the function):
        ValueError: an id of `rules` is outside the vocabulary.
    """
    rules = Rules() if rules is None else rules
    any_penalizes = tf.reduce_any(penalizes(options))
    none_R = tf.zeros_like(options.min_new_tokens)
    before = Prompt(none_R[:, None][:, :0], none_R) if prompt is None else prompt
    prompt_ids, prompt_lengths = before
    long_words = [word for word in rules.bad_words if len(word) > 1]
    bad_ids = [word[0] for word in rules.bad_words if len(word) == 1 and word[0] not in end_ids]

    def penalized(logits_RV: Tensor, token_ids_RN: Tensor, count: Tensor) -> Tensor:
        place_1T = tf.range(tf.shape(prompt_ids)[1])[None]
        place_1N = tf.range(tf.shape(token_ids_RN)[1])[None]
        of_prompt_RT = place_1T < prompt_lengths[:, None]
        written_RN = (place_1N < tf.reshape(count, [-1, 1])) & tf.ones_like(token_ids_RN, "bool")
        return penalize(
            logits_RV,
            tf.concat([prompt_ids, token_ids_RN], 1),
            seen=tf.concat([of_prompt_RT, written_RN], 1),
            new=tf.concat([tf.zeros_like(of_prompt_RT), written_RN], 1),
            options=options,
        )

    @tf.autograph.experimental.do_not_convert  # nothing to convert, and tracing takes less time
    def process(logits: Tensor, token_ids: Tensor, count: Tensor) -> Tensor:
        rules.check_vocabulary(logits.shape[-1])
        logits = tf.cond(any_penalizes, lambda: penalized(logits, token_ids, count), lambda: logits)
        if rules.no_repeat_ngram_size or long_words:
            index_RL = joined_index(before, tf.shape(token_ids)[1])
            both_RL = tf.concat([prompt_ids, token_ids], 1)
            ids_RL, lengths_R = tf.gather(both_RL, index_RL, batch_dims=1), prompt_lengths + count
            if rules.no_repeat_ngram_size:
                logits = forbid_repeated(logits, ids_RL, lengths_R, rules.no_repeat_ngram_size)
            logits = forbid_bad_words(logits, ids_RL, lengths_R, long_words)
        if bad_ids:
            logits = forbid(logits, bad_ids)
        if end_ids:
            early_R = options.min_new_tokens > count
            logits = _where_any(early_R, forbid, logits, end_ids)
        if rules.forced_first_id is not None:
            first_R = tf.equal(count, 0) & tf.ones_like(prompt_lengths, "bool")
            logits = _where_any(first_R, force, logits, [rules.forced_first_id])
        if rules.forced_last_ids:
            last_R = tf.equal(options.max_new_tokens, count + 1)
            logits = _where_any(last_R, force, logits, rules.forced_last_ids)
        if rules.suppressed_ids:
            logits = forbid(logits, rules.suppressed_ids)
        return logits

    return process


def _where_any(
    rows_R: Tensor, change: Callable[..., Tensor], logits: Tensor, ids: Sequence[int]
) -> Tensor:
    return tf.cond(tf.reduce_any(rows_R), lambda: change(logits, ids, rows_R), lambda: logits)
