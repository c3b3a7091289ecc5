"""One token for each row, from its logits, its options and one uniform number.

Order, as in Transformers: temperature, then top-k, then top-p (Holtzman et al. 2020,
arXiv:1904.09751), then min-p (Nguyen et al. 2024, arXiv:2407.01082), then the cumulative
distribution, in the order of the ids, is inverted at the uniform number. Ties: a token as likely as
the last one kept is kept too, by top-k (as in Transformers) and by top-p (where Transformers lets
its sort decide). So what is kept is a threshold on the logits and does not depend on how that
threshold was found.

The batch takes the cheapest way that serves all its rows: nobody draws, then an argmax is all; what
every row keeps is among its 256 likeliest tokens, then only those are sorted; else thresholds that
lie deeper are selected digit by digit from histograms, for a third of the time of a full sort.
Probabilities are fixed-point integers: their sums are the same in any order, so a row gets the same
token whichever way its batch went (to the rounding of `exp`).

B batch, V vocabulary, M the likeliest tokens looked at first.
"""

from typing import Any

import tensorflow as tf

from keras_lm.generation.options import Options

Tensor = Any

_FIRST_LOOK = 256
_BLOCK = 256
# The likeliest token weighs 2**34; a vocabulary of 2**19 of them still sums exactly in a float64.
# What is 2**34 times less likely than it weighs nothing.
_UNIT = 2.0**34
# Below this the quotient of float32 logits leaves only the likeliest token anyway.
_COLDEST = 1e-6
# Shift and width of the digits of an int32, the highest first.
_DIGITS = ((21, 11), (10, 11), (0, 10))
# A vocabulary smaller than a histogram is sorted.
_SORTED_BELOW = 2**11


@tf.autograph.experimental.do_not_convert  # nothing to convert, and tracing takes half the time
def pick_tokens(logits: Tensor, uniform: Tensor, options: Options) -> Tensor:
    """Takes or draws one token for each row.

    A row takes its likeliest token, the one with the lowest id if there are several, when its
    temperature is 0 (or below 1e-6) or its top_k is 1. A row whose largest logit is not finite does
    the same. Other rows draw.

    Args:
        logits: float `(B, V)`, V known when traced. Minus infinity forbids a token.
            Subnormal numbers may count as 0, as in all kernels of TensorFlow.
        uniform: float32 `(B,)` in `[0, 1)`; what the row draws with.
        options: the rows' `Options`.

    Returns:
        int32 `(B,)`, always within `0 .. V - 1`.

    Raises:
        ValueError: the size of the vocabulary is not known when traced.
    """
    return pick_and_weigh(logits, uniform, options)[0]


@tf.autograph.experimental.do_not_convert
def pick_and_weigh(logits: Tensor, uniform: Tensor, options: Options) -> tuple[Any, Any]:
    """Does what `pick_tokens` does, and weighs what it drew from.

    Args:
        logits: see there.
        uniform: see there.
        options: see there.

    Returns:
        int32 `(B,)`, the tokens, and int64 `(B,)`, the weight of all tokens that a row drew from,
        where the likeliest weighs 2**34; without meaning in a row that did not draw.

    Raises:
        ValueError: see there.
    """
    logits = tf.cast(logits, tf.float32)
    if logits.shape.rank != 2 or logits.shape[-1] is None:
        raise ValueError(
            f"logits must be (batch, vocabulary of known size). Received: {logits.shape}"
        )
    greedy_B = (options.temperature < _COLDEST) | tf.equal(options.top_k, 1)
    filters_B = ~greedy_B & ((options.top_k > 0) | (options.top_p < 1) | (options.min_p > 0))
    token_B, weight_B = tf.cond(
        tf.reduce_all(greedy_B),
        lambda: (_likeliest(logits), tf.zeros(tf.shape(logits)[:1], tf.int64)),
        lambda: tf.cond(
            tf.reduce_any(filters_B),
            lambda: _draw_filtered(logits, uniform, options, greedy_B),
            lambda: _draw_unfiltered(logits, uniform, options, greedy_B),
        ),
    )
    token_B.set_shape(logits.shape[:1])
    weight_B.set_shape(logits.shape[:1])
    return token_B, weight_B


