"""Sources to targets, in one graph: text or ids in, text or ids out.

`Transformer.generate` calls it (see `keras_lm.models.sources`); the export traces the same
functions, so both give the same.

B batch, S length of the longest source, P tokens that a target begins with, N room for new ones.
"""

from typing import Any

import tensorflow as tf

from keras_lm import generation
from keras_lm.models.continuation import SIGNATURE, continue_rows, room_for
from keras_lm.models.interface import graph
from keras_lm.models.limits import CUT
from keras_lm.models.source_rows import SourceRows

Tensor = Any

# How much longer than its source a target may get where nobody says it (Vaswani et al. 2017,
# arXiv:1706.03762, section 6.1).
LONGER_THAN_SOURCE = 50


class TextToText:
    """An encoder-decoder model with `prefill` and `step`; calls may run concurrently.

    Args:
        model: a `Transformer`; its `start_ids` and `end_id` must be known.
        tokenizer: for the functions that take text, or None.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.start_ids, self.end_id = model.start_ids, model.end_id
        self.rows: Any = None if tokenizer is None else SourceRows(tokenizer, model.max_length)
        self.targets = graph(self._targets, *SIGNATURE)

    def _targets(
        self, token_ids: Tensor, lengths: Tensor, options: Any, copies: Tensor, stop: Tensor
    ) -> generation.Generated:
        """Gives the targets of sources of ids that were checked.

        Args:
            token_ids: int32 `(B, S)`, padded on the right.
            lengths: int32 `(B,)`, at least 1.
            options: `keras_lm.generation.Options`; P and the new tokens fit into the model.
            copies: of each target, see `continue_rows`.
            stop: see `continue_rows`.

        Returns:
            `keras_lm.generation.Generated`, see `continue_rows`.
        """
        start_BP = tf.tile(tf.constant([self.start_ids]), [tf.shape(token_ids)[0], 1])
        cache_length = len(self.start_ids) + room_for(options)
        logits_BV, cache = self.model.prefill(token_ids, lengths, start_BP, cache_length)
        return continue_rows(
            logits_BV,
            cache,
            self.model.step,
            tokenizer=self.tokenizer,
            end_id=self.end_id,
            options=options,
            copies=copies,
            stop=stop,
        )

    def answer_ids(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        max_new_tokens: Tensor,
        temperature: Tensor,
        top_k: Tensor,
        top_p: Tensor,
        seed: Tensor,
    ) -> dict[str, Tensor]:
        """Gives the targets of rows of ids of any length; options are brought into range.

        Of a row that is too long the start is read. A row of length 0 is an empty text; ids outside
        the vocabulary are read as the unknown token, or as the one that ends a text where there is
        none.

        Args:
            token_ids: int32 `(B, S)`, padded on the right, special tokens included.
            lengths: int32 `(B,)`.
            max_new_tokens: int32 `(B,)`.
            temperature: float32 `(B,)`.
            top_k: int32 `(B,)`.
            top_p: float32 `(B,)`.
            seed: int64 `(B,)`.

        Returns:
            `token_ids` int32 `(B, N)`, padded with -1; `count` int32 `(B,)`, how many they are;
            `status` int32 `(B,)`, 0 or a sum of `keras_lm.generation.Status` and `CUT`.
        """
        max_length, closing_id = self.model.max_length, self.rows.closing_id
        unknown_id = self.tokenizer.unk_id
        inside = (token_ids >= 0) & (token_ids < self.tokenizer.vocab_size)
        token_ids = tf.where(inside, token_ids, closing_id if unknown_id is None else unknown_id)
        given_B = tf.clip_by_value(lengths, 0, tf.shape(token_ids)[1])
        # One more column, so that there is one.
        empty_B1 = tf.fill([tf.shape(token_ids)[0], 1], closing_id)
        token_ids = tf.concat([token_ids, empty_B1], 1)
        token_ids = tf.where(given_B[:, None] > 0, token_ids, closing_id)
        lengths_B = tf.clip_by_value(given_B, 1, max_length)
        width = tf.reduce_max(tf.concat([lengths_B, [1]], 0))
        asked = generation.greedy_options(max_new_tokens)._replace(
            temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )
        return self._answer(token_ids[:, :width], lengths_B, given_B > max_length, asked)

    def answer_text(
        self,
        text: Tensor,
        max_new_tokens: Tensor | None,
        temperature: Tensor,
        top_k: Tensor,
        top_p: Tensor,
        seed: Tensor,
    ) -> dict[str, Tensor]:
        """Gives the targets of texts of any length; options are brought into range.

        Args:
            text: string `(B,)`; of one that is too long the start is read.
            max_new_tokens: this and the others as of `answer_ids`. None: `LONGER_THAN_SOURCE` more
                than the source has, or as many as fit.
            temperature: see there.
            top_k: see there.
            top_p: see there.
            seed: see there.

        Returns:
            `target` string `(B,)`; `count` and `status` as of `answer_ids`.
        """
        token_ids, lengths_B, cut_B = self.rows.read(text)
        if max_new_tokens is None:
            max_new_tokens = tf.minimum(lengths_B + LONGER_THAN_SOURCE, self._room)
        asked = generation.greedy_options(max_new_tokens)._replace(
            temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )
        answer = self._answer(token_ids, lengths_B, cut_B, asked)
        target = self.tokenizer.detokenize(answer.pop("token_ids"))
        return {"target": target, **answer}

    @property
    def _room(self) -> int:
        return max(self.model.max_length - len(self.start_ids), 1)

    def _answer(
        self, token_ids: Tensor, lengths: Tensor, cut: Tensor, options: generation.Options
    ) -> dict[str, Tensor]:
        asked, status_B = generation.clamp_options(options, limit=self._room)
        found = self.targets(token_ids, lengths, asked, tf.constant(1), tf.constant(""))
        return {
            "token_ids": found.token_ids,
            "count": found.lengths,
            "status": status_B + CUT * tf.cast(cut, "int32"),
        }
