"""By how much each token of a text moved an answer: integrated gradients of its embeddings.

Source: Sundararajan, Taly and Yan 2017, arXiv:1703.01365, sections 3 and 4. The line goes from the
embeddings of a text of which every token is replaced, special tokens that were added apart, to
those of the text; positions and segments are the text's at both ends.

S points of the line, T length, D width of the token table, C classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.models.explanations.attention_scores import has_segments
from keras_lm.models.explanations.attribution import Attribution
from keras_lm.models.explanations.text_tokens import TokenRow, token_row
from keras_lm.models.given_texts import as_texts
from keras_lm.models.interface import graph, made_once
from keras_lm.tasks.asking import BATCH_SIZE
from keras_lm.tasks.integrated_gradients import gradients_along, integrate

Tensor = Any

BASELINES = ("pad", "mask", "unk", "zeros")
OUTPUTS = ("probability", "logit")
_ZEROS = -1  # in the place of an id


def attributions(
    model: Any,
    texts: Any,
    target: Any,
    places: Any,
    *,
    steps: int,
    baseline: str | None,
    output: str,
    batch_size: int | None,
) -> Any:
    """Explains answers; the arguments are those of the `attributions` of the tasks.

    Args:
        model: a `TextClassifier` or a `TokenClassifier`.
        texts: see there.
        target: see there.
        places: None; or for each text the character whose token was classified.
        steps: see there.
        baseline: see there.
        output: see there.
        batch_size: see there.

    Raises:
        ValueError: see there.
    """
    read = as_texts(texts)
    if read is None:
        raise ValueError(f"attributions() takes texts. Received: {texts!r:.80}")
    columns, single = read
    if places is not None and len(columns) > 1:
        raise ValueError("Words are classified in texts, not in pairs. Received: pairs")
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a positive number. Received: {name}={value!r}")
    if output not in OUTPUTS:
        raise ValueError(f"output must be of {', '.join(OUTPUTS)}. Received: output={output!r}")
    tokenizer = model.require_tokenizer("attributions()")
    replaced = _baseline_id(tokenizer, baseline)
    number = len(columns[0])
    labels = [_label_id(model, value) for value in _each("target", target, number, single)]
    characters = [None] * number if places is None else _each("at", places, number, single)
    rows = [
        token_row(tokenizer, list(text), model.max_length) for text in zip(*columns, strict=True)
    ]
    at = [_token_at(*pair) for pair in zip(rows, characters, strict=True)]
    asked = made_once(_Gradients, model, tokenizer)
    size = BATCH_SIZE if batch_size is None else batch_size
    found = [
        asked(row, label, place, replaced, output == "probability", steps, size)
        for row, label, place in zip(rows, labels, at, strict=True)
    ]
    return found[0] if single else found


def _each(name: str, values: Any, number: int, single: bool) -> list[Any]:
    if single or values is None or isinstance(values, str):
        return [values] * number
    if not isinstance(values, Sequence) or len(values) != number:
        raise ValueError(
            f"{name} must be one for each of the {number} texts. Received: {name}={values!r:.80}"
        )
    return list(values)


def _baseline_id(tokenizer: Any, baseline: str | None) -> int:
    if baseline is None:
        baseline = "zeros" if tokenizer.pad_id is None else "pad"
    known = [
        name
        for name in BASELINES
        if name == "zeros" or getattr(tokenizer, f"{name}_id") is not None
    ]
    if baseline not in known:
        raise ValueError(
            f"baseline must be, for this tokenizer, of {', '.join(known)}. "
            f"Received: baseline={baseline!r}"
        )
    return _ZEROS if baseline == "zeros" else getattr(tokenizer, f"{baseline}_id")


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


class _Gradients:
    """The gradients of a task, in a graph."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.stack = model, model.stacks[0]
        ids, one = tf.TensorSpec([None], "int32"), tf.TensorSpec([], "int32")
        flag, points = tf.TensorSpec([], "bool"), tf.TensorSpec([None], "float32")
        row = {"token_ids": ids, "segment_ids": ids}
        self.logits = graph(self._logits_of_text, row, one)
        self.along = graph(self._along, row, ids, one, one, flag, points, points)

    def __call__(
        self,
        row: TokenRow,
        label: int | None,
        place: int,
        replaced: int,
        is_probability: bool,
        steps: int,
        batch_size: int,
    ) -> Attribution:
        inputs = {
            "token_ids": tf.constant(row.token_ids),
            "segment_ids": tf.constant(row.segment_ids),
        }
        at = tf.constant(place)
        if label is None:
            label = int(np.argmax(self.logits(inputs, at).numpy()))
        added_T = np.array([token.part < 0 for token in row.tokens])
        baseline_T = tf.constant(np.where(added_T, row.token_ids, replaced).astype("int32"))
        fixed = inputs, baseline_T, at, tf.constant(label), tf.constant(is_probability)
        found = integrate(lambda at_S, by_S: self.along(*fixed, at_S, by_S), steps, batch_size)
        difference = found.output - found.baseline_output
        return Attribution(
            row.texts,
            row.tokens,
            found.attributions.astype("float32"),
            self.model.labels[label],
            found.output,
            found.baseline_output,
            float(found.attributions.sum() - difference),
            row.cut,
        )

    def _along(
        self,
        row: dict[str, Tensor],
        baseline_ids: Tensor,
        place: Tensor,
        label: Tensor,
        is_probability: Tensor,
        at: Tensor,
        by: Tensor,
    ) -> tuple[Tensor, Tensor]:
        table_VD = tf.convert_to_tensor(self.stack.embedding.tokens.embeddings)
        kept_T1 = tf.cast(baseline_ids != _ZEROS, table_VD.dtype)[:, None]
        start_TD = tf.gather(table_VD, tf.maximum(baseline_ids, 0)) * kept_T1
        end_TD = tf.gather(table_VD, row["token_ids"])
        problem = getattr(self.model, "problem", "single_label")

        def outputs(points_STD: Tensor) -> Tensor:
            logits_SC = self._logits(row, place, points_STD)
            if problem != "regression":
                scale = tf.nn.softmax if problem == "single_label" else tf.sigmoid
                logits_SC = tf.where(is_probability, scale(logits_SC), logits_SC)
            return tf.gather(logits_SC, label, axis=1)

        moved_TD, outputs_S = gradients_along(
            outputs, start_TD, end_TD, tf.cast(at, table_VD.dtype), tf.cast(by, table_VD.dtype)
        )
        return tf.reduce_sum(moved_TD, axis=1), outputs_S

    def _logits_of_text(self, row: dict[str, Tensor], place: Tensor) -> Tensor:
        table_VD = tf.convert_to_tensor(self.stack.embedding.tokens.embeddings)
        return self._logits(row, place, tf.gather(table_VD, row["token_ids"])[None])[0]

    def _logits(self, row: dict[str, Tensor], place: Tensor, points_STD: Tensor) -> Tensor:
        """The logits at points of the line, float32 `(S, C)`."""
        size = [tf.shape(points_STD)[0], 1]
        inputs = {
            "token_ids": tf.tile(row["token_ids"][None], size),
            "token_embeddings": points_STD,
        }
        if has_segments(self.stack):
            inputs["segment_ids"] = tf.tile(row["segment_ids"][None], size)
        logits = self.model(inputs, training=False)
        return logits if logits.shape.rank == 2 else tf.gather(logits, place, axis=1)