@tf.autograph.experimental.do_not_convert
def kept_weights(logits: Tensor, options: Options) -> Tensor:
    """Weighs every token that a row may draw.

    Dearer than `pick_and_weigh`, which need not look at all tokens, and of the same numbers.

    Args:
        logits: see `pick_tokens`.
        options: the rows' `Options`.

    Returns:
        int64 `(B, V)`, the likeliest token's 2**34, 0 for a token that temperature or filters rule
        out. A row that does not draw has one token.
    """
    logits = tf.cast(logits, tf.float32)
    vocab_size = logits.shape[-1]
    greedy_B = (options.temperature < _COLDEST) | tf.equal(options.top_k, 1)
    max_B = tf.reduce_max(logits, -1)
    greedy_B |= ~tf.math.is_finite(max_B)
    weight_BV = _weights(logits, max_B, options.temperature)
    k_B = tf.where(options.top_k > 0, tf.minimum(options.top_k, vocab_size), vocab_size)
    filters_k_B, filters_p_B = ~greedy_B & (k_B < vocab_size), ~greedy_B & (options.top_p < 1)

    def filtered() -> Tensor:
        lowest_B = tf.fill(tf.shape(max_B), -float("inf"))
        top_p_B = tf.cast(options.top_p, tf.float64)
        lowest_B = _deep_thresholds(
            logits, weight_BV, lowest_B, filters_k_B, k_B, filters_p_B, top_p_B
        )
        lowest_B = tf.maximum(lowest_B, _min_p_floor(max_B, options))
        return tf.where(logits >= lowest_B[:, None], weight_BV, 0)

    filters_B = filters_k_B | filters_p_B | (~greedy_B & (options.min_p > 0))
    weight_BV = tf.cond(tf.reduce_any(filters_B), filtered, lambda: weight_BV)
    only_BV = tf.one_hot(_likeliest(logits), vocab_size, on_value=int(_UNIT), dtype=tf.int64)
    return tf.where(greedy_B[:, None], only_BV, weight_BV)


@tf.autograph.experimental.do_not_convert
def draw_weighted(shares: Tensor, uniform: Tensor) -> Tensor:
    """Draws a token of each row.

    Args:
        shares: float `(B, V)`, how likely each is, up to a factor; at least one is above 0.
        uniform: float32 `(B,)` in `[0, 1)`; what the row draws with.

    Returns:
        int32 `(B,)`.
    """
    scaled_BV = shares / tf.reduce_max(shares, -1, keepdims=True)
    return _invert_blocks(tf.cast(scaled_BV * _UNIT, tf.int64), uniform)[0]


def log_probability(logits: Tensor, token_ids: Tensor, weight: Tensor, options: Options) -> Tensor:
    """Tells how likely each row was to take the token that it took.

    Args:
        logits: float32 `(B, V)`, what `pick_and_weigh` was called with.
        token_ids: int32 `(B,)`, what it returned.
        weight: int64 `(B,)`, what it returned.
        options: the rows' `Options`.

    Returns:
        float32 `(B,)`, natural logarithm: where a row drew, under what temperature and filters left
        of the distribution; where its temperature is 0, under the softmax of its logits.
    """
    taken_B = tf.gather(logits, token_ids, batch_dims=1)
    below_B = taken_B - tf.reduce_max(logits, -1)
    share_B = tf.cast(weight, tf.float32) / _UNIT
    drawn_B = below_B / tf.maximum(options.temperature, _COLDEST) - tf.math.log(share_B)
    drawn_B = tf.where(tf.equal(options.top_k, 1), 0.0, drawn_B)
    likely_B = taken_B - tf.reduce_logsumexp(logits, -1)
    return tf.where(options.temperature < _COLDEST, likely_B, drawn_B)


def _likeliest(logits_BV: Tensor) -> Tensor:
    return tf.argmax(logits_BV, -1, output_type=tf.int32)


