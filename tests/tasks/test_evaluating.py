"""Labelled files to the figures of the field."""

import numpy as np
import pytest
from task_toys import bert
from text_toys import word_piece

from keras_lm import TextClassifier, evaluate
from keras_lm.tasks.figures import class_figures, label_figures, number_figures

TEXTS = ["good film", "bad", "it is no good", "film", "good", "a bad film", "it . " * 9]
LABELS = ("bad", "good", "none")


@pytest.fixture(scope="module")
def model():
    return bert(tokenizer=word_piece())


def test_a_file_is_answered_and_counted(model, tmp_path):
    task = TextClassifier(model, LABELS)
    found = [LABELS.index(label) for label in task.predict(TEXTS, verbose=0).labels]
    truth = [2, 1, 0, 1, 1, 0, found[6]]
    lines = [f"{text}\t{LABELS[i]}" for text, i in zip(TEXTS, truth, strict=True)]
    (tmp_path / "a.tsv").write_text("\n".join(["review\tlabel", *lines]), "utf-8")
    figures = evaluate(task, tmp_path / "a.tsv", text="review", batch_size=3, verbose=0)
    expected = class_figures(np.array(truth), np.array(found))
    assert figures == {**expected, "rows": 7, "cut": 1}


def test_several_labels_and_numbers_are_counted_too(model):
    truth = np.eye(7, 3)
    rows = [
        {"text": text, "text_pair": "a", "label": values.tolist()}
        for text, values in zip(TEXTS, truth, strict=True)
    ]
    pairs = [(text, "a") for text in TEXTS]
    task = TextClassifier(model, LABELS, problem="regression")
    scores = task.predict(pairs, verbose=0).scores
    expected = number_figures(truth.astype("float32"), scores)
    assert evaluate(task, rows=rows, verbose=0) == {**expected, "rows": 7, "cut": 1}

    task = TextClassifier(model, LABELS, problem="multi_label")
    scores = task.predict(pairs, verbose=0).scores
    rows = [{**row, **dict(zip(LABELS, row["label"], strict=True))} for row in rows]
    expected = label_figures(truth > 0, scores >= 0.5)
    assert evaluate(task, rows=rows, label=LABELS, verbose=0) == {**expected, "rows": 7, "cut": 1}


def test_bad_rows_and_other_models_are_refused(model):
    task = TextClassifier(model, LABELS)
    with pytest.raises(ValueError, match=r"Received: 'x' in column 'label', rows\[0\]"):
        evaluate(task, rows=[{"text": "good", "label": "x"}])
    with pytest.raises(TypeError, match="labels"):
        evaluate(task, rows=[{"text": "good", "label": "bad"}], labels=LABELS)
    with pytest.raises(ValueError, match="Received: a BERT"):
        evaluate(model, rows=[])
