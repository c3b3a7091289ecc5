import json

import pytest
import tensorflow as tf

from keras_lm import export
from keras_lm.serving.extra_files import unoptimized
from keras_lm.serving.questions import question
from keras_lm.serving.sheet import as_json
from keras_lm.serving.warmup import FILE, write_warmup


def extra(directory, name):
    return directory / name / "1" / "assets.extra"


def test_the_sheet_has_a_question_to_each_signature_and_its_answer(exports, loaded):
    sheet = json.loads((extra(exports, "gpt") / "signatures.json").read_text("utf-8"))
    assert sheet["name"] == "gpt"
    assert sheet["export"]["num_beams"] == 3
    signatures = loaded["gpt"].signatures
    assert set(sheet["signatures"]) == set(signatures)
    for name in ("serving_default", "score", "generate_ids"):
        entry = sheet["signatures"][name]
        specs = signatures[name].structured_input_signature[1]
        assert entry["inputs"].keys() == specs.keys()
        asked = entry["example"]["request"]["inputs"]
        named = entry["example"]["request"].get("signature_name", "serving_default")
        assert (named, entry["method"]) == (name, "predict")
        with unoptimized():  # to the last digit
            answer = signatures[name](
                **{k: tf.constant(v, specs[k].dtype) for k, v in asked.items()}
            )
        found = as_json({key: value.numpy() for key, value in answer.items()})
        assert found == entry["example"]["response"]["outputs"]
    # A state is as large as the cache.
    assert "example" not in sheet["signatures"]["prefill"]


def test_both_texts_of_a_pair_are_in_a_question_and_in_its_rows_of_ids(bert):
    vector, rows = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.int32)
    names = ("question", "context", "text", "target")
    inputs = {**dict.fromkeys(names, vector), "token_ids": rows}
    asked = question(inputs, [("a question", "its context"), "both"], bert.tokenizer.encode)
    first, second = [b"a question", b"both"], [b"its context", b"both"]
    assert [asked[name].tolist() for name in names] == [first, second] * 2
    ids = bert.tokenizer.encode("a question", "its context")
    assert asked["token_ids"][0, : len(ids)].tolist() == ids


@pytest.mark.slow  # An export of another model, and its answers.
def test_a_question_is_asked_of_a_context_in_rows_of_ids_too(answerer, tmp_path):
    threshold, answerer.no_answer_threshold = answerer.no_answer_threshold, None
    try:
        export(answerer, tmp_path / "answers", warmup_batch_sizes=())
    finally:
        answerer.no_answer_threshold = threshold
    sheet = json.loads((extra(tmp_path, "answers") / "signatures.json").read_text("utf-8"))
    by_text, by_ids = (sheet["signatures"][n]["example"] for n in ("serving_default", "answer_ids"))
    texts = by_text["request"]["inputs"]
    assert texts == {"question": ["What is this?"], "context": ["This is an example."]}
    assert by_ids["request"]["inputs"]["token_ids"] == [
        answerer.tokenizer.encode("What is this?", "This is an example.")
    ]
    assert by_ids["response"]["outputs"]["start"][0] >= 0


def test_the_card_says_what_it_is_and_how_to_ask(task_exports, bert, tmp_path):
    card = (extra(task_exports, "classifier") / "README.md").read_text("utf-8")
    assert card.startswith("# classifier\n\nTextClassifier of keras_lm")
    assert "Labels: Übel, gut." in card
    assert "http://localhost:8501/v1/models/classifier:predict" in card
    assert "- Not known: it was not trained by `fit`, or elsewhere." in card
    assert "- Each text gets one of the labels" in card
    path = export(bert, tmp_path / "bert", about="Read topics of Python.", warmup_batch_sizes=(3,))
    card = (path / "assets.extra" / "README.md").read_text("utf-8")
    assert "\nRead topics of Python.\n" in card
    assert "[MASK] This is an example." in card


def test_servers_are_warmed_up_with_short_and_long_texts_in_several_batches(exports):
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    logs = []
    for record in tf.data.TFRecordDataset(str(extra(exports, "bert") / FILE)):
        logs.append(apis.PredictionLog.FromString(record.numpy()))
    requests = [log.predict_log.request for log in logs]
    assert {r.model_spec.name for r in requests} == {"bert"}
    texts = [
        tf.make_ndarray(request.inputs["text"]).tolist()
        for request in requests
        if request.model_spec.signature_name == "serving_default"
    ]
    assert [len(rows) for rows in texts] == [1, 1, 8, 8]
    assert len(texts[0][0]) < 50 < len(texts[1][0])


def test_a_server_refuses_more_than_a_thousand_requests_so_none_are_written(tmp_path):
    with pytest.raises(ValueError, match="At most 1000 requests"):
        write_warmup(tmp_path, "m", [("serving_default", {})] * 1_001)
    assert list(tmp_path.iterdir()) == []


def test_sizes_of_batches_are_positive(bert, tmp_path):
    with pytest.raises(ValueError, match=r"positive whole numbers. Received: \(0,\)"):
        export(bert, tmp_path / "m", warmup_batch_sizes=(0,))
    assert not (tmp_path / "m").exists()


def test_bytes_that_are_no_text_are_written_as_the_rest_interface_writes_them():
    inputs = {"text": tf.TensorSpec([None], tf.string, "text")}
    asked = question(inputs, ["ä"], lambda text: [])
    assert as_json(asked) == {"text": ["ä"]}
    asked["text"][0] = b"\xff"
    assert as_json(asked) == {"text": [{"b64": "/w=="}]}
