"""TensorFlow Serving's REST, asked over a real port."""

import base64
import gzip
import json

import numpy as np
import pytest
from asking import ask, ask_json

PREDICT = "/v1/models/halves:predict"


@pytest.fixture
def post(server):
    return lambda path, body, **options: ask_json(server.rest_port, path, body, **options)


@pytest.fixture
def get(server):
    return lambda path: ask_json(server.rest_port, path)


def test_rows_and_columns_are_answered_in_their_format(post):
    assert post(PREDICT, {"instances": [1.0, 2, 5]}) == (200, {"predictions": [3.5, 4.0, 5.5]})
    named = {"instances": [{"x": 1}, {"x": 2.5}]}
    assert post(PREDICT, named) == (200, {"predictions": [3.5, 4.25]})
    assert post(PREDICT, {"inputs": [1.0, 2]}) == (200, {"outputs": [3.5, 4.0]})
    assert post(PREDICT, {"inputs": {"x": [1.0]}}) == (200, {"outputs": [3.5]})
    assert post(PREDICT, {"inputs": []}) == (200, {"outputs": []})
    assert post("/V1/models/halves/versions/2:Predict", {"inputs": [1]})[0] == 200
    scaled = {"signature_name": "scale", "inputs": {"x": [1, 2], "by": 10}}
    assert post(PREDICT, scaled) == (200, {"outputs": [10.0, 20.0]})


def test_several_outputs_have_names_and_bytes_are_base64(post):
    rows = [{"text": "Füße\n", "token_ids": [1, 2]}, {"text": {"b64": "AP8"}, "token_ids": [3, 4]}]
    status, answer = post("/v1/models/kinds:predict", {"instances": rows[:1]})
    encoded = base64.b64encode("Füße\n".encode()).decode()
    assert status == 200
    assert answer == {"predictions": [{"raw_bytes": {"b64": encoded}, "sum": 3, "text": "Füße\n"}]}
    columns = {name: [row[name] for row in rows] for name in ("text", "token_ids")}
    body = {"inputs": {"text": ["a", "b"], "token_ids": columns["token_ids"]}}
    assert post("/v1/models/kinds:predict", body)[1]["outputs"]["sum"] == [3, 7]


def test_strings_that_are_no_text_come_and_go_as_they_are(server):
    body = b'{"inputs": {"text": ["\xff\x00", {"b64": "/wA="}], "token_ids": [[1], [1]]}}'
    body = body.replace(b"\x00", b"\\u0000")
    status, found = ask(server.rest_port, "POST", "/v1/models/kinds:predict", body)
    assert status == 200
    outputs = json.loads(found.decode("utf-8", "surrogateescape"))["outputs"]
    assert outputs["raw_bytes"] == [{"b64": "/wA="}] * 2
    assert outputs["text"] == ["\udcff\x00"] * 2


@pytest.mark.parametrize(
    ("signature", "values"),
    [
        ("float64", [0.1, 1e300, -2.5]),
        ("int64", [2**63 - 1, -(2**63)]),
        ("uint8", [0, 255]),
        ("bool", [True, False]),
        ("matrix", [[[1.5, 2, 3], [4, 5, 6]]]),
    ],
)
def test_numbers_of_all_types_come_back(post, signature, values):
    body = {"signature_name": signature, "instances": values}
    assert post("/v1/models/kinds:predict", body) == (200, {"predictions": values})


def test_floats_are_written_as_tensorflow_serving_writes_them(server):
    body = '{"instances": [0.1, 1999994, 2e38, NaN, Infinity, -Infinity, 1e999, 0.00005]} rest'
    status, found = ask(server.rest_port, "POST", PREDICT, body)
    assert status == 200
    assert found == (
        b'{"predictions": [3.05, 1e+06, 1e+38, NaN, Infinity, -Infinity, Infinity, 3.00002503]}'
    )


def test_bodies_may_be_packed(server):
    port, packed = server.rest_port, gzip.compress(b'{"inputs": [1.0]}')
    found = ask(port, "POST", PREDICT, packed, {"Content-Encoding": "gzip"})
    assert found == (200, b'{"outputs": [3.5]}')
    assert ask(port, "POST", PREDICT, b"no gzip", {"Content-Encoding": "gzip"})[0] == 400
    assert ask(port, "POST", PREDICT, packed, {"Content-Encoding": "br"})[0] == 400


def test_classify_and_regress_take_examples(post):
    body = {"signature_name": "regress", "examples": [{"x": 1.0}, {"x": [4.0]}]}
    assert post("/v1/models/halves:regress", body) == (200, {"results": [3.5, 5.0]})
    body = {"signature_name": "classify", "context": {"x": 1.0}, "examples": [{}, {"x": 4.0}]}
    expected = [[["low", -3.5], ["high", 3.5]], [["low", -5.0], ["high", 5.0]]]
    assert post("/v1/models/halves:classify", body) == (200, {"results": expected})


