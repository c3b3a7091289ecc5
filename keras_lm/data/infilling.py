"""BART's noise, drawn in the graph (Lewis et al. 2020, arXiv:1910.13461, section 2.2).

B batch, C tokens of a row's text at most, W = C a bound of the number of words, K spans of a row at
most, I = C a bound of the number of words and masks of a noised row.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data.choices import places
from keras_lm.data.draws import from_shares, split, uniform

Tensor = Any


def permute_sentences(
    token_ids: Tensor, real: Tensor, ends: Tensor, separator_id: int, seed: Tensor
) -> Tensor:
    """Puts the sentences of each document into a random order.

    A sentence goes up to a token that ends one; several of these in a row end one sentence. What
    stands behind the last one is a sentence, too. Separators, and so documents, stay where they
    are.

    Args:
        token_ids: int32 `(B, C)`.
        real: bool `(B, C)`, True = no padding.
        ends: bool `(V,)`, True for tokens that end a sentence.
        separator_id: stands between two documents of a row.
        seed: int64 `(2,)`.

    Returns:
        int32 `(B, C)`.
    """
    end_BC, separator_BC = tf.gather(ends, token_ids), token_ids == separator_id
    begin_BC = (_before(end_BC) & ~end_BC) | separator_BC | _before(separator_BC)
    sentence_BC = tf.cumsum(tf.cast(begin_BC, tf.int32), -1)
    # Below 1 for the first sentence, so there are C + 1 numbers at most.
    draw_BW = uniform([tf.shape(token_ids)[0], token_ids.shape[-1] + 1], seed)
    draw_BC = tf.gather(draw_BW, sentence_BC, batch_dims=1)
    document_BC = tf.cumsum(tf.cast(separator_BC, tf.float32), -1, exclusive=True)
    key_BC = 2 * document_BC + tf.where(separator_BC, 1.5, draw_BC)
    # A stable order leaves the tokens of a sentence, which have the same key, as they are.
    order_BC = tf.argsort(tf.where(real, key_BC, np.inf), -1, stable=True)
    return tf.gather(token_ids, order_BC, batch_dims=1)


def _before(marked: Tensor) -> Tensor:
    return tf.pad(marked[:, :-1], [[0, 0], [1, 0]])


class Infilling:
    """Replaces spans of words by one mask each.

    In each row `round(mask_rate * n)` of its n words are masked, in spans whose lengths come from a
    Poisson distribution, the last one cut to fit. A span of length 0 puts a mask between two words;
    it is left out where the row would become longer than C. Spans do not overlap, and stand
    anywhere with equal chance.

    Args:
        capacity: C.
        mask_rate: at least 0, less than 1.
        poisson_lambda: mean length of a span, positive.
        mask_id: what takes the place of a span.
        continues: bool `(V,)`, True for pieces that go on with a word.
    """

    def __init__(
        self,
        capacity: int,
        mask_rate: float,
        poisson_lambda: float,
        mask_id: int,
        continues: np.ndarray,
    ):
        self.mask_rate, self.mask_id = mask_rate, mask_id
        self.continues_V = tf.constant(continues)
        budget = round(mask_rate * capacity)
        # So many draws sum up to less than the budget once in a billion rows.
        self.num_draws = math.ceil((budget + 6 * math.sqrt(budget) + 20) / poisson_lambda)
        length = np.arange(math.ceil(poisson_lambda + 8 * math.sqrt(poisson_lambda) + 8))
        log_factorial = np.array([math.lgamma(n + 1) for n in length])
        self.shares = np.exp(length * math.log(poisson_lambda) - poisson_lambda - log_factorial)

    def __call__(self, token_ids: Tensor, real: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        """Masks rows.

        Args:
            token_ids: int32 `(B, C)`.
            real: bool `(B, C)`, True = no padding.
            seed: int64 `(2,)`.

        Returns:
            Both as they came in.
        """
        C = token_ids.shape[-1]
        seed_length, seed_place = split(seed, 2)
        size_BW = self._word_sizes(token_ids, real)
        words_B = tf.reduce_sum(tf.cast(size_BW > 0, tf.int32), -1)
        room_B = C - tf.reduce_sum(size_BW, -1)
        length_BK, spans_B, covered_B = self._spans(words_B, room_B, seed_length)

        # The noised row as words and masks: of so many, any can be the masks.
        items_B1 = (words_B - covered_B + spans_B)[:, None]
        item_I = tf.range(C)
        score_BI = tf.where(item_I < items_B1, uniform(tf.shape(token_ids), seed_place), -1.0)
        place_BI = places(score_BI)
        mask_BI = place_BI < spans_B[:, None]
        span_BI = tf.minimum(place_BI, self.num_draws - 1)
        length_BI = tf.gather(length_BK, span_BI, batch_dims=1)
        word_BI = tf.cumsum(tf.where(mask_BI, length_BI, 1), -1, exclusive=True)
        word_BI = tf.minimum(word_BI, C - 1)
        size_BI = tf.where(mask_BI, 1, tf.gather(size_BW, word_BI, batch_dims=1))
        size_BI = tf.where(item_I < items_B1, size_BI, 0)

        # And as tokens.
        end_BI = tf.cumsum(size_BI, -1)
        place_BC = tf.broadcast_to(tf.range(C), tf.shape(token_ids))
        item_BC = tf.minimum(tf.searchsorted(end_BI, place_BC, side="right"), C - 1)
        start_BI = tf.gather(tf.cumsum(size_BW, -1, exclusive=True), word_BI, batch_dims=1)
        shift_BI = start_BI - (end_BI - size_BI)
        source_BC = tf.clip_by_value(
            place_BC + tf.gather(shift_BI, item_BC, batch_dims=1), 0, C - 1
        )
        token_BC = tf.gather(token_ids, source_BC, batch_dims=1)
        token_BC = tf.where(tf.gather(mask_BI, item_BC, batch_dims=1), self.mask_id, token_BC)
        return token_BC, place_BC < end_BI[:, -1:]

    def _word_sizes(self, token_ids: Tensor, real: Tensor) -> Tensor:
        """Tokens of each word, int32 `(B, W)`."""
        begins_BC = ~tf.gather(self.continues_V, token_ids) | (tf.range(token_ids.shape[-1]) == 0)
        word_BC = tf.cumsum(tf.cast(begins_BC, tf.int32), -1) - 1
        B, C = tf.shape(token_ids)[0], token_ids.shape[-1]
        flat_BC = word_BC + tf.range(B)[:, None] * C
        size_N = tf.math.unsorted_segment_sum(tf.cast(real, tf.int32), flat_BC, B * C)
        return tf.reshape(size_N, [B, C])

    def _spans(self, words: Tensor, room: Tensor, seed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draws spans for rows of so many `words` `(B,)`, with `room` `(B,)` for more tokens.

        Returns:
            Lengths int32 `(B, K)`, the number of spans and the words in them, each int32 `(B,)`.
        """
        rate = tf.constant(self.mask_rate, tf.float32)
        budget_B1 = tf.cast(tf.round(rate * tf.cast(words, tf.float32)), tf.int32)[:, None]
        shape = [tf.shape(words)[0], self.num_draws]
        length_BK = from_shares(self.shares, shape, seed)
        left_BK = budget_B1 - tf.cumsum(length_BK, -1, exclusive=True)
        # Drawn until the budget is spent; -1 for what is drawn after that.
        length_BK = tf.where(left_BK > 0, tf.minimum(length_BK, left_BK), -1)
        full_B = tf.reduce_sum(tf.cast(length_BK > 0, tf.int32), -1)
        empty_B = tf.reduce_sum(tf.cast(length_BK == 0, tf.int32), -1)
        covered_B = tf.reduce_sum(tf.maximum(length_BK, 0), -1)
        empty_B = tf.minimum(empty_B, room + covered_B - full_B)
        # Empty ones behind the others, so that the last of them can be left out.
        length_BK = tf.sort(length_BK, -1, "DESCENDING")
        return length_BK, full_B + empty_B, covered_B
