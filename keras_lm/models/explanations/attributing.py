"""What all attributions have in common: what was asked for, the line, and what is told of it.

Source: Sundararajan, Taly and Yan 2017, arXiv:1703.01365, sections 3 and 4. The line goes from the
embeddings of a text of which every token is replaced, special tokens that were added apart, to
those of the text; positions and segments are the text's at both ends. Knows no head: what a number
is explained, the callers say.

S points of the line, T length, D width of the token table, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np
import tensorflow as tf

from keras_lm.models.explanations.attribution import Attribution
from keras_lm.models.explanations.integrated_gradients import gradients_along, integrate
from keras_lm.models.explanations.text_tokens import TokenRow
from keras_lm.models.given_texts import as_texts

Tensor = Any

BASELINES = ("pad", "mask", "unk", "zeros")
BATCH_SIZE = 32
_ZEROS = -1  # in the place of an id


class How(NamedTuple):
    """How answers are to be explained.

    Attributes:
        measure: what is told of the target: `"probability"` and the like.
        replaced: the id that stands in the place of each token at the baseline; -1: zeros.
        steps: gradients of each text.
        batch_size: points of the line at once.
    """

    measure: str
    replaced: int
    steps: int
    batch_size: int

    @property
    def is_probability(self) -> Tensor:
        """Whether the probability is asked for, bool scalar."""
        return tf.constant(self.measure == "probability")


class HowOptions(TypedDict, total=False):
    """How answers are to be explained, as a user says it.

    Attributes:
        steps: a positive number.
        baseline: of `BASELINES`. None: "pad", or "zeros" where there is no padding.
        output: one of what the model can be asked for.
        batch_size: a positive number. None: 32.
    """

    steps: int
    baseline: str | None
    output: str
    batch_size: int | None


def how_asked(tokenizer: Any, outputs: Sequence[str], **options: Unpack[HowOptions]) -> How:
    """Checks how answers are to be explained.

    Args:
        tokenizer: of the model.
        outputs: what it can be asked for; the first one is meant where nothing is said.
        **options: see `HowOptions`.

    Raises:
        ValueError: one of them is something else.
    """
    steps, batch_size = options["steps"], options["batch_size"]
    output = options.get("output", outputs[0])
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a positive number. Received: {name}={value!r}")
    if output not in outputs:
        raise ValueError(f"output must be of {', '.join(outputs)}. Received: output={output!r}")
    size = BATCH_SIZE if batch_size is None else batch_size
    return How(output, _baseline_id(tokenizer, options["baseline"]), steps, size)


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


def texts_to_explain(texts: Any, method: str = "attributions()") -> tuple[list[list[Any]], bool]:
    """Reads texts or pairs; see `as_texts`.

    Args:
        texts: see there.
        method: what was called.

    Raises:
        ValueError: it is something else.
    """
    read = as_texts(texts)
    if read is None:
        raise ValueError(f"{method} takes texts. Received: {texts!r:.80}")
    return read


def single_texts(what: str, texts: Any, method: str = "attributions()") -> tuple[list[Any], bool]:
    """Reads texts that are no pairs.

    Args:
        what: the argument's name.
        texts: see `as_texts`.
        method: what was called.

    Raises:
        ValueError: they are something else.
    """
    columns, single = texts_to_explain(texts, method)
    if len(columns) > 1:
        raise ValueError(
            f"{what} must be single texts, in a list where there are several. "
            f"Received: pairs, {columns[0][0]!r:.80}"
        )
    return columns[0], single


def each(name: str, values: Any, number: int, single: bool) -> list[Any]:
    """Gives a value for each of so many texts; a string and None are for all of them.

    Raises:
        ValueError: there are more or less.
    """
    if single or values is None or isinstance(values, str | bytes):
        return [values] * number
    is_list = isinstance(values, Sequence) or getattr(values, "ndim", 0) > 0
    if not is_list or len(values) != number:
        raise ValueError(
            f"{name} must be one for each of the {number} texts. Received: {name}={values!r:.80}"
        )
    return list(values)


def moved_along(
    table: Tensor,
    token_ids: Tensor,
    baseline_ids: Tensor,
    outputs: Callable[[Tensor], Tensor],
    at: Tensor,
    by: Tensor,
) -> tuple[Tensor, Tensor]:
    """Adds up gradients at points of the line, token by token; in the graph.

    Args:
        table: float `(V, D)`, the token table.
        token_ids: int32 `(T,)`, the text.
        baseline_ids: int32 `(T,)`; where below 0 the embedding is 0.
        outputs: embeddings of the text, float `(S, T, D)`, to the numbers that are explained,
            float32 `(S,)`.
        at: float32 `(S,)`, see `gradients_along`.
        by: float32 `(S,)`.

    Returns:
        float `(T,)` and float32 `(S,)`.
    """
    kept_T1 = tf.cast(baseline_ids != _ZEROS, table.dtype)[:, None]
    start_TD = tf.gather(table, tf.maximum(baseline_ids, 0)) * kept_T1
    end_TD = tf.gather(table, token_ids)
    at, by = tf.cast(at, table.dtype), tf.cast(by, table.dtype)
    moved_TD, outputs_S = gradients_along(outputs, start_TD, end_TD, at, by)
    return tf.reduce_sum(moved_TD, axis=1), outputs_S


def for_each(values: Tensor, points: Tensor) -> Tensor:
    """Repeats values of one row for each of the points: `(T,)` to `(S, T)`."""
    return tf.tile(values[None], [tf.shape(points)[0], 1])


def explained(
    row: TokenRow,
    target: str,
    how: How,
    along: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
) -> Attribution:
    """Integrates along the line.

    Args:
        row: the text.
        target: what is explained, by name.
        how: see `How`.
        along: the baseline's ids, int32 `(T,)`, and what `moved_along` takes last, to what it
            returns.
    """
    added_T = np.array([token.part < 0 for token in row.tokens])
    baseline_T = tf.constant(np.where(added_T, row.token_ids, how.replaced).astype("int32"))
    found = integrate(lambda at, by: along(baseline_T, at, by), how.steps, how.batch_size)
    difference = found.output - found.baseline_output
    return Attribution(
        row.texts,
        row.tokens,
        found.attributions.astype("float32"),
        target,
        found.output,
        found.baseline_output,
        float(found.attributions.sum() - difference),
        row.cut,
        how.measure,
    )
