"""Exports of tasks answer as `predict` does, in a process that never imported keras_lm."""

import json

import numpy as np
import pytest
import tensorflow as tf
from ask_in_a_process import LONG, PAIR_ROWS, PAIRS, QUESTIONS, ROWS, TASK_REQUESTS, TEXTS, example
from operation_audit import assert_core_operations

from keras_lm import TextClassifier, export
from keras_lm.models.interface import made_once
from keras_lm.models.limits import CUT
from keras_lm.serving.audit import inspect
from keras_lm.tasks.text_answers import TextAnswers

HOSTILE_IDS = tf.constant([[10**6, -5, 3], [0, 0, 0]])
HOSTILE_LENGTHS = tf.constant([99, -1])


def test_texts_are_classified_as_in_python(task_answers, classifier):
    answer = task_answers["classifier", "serving_default"]
    found = classifier.predict([*TEXTS, LONG], verbose=0)
    assert answer["label"] == found.labels
    np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-6)
    assert answer["status"] == [0] * len(TEXTS) + [CUT]
    assert answer["classes"] == [["Übel", "gut"]] * len(answer["label"])
    assert answer.keys() == {"label", "classes", "scores", "status"}


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


def test_examples_are_classified_as_texts_are(task_answers):
    for name in ("classifier", "pair_classifier"):
        texts, examples = task_answers[name, "serving_default"], task_answers[name, "classify"]
        assert examples.keys() == {"classes", "scores"}
        assert examples["classes"] == texts["classes"][:-1]
        np.testing.assert_allclose(examples["scores"], texts["scores"][:-1], atol=1e-6)


def test_a_feature_that_is_not_there_is_an_empty_text(task_loaded):
    classify = task_loaded["classifier"].signatures["classify"]
    empty, none = classify(inputs=tf.constant([example(text=""), example()]))["scores"].numpy()
    np.testing.assert_array_equal(empty, none)
    assert classify(inputs=tf.constant([], tf.string))["classes"].shape == (0, 2)


def test_servers_classify_and_regress(task_server, task_exports, task_answers, bert, tmp_path):
    from a_server import serving
    from ask_a_server import close
    from asking import Stubs, ask_json
    from tensorflow_serving.apis import classification_pb2

    expected = task_answers["classifier", "serving_default"]
    asked = classification_pb2.ClassificationRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "classifier", "classify"
    asked.input.example_list.examples.extend(
        tf.train.Example.FromString(example(text=text)) for text in TEXTS
    )
    with Stubs(task_server.port) as stubs:
        rows = stubs.prediction.Classify(asked).result.classifications
    assert [[c.label for c in row.classes] for row in rows] == expected["classes"][: len(TEXTS)]
    scores = [[c.score for c in row.classes] for row in rows]
    np.testing.assert_allclose(scores, expected["scores"][: len(TEXTS)], atol=1e-5)
    # The sheet's example is what a server answers.
    sheet = json.loads((task_exports / "classifier/1/assets.extra/signatures.json").read_text())
    assert sheet["model"]["labels"] == ["Übel", "gut"]
    entry = sheet["signatures"]["classify"]
    assert entry["method"] == "classify"
    (row,) = entry["example"]["request"]["examples"]
    assert row.keys() == {"text"}
    path = "/v1/models/classifier:classify"
    status, found = ask_json(task_server.rest_port, path, entry["example"]["request"])
    assert status == 200
    close(found["results"], entry["example"]["response"]["results"])

    model = TextClassifier(bert, ["stars"], problem="regression")
    model.build()
    path = export(model, tmp_path / "stars", extra_files=False)
    assert inspect(path).signatures["regress"].method == "tensorflow/serving/regress"
    with serving(tmp_path) as server:
        body = {"signature_name": "regress", "examples": [{"text": text} for text in TEXTS]}
        status, found = ask_json(server.rest_port, "/v1/models/stars:regress", body)
        assert status == 200
        numbers = model.predict(TEXTS, verbose=0).scores[:, 0]
        np.testing.assert_allclose(found["results"], numbers, atol=1e-5)


@pytest.mark.parametrize("name", ["classifier", "pair_classifier"])
def test_the_graph_says_which_signature_is_for_classify(task_exports, name):
    methods = {key: s.method for key, s in inspect(task_exports / name / "1").signatures.items()}
    assert methods == {
        "serving_default": "tensorflow/serving/predict",
        "classify_ids": "tensorflow/serving/predict",
        "classify": "tensorflow/serving/classify",
    }


def test_texts_are_embedded_as_in_python(task_answers, embedder):
    answer = task_answers["embedder", "serving_default"]
    found = embedder.predict([*TEXTS, LONG], verbose=0)
    np.testing.assert_allclose(answer["embedding"], found.vectors, atol=1e-6)
    assert answer["status"] == [0] * len(TEXTS) + [CUT]
    assert answer.keys() == {"embedding", "status"}
    answer = task_answers["embedder", "embed_ids"]
    for row, (ids, length) in enumerate(zip(*ROWS.values(), strict=True)):
        np.testing.assert_allclose(
            answer["embedding"][row], embedder(np.array([ids[:length]]))[0], atol=1e-6
        )


