"""Questions: where the answer begins and ends."""

import numpy as np
import pytest
from task_toys import bert, rows

from keras_lm import QuestionAnswering


def test_no_answer_stands_in_the_padding():
    task, inputs = QuestionAnswering(bert()), rows(4)
    logits = task(inputs)
    assert set(logits) == {"start", "end"}
    for places in logits.values():
        odds = np.exp(places - np.max(places, -1, keepdims=True))
        assert (odds[~inputs["padding_mask"]] == 0).all()
        assert (odds[inputs["padding_mask"]] > 0).all()


def test_the_loss_is_the_mean_of_both_places():
    task, inputs = QuestionAnswering(bert()), rows(4)
    task.compile()
    logits = task(inputs)
    labels = {"start": np.array([0, 1, 2, 9]), "end": np.array([0, 2, 2, 1])}
    weights = {"start": np.array([1, 1, 2, 0.0]), "end": np.ones(4)}
    means = []
    for side, places in labels.items():
        x = np.asarray(logits[side])
        log = x - np.log(np.exp(x).sum(-1, keepdims=True))
        losses = -log[np.arange(4), np.minimum(places, 6)]
        means.append((losses * weights[side]).sum() / weights[side].sum())
    loss = float(task.compute_loss(inputs, labels, logits, weights))
    assert loss == pytest.approx(np.mean(means), abs=1e-6)
    metrics = task.compute_metrics(inputs, labels, logits, weights)
    assert set(metrics) == {"loss", "start_accuracy", "end_accuracy"}


def test_places_are_learnt():
    random = np.random.default_rng(0)
    inputs = rows(32)
    inputs["token_ids"] = random.integers(3, 20, (32, 7)).astype("int32")
    inputs["padding_mask"][:, :] = True
    start = random.integers(0, 6, 32)
    inputs["token_ids"][np.arange(32), start] = 1
    inputs["token_ids"][np.arange(32), start + 1] = 2
    labels = {"start": start, "end": start + 1}
    task = QuestionAnswering(bert())
    task.compile(learning_rate=1e-2)
    task.fit(inputs, labels, epochs=30, batch_size=32, verbose=0)
    for side, logits in task(inputs).items():
        assert (np.asarray(logits).argmax(-1) == labels[side]).mean() > 0.95


def test_places_that_cannot_be_are_refused_before_the_training():
    task, inputs = QuestionAnswering(bert()), rows(2)
    task.compile()
    good = np.zeros(2, "int32")
    with pytest.raises(ValueError, match="labels from -1 to 0"):
        task.fit(inputs, {"start": good - np.array([0, 1]), "end": good})
    with pytest.raises(ValueError, match=r"label_smoothing=0\.1 for a QuestionAnswering"):
        task.compile(label_smoothing=0.1)
