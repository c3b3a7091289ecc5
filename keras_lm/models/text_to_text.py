"""Sources to targets, in one graph: text or ids in, text or ids out.

`Transformer.generate` calls it (see `keras_lm.models.sources`); the export traces the same
functions, so both give the same.

B batch, S length of the longest source, P tokens that a target begins with, N room for new ones.
"""

from typing import Any

import tensorflow as tf

from keras_lm import generation
from keras_lm.models.continuation import (
    PLAIN,
    Asked,
    Continuation,
    Structure,
    before_stop,
    clamped,
    scores_of,
)
from keras_lm.models.limits import CUT
from keras_lm.models.source_rows import SourceRows

Tensor = Any

# How much longer than its source a target may get where nobody says it (Vaswani et al. 2017,
# arXiv:1706.03762, section 6.1).
LONGER_THAN_SOURCE = 50


class TextToText(Continuation):
    """An encoder-decoder model with `prefill` and `step`.

    Args:
        model: a `Transformer`; its `start_ids` and `end_id` must be known.
        tokenizer: for the functions that take text, or None.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(tokenizer, model.end_id)
        self.model, self.start_ids = model, model.start_ids
        self.rows: Any = None if tokenizer is None else SourceRows(tokenizer, model.max_length)

    def read(
        self, token_ids: Tensor, lengths: Tensor, room: Tensor
    ) -> tuple[Tensor, Any, generation.Prompt]:
        """Reads sources, and what targets begin with; see `Continuation`."""
        start_BP = tf.tile(tf.constant([self.start_ids]), [tf.shape(token_ids)[0], 1])
        first = len(self.start_ids)
        slots = first + tf.minimum(room, generation.SEGMENT)
        logits_BV, cache = self.model.prefill(token_ids, lengths, start_BP, first + room, slots)
        return logits_BV, cache, generation.Prompt(start_BP, tf.fill(tf.shape(lengths), first))

    def step(self, token_ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Reads one more token of each target."""
        return self.model.step(token_ids, cache)

    def answer_ids(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        options: generation.Options,
        structure: Structure = PLAIN,
    ) -> dict[str, Tensor]:
        """Gives the targets of rows of ids of any length; options are brought into range.

        Of a row that is too long the start is read. A row of length 0 is an empty text; ids outside
        the vocabulary are read as the unknown token, or as the one that ends a text where there is
        none.

        Args:
            token_ids: int32 `(B, S)`, padded on the right, special tokens included.
            lengths: int32 `(B,)`.
            options: `keras_lm.generation.Options` of any values.
            structure: of one beam.

        Returns:
            `token_ids` int32 `(B, N)`, padded with -1; `count` int32 `(B,)`, how many they are;
            `status` int32 `(B,)`, 0 or a sum of `keras_lm.generation.Status` and `CUT`; where the
            structure wants scores those of `scores_of`.
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
        self,
        text: Tensor,
        options: generation.Options | None = None,
        structure: Structure = PLAIN,
    ) -> dict[str, Tensor]:
        """Gives the targets of texts of any length; options are brought into range.

        Args:
            text: string `(B,)`; of one that is too long the start is read.
            options: as of `answer_ids`. None: the likeliest tokens, at most `LONGER_THAN_SOURCE`
                more than the source has.
            structure: as of `answer_ids`.

        Returns:
            `target` string `(B,)`, without what begins with a stop; `count`, `status` and scores as
            of `answer_ids`.
        """
        asked = self.asked_text(text, options, structure)
        found = self.answers_to(structure, asked)
        return {
            "target": before_stop(self.tokenizer.detokenize(found.token_ids), structure.stop),
            "count": found.lengths,
            "status": asked.status,
            **scores_of(found, structure),
        }

    def search_text(
        self,
        text: Tensor,
        options: generation.Options,
        beams: generation.BeamOptions,
        structure: Structure,
    ) -> dict[str, Tensor]:
        """Looks for the likeliest targets; options are brought into range.

        Args:
            text: as of `answer_text`.
            options: see there; what says how to draw is not read.
            beams: `keras_lm.generation.BeamOptions` of any values.
            structure: of K beams.

        Returns:
            `target` string `(B, K)`, the best first; `scores` float32 `(B, K)`, see
            `keras_lm.generation.Beams`; `count` int32 `(B, K)`; `status` int32 `(B,)`.
        """
        asked = self.asked_text(text, options, structure, beams)
        found = self.answers_to(structure, asked)

        def per_beam(x: Tensor) -> Tensor:
            return tf.reshape(x, [-1, structure.num_beams])

        target = before_stop(self.tokenizer.detokenize(found.token_ids), structure.stop)
        return {
            "target": per_beam(target),
            "scores": per_beam(found.scores),
            "count": per_beam(found.lengths),
            "status": asked.status,
        }

    def asked_text(
        self,
        text: Tensor,
        options: generation.Options | None,
        structure: Structure,
        beams: generation.BeamOptions | None = None,
    ) -> Asked:
        """Brings what `answer_text` or `search_text` is asked for into range."""
        rows = self.rows.read(text)
        if options is None:
            limit_B = tf.minimum(rows[1] + LONGER_THAN_SOURCE, self.room)
            options = generation.greedy_options(limit_B)
        return self.asked_rows(rows, options, structure, beams)

    def asked_ids(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        options: generation.Options,
        structure: Structure,
    ) -> Asked:
        """Brings what `answer_ids` is asked for into range."""
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
        rows = token_ids[:, :width], lengths_B, given_B > max_length
        return self.asked_rows(rows, options, structure)

    @property
    def room(self) -> int:
        """Tokens that a target may have, without those that it begins with."""
        return max(self.model.max_length - len(self.start_ids), 1)

    def asked_rows(
        self,
        rows: tuple[Tensor, Tensor, Tensor],
        options: generation.Options,
        structure: Structure,
        beams: generation.BeamOptions | None = None,
    ) -> Asked:
        """Brings what rows are asked for into range.

        Args:
            rows: what `SourceRows.read` gives: ids, lengths, and whether a row was cut.
            options: of any values.
            structure: of the graph.
            beams: of any values, or None.
        """
        token_ids, lengths_B, cut_B = rows
        request, status_B = clamped(structure, options, beams, limit=self.room)
        status_B += CUT * tf.cast(cut_B, "int32")
        return Asked(token_ids, lengths_B, request, status_B, tf.zeros_like(cut_B))
