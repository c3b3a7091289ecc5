"""Prompts to continuations, in one graph: text or ids in, text or ids out.

`GPT.generate` calls it (see `keras_lm.models.prompts`); the export traces the same functions, so
both give the same.

B batch, T length of the longest prompt, N room for new tokens.
"""

from typing import Any

import tensorflow as tf

from keras_lm import generation
from keras_lm.models.continuation import (
    PLAIN,
    Answers,
    Asked,
    Continuation,
    Request,
    Structure,
    answers_of,
    before_stop,
    clamped,
    copies_of,
    room_for,
    scores_of,
)
from keras_lm.models.limits import BYTES_PER_TOKEN, CUT
from keras_lm.models.speculation import speculate

Tensor = Any


class TextGenerator(Continuation):
    """A causal model with `prefill` and `step`.

    Args:
        model: a causal `LanguageModel`.
        tokenizer: for the functions that take text, or None.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(tokenizer, None if tokenizer is None else tokenizer.end_id)
        self.model = model

    def read(
        self, token_ids: Tensor, lengths: Tensor, room: Tensor
    ) -> tuple[Tensor, Any, generation.Prompt]:
        """Reads prompts; see `Continuation`."""
        first = tf.shape(token_ids)[1]
        logits_BV, cache = self.model.prefill(
            token_ids, lengths, first + room, slots=first + tf.minimum(room, generation.SEGMENT)
        )
        return logits_BV, cache, generation.Prompt(token_ids, lengths)

    def step(self, token_ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Reads one more token of each row."""
        return self.model.step(token_ids, cache)

    def answers(
        self, structure: Structure, token_ids: Tensor, lengths: Tensor, request: Request
    ) -> Answers:
        """Reads prompts and goes on, by proposals if there are any; see `Continuation`."""
        if structure.proposals is None:
            return super().answers(structure, token_ids, lengths, request)
        room = room_for(request.options)
        done = speculate(
            structure.proposals,
            self.model,
            token_ids,
            lengths,
            room=room,
            copies=copies_of(lengths, request.copies),
            known=self._known,
            make_decoder=lambda prompt: self._decoder(
                structure, prompt, request, room, cache_grows=False
            ),
        )
        return answers_of(done.found, done.passes, done.proposed, done.accepted)

    def answer_ids(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        options: generation.Options,
        structure: Structure = PLAIN,
    ) -> dict[str, Tensor]:
        """Continues rows of ids of any length; options are brought into range.

        Of a row that is too long the end is kept. A row of length 0 begins a new document; ids
        outside the vocabulary are read as the end token.

        Args:
            token_ids: int32 `(B, T)`, padded on the right.
            lengths: int32 `(B,)`.
            options: `keras_lm.generation.Options` of any values.
            structure: of one beam.

        Returns:
            `token_ids` int32 `(B, N)`, the new ones, padded with -1; `count` int32 `(B,)`, how many
            they are; `status` int32 `(B,)`, 0 or a sum of `keras_lm.generation.Status` and `CUT`;
            where the structure wants scores those of `scores_of`.
        """
        asked = self.asked_ids(token_ids, lengths, options, structure)
        found = self.answers_to(structure, asked)
        return {
            "token_ids": found.token_ids,
            "count": found.lengths,
            "status": asked.status,
            **scores_of(found, structure),
        }

    def answer_text(
        self, prompt: Tensor, options: generation.Options, structure: Structure = PLAIN
    ) -> dict[str, Tensor]:
        """Continues prompts of any length; options are brought into range.

        Args:
            prompt: string `(B,)`; of one that is too long the end is read.
            options: as of `answer_ids`.
            structure: see there.

        Returns:
            `text` string `(B,)`, prompt and continuation; `completion` string `(B,)`, without what
            begins with a stop; `count`, `status` and scores as of `answer_ids`.
        """
        asked = self.asked_text(prompt, options, structure)
        found = self.answers_to(structure, asked)
        completion = self.tokenizer.detokenize(found.token_ids, continues=asked.continues)
        completion = before_stop(completion, structure.stop)
        return {
            "text": tf.strings.join([prompt, completion]),
            "completion": completion,
            "count": found.lengths,
            "status": asked.status,
            **scores_of(found, structure),
        }

    def search_text(
        self,
        prompt: Tensor,
        options: generation.Options,
        beams: generation.BeamOptions,
        structure: Structure,
    ) -> dict[str, Tensor]:
        """Looks for the likeliest continuations; options are brought into range.

        Args:
            prompt: as of `answer_text`.
            options: see there; what says how to draw is not read.
            beams: `keras_lm.generation.BeamOptions` of any values.
            structure: of K beams.

        Returns:
            `text` string `(B, K)`, the best first; `completion` string `(B, K)`; `scores` float32
            `(B, K)`, see `keras_lm.generation.Beams`; `count` int32 `(B, K)`; `status` int32
            `(B,)`.
        """
        asked = self.asked_text(prompt, options, structure, beams)
        found = self.answers_to(structure, asked)
        before, continues = (tf.repeat(x, structure.num_beams) for x in (prompt, asked.continues))
        completion = self.tokenizer.detokenize(found.token_ids, continues=continues)
        completion = before_stop(completion, structure.stop)

        def per_beam(x: Tensor) -> Tensor:
            return tf.reshape(x, [-1, structure.num_beams])

        return {
            "text": per_beam(tf.strings.join([before, completion])),
            "completion": per_beam(completion),
            "scores": per_beam(found.scores),
            "count": per_beam(found.lengths),
            "status": asked.status,
        }

    def asked_text(
        self,
        prompt: Tensor,
        options: generation.Options,
        structure: Structure,
        beams: generation.BeamOptions | None = None,
    ) -> Asked:
        """Brings what `answer_text` or `search_text` is asked for into range."""
        limit = BYTES_PER_TOKEN * self.model.max_length
        size_B = tf.strings.length(prompt)
        # Not substr(-limit): a prompt shorter than that would be an error.
        read = tf.strings.substr(
            prompt, tf.maximum(size_B - limit, 0), tf.fill([tf.size(size_B)], limit)
        )
        asked = self._asked(self.tokenizer.tokenize(read), options, structure, beams)
        cut_B = CUT * tf.cast(size_B > limit, "int32")
        # Even if what is read holds no token, a text stands before the answer.
        return asked._replace(
            status=tf.bitwise.bitwise_or(asked.status, cut_B), continues=tf.not_equal(prompt, "")
        )

    def asked_ids(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        options: generation.Options,
        structure: Structure,
    ) -> Asked:
        """Brings what `answer_ids` is asked for into range."""
        inside = (token_ids >= 0) & (token_ids < self.tokenizer.vocab_size)
        token_ids = tf.where(inside, token_ids, self.end_id)
        lengths = tf.clip_by_value(lengths, 0, tf.shape(token_ids)[1])
        rows = tf.RaggedTensor.from_tensor(token_ids, lengths)
        return self._asked(rows, options, structure)

    def _asked(
        self,
        ids: Any,
        options: generation.Options,
        structure: Structure,
        beams: generation.BeamOptions | None = None,
    ) -> Asked:
        """Takes ragged ids, rows of any length."""
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
        request, status_B = clamped(
            structure, options, beams, limit=tf.maximum(max_length - lengths_B, 1)
        )
        status_B += CUT * tf.cast(kept_B < given_B, "int32")
        return Asked(tf.gather(value_N, index_BT), lengths_B, request, status_B, ~begins_B)