def test_status_and_metadata_are_those_of_tensorflow_serving(get):
    known = {
        "version": "2",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    status, answer = get("/v1/models/halves")
    # What OpenAI's clients look for stands beside it.
    assert (status, set(answer) - {"id", "object", "created", "owned_by"}) == (
        200,
        {"model_version_status"},
    )
    assert answer["model_version_status"] == [known]
    assert get("/v1/models/halves/versions/2") == (200, {"model_version_status": [known]})
    status, answer = get("/v1/models/halves/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "halves", "signature_name": "", "version": "2"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["method_name"] == "tensorflow/serving/predict"


def test_a_model_that_calls_python_is_refused_and_said_to_be(get, post):
    told = get("/v1/models/calls_python")[1]["model_version_status"][0]
    assert told["state"] == "END"
    assert told["status"]["error_code"] == "PERMISSION_DENIED"
    assert "Received: PyFunc" in told["status"]["error_message"]
    assert post("/v1/models/calls_python:predict", {"inputs": [1.0]})[0] == 404


MALFORMED = [
    ("GET", "/v1/foo", "", 400, "Malformed request: GET /v1/foo"),
    ("POST", "/v1/foo", "", 400, "Malformed request: POST /v1/foo"),
    ("GET", "/v1/models/", "", 400, "Missing model name in request."),
    ("GET", "/v1/models/a/b", "", 400, "Malformed request"),
    ("GET", PREDICT, "", 400, "Malformed request"),
    ("PUT", PREDICT, "{}", 400, "Malformed request: PUT"),
    ("DELETE", "/v1/models/halves", "", 400, "Malformed request: DELETE"),
    ("POST", "/v1/models/halves/metadata", "{}", 400, "Malformed request"),
    ("POST", "/v1/models/halves/version/2:predict", "{}", 400, "Malformed request"),
    ("POST", "/v1/models/halves/versions/x:predict", "{}", 400, "Malformed request"),
    ("POST", "/v1/models/halves/versions/2/labels/a:predict", "{}", 400, "Malformed request"),
    ("POST", "/v1/models/halves:generate", "{}", 400, "Malformed request"),
    ("POST", f"/v1/models/halves/versions/{2**64}:predict", "{}", 400, "Failed to convert version"),
    ("POST", "/v1/models/foo:predict", {"instances": [1]}, 404, "for request: Latest(foo)"),
    (
        "POST",
        "/v1/models/halves/versions/9:predict",
        {"instances": [1]},
        404,
        "Specific(halves, 9)",
    ),
    ("POST", "/v1/models/..%2F..%2Fetc:predict", {"instances": [1]}, 404, "Latest(../../etc)"),
    ("POST", "/v1/models/halves/labels/x:predict", {"instances": [1]}, 400, "version label: x"),
    ("GET", "/v1/models/foo", "", 404, "Could not find any versions of model foo"),
    ("GET", "/v1/models/halves/versions/9", "", 404, "Could not find version 9 of model halves"),
    ("GET", "/v1/models/halves/labels/x", "", 400, "Unrecognized servable version label: x"),
    ("GET", "/v1/models/foo/metadata", "", 404, "Servable not found for request: Latest(foo)"),
    ("POST", PREDICT, "", 400, "JSON Parse error: The document is empty"),
    ("POST", PREDICT, "instances = [1, 2]", 400, "JSON Parse error: Invalid value."),
    ("POST", PREDICT, '{"instances": [1', 400, "JSON Parse error"),
    ("POST", PREDICT, '{"instances": "a', 400, "Missing a closing quotation mark in string."),
    ("POST", PREDICT, "[" * 100_000, 400, "JSON Parse error"),
    ("POST", PREDICT, '{"inputs": ' + "9" * 5000 + "}", 400, "Number too big"),
    ("POST", PREDICT, b"\xff\xfe", 400, "JSON Parse error"),
    ("POST", PREDICT, "[1, 2]", 400, "Is not object"),
    ("POST", PREDICT, {"signature_name": 100}, 400, "'signature_name' key must be a string value."),
    ("POST", PREDICT, {"signature_name": "no", "inputs": [1]}, 400, 'name: "no" not found'),
    ("POST", PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
    ("POST", PREDICT, {"instances": [1], "inputs": [1]}, 400, "expecting only one of"),
    ("POST", PREDICT, {"instances": 1}, 400, "Expecting 'instances' to be an list/array"),
    ("POST", PREDICT, {"instances": []}, 400, "No values in 'instances' array"),
    ("POST", PREDICT, {"instances": ["x"]}, 400, "Type: String is not of expected type: float"),
    ("POST", PREDICT, {"instances": [None]}, 400, "Type: Null is not of expected type: float"),
    ("POST", PREDICT, {"instances": [True]}, 400, "Type: True is not of expected type: float"),
    ("POST", PREDICT, {"instances": [{"b64": "AA=="}]}, 400, "Type: Object is not of expected"),
    ("POST", PREDICT, {"instances": [1, [1]]}, 400, "Expecting shape [] but got: [1]"),
    ("POST", PREDICT, {"instances": [[1], [1, 2]]}, 400, "element: 1 of 'instances' list"),
    ("POST", PREDICT, {"instances": [[[1], 2]]}, 400, "found at incorrect level: 2"),
    ("POST", PREDICT, {"instances": [[1, [2]]]}, 400, "Encountered list at unexpected level: 1"),
    ("POST", PREDICT, {"instances": [{"x": 1}, 1]}, 400, "Expecting object but got list at item 1"),
    ("POST", PREDICT, {"instances": [1, {"x": 1}]}, 400, "Expecting value/list but got object"),
    ("POST", PREDICT, {"instances": [{"z": 1}]}, 400, "does not have named input: z"),
    ("POST", PREDICT, {"instances": [{}]}, 400, "keys must be equal to: x"),
    ("POST", PREDICT, '{"instances": [{"\\udbff": 1}]}', 400, "does not have named input: ?"),
    ("POST", PREDICT, {"instances": [[1]]}, 400, "must have the shape [-1]"),
    ("POST", PREDICT, {"inputs": 1}, 400, "must have the shape [-1]"),
    ("POST", PREDICT, {"inputs": {"z": [1]}}, 400, "Missing named input: x in 'inputs' object."),
    ("POST", PREDICT, {"inputs": [1] * 1025}, 400, "larger than maximum input batch size 1024"),
    ("POST", "/v1/models/kinds:predict", {"instances": ["a"]}, 400, "instances is a plain list"),
    ("POST", "/v1/models/kinds:predict", {"inputs": ["a"]}, 400, "inputs is a plain value/list"),
    (
        "POST",
        "/v1/models/kinds:predict",
        {"inputs": {"text": ["a", "b"], "token_ids": [[1]]}},
        400,
        "must have equal 0th-dimension size",
    ),
    (
        "POST",
        "/v1/models/kinds:predict",
        {"inputs": {"text": ["a"], "token_ids": [[2**31]]}},
        400,
        "is not of expected type: int32",
    ),
    (
        "POST",
        "/v1/models/kinds:predict",
        {"inputs": {"text": [{"b64": "*"}], "token_ids": [[1]]}},
        400,
        "Unable to base64 decode",
    ),
    (
        "POST",
        "/v1/models/kinds:predict",
        '{"inputs": {"text": ["\\ud800"], "token_ids": [[1]]}}',
        400,
        "The surrogate pair in string is invalid.",
    ),
    (
        "POST",
        "/v1/models/kinds:predict",
        {"signature_name": "float16", "inputs": [1.0]},
        501,
        "to type: float16",
    ),
    ("POST", "/v1/models/picky:predict", {"inputs": [-1.0]}, 400, "no negative numbers"),
    ("POST", "/v1/models/halves:classify", {"examples": [{}]}, 400, "classification inputs"),
    ("POST", "/v1/models/halves:regress", {}, 400, "key 'examples' is expected"),
    ("POST", "/v1/models/halves:regress", {"examples": 1}, 400, "to be an list/array"),
    ("POST", "/v1/models/halves:regress", {"examples": []}, 400, "value is an empty array"),
    ("POST", "/v1/models/halves:regress", {"examples": [1]}, 400, "but got JSON Number"),
    (
        "POST",
        "/v1/models/halves:regress",
        {"examples": [{"x": [1.0, "a"]}]},
        400,
        "Unexpected element type in feature: x expecting type: float",
    ),
    (
        "POST",
        "/v1/models/halves:regress",
        {"signature_name": "regress", "examples": [{"y": 1.0}]},
        400,
        "Feature: x",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), MALFORMED)
def test_a_malformed_request_is_told_what_is_wrong(server, method, path, body, status, message):
    found, answer = ask(server.rest_port, method, path, None if body == "" else body)
    told = json.loads(answer)
    assert set(told) == {"error"}
    assert message in told["error"]
    assert found == status
    assert "Traceback" not in told["error"]
    assert "site-packages" not in told["error"]


def test_random_numbers_go_through_unchanged(post):
    values = np.random.default_rng(0).normal(size=200).astype(np.float32)
    status, answer = post(PREDICT, {"instances": values.tolist()})
    assert status == 200
    expected = values / np.float32(2) + np.float32(3)
    np.testing.assert_array_equal(np.float32(answer["predictions"]), expected)


def test_operators_see_health_and_counts(server):
    port = server.rest_port
    assert ask(port, "GET", "/healthz")[0] == 200
    # One model cannot be loaded: the server is not all that it should be.
    assert ask(port, "GET", "/readyz")[0] == 503
    ask(port, "POST", "/v1/models/unheard_of:predict", {"instances": [1]})
    status, page = ask(port, "GET", "/monitoring/prometheus/metrics")
    assert status == 200
    assert b':tensorflow:serving:request_count{model_name="halves",status="OK"}' in page
    # Names that come with requests are not remembered.
    assert b"unheard_of" not in page
    assert ask(port, "GET", "/elsewhere")[0] == 404
