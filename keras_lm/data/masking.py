"""Dynamic masking: other positions each time a row is seen (BERT; RoBERTa, section 4.1).

B batch, T length, P masked positions of a row at most, V vocabulary, N tokens to draw from.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data.choices import choose_spans, choose_tokens, choose_words
from keras_lm.data.draws import split, uniform
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any


class Masking:
    """Chooses positions, and puts `[MASK]`, another token or the same token there.

    In each row `round(mask_rate * n)` of its n ordinary tokens are chosen uniformly, at least one.
    Special tokens, `[UNK]` among them, and padding are never chosen. Of the chosen positions 80 %
    become `[MASK]`, 10 % an ordinary token drawn uniformly from the vocabulary, 10 % stay.
    Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1.

    "whole_word": words are drawn in place of tokens, in random order; a word with more pieces than
    the row may still mask is passed over. Where no word fits at all, the one drawn first is masked
    as far as the row may mask.

    "span": see `choose_spans`. What becomes of the tokens is drawn once for a span: all of them
    `[MASK]`, all other tokens, or all the same.

    Args:
        tokenizer: has a mask token.
        sequence_length: T.
        mask_rate: between 0 and 1.
        kind: "token", "whole_word" or "span".

    Attributes:
        num_positions: P, `ceil(mask_rate * sequence_length)`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        sequence_length: int,
        mask_rate: float,
        kind: str = "token",
    ):
        # 0.07 * 100 is a little more than 7 in floating point.
        self.num_positions = math.ceil(mask_rate * sequence_length - 1e-6)
        self.num_positions = max(1, self.num_positions)
        self.mask_rate, self.kind = mask_rate, kind
        self.mask_id = tokenizer.mask_id
        ordinary = ~np.isin(np.arange(tokenizer.vocab_size), tokenizer.special_ids)
        self.ordinary_V = tf.constant(ordinary)
        self.draw_N = tf.constant(np.flatnonzero(ordinary), tf.int32)
        self.continues_V = tf.constant(tokenizer.continues_word)

    def __call__(self, token_ids: Tensor, padding_mask: Tensor, seed: Tensor) -> dict[str, Tensor]:
        """Masks rows.

        Args:
            token_ids: int32 `(B, T)`, a special token first.
            padding_mask: bool `(B, T)`, True = real token.
            seed: int64 `(2,)`.

        Returns:
            `token_ids` int32 `(B, T)`; `masked_positions` int32 `(B, P)`, ascending, 0 where a row
            has fewer; `labels` int32 `(B, P)`, what stood there, 0 where there is nothing;
            `weights` float32 `(B, P)`, 1 or 0.
        """
        seed_choice, seed_fate, seed_token = split(seed, 3)
        maskable_BT = padding_mask & tf.gather(self.ordinary_V, token_ids)
        count_B = tf.reduce_sum(tf.cast(maskable_BT, tf.int32), -1)
        budget_B = tf.cast(tf.round(self.mask_rate * tf.cast(count_B, tf.float32)), tf.int32)
        budget_B = tf.minimum(tf.clip_by_value(budget_B, 1, self.num_positions), count_B)
        span_BT = None
        if self.kind == "token":
            chosen_BT = choose_tokens(maskable_BT, budget_B, seed_choice)
        elif self.kind == "whole_word":
            word_BT = self._words(token_ids, maskable_BT)
            chosen_BT = choose_words(word_BT, maskable_BT, budget_B, seed_choice)
        else:
            word_BT = self._words(token_ids, maskable_BT)
            chosen_BT, span_BT = choose_spans(
                word_BT, maskable_BT, budget_B, seed_choice, self.num_positions
            )

        position_BP, chosen_BP = self._positions(chosen_BT)
        label_BP = tf.gather(token_ids, position_BP, batch_dims=1)
        fate_BP = uniform(tf.shape(position_BP), seed_fate)
        if span_BT is not None:
            span_BP = tf.maximum(tf.gather(span_BT, position_BP, batch_dims=1), 0)
            fate_BP = tf.gather(fate_BP, span_BP, batch_dims=1)
        other_BP = tf.random.stateless_uniform(
            tf.shape(position_BP), seed_token, 0, len(self.draw_N), tf.int32, alg="philox"
        )
        other_BP = tf.gather(self.draw_N, other_BP)
        new_BP = tf.where(fate_BP < 0.8, self.mask_id, tf.where(fate_BP < 0.9, other_BP, label_BP))
        # Positions that only fill up point at 0. No special token is ever chosen, so [CLS] is
        # written over itself there, however often.
        new_BP = tf.where(chosen_BP, new_BP, label_BP)
        row_BP = tf.broadcast_to(tf.range(tf.shape(token_ids)[0])[:, None], tf.shape(position_BP))
        at_BP2 = tf.stack([row_BP, position_BP], -1)
        return {
            "token_ids": tf.tensor_scatter_nd_update(token_ids, at_BP2, new_BP),
            "masked_positions": position_BP,
            "labels": tf.where(chosen_BP, label_BP, 0),
            "weights": tf.cast(chosen_BP, tf.float32),
        }

    def _words(self, token_ids: Tensor, maskable: Tensor) -> Tensor:
        """The number of the word of each token in its row, int32 `(B, T)`, below T."""
        # A piece that stands behind a special token begins a word here: its word was cut.
        behind_BT = tf.pad(maskable[:, :-1], [[0, 0], [1, 0]])
        inside_BT = tf.gather(self.continues_V, token_ids) & behind_BT
        return tf.cumsum(tf.cast(~inside_BT, tf.int32), -1) - 1

    def _positions(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Where `chosen` `(B, T)` holds: positions `(B, P)`, and which of them are meant."""
        T = chosen.shape[-1]
        descending_T = tf.range(T, 0, -1)
        value_BP, _ = tf.math.top_k(tf.where(chosen, descending_T, 0), self.num_positions)
        return tf.where(value_BP > 0, T - value_BP, 0), value_BP > 0
