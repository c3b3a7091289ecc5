"""The two GELUs as training computes them: the gradient is written out, in fewer operations.

Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2. A feed-forward layer's output is the
largest array of a block, and TensorFlow derives fifteen operations that each go over it, forward
and back; here there are ten. Inference keeps `tf.nn.gelu`, which is fused with the product before.
"""

import math
from typing import Any

import tensorflow as tf

Tensor = Any


@tf.custom_gradient
def gelu(x: Tensor) -> Any:
    """Gives `x Phi(x)`, float of any shape."""
    scaled = x * -math.sqrt(0.5)
    share = 0.5 * tf.math.erfc(scaled)  # Phi(x)

    def grad(upstream: Tensor) -> Tensor:
        density = tf.exp(-0.5 * math.log(2 * math.pi) - tf.square(scaled))
        return upstream * (share + x * density)

    return x * share, grad


@tf.custom_gradient
def gelu_tanh(x: Tensor) -> Any:
    """Gives the approximation by a hyperbolic tangent, float of any shape."""
    # (1 + tanh a) / 2 is the logistic function of 2 a.
    slope = 2 * math.sqrt(2 / math.pi)
    square = tf.square(x)
    share = tf.sigmoid(x * (square * (slope * 0.044715) + slope))
    y = x * share

    def grad(upstream: Tensor) -> Tensor:
        inner = square * (3 * slope * 0.044715) + slope
        return upstream * (share + y * (1 - share) * inner)

    return y, grad
