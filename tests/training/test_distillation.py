"""A student gets nearer to its teacher, which stays as it is."""

import numpy as np
import pytest
import tensorflow as tf

import keras_lm
from keras_lm import BERT, GPT, QuestionAnswering, TextClassifier, TextEmbedder
from keras_lm.tokenizers import WordPiece
from keras_lm.training import Distillation

SIZES = {
    "hidden_size": 16,
    "num_layers": 1,
    "num_attention_heads": 2,
    "num_hidden_units": 32,
    "dropout_rate": 0.0,
    "max_length": 16,
    "initializer_range": 0.5,
}


def rows(number=32):
    return np.random.default_rng(0).integers(0, 20, (number, 8)).astype("int32")


def divergence(teacher, student, inputs, temperature=1.0):
    p, q = (tf.nn.log_softmax(model(inputs) / temperature) for model in (teacher, student))
    return float(tf.reduce_mean(tf.reduce_sum(tf.exp(p) * (p - q), -1)))


def causal():
    ids = rows()
    weights = np.ones((32, 7), "float32")
    weights[:, 5:] = 0
    return {"token_ids": ids[:, :-1]}, ids[:, 1:], weights


def masked():
    ids = rows()
    positions = np.tile([1, 3], (32, 1)).astype("int32")
    inputs = {"token_ids": ids, "masked_positions": positions}
    return inputs, np.take_along_axis(ids, positions, 1), np.ones((32, 2), "float32")


def classes():
    ids = rows()
    return {"token_ids": ids}, ids[:, 0] % 3, None


def classifier(layers=1):
    model = BERT(20, **{**SIZES, "num_layers": layers}, heads=())
    return TextClassifier(model, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (lambda layers=1: GPT(20, **{**SIZES, "num_layers": layers}), causal),
        pytest.param(
            lambda layers=1: BERT(20, **{**SIZES, "num_layers": layers}),
            masked,
            marks=pytest.mark.slow,
        ),
        pytest.param(classifier, classes, marks=pytest.mark.slow),
    ],
)
def test_a_student_gets_nearer_to_its_teacher(make, data):
    teacher, student = make(2), make()
    teacher.build()
    before = [weight.numpy() for weight in teacher.weights]
    inputs, labels, weights = data()
    model = Distillation(student, teacher, temperature=3.0, soft=0.75)
    model.compile(learning_rate=0.02)
    first = divergence(teacher, student, inputs)
    history = model.fit(inputs, labels, sample_weight=weights, epochs=20, verbose=0).history
    assert divergence(teacher, student, inputs) < 0.5 * first
    assert history["soft_agreement"][-1] > history["soft_agreement"][0]
    assert len(model.trainable_weights) == len(student.trainable_weights)
    for weight, value in zip(teacher.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_the_loss_is_hintons():
    teacher, student = GPT(20, **SIZES), GPT(20, **SIZES)
    teacher.build()
    inputs, labels, weights = causal()
    model = Distillation(student, teacher, temperature=2.0, soft=0.25)
    model.compile()
    options = {"sample_weight": weights, "verbose": 0, "return_dict": True}
    loss = model.evaluate(inputs, labels, **options)["loss"]
    logits, of_teacher = student(inputs)[:, :5], teacher(inputs)[:, :5]
    hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels[:, :5], logits)
    p, q = tf.nn.log_softmax(of_teacher / 2), tf.nn.log_softmax(logits / 2)
    soft = 4 * tf.reduce_sum(tf.exp(p) * (p - q), -1)
    expected = 0.75 * tf.reduce_mean(hard) + 0.25 * tf.reduce_mean(soft)
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_each_of_several_labels_is_a_choice_of_two_and_numbers_are_squared():
    inputs = {"token_ids": rows(12)}
    rate = np.random.default_rng(1).random((12, 2)).astype("float32")
    weights = np.ones(12, "float32")
    weights[8:] = 0  # There a label may be any number.
    labels = np.where(weights[:, None] > 0, rate, np.nan)
    teacher, student = (BERT(20, **SIZES, heads=()) for _ in "ts")
    options = {"sample_weight": weights, "verbose": 0, "return_dict": True}
    for problem in ("multi_label", "regression"):
        large, small = (TextClassifier(m, ["a", "b"], problem=problem) for m in (teacher, student))
        large.build()
        model = Distillation(small, large, temperature=2.0, soft=0.25)
        model.compile(learning_rate=0.02, run_eagerly=True)
        found = model.evaluate(inputs, labels, **options)
        ours, theirs = (m(inputs)[:8] for m in (small, large))
        if problem == "regression":
            hard, soft = (ours - rate[:8]) ** 2, (ours - theirs) ** 2
            name, expected = "soft_root_mean_squared_error", tf.sqrt(tf.reduce_mean(soft))
        else:
            hard = tf.nn.sigmoid_cross_entropy_with_logits(rate[:8], ours)
            two = [tf.stack([z / 2, tf.zeros_like(z)], -1) for z in (theirs, ours)]
            p, q = map(tf.nn.log_softmax, two)
            soft = 4 * tf.reduce_sum(tf.exp(p) * (p - q), -1)
            name, expected = "soft_agreement", np.mean((ours > 0) == (theirs > 0))
        loss = 0.75 * tf.reduce_mean(hard) + 0.25 * tf.reduce_mean(soft)
        assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
        assert found[name] == pytest.approx(float(expected), rel=1e-5)
        if problem == "regression":
            history = model.fit(inputs, labels, sample_weight=weights, epochs=8, verbose=0).history
            assert history[name][-1] < 0.7 * history[name][0]


