"""Whatever comes in, the server says what is wrong with it and goes on."""

import contextlib
import http.client
import json

import pytest
from asking import ask_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

SETTINGS = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
SHORT = settings(max_examples=100, **SETTINGS)
LONG = settings(max_examples=10_000, **SETTINGS)
NAMES = st.sampled_from(["x", "b64", "text", "token_ids", "by", "inputs", "examples", "é"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([2**31, 2**63, -1, 1e39, "AA==", "\x00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
SIGNATURES = st.sampled_from(
    ["", "serving_default", "regress", "classify", "scale", "int64", "float16", "matrix", "no"]
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": SIGNATURES | VALUES,
        "instances": st.lists(VALUES, max_size=3) | VALUES,
        "inputs": st.dictionaries(NAMES, VALUES, max_size=3) | VALUES,
        "examples": st.lists(VALUES, max_size=3) | VALUES,
        "context": VALUES,
    },
).map(lambda body: json.dumps(body).encode())
PATHS = st.sampled_from(
    [
        f"/v1/models/{name}:{method}"
        for name in ("halves", "kinds", "picky", "halves/versions/2")
        for method in ("predict", "classify", "regress")
    ]
)


@st.composite
def damaged(draw, whole):
    """With a piece cut off, or a byte changed."""
    found = bytearray(draw(whole))
    if found and draw(st.booleans()):
        found = found[: draw(st.integers(0, len(found)))]
    elif found:
        found[draw(st.integers(0, len(found) - 1))] = draw(st.integers(0, 255))
    return bytes(found)


@pytest.fixture(scope="module")
def connection(server):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.rest_port)) as found:
        yield found


ANY_BODY = BODIES | damaged(BODIES) | st.binary(max_size=64)


def post(connection, path, body):
    connection.request("POST", path, body)
    response = connection.getresponse()
    answer = response.read()
    assert response.status in (200, 400, 404, 501), answer
    if response.status != 200:
        assert set(json.loads(answer)) == {"error"}


@SHORT
@given(path=PATHS, body=ANY_BODY)
def test_no_body_makes_an_error_of_the_server(connection, path, body):
    post(connection, path, body)


@pytest.mark.slow
@LONG
@given(path=PATHS, body=ANY_BODY)
def test_ten_thousand_bodies_make_no_error_of_the_server(connection, path, body):
    post(connection, path, body)


def specify(draw, spec):
    spec.name = draw(st.sampled_from(["halves", "kinds", "picky", "no"]))
    spec.signature_name = draw(SIGNATURES)


@st.composite
def predictions(draw):
    request = predict_pb2.PredictRequest()
    specify(draw, request.model_spec)
    for name in draw(st.lists(NAMES, max_size=3)):
        tensor = request.inputs[name]
        tensor.dtype = draw(st.sampled_from([0, 1, 2, 3, 7, 9, 10, 14, 19, 21, 101]))
        for size in draw(st.lists(st.integers(-2, 4) | st.just(2**40), max_size=3)):
            tensor.tensor_shape.dim.add(size=size)
        tensor.float_val.extend(draw(st.lists(st.floats(width=32), max_size=3)))
        tensor.int_val.extend(draw(st.lists(st.integers(-4, 4), max_size=3)))
        tensor.string_val.extend(draw(st.lists(st.binary(max_size=4), max_size=3)))
        tensor.tensor_content = draw(st.binary(max_size=8))
    return "PredictionService/Predict", request


@st.composite
def of_examples(draw):
    kinds = {
        "Classify": classification_pb2.ClassificationRequest,
        "Regress": regression_pb2.RegressionRequest,
        "MultiInference": inference_pb2.MultiInferenceRequest,
    }
    method = draw(st.sampled_from(sorted(kinds)))
    request = kinds[method]()
    if method == "MultiInference":
        for _ in range(draw(st.integers(0, 3))):
            task = request.tasks.add()
            specify(draw, task.model_spec)
            kind = draw(st.sampled_from(["classify", "regress", "predict"]))
            task.method_name = f"tensorflow/serving/{kind}"
    else:
        specify(draw, request.model_spec)
    for _ in range(draw(st.integers(0, 3))):
        feature = request.input.example_list.examples.add().features.feature[draw(NAMES)]
        feature.float_list.value.extend(draw(st.lists(st.floats(width=32), max_size=2)))
        if draw(st.booleans()):
            feature.bytes_list.value.extend(draw(st.lists(st.binary(max_size=4), max_size=2)))
    return f"PredictionService/{method}", request


@st.composite
def about_models(draw):
    if draw(st.booleans()):
        request = get_model_status_pb2.GetModelStatusRequest()
        specify(draw, request.model_spec)
        return "ModelService/GetModelStatus", request
    fields = draw(st.lists(st.sampled_from(["signature_def", "", "no"]), max_size=2))
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    specify(draw, request.model_spec)
    return "PredictionService/GetModelMetadata", request


@st.composite
def calls(draw):
    """A method, and a message for it: whole, damaged or none."""
    method, request = draw(predictions() | of_examples() | about_models())
    whole = st.just(request.SerializeToString())
    return method, draw(whole | damaged(whole) | st.binary(max_size=64))


def send(stubs, method, body):
    told = stubs.channel.unary_unary(f"/tensorflow.serving.{method}").future(body, timeout=30)
    codes = ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED")
    assert told.code().name in codes, told.details()


@SHORT
@given(call=calls())
def test_no_message_makes_an_error_of_the_server(stubs, call):
    send(stubs, *call)


@pytest.mark.slow
@LONG
@given(call=calls())
def test_ten_thousand_messages_make_no_error_of_the_server(stubs, call):
    send(stubs, *call)


def test_the_server_still_answers(server):
    found = ask_json(server.rest_port, "/v1/models/halves:predict", {"instances": [2.0]})
    assert found == (200, {"predictions": [4.0]})
