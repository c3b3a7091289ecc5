"""A small model that learns from a large one's answers beside the labels.

B batch, P labels of a row, S texts of a row, T length, C classes or tokens of the vocabulary, D
width of the student's vectors, F of the teacher's.
"""

import itertools
from typing import Any

import tensorflow as tf

from keras_lm.layers.building import build_once
from keras_lm.training.keras_overrides import strategy_of
from keras_lm.training.language_model import LanguageModel
from keras_lm.training.losses import squared_error, weighed
from keras_lm.training.soft_targets import (
    VECTOR_LOSSES,
    agreement,
    divergence,
    lifted,
    vector_distance,
    widened,
    yes_no_divergence,
)

Tensor = Any

_SOFT, _TEACHER = "soft", "teacher"
_VECTORS = "text_embedding"
# Heads of classes, tokens or places that exclude each other, but for the other problems of a text's
# classes; and vectors.
_HEADS = (
    ("masked_lm",),
    ("causal_lm",),
    ("seq2seq",),
    ("text_classification",),
    ("token_classification",),
    ("start", "end"),
    (_VECTORS,),
)


class _Beside:
    """A model that is asked and not trained, in an object that Keras does not look into."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model


class Distillation(LanguageModel):
    """Trains a student on a teacher's answers and on the labels.

    The loss is `(1 - soft) * loss of the labels + soft * T^2 * KL(teacher || student)`, both with
    logits divided by the temperature T, a mean over the same labels with the same weights.
    Source: Hinton et al. 2015, arXiv:1503.02531, section 2; for BERT: Sanh et al. 2019,
    arXiv:1910.01108, section 3. Of several labels each one is a choice of two, yes and no. Of
    questions where answers begin and where they end are two distributions over the places of a row,
    the mean of whose losses counts, as of the labels.

    Numbers have no temperature: the teacher's part is their squared difference (Ba and Caruana
    2014, arXiv:1312.6184, section 2.2). Of a `TextEmbedder` it is how far each text's vector is
    from the teacher's (Reimers and Gurevych 2020, arXiv:2004.09813, section 2), or from its
    direction where the student's vectors are normalized. Vectors of a wider teacher are compared
    with the student's times a learnt matrix of orthonormal rows, which stays behind: so the
    cosines of the student's own vectors come near the teacher's. A narrower teacher's get zeros
    behind.

        distillation = keras_lm.training.Distillation(student, teacher)
        distillation.compile()
        distillation.fit(data, epochs=3)   # the student's own data
        keras_lm.save(student, "checkpoints/student")

    Compiled and trained as every model; the student is trained in place and the teacher stays as it
    is. Logs: `loss` of both, the student's own metrics, and `soft_agreement`, how often its
    likeliest class is the teacher's (of several labels, how often it says yes or no as the teacher
    does; of questions `soft_start_agreement` and `soft_end_agreement`; of numbers
    `soft_root_mean_squared_error`, of vectors `soft_cosine` in its place). `training.Checkpoints`
    holds the student, and that matrix.

    Args:
        student: a masked LM, a causal LM, a `Transformer`, a `TextClassifier`, a
            `TokenClassifier`, a `QuestionAnswering`, a `TextEmbedder`, a `Translator` or a
            `Summarizer`.
        teacher: a built model with the same head, of the same problem, and the same vocabulary or
            labels. It must be able to read rows as long as the student's data.
        temperature: T, above 0; the higher, the more the teacher's smaller probabilities count.
        soft: the share of the teacher's part of the loss, in 0 .. 1.
        vector_loss: of a `TextEmbedder`: "squared_error", the squared Euclidean distance, or
            "cosine", 1 - cosine.

    Call arguments:
        inputs: what both models read.

    Returns:
        A dict of float32: by the student's heads its outputs, as of the student; and `teacher`, or
        `teacher_start` and `teacher_end`, the teacher's. Of vectors also `soft`, the student's in
        the width of `teacher`.

    Raises:
        ValueError: other models than these, or with different classes or tokens; the models were
            made in the scopes of different strategies; an argument out of range.
    """

    HEADS = (*(head for heads in _HEADS for head in heads), _SOFT, "soft_start", "soft_end")

    def __init__(
        self,
        student: LanguageModel,
        teacher: LanguageModel,
        *,
        temperature: float = 2.0,
        soft: float = 0.5,
        vector_loss: str = "squared_error",
        **kwargs: Any,
    ) -> None:
        _check(student, teacher)
        if not temperature > 0 or not 0 <= soft <= 1:
            raise ValueError(
                "temperature must be above 0 and soft in 0 .. 1. "
                f"Received: temperature={temperature}, soft={soft}"
            )
        if vector_loss not in VECTOR_LOSSES:
            raise ValueError(
                f"vector_loss must be one of {VECTOR_LOSSES}. Received: {vector_loss!r}"
            )
        heads = student.heads
        # By the student's head, what the teacher's part of it is called.
        self.soft_heads = {h: _SOFT if len(heads) == 1 else f"{_SOFT}_{h}" for h in heads}
        super().__init__(
            heads=(*heads, *self.soft_heads.values()), vocab_size=student.vocab_size, **kwargs
        )
        if not strategy_of(self) is strategy_of(student) is strategy_of(teacher):
            raise ValueError(
                "Student, teacher and their Distillation must be made in the scope of the same "
                "strategy. Received: one that was made elsewhere"
            )
        self.student, self._beside = student, _Beside(teacher)
        self.temperature, self.soft, self.vector_loss = temperature, soft, vector_loss
        self.kind = _kind(student)
        self.to_teacher: Any = None

    # Of this model; of others they belong to the class.
    @property
    def LOSS_WEIGHTS(self) -> dict[str, float]:  # type: ignore[override]  # noqa: N802
        """The shares of both parts."""
        own = {head: self.student.LOSS_WEIGHTS.get(head, 1.0) for head in self.soft_heads}
        hard = {head: (1 - self.soft) * share for head, share in own.items()}
        return hard | {self.soft_heads[head]: self.soft * share for head, share in own.items()}

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
        """Makes the student's weights, and the matrix between two widths; the teacher has its."""
        build_once(self.student, None)
        if self.kind == "vectors":
            width, wanted = self.student.hidden_size, self.teacher.hidden_size
            if width < wanted:
                self.to_teacher = self.add_weight(
                    shape=(wanted, width),
                    initializer="orthogonal",
                    dtype="float32",
                    name="to_teacher",
                )
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Tensor]:
        """Asks both; see the class."""
        own = self._by_own_head(self.student(inputs, training=training))
        theirs = self._by_own_head(self.teacher(inputs, training=False))
        theirs = {self._teachers(head): tf.stop_gradient(theirs[head]) for head in theirs}
        if self.kind == "vectors":
            # Here, for metrics are computed when the step has changed the matrix.
            theirs[_TEACHER], own[_SOFT] = self._as_wide(theirs[_TEACHER], own[_VECTORS])
        return {**own, **theirs}

    def per_head(self, x: Any, y: Any, outputs: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Gives the outputs to both parts of the loss, with the labels and with the teacher's."""
        labels = self.student._by_head(y, "labels")
        given = self.student._by_head(sample_weight, "sample weights", optional=True)
        weights, wanted, found = {}, {}, {}
        for head, soft in self.soft_heads.items():
            label = labels[head]
            if self.kind == "numbers" and tf.convert_to_tensor(label).shape.rank == 1:
                label = tf.convert_to_tensor(label)[:, None]  # as the outputs have it
            weight = self.student.head_weights(head, x, label, given.get(head))
            _, weight = weighed(tf.convert_to_tensor(label), weight)
            weights[head] = weights[soft] = weight
            wanted[head] = wanted[soft] = label
            if outputs is not None:
                found[head], found[soft] = outputs[head], outputs.get(soft, outputs[head])
                wanted[soft] = outputs[self._teachers(head)]
        return wanted, found if outputs is not None else None, weights

    def head_loss(
        self, head: str, labels: Tensor, outputs: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the loss of each label and its weight; the soft part's labels are outputs."""
        if head in self.soft_heads:
            return self.student.head_loss(head, labels, outputs, weights)
        if self.kind == "numbers":
            return squared_error(labels, outputs, weights)
        if self.kind == "vectors":
            loss = tf.reduce_mean(vector_distance(labels, outputs, self.vector_loss), -1)
        else:
            apart = yes_no_divergence if self.kind == "yes_no" else divergence
            loss = self.temperature**2 * apart(
                labels / self.temperature, outputs / self.temperature
            )
        # Where nothing counts there may be anything, and 0 times that is not 0.
        return tf.where(weights != 0, loss, 0.0), weights

    def head_metrics(self, head: str) -> list[Any]:
        """Returns the student's metrics, and how often it agrees with the teacher."""
        return (
            self.student.head_metrics(head) if head in self.soft_heads else [agreement(self.kind)]
        )

    def _as_wide(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of both `(B, S, ...)`, of one width."""
        if self.student.normalize:
            teacher = tf.math.l2_normalize(teacher, axis=-1)
        if self.to_teacher is not None:
            return teacher, lifted(student, tf.convert_to_tensor(self.to_teacher))
        return widened(teacher, student.shape[-1]), student

    def _by_own_head(self, outputs: Any) -> dict[str, Tensor]:
        return outputs if isinstance(outputs, dict) else dict.fromkeys(self.soft_heads, outputs)

    def _teachers(self, head: str) -> str:
        """What a head of the teacher is called among the outputs."""
        return self.soft_heads[head].replace(_SOFT, _TEACHER)


def _kind(student: Any) -> str:
    """What the student gives; see `soft_targets.agreement`."""
    if student.heads == (_VECTORS,):
        return "vectors"
    problem = getattr(student, "problem", "")
    return {"multi_label": "yes_no", "regression": "numbers"}.get(problem, "classes")


def _check(student: Any, teacher: Any) -> None:
    for name, model in (("student", student), ("teacher", teacher)):
        if not isinstance(model, LanguageModel) or model.heads not in _HEADS:
            raise ValueError(
                f"A {name} has the heads of one of {', '.join(' and '.join(h) for h in _HEADS)}. "
                f"Received: a {type(model).__name__} with heads={getattr(model, 'heads', ())}"
            )
    for name in ("heads", "problem", "labels", "vocab_size"):
        ours, theirs = getattr(student, name, None), getattr(teacher, name, None)
        if ours != theirs:
            raise ValueError(
                f"Student and teacher must have the same {name}"
                f"{', in the same order' if name == 'labels' else ''}. "
                f"Received: {ours!r:.80} and {theirs!r:.80}"
            )
    read = [model.tokenizer.tokens for model in (student, teacher) if model.tokenizer is not None]
    if len(read) == 2 and read[0] != read[1]:
        place = next(i for i, two in enumerate(itertools.zip_longest(*read)) if two[0] != two[1])
        raise ValueError(
            "Student and teacher read the same ids, so they must have the same tokens. Received: "
            f"tokenizers that differ from id {place} on"
        )
    if not teacher.built:
        raise ValueError("A teacher has learnt already. Received: a model without weights")
