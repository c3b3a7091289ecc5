"""Texts: one class, several, or numbers."""

import keras
import numpy as np
import pytest
from task_toys import bert, gpt, rows

from keras_lm import TextClassifier


def test_labels_are_names_in_order_or_a_number():
    assert TextClassifier(bert(), ["b", "a"]).labels == ("b", "a")
    assert TextClassifier(bert(), 3).labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert TextClassifier(bert(), 1, problem="regression").labels == ("LABEL_0",)


@pytest.mark.parametrize("labels", [["a"], 1, 0, ["a", "a"], ["a", ""], ["a", 1], "ab", True, None])
def test_labels_that_name_no_classes_are_refused(labels):
    with pytest.raises(ValueError, match="at least 2 different names"):
        TextClassifier(bert(), labels)


def test_an_unknown_problem_is_refused():
    with pytest.raises(ValueError, match="Received: problem='ranking'"):
        TextClassifier(bert(), 2, problem="ranking")


def test_gpt_reads_the_last_token_that_is_no_padding():
    task, inputs = TextClassifier(gpt(), 2), rows(4)
    del inputs["segment_ids"]
    everywhere = task.classifier(task.decoder(inputs))
    last = inputs["padding_mask"].sum(1) - 1
    np.testing.assert_allclose(task(inputs), everywhere.numpy()[np.arange(4), last], atol=1e-6)
    # Padding on the left is no matter.
    mask = inputs["padding_mask"][:, ::-1]
    np.testing.assert_allclose(
        task({**inputs, "padding_mask": mask}),
        task.classifier(task.decoder({**inputs, "padding_mask": mask})[:, -1]),
        atol=1e-6,
    )


def test_a_text_of_one_class_is_learnt():
    inputs = rows(32)
    labels = (inputs["token_ids"][:, 1] % 3).astype("int32")
    task = TextClassifier(bert(), ["x", "y", "z"])
    task.compile(learning_rate=1e-2)
    task.fit(inputs, labels, epochs=40, batch_size=32, verbose=0)
    assert (task(inputs).numpy().argmax(-1) == labels).mean() > 0.95


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def evaluated(task, inputs, labels, weights=None):
    """Loss and metrics without tracing a graph for them."""
    task.compile()
    outputs = task(inputs)
    loss = task.compute_loss(inputs, labels, outputs, weights)
    metrics = task.compute_metrics(inputs, labels, outputs, weights)
    return (
        np.asarray(outputs),
        float(loss),
        {k: float(v) for k, v in metrics.items() if k != "loss"},
    )


def test_losses_of_one_class_are_weighted():
    inputs, labels = rows(4), np.array([0, 2, 1, -7])
    weights = np.array([1, 3, 0.5, 0], "float32")
    outputs, loss, metrics = evaluated(TextClassifier(bert(), 3), inputs, labels, weights)
    log = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    losses = -log[np.arange(4), np.maximum(labels, 0)]
    assert loss == pytest.approx((losses * weights).sum() / weights.sum(), abs=1e-6)
    right = outputs.argmax(-1) == labels
    assert metrics == {"accuracy": pytest.approx((right * weights).sum() / weights.sum())}


def test_losses_of_many_labels_are_means_over_texts_and_classes():
    random = np.random.default_rng(0)
    inputs = rows(4)
    task = TextClassifier(bert(), 3, problem="multi_label")
    soft = random.random((4, 3)).astype("float32")
    for labels, weights in (
        (random.integers(0, 2, (4, 3)), None),
        (soft, np.array([1, 2, 0, 1], "float32")),
        (soft.round(), random.random((4, 3)).astype("float32")),
    ):
        outputs, loss, metrics = evaluated(task, inputs, labels, weights)
        p = sigmoid(outputs)
        losses = -labels * np.log(p) - (1 - labels) * np.log(1 - p)
        w = np.ones((4, 3)) if weights is None else weights.reshape(4, -1) * np.ones((4, 3))
        assert loss == pytest.approx((losses * w).sum() / w.sum(), abs=1e-6)
        right = (outputs > 0) == labels
        if labels is not soft:
            assert metrics == {"accuracy": pytest.approx((right * w).sum() / w.sum(), abs=1e-6)}


def test_regression_is_of_one_number_or_of_several():
    random = np.random.default_rng(0)
    for number, labels in ((1, random.random(4)), (1, random.random((4, 1))), (2, np.eye(4, 2))):
        task = TextClassifier(bert(), number, problem="regression")
        outputs, loss, metrics = evaluated(task, rows(4), labels)
        error = ((outputs - labels.reshape(4, -1)) ** 2).mean()
        assert loss == pytest.approx(error, abs=1e-6)
        assert metrics == {"root_mean_squared_error": pytest.approx(error**0.5, abs=1e-6)}


def test_labels_of_another_shape_are_refused():
    task = TextClassifier(bert(), 3, problem="regression")
    with pytest.raises(ValueError, match=r"Received: labels \(4, 2\), outputs \(4, 3\)"):
        evaluated(task, rows(4), np.ones((4, 2)))


@pytest.mark.parametrize(
    ("problem", "labels", "message"),
    [
        ("single_label", np.array([0, 3]), "in 0 .. 2.*labels from 0 to 3"),
        ("single_label", np.array([0, -1]), "labels from -1 to 0"),
        ("single_label", np.array([0.0, 1.0]), "whole numbers in 0 .. 2.*float64"),
        ("single_label", np.array(["x", "y"]), "whole numbers"),
        ("multi_label", np.array([[0, 1, 2], [0, 0, 0]]), "labels from 0 to 2"),
        ("regression", np.array([[0, np.nan, 1]]), "finite numbers"),
    ],
)
def test_labels_that_cannot_be_are_refused_before_the_training(problem, labels, message):
    task = TextClassifier(bert(), 3, problem=problem)
    task.compile()
    inputs = rows(len(labels))
    with pytest.raises(ValueError, match=message):
        task.fit(inputs, labels)
    with pytest.raises(ValueError, match=message):
        task.evaluate(inputs, labels)
    good = np.zeros((len(labels), 3), "int32")[:, 0 if problem == "single_label" else slice(3)]
    with pytest.raises(ValueError, match=message):
        task.fit(inputs, good, validation_data=(inputs, labels))


def test_smoothing_is_for_one_class():
    task = TextClassifier(bert(), 3, problem="multi_label")
    with pytest.raises(ValueError, match=r"Received: label_smoothing=0\.1 for a TextClassifier"):
        task.compile(label_smoothing=0.1)
    task = TextClassifier(bert(), 3)
    losses = []
    for smoothing in (0.0, 0.1):
        task.compile(label_smoothing=smoothing)
        inputs, labels = rows(4), np.array([0, 1, 2, 0])
        losses.append(float(task.compute_loss(inputs, labels, task(inputs))))
    assert losses[0] != losses[1]


def test_a_problem_and_labels_are_in_the_config():
    task = TextClassifier(gpt(), ["a", "b"], problem="multi_label")
    again = TextClassifier.from_config(task.get_config())
    assert (again.problem, again.labels) == ("multi_label", ("a", "b"))
    assert keras.saving.get_registered_name(TextClassifier) == "keras_lm>TextClassifier"
