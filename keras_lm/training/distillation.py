"""A small model that learns from a large one's answers beside the labels.

B batch, P labels of a row, C classes or tokens of the vocabulary.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.layers.building import build_once
from keras_lm.training.keras_overrides import strategy_of
from keras_lm.training.language_model import LanguageModel
from keras_lm.training.losses import squared_error, weighed, yes_no_cross_entropy

Tensor = Any

_SOFT = "soft"
# Heads of classes or tokens that exclude each other, but for the other problems of a text's.
_HEADS = (
    "masked_lm",
    "causal_lm",
    "seq2seq",
    "text_classification",
    "token_classification",
)


class _Beside:
    """A model that is asked and not trained, in an object that Keras does not look into."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model


class Distillation(LanguageModel):
    """Trains a student on a teacher's probabilities and on the labels.

    The loss is `(1 - soft) * loss of the labels + soft * T^2 * KL(teacher || student)`, both with
    logits divided by the temperature T, a mean over the same labels with the same weights.
    Source: Hinton et al. 2015, arXiv:1503.02531, section 2; for BERT: Sanh et al. 2019,
    arXiv:1910.01108, section 3. Of several labels each one is a choice of two, yes and no. Numbers
    have no temperature: the teacher's part is their squared difference (Ba and Caruana 2014,
    arXiv:1312.6184, section 2.2).

        distillation = keras_lm.training.Distillation(student, teacher)
        distillation.compile()
        distillation.fit(data, epochs=3)   # the student's own data
        keras_lm.save(student, "checkpoints/student")

    Compiled and trained as every model; the student is trained in place and the teacher stays as it
    is. Logs: `loss` of both, the student's own metrics, and `soft_agreement`, how often its
    likeliest class is the teacher's (of several labels, how often it says yes or no as the teacher
    does; of numbers `soft_root_mean_squared_error` in its place). `training.Checkpoints` holds the
    student alone.

    Args:
        student: a model with one head: a masked LM, a causal LM, a `Transformer`, a
            `TextClassifier` or a `TokenClassifier`.
        teacher: a built model with the same head, of the same problem, and the same vocabulary or
            labels.
        temperature: T, above 0; the higher, the more the teacher's smaller probabilities count.
        soft: the share of the teacher's part of the loss, in 0 .. 1.

    Call arguments:
        inputs: what both models read.

    Returns:
        A dict: by the head's name the student's logits or numbers, and `teacher`, the teacher's,
        both float32 `(B, P, C)`, or `(B, C)` of whole texts.

    Raises:
        ValueError: other models than these, or with different classes; the models were made in the
            scopes of different strategies; a number out of range.
    """

    HEADS = (*_HEADS, _SOFT)

    def __init__(
        self,
        student: LanguageModel,
        teacher: LanguageModel,
        *,
        temperature: float = 2.0,
        soft: float = 0.5,
        **kwargs: Any,
    ) -> None:
        _check(student, teacher)
        if not temperature > 0 or not 0 <= soft <= 1:
            raise ValueError(
                "temperature must be above 0 and soft in 0 .. 1. "
                f"Received: temperature={temperature}, soft={soft}"
            )
        (head,) = student.heads
        super().__init__(heads=(head, _SOFT), vocab_size=student.vocab_size, **kwargs)
        if not strategy_of(self) is strategy_of(student) is strategy_of(teacher):
            raise ValueError(
                "Student, teacher and their Distillation must be made in the scope of the same "
                "strategy. Received: one that was made elsewhere"
            )
        self.student, self._beside = student, _Beside(teacher)
        self.head, self.temperature, self.soft = head, temperature, soft
        self.problem = getattr(student, "problem", "single_label")

    # Of this model; of others they belong to the class.
    @property
    def LOSS_WEIGHTS(self) -> dict[str, float]:  # type: ignore[override]  # noqa: N802
        """The shares of both parts."""
        return {self.head: 1 - self.soft, _SOFT: self.soft}

    @property
    def LEARNING_RATE(self) -> float:  # type: ignore[override]  # noqa: N802
        """Peak of the default schedule: the student's."""
        return self.student.LEARNING_RATE

    @property
    def teacher(self) -> LanguageModel:
        """The model that is learnt from."""
        return self._beside.model

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises: what is to be saved is the student."""
        raise ValueError(
            "Save the student: keras_lm.save(student, directory), student.save(file), or "
            "training.Checkpoints for the training itself. Received: save() of a Distillation"
        )

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Configures the training; see `LanguageModel.compile`.

        Raises:
            ValueError: `loss_weights`, `label_smoothing` or `sampled_softmax`, which have no place
                beside a teacher's probabilities; besides what that one says.
        """
        for name in ("loss_weights", "label_smoothing", "sampled_softmax"):
            if kwargs.get(name):
                raise ValueError(
                    "A Distillation takes its weights from soft=..., and the teacher's "
                    f"probabilities as they are. Received: {name}={kwargs[name]!r}"
                )
        super().compile(*args, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        """Makes the student's weights; the teacher has its own."""
        build_once(self.student, None)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Tensor]:
        """Asks both; see the class."""
        return {
            self.head: self.student(inputs, training=training),
            "teacher": tf.stop_gradient(self.teacher(inputs, training=False)),
        }

    def per_head(self, x: Any, y: Any, outputs: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Gives the logits to both parts of the loss, with the labels and with the teacher's."""
        head = self.head
        if self.problem == "regression" and tf.convert_to_tensor(y).shape.rank == 1:
            y = tf.convert_to_tensor(y)[:, None]  # as the outputs have it
        weight = self.student.head_weights(head, x, y, sample_weight)
        _, weight = weighed(tf.convert_to_tensor(y), weight)
        weights = {head: weight, _SOFT: weight}
        if outputs is None:
            return {head: y, _SOFT: y}, None, weights
        logits = outputs[head]
        return {head: y, _SOFT: outputs["teacher"]}, {head: logits, _SOFT: logits}, weights

    def head_loss(
        self, head: str, labels: Tensor, outputs: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the loss of each label and its weight; the soft part's labels are outputs."""
        if head != _SOFT:
            return self.student.head_loss(head, labels, outputs, weights)
        if self.problem == "regression":
            return squared_error(labels, outputs, weights)
        labels, outputs = labels / self.temperature, outputs / self.temperature
        if self.problem == "multi_label":
            chances = tf.sigmoid(labels)
            crossed, _ = yes_no_cross_entropy(chances, outputs)
            divergence = crossed - yes_no_cross_entropy(chances, labels)[0]
        else:
            teacher, student = tf.nn.log_softmax(labels), tf.nn.log_softmax(outputs)
            divergence = tf.reduce_sum(tf.exp(teacher) * (teacher - student), -1)
        # Where nothing counts there may be anything, and 0 times that is not 0.
        divergence = tf.where(weights != 0, divergence, 0.0)
        return self.temperature**2 * divergence, weights

    def head_metrics(self, head: str) -> list[Any]:
        """Returns the student's metrics, and how often it agrees with the teacher."""
        if head == _SOFT and self.problem == "regression":
            return [keras.metrics.RootMeanSquaredError()]
        if head == _SOFT and self.problem == "multi_label":
            return [keras.metrics.MeanMetricWrapper(_same_answers, name="agreement")]
        if head == _SOFT:
            return [keras.metrics.CategoricalAccuracy(name="agreement")]
        return self.student.head_metrics(head)


def _same_answers(teacher: Tensor, student: Tensor) -> Tensor:
    """Of logits of yes `(B, C)`, whether both say the same, float32 `(B, C)`."""
    return tf.cast((teacher > 0) == (student > 0), tf.float32)


def _check(student: Any, teacher: Any) -> None:
    for name, model in (("student", student), ("teacher", teacher)):
        head = model.heads[0] if isinstance(model, LanguageModel) and model.heads else None
        if head not in _HEADS or len(model.heads) > 1:
            raise ValueError(
                f"A {name} has one head of {', '.join(_HEADS)}. Received: a {type(model).__name__}"
                f" with heads={getattr(model, 'heads', ())}"
            )
    for name in ("heads", "problem", "labels", "vocab_size"):
        ours, theirs = getattr(student, name, None), getattr(teacher, name, None)
        if ours != theirs:
            raise ValueError(
                f"Student and teacher must have the same {name}"
                f"{', in the same order' if name == 'labels' else ''}. "
                f"Received: {ours!r:.80} and {theirs!r:.80}"
            )
    if not teacher.built:
        raise ValueError("A teacher has learnt already. Received: a model without weights")
