"""Texts to what a model makes of them, in one graph: translations, summaries.

`Translator.predict` and `Summarizer.predict` call it from Python; the export traces the same
function, so both give the same.

B batch.
"""

from typing import Any

import tensorflow as tf

from keras_lm import generation
from keras_lm.models.continuation import Structure
from keras_lm.models.interface import graph
from keras_lm.models.text_to_text import LONGER_THAN_SOURCE, TextToText

Tensor = Any


class TextTargets:
    """A task over an encoder and a decoder, behind its tokenizer; writes no variable.

    Args:
        model: a built `TargetTask`; how it decodes is read once, here.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.generator = model, TextToText(model, tokenizer)
        rules = generation.Rules(no_repeat_ngram_size=model.no_repeat_ngram_size)
        self.structure = Structure(model.num_beams, rules)
        self.of_text = graph(self._of_text, tf.TensorSpec([None], "string"))

    def _of_text(self, text: Tensor) -> dict[str, Tensor]:
        """Answers texts of any length; of one that is too long the start is read.

        Args:
            text: string `(B,)`.

        Returns:
            The likeliest target that was found, string `(B,)`, by the task's name for it;
            `count` int32 `(B,)`, how many tokens it has; `status` int32 `(B,)`, 0 or a sum of
            `keras_lm.generation.Status` and `CUT`.
        """
        model, generator = self.model, self.generator
        rows = generator.rows.read(text)
        like_B = rows[1]
        if model.max_new_tokens is None:
            limit_B = tf.minimum(like_B + LONGER_THAN_SOURCE, generator.room)
        else:
            limit_B = tf.fill(tf.shape(like_B), model.max_new_tokens)
        least_B = tf.minimum(tf.fill(tf.shape(like_B), model.min_new_tokens), limit_B)
        options = generation.greedy_options(limit_B)._replace(min_new_tokens=least_B)
        beams = generation.default_beam_options(like_B)
        penalty_B = tf.fill(tf.shape(like_B), float(model.length_penalty))
        beams = beams._replace(length_penalty=penalty_B)
        asked = generator.asked_rows(rows, options, self.structure, beams)
        best = asked.request._replace(copies=tf.constant(1))
        found = generator.answers_to(self.structure, asked._replace(request=best))
        return {
            model.ANSWER: generator.tokenizer.detokenize(found.token_ids),
            "count": found.lengths,
            "status": asked.status,
        }