def _draw_unfiltered(
    logits_BV: Tensor, uniform_B: Tensor, options: Options, greedy_B: Tensor
) -> tuple[Any, Any]:
    """`pick_and_weigh` where no row filters."""
    max_B = tf.reduce_max(logits_BV, -1)
    greedy_B |= ~tf.math.is_finite(max_B)
    drawn_B, total_B = _invert_blocks(_weights(logits_BV, max_B, options.temperature), uniform_B)
    token_B = tf.cond(
        tf.reduce_any(greedy_B),
        lambda: tf.where(greedy_B, _likeliest(logits_BV), drawn_B),
        lambda: drawn_B,
    )
    return token_B, total_B


def _draw_filtered(
    logits_BV: Tensor, uniform_B: Tensor, options: Options, greedy_B: Tensor
) -> tuple[Any, Any]:
    """`pick_and_weigh` where some row filters: looks at the M likeliest tokens first."""
    vocab_size = logits_BV.shape[-1]
    look = min(_FIRST_LOOK, vocab_size)
    top_BM, id_BM = tf.math.top_k(logits_BV, look)  # the lower id first, as in an argmax
    max_B, last_B = top_BM[:, 0], top_BM[:, -1]
    greedy_B |= ~tf.math.is_finite(max_B)
    top_p_B = tf.cast(options.top_p, tf.float64)
    floor_B = _min_p_floor(max_B, options)
    k_B = tf.where(options.top_k > 0, tf.minimum(options.top_k, vocab_size), vocab_size)
    weight_BM = _weights(top_BM, max_B, options.temperature)
    sum_BM = tf.cumsum(weight_BM, -1)

    def ends_here(threshold_B: Tensor) -> Tensor:
        # Ties of the M-th token may go on behind it, unless nothing else is allowed or there.
        return (threshold_B > last_B) | tf.math.is_inf(last_B) | (look == vocab_size)

    def nucleus(total_B: Tensor) -> tuple[Any, Any]:
        """The smallest logit in the nucleus, and whether the nucleus ends among the M tokens."""
        share_B = top_p_B * tf.cast(total_B, tf.float64)
        # A token belongs if those likelier than it do not yet hold the share.
        belongs_BM = tf.cast(sum_BM - weight_BM, tf.float64) < share_B[:, None]
        pth_B = tf.reduce_min(tf.where(belongs_BM, top_BM, max_B[:, None]), -1)
        return pth_B, (tf.cast(sum_BM[:, -1], tf.float64) >= share_B) & ends_here(pth_B)

    # Where min-p ends among the M tokens, so does what it leaves of a top-k or nucleus beyond them.
    floor_seen_B = ends_here(floor_B)
    kth_B = tf.gather(top_BM, tf.minimum(k_B, look) - 1, batch_dims=1)
    k_seen_B = (k_B <= look) & ends_here(kth_B)
    # A nucleus is a share of what top-k leaves, which must be known.
    k_seen_B |= floor_seen_B & tf.equal(options.top_p, 1)
    k_total_B = tf.reduce_sum(tf.where(top_BM >= kth_B[:, None], weight_BM, 0), -1)
    threshold_B = tf.maximum(kth_B, nucleus(k_total_B)[0])

    def from_the_top(threshold_B: Tensor) -> tuple[Any, Any]:
        lowest_B = tf.maximum(threshold_B, floor_B)
        kept_BM = tf.where(top_BM >= lowest_B[:, None], weight_BM, 0)
        order_BM = tf.argsort(id_BM, -1)
        kept_BM = tf.gather(kept_BM, order_BM, batch_dims=1)
        total_B = tf.reduce_sum(kept_BM, -1)
        index_B, _ = _invert(kept_BM, _target(uniform_B, total_B))
        id_B = tf.gather(tf.gather(id_BM, order_BM, batch_dims=1), index_B, batch_dims=1)
        return id_B, total_B

    def from_deeper() -> tuple[Any, Any]:
        weight_BV = _weights(logits_BV, max_B, options.temperature)
        pth_B, nucleus_seen_B = nucleus(tf.reduce_sum(weight_BV, -1))
        open_B = tf.equal(k_B, vocab_size)  # no top-k
        p_seen_B = open_B & (options.top_p < 1) & (nucleus_seen_B | floor_seen_B)
        seen_B = k_seen_B | p_seen_B | greedy_B
        known_B = tf.where(k_seen_B, threshold_B, pth_B)

        def from_all() -> tuple[Any, Any]:
            lowest_B = tf.where(seen_B, known_B, -float("inf"))
            unseen_k_B, unseen_p_B = ~(seen_B | open_B), ~seen_B & (options.top_p < 1)
            lowest_B = _deep_thresholds(
                logits_BV, weight_BV, lowest_B, unseen_k_B, k_B, unseen_p_B, top_p_B
            )
            lowest_B = tf.maximum(lowest_B, floor_B)
            kept_BV = tf.where(logits_BV >= lowest_B[:, None], weight_BV, 0)
            return _invert_blocks(kept_BV, uniform_B)

        return tf.cond(tf.reduce_all(seen_B), lambda: from_the_top(known_B), from_all)

    drawn_B, total_B = tf.cond(
        tf.reduce_all(k_seen_B | greedy_B), lambda: from_the_top(threshold_B), from_deeper
    )
    return tf.where(greedy_B, id_BM[:, 0], drawn_B), total_B


