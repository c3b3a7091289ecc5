"""Integrated gradients: by how much each number of an input moved an output.

Source: Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks",
arXiv:1703.01365, section 3. Knows no model and no text.

S points of the path.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

Tensor = Any


class Integral(NamedTuple):
    """What the path says.

    Attributes:
        attributions: shaped as the input: the difference from the baseline, times the mean of the
            gradient on the way there.
        output: of the input, a float.
        baseline_output: of the baseline, a float.
    """

    attributions: Any
    output: float
    baseline_output: float


def gradients_along(
    function: Callable[[Tensor], Tensor], baseline: Tensor, inputs: Tensor, at: Tensor, by: Tensor
) -> tuple[Tensor, Tensor]:
    """Adds up gradients at points of the straight line from the baseline to the input.

    Args:
        function: points, each shaped as the input, to one number each, `(S,)`.
        baseline: float, shaped as the input.
        inputs: float.
        at: float `(S,)`, where the points are: 0 the baseline, 1 the input.
        by: float `(S,)`, the weights of the gradients.

    Returns:
        The weighted sum times the difference, shaped as the input; the outputs, `(S,)`.
    """
    ones = [1] * len(inputs.shape)
    difference = inputs - baseline
    points = baseline + tf.reshape(at, [-1, *ones]) * difference
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(points)
        outputs_S = function(points)
    # Each output knows its own point alone, so the gradient of the sum is that of each.
    gradients = tf.convert_to_tensor(tape.gradient(outputs_S, points))
    total = tf.reduce_sum(tf.reshape(by, [-1, *ones]) * gradients, axis=0)
    return total * difference, outputs_S


def integrate(
    along: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], steps: int, batch_size: int
) -> Integral:
    """Integrates the gradient from the baseline to the input.

    By Gauss and Legendre, which is exact where the output is a polynomial of degree 2 x `steps` at
    most along the line; the sum of equation 3 comes as near with many times the points.

    Args:
        along: points and weights, each float32 `(S,)`, to what `gradients_along` gives of them.
        steps: number of gradients.
        batch_size: S at most.
    """
    place, weight = np.polynomial.legendre.leggauss(steps)
    # Both ends for their outputs alone.
    at = np.concatenate([[0.0, 1.0], (place + 1) / 2]).astype("float32")
    by = np.concatenate([[0.0, 0.0], weight / 2]).astype("float32")
    total: Any = 0.0
    outputs = []
    for begin in range(0, len(at), batch_size):
        part = slice(begin, begin + batch_size)
        moved, outputs_S = along(tf.constant(at[part]), tf.constant(by[part]))
        total = total + moved.numpy().astype("float64")
        outputs.append(outputs_S.numpy())
    baseline_output, output = np.concatenate(outputs)[:2].tolist()
    return Integral(total, output, baseline_output)
