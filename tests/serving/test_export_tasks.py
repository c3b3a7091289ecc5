"""Exports of tasks answer as `predict` does, in a process that never imported keras_lm."""

import numpy as np
import pytest
import tensorflow as tf
from ask_in_a_process import LONG, PAIR_ROWS, PAIRS, ROWS, TASK_REQUESTS, TEXTS
from operation_audit import assert_core_operations

from keras_lm import TextClassifier, export
from keras_lm.models.limits import CUT

HOSTILE_IDS = tf.constant([[10**6, -5, 3], [0, 0, 0]])
HOSTILE_LENGTHS = tf.constant([99, -1])


def test_texts_are_classified_as_in_python(task_answers, classifier):
    answer = task_answers["classifier", "serving_default"]
    found = classifier.predict([*TEXTS, LONG], verbose=0)
    assert answer["label"] == found.labels
    np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-6)
    assert answer["status"] == [0] * len(TEXTS) + [CUT]
    assert answer.keys() == {"label", "scores", "status"}


def test_pairs_are_classified_as_in_python(task_answers, pair_classifier):
    answer = task_answers["pair_classifier", "serving_default"]
    found = pair_classifier.predict(list(zip(*PAIRS.values(), strict=True)), verbose=0)
    np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-6)
    most = max(answer["count"])
    for row, labels in enumerate(found.labels):
        assert answer["count"][row] == len(labels)
        assert answer["labels"][row] == [*labels, *[""] * (most - len(labels))]
    assert answer["status"] == [CUT if cut else 0 for cut in found.cut]


def test_rows_of_ids_are_classified(task_answers, classifier, pair_classifier):
    answer = task_answers["classifier", "classify_ids"]
    for row, (ids, length) in enumerate(zip(*ROWS.values(), strict=True)):
        logits = classifier(np.array([ids[:length]]))
        np.testing.assert_allclose(answer["scores"][row], tf.nn.softmax(logits)[0], atol=1e-6)
    answer = task_answers["pair_classifier", "classify_ids"]
    segments = [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1]]
    for row, (ids, length) in enumerate(zip(*PAIR_ROWS.values(), strict=True)):
        inputs = {"token_ids": [ids[:length]], "segment_ids": [segments[row]]}
        logits = pair_classifier({name: np.array(values) for name, values in inputs.items()})
        np.testing.assert_allclose(answer["scores"][row], tf.sigmoid(logits)[0], atol=1e-6)


def test_entities_are_found_as_in_python(task_answers, tagger):
    answer = task_answers["tagger", "serving_default"]
    found = tagger.predict([*TEXTS, LONG], verbose=0)
    assert any(found.entities)
    names = ("entities", "types", "starts", "ends", "scores")
    for row, entities in enumerate(found.entities):
        count = answer["count"][row]
        own = list(zip(*(answer[name][row] for name in names), strict=True))
        assert [entity[:4] for entity in own[:count]] == [entity[:4] for entity in entities]
        np.testing.assert_allclose(
            [entity[4] for entity in own[:count]], [entity.score for entity in entities], atol=1e-6
        )
        assert set(own[count:]) <= {("", "", -1, -1, -1.0)}
    assert answer["status"] == [0] * len(TEXTS) + [CUT]
    assert answer.keys() == {*names, "count", "status"}


def test_every_token_of_ids_is_tagged(task_answers, tagger):
    answer = task_answers["tagger", "tag_ids"]
    assert answer["count"] == ROWS["lengths"]
    for row, (ids, length) in enumerate(zip(*ROWS.values(), strict=True)):
        scores = tf.nn.softmax(tagger(np.array([ids[:length]])))[0].numpy()
        tags = [tagger.labels[i] for i in scores.argmax(-1)]
        assert answer["tags"][row] == tags + [""] * (4 - length)
        np.testing.assert_allclose(answer["scores"][row][:length], scores.max(-1), atol=1e-6)


def test_a_regression_answers_numbers(bert, tmp_path):
    model = TextClassifier(bert, ["stars", "price"], problem="regression")
    model.build()
    loaded = tf.saved_model.load(str(export(model, tmp_path / "m", extra_files=False)))
    answer = loaded.signatures["serving_default"](text=tf.constant(TEXTS))
    assert answer.keys() == {"scores", "status"}
    np.testing.assert_allclose(answer["scores"], model.predict(TEXTS, verbose=0).scores, atol=1e-5)


def test_nothing_that_is_asked_makes_a_request_fail(task_loaded):
    for name in ("classifier", "pair_classifier"):
        signatures = task_loaded[name].signatures
        texts = {"text": ["x " * 10**6, b"\xff\xfe", ""]}
        if name == "pair_classifier":
            texts["text_pair"] = ["y", "x " * 10**6, ""]
        for count in (3, 0):
            request = {key: tf.constant(value[:count], tf.string) for key, value in texts.items()}
            answer = signatures["serving_default"](**request)
            assert answer["scores"].shape[0] == count
            assert np.isfinite(answer["scores"]).all()
        answer = signatures["classify_ids"](token_ids=HOSTILE_IDS, lengths=HOSTILE_LENGTHS)
        assert answer["status"].numpy().tolist() == [CUT, 0]
        assert np.isfinite(answer["scores"]).all()
    signatures = task_loaded["tagger"].signatures
    for texts in (["x " * 10**6, b"\xff\xfe a", "", "\u0301"], []):
        answer = signatures["serving_default"](text=tf.constant(texts, tf.string))
        assert answer["count"].shape[0] == answer["entities"].shape[0] == len(texts)
    answer = signatures["tag_ids"](token_ids=HOSTILE_IDS, lengths=HOSTILE_LENGTHS)
    assert answer["count"].numpy().tolist() == [3, 0]


@pytest.mark.parametrize("name", ["classifier", "pair_classifier", "tagger"])
def test_the_operations_are_those_of_core_tensorflow(task_exports, name):
    assert_core_operations(task_exports / name / "1")


def test_every_output_has_the_batch_first(task_loaded):
    for model in task_loaded.values():
        for function in model.signatures.values():
            assert all(spec.shape.rank for spec in function.structured_outputs.values())


def test_pairs_are_for_classifiers_of_texts(gpt, tmp_path):
    with pytest.raises(ValueError, match="pairs=True, a GPT"):
        export(gpt, tmp_path / "m", pairs=True)


def test_a_server_answers_as_a_process_does(task_exports, task_answers):
    pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")
    from a_server import serving
    from ask_a_server import assert_served

    with serving(task_exports) as server:
        assert_served(server, TASK_REQUESTS, task_answers)