def test_texts_are_found_as_in_python(task_answers, index):
    answer = task_answers["search", "serving_default"]
    found = index.query([*TEXTS, LONG], top_k=2)
    assert answer["texts"] == found.texts
    np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-6)
    assert answer["status"] == [0] * len(TEXTS) + [CUT]
    assert answer.keys() == {"texts", "scores", "status"}
    answer = task_answers["search", "search_ids"]
    for row, (ids, length) in enumerate(zip(*ROWS.values(), strict=True)):
        cosines = index.vectors() @ index.model(np.array([ids[:length]]))[0].numpy()
        np.testing.assert_allclose(answer["scores"][row], np.sort(cosines)[:1:-1], atol=1e-6)


def test_questions_are_answered_as_in_python(task_answers, answerer):
    answer = task_answers["answers", "serving_default"]
    assert answer.keys() == {"answer", "score", "start", "end", "status"}
    asked = [row for row in range(5) if row != 3]
    pairs = list(zip(*QUESTIONS.values(), strict=True))
    found = answerer.predict([pairs[row] for row in asked], verbose=0)
    for row, own, cut in zip(asked, found.answers, found.cut, strict=True):
        there = (answer["answer"][row], answer["start"][row], answer["end"][row])
        assert there == own[:3]
        assert answer["score"][row] == pytest.approx(own.score, abs=1e-6)
        assert answer["status"][row] == (CUT if cut else 0)
    assert found.cut.tolist() == [False, False, True, True]
    # Nothing is asked of nothing.
    assert (answer["answer"][3], answer["start"][3], answer["end"][3]) == ("", -1, -1)
    assert (answer["score"][3], answer["status"][3]) == (pytest.approx(1), 0)


def test_rows_of_ids_are_answered_as_in_python(task_answers, answerer):
    answer = task_answers["answers", "answer_ids"]
    assert answer.keys() == {"start", "end", "score", "status"}
    found = made_once(TextAnswers, answerer, answerer.tokenizer).of_ids(
        *(tf.constant(value) for value in PAIR_ROWS.values())
    )
    for name, value in answer.items():
        np.testing.assert_allclose(value, found[name], atol=1e-6)


def test_a_regression_answers_numbers(bert, tmp_path):
    model = TextClassifier(bert, ["stars", "price"], problem="regression")
    model.build()
    loaded = tf.saved_model.load(str(export(model, tmp_path / "m", extra_files=False)))
    assert set(loaded.signatures) == {"serving_default", "classify_ids"}
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
    signatures = task_loaded["embedder"].signatures
    for texts in (["x " * 10**6, b"\xff\xfe a", ""], []):
        answer = signatures["serving_default"](text=tf.constant(texts, tf.string))
        assert answer["embedding"].shape == (len(texts), 16)
        assert np.isfinite(answer["embedding"]).all()
    answer = signatures["embed_ids"](token_ids=HOSTILE_IDS, lengths=HOSTILE_LENGTHS)
    assert np.isfinite(answer["embedding"]).all()
    answer = task_loaded["answers"].signatures["answer_ids"](
        token_ids=HOSTILE_IDS, lengths=HOSTILE_LENGTHS
    )
    assert np.isfinite(answer["score"]).all()
    answer = task_loaded["answers"].signatures["serving_default"]
    hostile = {
        "question": ["x " * 10**6, b"\xff\xfe", ""],
        "context": ["", b"\xff a", "x " * 10**6],
    }
    for count in (3, 1, 0):
        request = {key: tf.constant(value[:count], tf.string) for key, value in hostile.items()}
        found = answer(**request)
        assert found["score"].shape == (count,)
        assert np.isfinite(found["score"]).all()
    signatures = task_loaded["tagger"].signatures
    for texts in (["x " * 10**6, b"\xff\xfe a", "", "\u0301"], []):
        answer = signatures["serving_default"](text=tf.constant(texts, tf.string))
        assert answer["count"].shape[0] == answer["entities"].shape[0] == len(texts)
    answer = signatures["tag_ids"](token_ids=HOSTILE_IDS, lengths=HOSTILE_LENGTHS)
    assert answer["count"].numpy().tolist() == [3, 0]


@pytest.mark.parametrize(
    "name", ["classifier", "pair_classifier", "tagger", "embedder", "search", "answers"]
)
def test_the_operations_are_those_of_core_tensorflow(task_exports, name):
    assert_core_operations(task_exports / name / "1")


def test_every_output_has_the_batch_first(task_loaded):
    for model in task_loaded.values():
        for function in model.signatures.values():
            assert all(spec.shape.rank for spec in function.structured_outputs.values())


def test_pairs_are_for_classifiers_of_texts(gpt, tmp_path):
    with pytest.raises(ValueError, match="pairs=True, a GPT"):
        export(gpt, tmp_path / "m", pairs=True)


def test_a_server_answers_as_a_process_does(task_server, task_answers):
    from ask_a_server import assert_served

    assert_served(task_server, TASK_REQUESTS, task_answers)