def _deep_thresholds(
    logits_BV: Tensor,
    weight_BV: Tensor,
    lowest_B: Tensor,
    unseen_k_B: Tensor,
    k_B: Tensor,
    unseen_p_B: Tensor,
    top_p_B: Tensor,
) -> Tensor:
    """Raises the thresholds of the rows whose top-k or nucleus goes beyond the first look."""

    def with_k() -> tuple[Any, Any]:
        ones_BV = tf.ones_like(weight_BV)
        kth_B = _select(logits_BV, ones_BV, tf.cast(k_B, tf.float64))
        new_B = tf.where(unseen_k_B, kth_B, lowest_B)
        return new_B, tf.where(logits_BV >= new_B[:, None], weight_BV, 0)

    def with_p() -> Tensor:
        share_B = top_p_B * tf.cast(tf.reduce_sum(weight_BV, -1), tf.float64)
        return tf.where(unseen_p_B, _select(logits_BV, weight_BV, share_B), lowest_B)

    lowest_B, weight_BV = tf.cond(tf.reduce_any(unseen_k_B), with_k, lambda: (lowest_B, weight_BV))
    return tf.cond(tf.reduce_any(unseen_p_B), with_p, lambda: lowest_B)


def _min_p_floor(max_B: Tensor, options: Options) -> Tensor:
    """The smallest logit that min-p keeps."""
    # At another temperature the logits lie closer or farther apart: p / max p is exp(gap / T).
    gap_B = tf.math.log(options.min_p) * tf.maximum(options.temperature, _COLDEST)
    return tf.where(options.min_p > 0, max_B + gap_B, -float("inf"))


def _weights(logits_BX: Tensor, max_B: Tensor, temperature_B: Tensor) -> Tensor:
    """Probabilities up to a factor, int64 `(B, X)`."""
    temperature_B = tf.maximum(temperature_B, _COLDEST)
    # Forbidden tokens stay at minus infinity at any temperature.
    scaled_BX = (logits_BX - max_B[:, None]) / temperature_B[:, None]
    return tf.cast(tf.exp(scaled_BX) * _UNIT, tf.int64)


def _target(uniform_B: Tensor, total_B: Tensor) -> Tensor:
    # The total is exact in a float64 and the uniform below 1, so the target is below the total.
    return tf.cast(tf.cast(uniform_B, tf.float64) * tf.cast(total_B, tf.float64), tf.int64)


def _invert(weight_BX: Tensor, target_B: Tensor) -> tuple[Any, Any]:
    """The first index whose cumulative weight exceeds the target, and the weight before it."""
    sum_BX = tf.cumsum(weight_BX, -1)
    index_B = tf.reduce_sum(tf.cast(sum_BX <= target_B[:, None], tf.int32), -1)
    index_B = tf.minimum(index_B, tf.shape(weight_BX)[-1] - 1)
    before_BX = sum_BX - weight_BX
    return index_B, tf.gather(before_BX, index_B, batch_dims=1)


