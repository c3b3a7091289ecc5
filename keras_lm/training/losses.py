"""Cross-entropy of tokens, and its mean over the batch of all replicas.

B batch, T positions of a row (P of them where only masked ones are predicted), V classes.
"""

from typing import Any

import tensorflow as tf

Tensor = Any


def token_cross_entropy(
    labels: Tensor, logits: Tensor, weights: Tensor = None, *, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Returns the cross-entropy of each token and the token's weight.

    Args:
        labels: int `(B, T)`, or `(B,)`. Where the weight is 0 it may be any number.
        logits: float `(B, T, V)`, or `(B, V)`.
        weights: float of the labels' shape, or `(B,)` for whole rows; None: every label counts one.
        label_smoothing: e: the label is 1 - e + e / V, every other class e / V (Szegedy et al.
            2016, arXiv:1512.00567, section 7).

    Returns:
        Both float32 of the labels' shape.

    Raises:
        ValueError: the labels' rank is not that of the logits without classes.
    """
    labels, logits = tf.convert_to_tensor(labels), tf.convert_to_tensor(logits)
    if labels.shape.rank != logits.shape.rank - 1:
        raise ValueError(
            "Labels must have the shape of the logits without the last dimension. "
            f"Received: labels {labels.shape}, logits {logits.shape}"
        )
    labels, weight = weighed(labels, weights)
    logits = tf.cast(logits, tf.float32)
    if not label_smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), weight
    logits_NV = tf.reshape(logits, [-1, logits.shape[-1]])
    loss_N = _smoothed(logits_NV, tf.reshape(labels, [-1]), label_smoothing)
    return tf.reshape(loss_N, tf.shape(labels)), weight


def _smoothed(logits: Tensor, labels: Tensor, share: float) -> Tensor:
    """The cost of each label: log Z - (1 - e) x (its logit) - e x (the mean logit).

    The gradient is written out: TensorFlow's own would make and add three arrays of all logits.
    """

    @tf.custom_gradient
    def loss(logits_NV: Tensor) -> Any:
        loss_N, gradient_NV = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
            features=logits_NV, labels=labels
        )
        at_N2 = tf.stack([tf.range(tf.size(labels)), labels], -1)
        loss_N += share * (tf.gather_nd(logits_NV, at_N2) - tf.reduce_mean(logits_NV, -1))

        def grad(upstream_N: Tensor) -> Tensor:
            even_NV = (gradient_NV - share / logits_NV.shape[-1]) * upstream_N[:, None]
            return tf.tensor_scatter_nd_add(even_NV, at_N2, share * upstream_N)

        return loss_N, grad

    return loss(logits)


def yes_no_cross_entropy(
    labels: Tensor, logits: Tensor, weights: Tensor = None
) -> tuple[Tensor, Tensor]:
    """Returns the cross-entropy of answers that are yes (1) or no (0), and each one's weight.

    Args:
        labels: int, bool or float `(B, T)`; between 0 and 1: a probability. Where the weight is 0
            it may be any number.
        logits: float `(B, T)`, of yes.
        weights: float of the labels' shape, or `(B,)` for whole rows; None: every label counts one.

    Returns:
        Both float32 of the labels' shape.

    Raises:
        ValueError: labels and logits differ in shape.
    """
    labels, logits = tf.convert_to_tensor(labels), tf.convert_to_tensor(logits)
    if not labels.shape.is_compatible_with(logits.shape):
        raise ValueError(
            "Labels must have the shape of the logits. "
            f"Received: labels {labels.shape}, logits {logits.shape}"
        )
    labels, weight = weighed(labels, weights, tf.float32)
    loss = tf.nn.sigmoid_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
    return loss, weight


def squared_error(labels: Tensor, outputs: Tensor, weights: Tensor = None) -> tuple[Tensor, Tensor]:
    """Returns the squared difference of each number and its label, and the number's weight.

    Args:
        labels: int or float `(B, C)`. Where the weight is 0 it may be any number.
        outputs: float `(B, C)`.
        weights: float of the labels' shape, or `(B,)` for whole rows; None: every label counts one.

    Returns:
        Both float32 of the labels' shape.

    Raises:
        ValueError: labels and outputs differ in shape.
    """
    labels, outputs = tf.convert_to_tensor(labels), tf.convert_to_tensor(outputs)
    if not labels.shape.is_compatible_with(outputs.shape):
        raise ValueError(
            "Labels must have the shape of the outputs. "
            f"Received: labels {labels.shape}, outputs {outputs.shape}"
        )
    labels, weight = weighed(labels, weights, tf.float32)
    return tf.math.squared_difference(tf.cast(outputs, tf.float32), labels), weight


def weighed(labels: Tensor, weights: Tensor, dtype: Any = tf.int32) -> tuple[Tensor, Tensor]:
    """Returns labels in the dtype that their loss takes, and their weights.

    Args:
        labels: of any number of dimensions.
        weights: float of the labels' shape, or `(B,)` for whole rows; None: 1.
        dtype: int32 for classes, float32 for numbers.

    Returns:
        The labels, 0 where they have no weight, and the weights in float32 of their shape.
    """
    labels = tf.cast(labels, dtype)
    weight = tf.ones_like(labels, tf.float32)
    if weights is not None:
        weights = tf.cast(weights, tf.float32)
        while weights.shape.rank < labels.shape.rank:
            weights = weights[..., None]
        weight = weight * weights
        # Labels of no weight are often -1 or -100, which is no class.
        labels = tf.where(weight > 0, labels, tf.zeros((), dtype))
    return labels, weight


def replica_context() -> Any:
    """Returns the context of a replica that is one of several, else None."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context


def over_replicas(value: Tensor) -> Tensor:
    """Returns the sum of a float tensor over all replicas, for use in none of their gradients."""
    context = replica_context()
    if context is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(value))


