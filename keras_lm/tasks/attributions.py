"""By how much each token of a text moved a class: of a text, or of a token.

See `keras_lm.models.explanations.attributing`. S points of the line, T length, D width of the token
table, C classes.
"""

from typing import Any, Unpack

import numpy as np
import tensorflow as tf

from keras_lm.models.explanations.attention_scores import has_segments
from keras_lm.models.explanations.attributing import (
    How,
    HowOptions,
    each,
    explained,
    for_each,
    how_asked,
    moved_along,
    texts_to_explain,
)
from keras_lm.models.explanations.attribution import Attribution
from keras_lm.models.explanations.text_tokens import TokenRow, token_row
from keras_lm.models.interface import graph, made_once

Tensor = Any

OUTPUTS = ("probability", "logit")


def attributions(
    model: Any,
    texts: Any,
    target: Any,
    places: Any,
    **options: Unpack[HowOptions],
) -> Any:
    """Explains answers; the arguments are those of the `attributions` of the tasks.

    Args:
        model: a `TextClassifier` or a `TokenClassifier`.
        texts: see there.
        target: see there.
        places: None; or for each text the character whose token was classified.
        **options: see there.

    Raises:
        ValueError: see there.
    """
    columns, single = texts_to_explain(texts)
    if places is not None and len(columns) > 1:
        raise ValueError("Words are classified in texts, not in pairs. Received: pairs")
    tokenizer = model.require_tokenizer("attributions()")
    how = how_asked(tokenizer, OUTPUTS, **options)
    if getattr(model, "problem", None) == "regression":
        how = how._replace(measure="number")
    number = len(columns[0])
    labels = [_label_id(model, value) for value in each("target", target, number, single)]
    characters = [None] * number if places is None else each("at", places, number, single)
    rows = [
        # What classifies words reads special tokens in texts as text.
        token_row(tokenizer, list(text), model.max_length, parse=places is None)
        for text in zip(*columns, strict=True)
    ]
    at = [_token_at(*pair) for pair in zip(rows, characters, strict=True)]
    asked = made_once(_ClassGradients, model, tokenizer)
    found = [asked(*values, how) for values in zip(rows, labels, at, strict=True)]
    return found[0] if single else found


def _label_id(model: Any, label: Any) -> int | None:
    if label is None:
        if getattr(model, "problem", None) == "regression" and len(model.labels) > 1:
            raise ValueError(
                f"target must say which number of {', '.join(model.labels)}. Received: target=None"
            )
        return None
    if label not in model.labels:
        raise ValueError(
            f"target must be a label of {', '.join(model.labels)}. Received: target={label!r}"
        )
    return model.labels.index(label)


def _token_at(row: TokenRow, character: int | None) -> int:
    if character is None:
        return 0
    for place, token in enumerate(row.tokens):
        if token.start <= character < token.end:
            return place
    ends = max(token.end for token in row.tokens)
    raise ValueError(
        f"at must be the place of a character of a word that was read, below {ends}. "
        f"Received: at={character!r}"
    )


class _ClassGradients:
    """The gradients of a task, in a graph."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.stack = model, model.stacks[0]
        ids, one = tf.TensorSpec([None], "int32"), tf.TensorSpec([], "int32")
        flag, points = tf.TensorSpec([], "bool"), tf.TensorSpec([None], "float32")
        row = {"token_ids": ids, "segment_ids": ids}
        self.logits = graph(self._logits_of_text, row, one)
        self.along = graph(self._along, row, one, one, flag, ids, points, points)

    def __call__(self, row: TokenRow, label: int | None, place: int, how: How) -> Attribution:
        inputs, at = tensors_of(row), tf.constant(place)
        if label is None:
            label = int(np.argmax(self.logits(inputs, at).numpy()))
        fixed = inputs, at, tf.constant(label), how.is_probability
        return explained(
            row, self.model.labels[label], how, lambda *line: self.along(*fixed, *line)
        )

    def _along(
        self,
        row: dict[str, Tensor],
        place: Tensor,
        label: Tensor,
        is_probability: Tensor,
        baseline_ids: Tensor,
        at: Tensor,
        by: Tensor,
    ) -> tuple[Tensor, Tensor]:
        problem = getattr(self.model, "problem", "single_label")

        def outputs(points_STD: Tensor) -> Tensor:
            logits_SC = self._logits(row, place, points_STD)
            if problem != "regression":
                scale = tf.nn.softmax if problem == "single_label" else tf.sigmoid
                logits_SC = tf.where(is_probability, scale(logits_SC), logits_SC)
            return tf.gather(logits_SC, label, axis=1)

        return moved_along(token_table(self.stack), row["token_ids"], baseline_ids, outputs, at, by)

    def _logits_of_text(self, row: dict[str, Tensor], place: Tensor) -> Tensor:
        points_STD = tf.gather(token_table(self.stack), row["token_ids"])[None]
        return self._logits(row, place, points_STD)[0]

    def _logits(self, row: dict[str, Tensor], place: Tensor, points_STD: Tensor) -> Tensor:
        """The logits at points of the line, float32 `(S, C)`."""
        logits = self.model(inputs_at(self.stack, row, points_STD), training=False)
        return logits if logits.shape.rank == 2 else tf.gather(logits, place, axis=1)


def tensors_of(row: TokenRow) -> dict[str, Tensor]:
    """Gives `token_ids` and `segment_ids` of a row, int32 `(T,)` each."""
    return {
        "token_ids": tf.constant(row.token_ids),
        "segment_ids": tf.constant(row.segment_ids),
    }


def token_table(stack: Any) -> Tensor:
    """Gives the token table of an encoder or a decoder, float `(V, D)`."""
    return tf.convert_to_tensor(stack.embedding.tokens.embeddings)


def inputs_at(stack: Any, row: dict[str, Tensor], points: Tensor) -> dict[str, Tensor]:
    """Gives what a task reads at points of the line, float `(S, T, D)`.

    Args:
        stack: the first of the task's, which the points go into.
        row: see `tensors_of`.
        points: embeddings.
    """
    inputs = {"token_ids": for_each(row["token_ids"], points), "token_embeddings": points}
    if has_segments(stack):
        inputs["segment_ids"] = for_each(row["segment_ids"], points)
    return inputs
