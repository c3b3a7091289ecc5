"""How far a student's outputs are from its teacher's: what a distillation makes small.

B batch, P labels of a row, S texts of a row, C classes, D width.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.training.losses import yes_no_cross_entropy

Tensor = Any

VECTOR_LOSSES = ("squared_error", "cosine")


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student) of logits float `(..., C)` of classes that exclude each other."""
    teacher, student = tf.nn.log_softmax(teacher), tf.nn.log_softmax(student)
    return tf.reduce_sum(tf.exp(teacher) * (teacher - student), -1)


def yes_no_divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student) of logits of yes, float `(B, C)`, each a choice of two."""
    chances = tf.sigmoid(teacher)
    crossed, _ = yes_no_cross_entropy(chances, student)
    return crossed - yes_no_cross_entropy(chances, teacher)[0]


def vector_distance(teacher: Tensor, student: Tensor, kind: str) -> Tensor:
    """How far vectors float `(..., D)` lie apart, `(...)`.

    Args:
        teacher: vectors.
        student: vectors.
        kind: "squared_error": the squared differences, added up over D; of vectors of the length 1
            that is twice 1 - cosine. "cosine": 1 - cosine, whatever their lengths.
    """
    if kind == "squared_error":
        return tf.reduce_sum(tf.math.squared_difference(student, teacher), -1)
    return 1.0 - cosine(teacher, student)


def cosine(teacher: Tensor, student: Tensor) -> Tensor:
    """The cosines of vectors float `(..., D)`, `(...)`."""
    units = [tf.math.l2_normalize(vectors, axis=-1) for vectors in (teacher, student)]
    return tf.reduce_sum(units[0] * units[1], -1)


def lifted(vectors: Tensor, kernel: Tensor) -> Tensor:
    """Vectors float `(..., D)` as vectors of a larger width F, with their lengths and angles.

    The columns of the kernel are made orthonormal (its QR factor), so nothing but directions of
    the larger space is chosen by it: what is like in D is as like in F.

    Args:
        vectors: to be lifted.
        kernel: float `(F, D)`, of full rank.
    """
    columns_FD, _ = tf.linalg.qr(kernel)
    return tf.tensordot(vectors, columns_FD, [[-1], [1]])


def widened(vectors: Tensor, width: int) -> Tensor:
    """Vectors float `(..., D)` with zeros behind, `(..., width)`."""
    paddings = [[0, 0]] * (vectors.shape.rank - 1) + [[0, width - vectors.shape[-1]]]
    return tf.pad(vectors, paddings)


def agreement(kind: str) -> keras.metrics.Metric:
    """The metric that says how near both are.

    Args:
        kind: "classes": how often both have the same likeliest class, of logits; "yes_no": how
            often both say yes or both no; "numbers": the root of the mean squared difference;
            "vectors": the mean cosine.
    """
    if kind == "classes":
        return keras.metrics.CategoricalAccuracy(name="agreement")
    if kind == "numbers":
        return keras.metrics.RootMeanSquaredError()
    if kind == "yes_no":
        return keras.metrics.MeanMetricWrapper(_same_answers, name="agreement")
    return keras.metrics.MeanMetricWrapper(cosine, name="cosine")


def _same_answers(teacher: Tensor, student: Tensor) -> Tensor:
    """Of logits of yes `(B, C)`, whether both say the same, float32 `(B, C)`."""
    return tf.cast((teacher > 0) == (student > 0), tf.float32)