def share_of_rows(labels: Any) -> Tensor:
    """Returns how many times an even share of the global batch this replica's rows are: float32.

    Args:
        labels: a structure of tensors whose first dimension is this replica's rows.
    """
    context = replica_context()
    labels = [label for label in tf.nest.flatten(labels) if label is not None]
    if context is None or not labels:
        return tf.ones(())
    rows = tf.cast(tf.shape(labels[0])[0], tf.float32)
    return context.num_replicas_in_sync * tf.math.divide_no_nan(rows, over_replicas(rows))


def same_on_replicas(own: Tensor) -> Tensor:
    """Returns the mean of a loss over the replicas, with the gradient of this replica's own."""
    context = replica_context()
    if context is None:
        return own
    mean = over_replicas(own) / context.num_replicas_in_sync
    return own + tf.stop_gradient(mean - own)


def global_mean(
    sums: list[Tensor], counts: list[Tensor], shares: list[float], extra: Tensor
) -> Tensor:
    """Adds up means over the batch of all replicas, as one replica's part of them.

    Keras sums the gradients of the replicas, and multiplies the loss it shows by their number N.
    So the result's gradient is that of this replica's tokens over the tokens of all, and its value
    is the N-th part of the loss of the global batch, the same on every replica.

    Args:
        sums: weighted sums of this replica, float32 scalars.
        counts: their weights' sums.
        shares: what each mean is multiplied with.
        extra: added once, float32 scalar: the mean over the replicas.

    Returns:
        float32 scalar.
    """
    context = replica_context()
    if context is None:
        means = [
            s * tf.math.divide_no_nan(a, n) for s, a, n in zip(shares, sums, counts, strict=True)
        ]
        return tf.add_n([*means, extra])
    number = context.num_replicas_in_sync
    here = tf.stop_gradient(tf.stack([*sums, *counts, extra]))
    everywhere = context.all_reduce(tf.distribute.ReduceOp.SUM, here)
    own, whole = extra / number, everywhere[-1] / number
    for i, (share, own_sum) in enumerate(zip(shares, sums, strict=True)):
        count = everywhere[len(sums) + i]
        own += share * tf.math.divide_no_nan(own_sum, count)
        whole += share * tf.math.divide_no_nan(everywhere[i], count)
    return own + tf.stop_gradient(whole / number - own)