def _invert_blocks(weight_BV: Tensor, uniform_B: Tensor) -> tuple[Any, Any]:
    """The token drawn and the sum of the weights.

    `_invert` in two levels: one cumulative sum over the vocabulary costs three times more.
    """
    vocab_size = weight_BV.shape[-1]
    padded_BV = tf.pad(weight_BV, [[0, 0], [0, -vocab_size % _BLOCK]])
    weight_BNX = tf.reshape(padded_BV, [-1, padded_BV.shape[-1] // _BLOCK, _BLOCK])
    sum_BN = tf.reduce_sum(weight_BNX, -1)
    total_B = tf.reduce_sum(sum_BN, -1)
    target_B = _target(uniform_B, total_B)
    block_B, before_B = _invert(sum_BN, target_B)
    index_B, _ = _invert(tf.gather(weight_BNX, block_B, batch_dims=1), target_B - before_B)
    return tf.minimum(block_B * _BLOCK + index_B, vocab_size - 1), total_B


def _select(logits_BV: Tensor, weight_BV: Tensor, need_B: Tensor) -> Tensor:
    """The largest logit such that it and all larger ones together weigh `need`, float32 `(B,)`.

    A radix selection: float32 numbers sort as integers once the lower bits of the negative ones are
    flipped, and three histograms of their digits lead to the one that is sought.
    """
    if logits_BV.shape[-1] < _SORTED_BELOW:
        order_BV = tf.argsort(logits_BV, -1, "DESCENDING")
        sum_BV = tf.cumsum(tf.gather(weight_BV, order_BV, batch_dims=1), -1)
        index_B, _ = _first_enough(sum_BV, need_B)
        place_B = tf.gather(order_BV, index_B, batch_dims=1)
        return tf.gather(logits_BV, place_B, batch_dims=1)
    # Counting down: ~x reverses the order of integers.
    rank_BV = tf.bitwise.invert(_sortable(tf.bitcast(logits_BV, tf.int32)))
    row_B1 = tf.range(tf.shape(logits_BV)[0])[:, None]
    found_B = tf.zeros_like(need_B, tf.int32)
    for turn, (shift, width) in enumerate(_DIGITS):
        size = 2**width
        digit_BV = tf.bitwise.right_shift(rank_BV, shift)
        if turn == 0:
            # An arithmetic shift: the highest digit is signed.
            found_B -= size // 2
            segment_BV = digit_BV + (row_B1 * size + size // 2)
        else:
            found_B *= size
            digit_BV -= found_B[:, None]
            inside_BV = (digit_BV >= 0) & (digit_BV < size)
            # Negative segments are dropped.
            segment_BV = tf.where(inside_BV, digit_BV + row_B1 * size, -1)
        sum_BX = tf.math.unsorted_segment_sum(weight_BV, segment_BV, tf.shape(row_B1)[0] * size)
        sum_BX = tf.cumsum(tf.reshape(sum_BX, [-1, size]), -1)
        index_B, before_B = _first_enough(sum_BX, need_B)
        need_B -= before_B
        found_B += index_B
    return tf.bitcast(_sortable(tf.bitwise.invert(found_B)), tf.float32)


def _first_enough(sum_BX: Tensor, need_B: Tensor) -> tuple[Any, Any]:
    """The first index at which a cumulative sum has reached `need`, and the float64 before it."""
    short_BX = tf.cast(sum_BX, tf.float64) < need_B[:, None]
    index_B = tf.reduce_sum(tf.cast(short_BX, tf.int32), -1)
    index_B = tf.minimum(index_B, sum_BX.shape[-1] - 1)
    before_B = tf.gather(tf.pad(sum_BX, [[0, 0], [1, 0]]), index_B, batch_dims=1)
    return index_B, tf.cast(before_B, tf.float64)


def _sortable(bits: Tensor) -> Tensor:
    """Bits of float32 numbers to integers of the same order, and back: its own inverse."""
    negative = tf.bitwise.right_shift(bits, 31)
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.bitwise_and(negative, 0x7FFFFFFF))