def test_of_questions_both_places_are_distributions_over_the_row():
    teacher, student = (QuestionAnswering(BERT(20, **SIZES, heads=())) for _ in "ts")
    teacher.build()
    inputs = {"token_ids": rows(12), "padding_mask": np.arange(8) < np.arange(1, 13)[:, None]}
    labels = {head: np.zeros(12, "int32") for head in ("start", "end")}
    weights = {"start": np.ones(12, "float32"), "end": (np.arange(12) < 9).astype("float32")}
    model = Distillation(student, teacher, temperature=2.0, soft=0.25)
    model.compile(learning_rate=0.02, run_eagerly=True)
    options = {"sample_weight": weights, "verbose": 0}
    found = model.evaluate(inputs, labels, **options, return_dict=True)
    loss, ours, theirs = 0.0, student(inputs), teacher(inputs)
    for head, weight in weights.items():
        hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels[head], ours[head])
        p, q = (tf.nn.log_softmax(logits[head] / 2) for logits in (theirs, ours))
        soft = 4 * tf.reduce_sum(tf.exp(p) * (p - q), -1)
        loss += 0.5 * np.average(0.75 * hard + 0.25 * soft, weights=weight)
        same = tf.argmax(ours[head], -1) == tf.argmax(theirs[head], -1)
        expected = np.average(same, weights=weight)
        assert found[f"soft_{head}_agreement"] == pytest.approx(expected, rel=1e-5)
    assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
    history = model.fit(inputs, labels, **options, epochs=6).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]


@pytest.mark.parametrize(
    ("width", "vector_loss"),
    [(24, "squared_error"), pytest.param(8, "cosine", marks=pytest.mark.slow)],
)
def test_vectors_come_near_those_of_a_teacher_of_another_width(width, vector_loss):
    def embedder(**sizes):
        return TextEmbedder(BERT(20, **{**SIZES, **sizes}, heads=()))

    teacher, student = embedder(hidden_size=width), embedder()
    teacher.build()
    ids = rows(24).reshape(12, 2, 8)
    labels, weights = np.arange(12, dtype="int32"), np.ones(12, "float32")
    weights[9:] = 0
    model = Distillation(student, teacher, soft=0.75, vector_loss=vector_loss)
    model.compile(learning_rate=0.02, run_eagerly=True)
    model.build()
    options = {"sample_weight": weights, "verbose": 0}
    found = model.evaluate({"token_ids": ids}, labels, **options, return_dict=True)
    ours, theirs = (m(ids).numpy() for m in (student, teacher))
    if width > 16:
        columns, _ = np.linalg.qr(model.to_teacher.numpy())
        ours = ours @ columns.T
        # What is compared has the cosines of the student's own vectors.
        own = student(ids).numpy()
        np.testing.assert_allclose(ours[0] @ ours[1].T, own[0] @ own[1].T, atol=1e-5)
    theirs = np.pad(theirs, [(0, 0), (0, 0), (0, max(16 - width, 0))])
    cosines = np.sum(ours * theirs, -1)
    apart = np.mean(2 - 2 * cosines[:9] if vector_loss == "squared_error" else 1 - cosines[:9])
    assert found["soft_cosine"] == pytest.approx(np.mean(cosines[:9]), abs=1e-5)
    hard, _ = student.head_loss("text_embedding", labels, tf.constant(student(ids)), weights)
    assert found["loss"] == pytest.approx(0.25 * np.mean(hard[:9]) + 0.75 * apart, rel=1e-4)
    history = model.fit({"token_ids": ids}, labels, **options, epochs=12).history
    assert history["soft_cosine"][-1] > found["soft_cosine"] + 0.2


def test_what_cannot_be_raises():
    teacher = classifier()
    student = classifier()
    with pytest.raises(ValueError, match="A teacher has learnt already"):
        Distillation(student, teacher)
    teacher.build()
    other = TextClassifier(BERT(20, **SIZES, heads=()), ["b", "a", "c"])
    with pytest.raises(ValueError, match="same labels, in the same order"):
        Distillation(other, teacher)
    with pytest.raises(ValueError, match="A student has the heads of one of masked_lm"):
        Distillation(BERT(20, **SIZES, heads=()), teacher)
    numbers = TextClassifier(BERT(20, **SIZES, heads=()), 3, problem="regression")
    with pytest.raises(ValueError, match=r"the same problem.* 'regression' and 'single"):
        Distillation(numbers, teacher)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        Distillation(student, teacher, temperature=0)
    with pytest.raises(ValueError, match="vector_loss must be one of"):
        Distillation(student, teacher, vector_loss="dot")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    teacher.tokenizer, student.tokenizer = (WordPiece([*special, *"ab", x]) for x in "cd")
    with pytest.raises(ValueError, match="that differ from id 7 on"):
        Distillation(student, teacher)
    student.tokenizer = teacher.tokenizer
    model = keras_lm.training.Distillation(student, teacher)
    with pytest.raises(ValueError, match=r"Received: label_smoothing=0\.1"):
        model.compile(label_smoothing=0.1)
    with pytest.raises(ValueError, match="Save the student"):
        model.save("student.keras")
