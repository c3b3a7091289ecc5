"""Prompts to continuations, in one graph: text or ids in, text or ids out.

`GPT.generate` calls it (see `keras_lm.models.prompts`); the export traces the same functions, so
both give the same.

B batch, T length of the longest prompt, N room for new tokens.
"""

from typing import Any

import tensorflow as tf

from keras_lm import generation
from keras_lm.models.continuation import SIGNATURE, continue_rows, room_for
from keras_lm.models.interface import graph
from keras_lm.models.limits import BYTES_PER_TOKEN, CUT

Tensor = Any


class TextGenerator:
    """A causal model with `prefill` and `step`; writes no variable, so calls may run concurrently.

    Args:
        model: a causal `LanguageModel`.
        tokenizer: for the functions that take text, or None.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.end_id = None if tokenizer is None else tokenizer.end_id
        self.continue_ids = graph(self._continue_ids, *SIGNATURE)

    def _continue_ids(
        self, token_ids: Tensor, lengths: Tensor, options: Any, copies: Tensor, stop: Tensor
    ) -> generation.Generated:
        """Continues prompts of ids that were checked.

        Args:
            token_ids: int32 `(B, T)`, padded on the right.
            lengths: int32 `(B,)`, at least 1.
            options: `keras_lm.generation.Options`; a prompt and its new tokens fit into the model.
            copies: of each prompt, see `continue_rows`.
            stop: see `continue_rows`.

        Returns:
            `keras_lm.generation.Generated`, see `continue_rows`.
        """
        cache_length = tf.shape(token_ids)[1] + room_for(options)
        logits_BV, cache = self.model.prefill(token_ids, lengths, cache_length)
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
        """Continues rows of ids of any length; options are brought into range.

        Of a row that is too long the end is kept. A row of length 0 begins a new document; ids
        outside the vocabulary are read as the end token.

        Args:
            token_ids: int32 `(B, T)`, padded on the right.
            lengths: int32 `(B,)`.
            max_new_tokens: int32 `(B,)`.
            temperature: float32 `(B,)`.
            top_k: int32 `(B,)`.
            top_p: float32 `(B,)`.
            seed: int64 `(B,)`.

        Returns:
            `token_ids` int32 `(B, N)`, the new ones, padded with -1; `count` int32 `(B,)`, how many
            they are; `status` int32 `(B,)`, 0 or a sum of `keras_lm.generation.Status` and `CUT`.
        """
        inside = (token_ids >= 0) & (token_ids < self.tokenizer.vocab_size)
        token_ids = tf.where(inside, token_ids, self.end_id)
        lengths = tf.clip_by_value(lengths, 0, tf.shape(token_ids)[1])
        asked = generation.greedy_options(max_new_tokens)._replace(
            temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )
        return self._answer(tf.RaggedTensor.from_tensor(token_ids, lengths), asked)

    def answer_text(
        self,
        prompt: Tensor,
        max_new_tokens: Tensor,
        temperature: Tensor,
        top_k: Tensor,
        top_p: Tensor,
        seed: Tensor,
    ) -> dict[str, Tensor]:
        """Continues prompts of any length; options are brought into range.

        Args:
            prompt: string `(B,)`; of one that is too long the end is read.
            max_new_tokens: this and the others as of `answer_ids`.
            temperature: see there.
            top_k: see there.
            top_p: see there.
            seed: see there.

        Returns:
            `text` string `(B,)`, prompt and continuation; `completion` string `(B,)`; `count` and
            `status` as of `answer_ids`.
        """
        limit = BYTES_PER_TOKEN * self.model.max_length
        size_B = tf.strings.length(prompt)
        # Not substr(-limit): a prompt shorter than that would be an error.
        read = tf.strings.substr(
            prompt, tf.maximum(size_B - limit, 0), tf.fill([tf.size(size_B)], limit)
        )
        asked = generation.greedy_options(max_new_tokens)._replace(
            temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )
        answer = self._answer(self.tokenizer.tokenize(read), asked)
        cut_B = CUT * tf.cast(size_B > limit, "int32")
        completion = self.tokenizer.detokenize(answer["token_ids"], continues=size_B > 0)
        return {
            "text": tf.strings.join([prompt, completion]),
            "completion": completion,
            "count": answer["count"],
            "status": tf.bitwise.bitwise_or(answer["status"], cut_B),
        }

    def _answer(self, ids: Any, options: generation.Options) -> dict[str, Tensor]:
        max_length = self.model.max_length
        # New tokens may take half of the model's length from a long prompt, and no more.
        wanted_B = tf.clip_by_value(options.max_new_tokens, 1, max(max_length // 2, 1))
        given_B = tf.cast(ids.row_lengths(), "int32")
        kept_B = tf.minimum(given_B, max_length - wanted_B)
        begins_B = given_B == 0
        lengths_B = tf.maximum(kept_B, 1)
        first_B = tf.cast(ids.row_limits(), "int32") - kept_B
        place_BT = tf.range(tf.reduce_max(tf.concat([lengths_B, [1]], 0)))[None]
        # One more value, so that even an empty batch has something to gather.
        value_N = tf.concat([tf.cast(ids.flat_values, "int32"), [self.end_id]], 0)
        real_BT = (place_BT < kept_B[:, None]) & ~begins_B[:, None]
        index_BT = tf.where(real_BT, first_B[:, None] + place_BT, tf.size(value_N) - 1)
        asked, status_B = generation.clamp_options(
            options, limit=tf.maximum(max_length - lengths_B, 1)
        )
        found = self.continue_ids(
            tf.gather(value_N, index_BT),
            lengths_B,
            asked,
            tf.constant(1),
            tf.constant(""),
        )
        return {
            "token_ids": found.token_ids,
            "count": found.lengths,
            "status": status_B + CUT * tf.cast(kept_B < given_B, "int32"),
        }
