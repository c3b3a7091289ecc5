"""Whatever comes in, the server says what is wrong with it and goes on."""

import contextlib
import http.client
import json

import pytest
from asking import ask_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2

LONG = settings(
    max_examples=10_000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
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


@pytest.mark.slow
@LONG
@given(path=PATHS, body=BODIES | damaged(BODIES) | st.binary(max_size=64))
def test_ten_thousand_bodies_make_no_error_of_the_server(connection, path, body):
    connection.request("POST", path, body)
    response = connection.getresponse()
    answer = response.read()
    assert response.status in (200, 400, 404, 501), answer
    if response.status != 200:
        assert set(json.loads(answer)) == {"error"}


@st.composite
def messages(draw):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = draw(st.sampled_from(["halves", "kinds", "picky", "no"]))
    request.model_spec.signature_name = draw(SIGNATURES)
    for name in draw(st.lists(NAMES, max_size=3)):
        tensor = request.inputs[name]
        tensor.dtype = draw(st.sampled_from([0, 1, 2, 3, 7, 9, 10, 14, 19, 21, 101]))
        for size in draw(st.lists(st.integers(-2, 4) | st.just(2**40), max_size=3)):
            tensor.tensor_shape.dim.add(size=size)
        tensor.float_val.extend(draw(st.lists(st.floats(width=32), max_size=3)))
        tensor.int_val.extend(draw(st.lists(st.integers(-4, 4), max_size=3)))
        tensor.string_val.extend(draw(st.lists(st.binary(max_size=4), max_size=3)))
        tensor.tensor_content = draw(st.binary(max_size=8))
    return request.SerializeToString()


@pytest.mark.slow
@LONG
@given(body=messages() | damaged(messages()) | st.binary(max_size=64))
def test_ten_thousand_messages_make_no_error_of_the_server(stubs, body):
    call = stubs.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    told = call.future(body, timeout=30)
    codes = ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION")
    assert told.code().name in codes, told.details()


@pytest.mark.slow
def test_the_server_still_answers(server):
    found = ask_json(server.rest_port, "/v1/models/halves:predict", {"instances": [2.0]})
    assert found == (200, {"predictions": [4.0]})
