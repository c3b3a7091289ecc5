"""Pairs of texts that differ in one respect: how often and by how much answers change."""

import numpy as np
import pytest
from task_toys import bert
from text_toys import word_piece

from keras_lm import TextClassifier, counterfactual
from keras_lm.tasks.figures import wilson_interval

LABELS = ("bad", "good", "none")
TEXTS = ["good film", "it is no good", "a film", "it . " * 9]
OTHERS = ["bad film", "it is no bad", "a film", "it . " * 9]
ROWS = [
    {"text": a, "text_pair": b, "group": group}
    for a, b, group in zip(TEXTS, OTHERS, ["x", "y", "x", "y"], strict=True)
]


@pytest.fixture(scope="module")
def model():
    return bert(tokenizer=word_piece())


def test_changes_are_those_of_predict_over_all_and_by_group(model, tmp_path):
    task = TextClassifier(model, LABELS)
    # A head that looks: what a new one answers hardly depends on the text.
    task.build()
    task.classifier.kernel.assign(task.classifier.kernel * 50)
    first, second = task.predict(TEXTS, verbose=0), task.predict(OTHERS, verbose=0)
    differs = np.array([a != b for a, b in zip(first.labels, second.labels, strict=True)])
    change = second.scores - first.scores
    lines = [",".join(row.values()) for row in ROWS]
    (tmp_path / "a.csv").write_text("\n".join(["text,other,group", *lines]), "utf-8")
    found = counterfactual(task, tmp_path / "a.csv", text_pair="other", verbose=0)
    groups = found.pop("groups")
    for figures, here in ((found, [0, 1, 2, 3]), (groups["x"], [0, 2]), (groups["y"], [1, 3])):
        low, high = wilson_interval(int(differs[here].sum()), len(here))
        assert figures == {
            "pairs": len(here),
            "changed": differs[here].sum(),
            "rate": differs[here].mean(),
            "rate_low": low,
            "rate_high": high,
            "mean_absolute_change": pytest.approx(np.abs(change[here]).mean(), abs=1e-6),
            "mean_change": pytest.approx(
                dict(zip(LABELS, change[here].mean(axis=0), strict=True)), abs=1e-6
            ),
            "cut": int(3 in here),
        }
    assert found["mean_absolute_change"] > 0


def test_several_labels_change_as_a_set_and_numbers_have_no_rate(model):
    task = TextClassifier(model, LABELS, problem="multi_label")
    task.build()
    task.classifier.kernel.assign(task.classifier.kernel * 50)
    first, second = task.predict(TEXTS, verbose=0), task.predict(OTHERS, verbose=0)
    differs = [set(a) != set(b) for a, b in zip(first.labels, second.labels, strict=True)]
    assert counterfactual(task, rows=ROWS, verbose=0)["changed"] == sum(differs)
    task = TextClassifier(model, ["stars"], problem="regression")
    found = counterfactual(task, rows=ROWS[:1], group="none", verbose=0)
    assert set(found) == {"pairs", "mean_absolute_change", "mean_change", "cut"}


def test_what_cannot_be_compared_is_refused(model):
    task = TextClassifier(model, LABELS)
    with pytest.raises(ValueError, match="Received: a BERT"):
        counterfactual(model, rows=ROWS)
    with pytest.raises(ValueError, match=r"column 'text_pair', rows\[1\]"):
        counterfactual(task, rows=[ROWS[0], {**ROWS[1], "text_pair": " "}])
    with pytest.raises(ValueError, match=r"none must have a group.*rows\[1\]"):
        counterfactual(task, rows=[ROWS[0], {**ROWS[1], "group": ""}])
    with pytest.raises(ValueError, match="Received: none"):
        counterfactual(task, rows=[])
