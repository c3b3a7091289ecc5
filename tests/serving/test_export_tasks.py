"""Exports of tasks answer as `predict` does, in a process that never imported keras_lm."""

import numpy as np
import pytest
import tensorflow as tf
from ask_in_a_process import LONG, PAIR_ROWS, PAIRS, ROWS, TEXTS

from keras_lm import TextClassifier, export
from keras_lm.models.limits import CUT


def test_texts_are_classified_as_in_python(answers, classifier):
    answer = answers["classifier", "serving_default"]
    found = classifier.predict([*TEXTS, LONG], verbose=0)
    assert answer["label"] == found.labels
    np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-6)
    assert answer["status"] == [0] * len(TEXTS) + [CUT]
    assert answer.keys() == {"label", "scores", "status"}


def test_pairs_are_classified_as_in_python(answers, pair_classifier):
    answer = answers["pair_classifier", "serving_default"]
    found = pair_classifier.predict(list(zip(*PAIRS.values(), strict=True)), verbose=0)
    np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-6)
    most = max(answer["count"])
    for row, labels in enumerate(found.labels):
        assert answer["count"][row] == len(labels)
        assert answer["labels"][row] == [*labels, *[""] * (most - len(labels))]
    assert answer["status"] == [CUT if cut else 0 for cut in found.cut]


def test_rows_of_ids_are_classified(answers, classifier, pair_classifier):
    answer = answers["classifier", "classify_ids"]
    for row, (ids, length) in enumerate(zip(*ROWS.values(), strict=True)):
        logits = classifier(np.array([ids[:length]]))
        np.testing.assert_allclose(answer["scores"][row], tf.nn.softmax(logits)[0], atol=1e-6)
    answer = answers["pair_classifier", "classify_ids"]
    segments = [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1]]
    for row, (ids, length) in enumerate(zip(*PAIR_ROWS.values(), strict=True)):
        inputs = {"token_ids": [ids[:length]], "segment_ids": [segments[row]]}
        logits = pair_classifier({name: np.array(values) for name, values in inputs.items()})
        np.testing.assert_allclose(answer["scores"][row], tf.sigmoid(logits)[0], atol=1e-6)


def test_a_regression_answers_numbers(bert, tmp_path):
    model = TextClassifier(bert, ["stars", "price"], problem="regression")
    model.build()
    loaded = tf.saved_model.load(str(export(model, tmp_path / "m")))
    answer = loaded.signatures["serving_default"](text=tf.constant(TEXTS))
    assert answer.keys() == {"scores", "status"}
    np.testing.assert_allclose(answer["scores"], model.predict(TEXTS, verbose=0).scores, atol=1e-5)


def test_nothing_that_is_asked_makes_a_request_fail(loaded):
    for name in ("classifier", "pair_classifier"):
        signatures = loaded[name].signatures
        texts = {"text": ["x " * 10**6, b"\xff\xfe", ""]}
        if name == "pair_classifier":
            texts["text_pair"] = ["y", "x " * 10**6, ""]
        for count in (3, 0):
            request = {key: tf.constant(value[:count], tf.string) for key, value in texts.items()}
            answer = signatures["serving_default"](**request)
            assert answer["scores"].shape[0] == count
            assert np.isfinite(answer["scores"]).all()
        ids = tf.constant([[10**6, -5, 3], [0, 0, 0]])
        answer = signatures["classify_ids"](token_ids=ids, lengths=tf.constant([99, -1]))
        assert answer["status"].numpy().tolist() == [CUT, 0]
        assert np.isfinite(answer["scores"]).all()


def test_pairs_are_for_classifiers_of_texts(gpt, tmp_path):
    with pytest.raises(ValueError, match="pairs=True, a GPT"):
        export(gpt, tmp_path / "m", pairs=True)
