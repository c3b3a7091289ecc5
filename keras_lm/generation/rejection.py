"""Which of the tokens that a smaller model drew may stay: rejection sampling.

R rows, K proposals, T = K + 1 places, V vocabulary.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm.generation.options import Options
from keras_lm.generation.proposals import Proposal
from keras_lm.generation.sampling import draw_weighted, kept_weights

Tensor = Any


class Verdict(NamedTuple):
    """What the model makes of proposals.

    Attributes:
        token_ids: int32 `(R, T)`, accepted proposals, then the model's own token; what stands
            behind it has no meaning.
        accepted: int32 `(R,)`, how many proposals are accepted, 0 .. K.
        weights: int64 `(R, T)`, of all tokens that the model could have drawn, see
            `keras_lm.generation.sampling.pick_and_weigh`.
    """

    token_ids: Tensor
    accepted: Tensor
    weights: Tensor


def accepted_run(accepts: Tensor, counts: Tensor) -> Tensor:
    """Counts the proposals before the first that is refused.

    Args:
        accepts: bool `(R, K)`.
        counts: int32 `(R,)`, how many were proposed.

    Returns:
        int32 `(R,)`.
    """
    accepts &= tf.range(tf.shape(accepts)[1])[None] < counts[:, None]
    return tf.reduce_sum(tf.math.cumprod(tf.cast(accepts, tf.int32), axis=1), 1)


def judge_drawn(
    proposal: Proposal, logits: Tensor, chance: Tensor, uniform: Tensor, options: Options
) -> Verdict:
    """Accepts proposals such that what stays is distributed as the model's own draws.

    A proposal x that was drawn with probability q(x) is accepted with probability min(1, p(x) /
    q(x)), where p is the model's distribution; in the place of the first that is refused a token is
    drawn from max(p - q, 0), and behind the last, if all stay, from p (Leviathan et al. 2023,
    arXiv:2211.17192, section 2.3 and appendix A.1). p and q are those behind temperature and
    filters. A row that does not draw has one token in each: it keeps what it would take itself.

    Args:
        proposal: with logits.
        logits: float32 `(R, T, V)`, the model's, processed.
        chance: float32 `(R, K)` in `[0, 1)`, by which each proposal is accepted.
        uniform: float32 `(R, T)` in `[0, 1)`, by which the model draws at each place. Both are
            independent of what the proposals were drawn with.
        options: the rows' `Options`.
    """
    num_tokens, vocab_size = proposal.token_ids.shape[1], logits.shape[-1]

    def per_place(x: Tensor, places: int) -> Tensor:
        weight = kept_weights(
            tf.reshape(x, [-1, vocab_size]), Options(*(tf.repeat(o, places) for o in options))
        )
        return tf.reshape(weight, [-1, places, vocab_size])

    def greedy() -> Verdict:
        own_RT = tf.argmax(logits, -1, output_type=tf.int32)
        run_R = accepted_run(tf.equal(own_RT[:, :-1], proposal.token_ids), proposal.counts)
        return Verdict(own_RT, run_R, tf.zeros_like(own_RT, tf.int64))

    def drawn() -> Verdict:
        p_RTV = per_place(logits, num_tokens + 1)
        q_RKV = per_place(proposal.logits, num_tokens)
        p_total_RT, q_total_RK = tf.reduce_sum(p_RTV, -1), tf.reduce_sum(q_RKV, -1)

        def share(weight_RKV: Tensor, total_RK: Tensor) -> Tensor:
            of_token_RK = tf.gather(weight_RKV, proposal.token_ids, batch_dims=2)
            return tf.cast(of_token_RK, tf.float64) / tf.cast(total_RK, tf.float64)

        p_RK, q_RK = share(p_RTV[:, :-1], p_total_RT[:, :-1]), share(q_RKV, q_total_RK)
        run_R = accepted_run(tf.cast(chance, tf.float64) * q_RK < p_RK, proposal.counts)

        def at_end(weight_RXV: Tensor, total_RX: Tensor, place_R: Tensor) -> Tensor:
            weight_RV = tf.gather(weight_RXV, place_R, batch_dims=1)
            total_R = tf.gather(total_RX, place_R, batch_dims=1)
            return tf.cast(weight_RV, tf.float64) / tf.cast(total_R, tf.float64)[:, None]

        p_RV = at_end(p_RTV, p_total_RT, run_R)
        q_RV = at_end(q_RKV, q_total_RK, tf.minimum(run_R, num_tokens - 1))
        refused_R1 = (run_R < proposal.counts)[:, None]
        rest_RV = tf.where(refused_R1, tf.maximum(p_RV - q_RV, 0), p_RV)
        # Nothing is left where p and q differ by rounding alone.
        rest_RV = tf.where(tf.reduce_max(rest_RV, -1, keepdims=True) > 0, rest_RV, p_RV)
        own_R = draw_weighted(rest_RV, tf.gather(uniform, run_R, batch_dims=1))
        here_RT = tf.equal(tf.range(num_tokens + 1)[None], run_R[:, None])
        padded_RT = tf.pad(proposal.token_ids, [[0, 0], [0, 1]])
        return Verdict(tf.where(here_RT, own_R[:, None], padded_RT), run_R, p_total_RT)

    draws_R = (options.temperature > 0) & tf.not_equal(options.top_k, 1)
    return tf.cond(tf.reduce_any(draws_R), drawn, greedy)
