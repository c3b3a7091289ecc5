"""gRPC's PredictionService and ModelService, asked with the official stubs."""

import numpy as np
import pytest
import tensorflow as tf
from asking import Stubs, error_of
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)


def predict_request(name="halves", signature="", outputs=(), **inputs):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request


def example(**features):
    found = tf.train.Example()
    for name, value in features.items():
        found.features.feature[name].float_list.value.append(value)
    return found


def arrays(response):
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


def test_predict_answers_with_the_version_that_answered(stubs):
    response = stubs.prediction.Predict(predict_request(x=[1.0, 2.0]))
    np.testing.assert_array_equal(arrays(response)["y"], np.float32([3.5, 4.0]))
    assert response.model_spec.name == "halves"
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "serving_default"
    # Values stand in their own fields, as TensorFlow Serving writes them by default.
    assert list(response.outputs["y"].float_val) or response.outputs["y"].tensor_content


def test_predict_takes_all_types_and_a_filter_of_outputs(stubs):
    texts = [b"\xff\x00", "Füße".encode()]
    request = predict_request("kinds", text=texts, token_ids=[[1, 2], [3, 4]])
    found = arrays(stubs.prediction.Predict(request))
    assert found["text"].tolist() == texts
    assert found["sum"].tolist() == [3, 7]
    request.output_filter.append("sum")
    assert set(stubs.prediction.Predict(request).outputs) == {"sum"}
    half = predict_request("kinds", "float16", x=np.float16([1.5, -2]))
    np.testing.assert_array_equal(
        arrays(stubs.prediction.Predict(half))["x"], np.float16([1.5, -2])
    )
    scaled = predict_request("halves", "scale", x=[1.0, 2.0], by=np.float32(3))
    np.testing.assert_array_equal(arrays(stubs.prediction.Predict(scaled))["y"], np.float32([3, 6]))


def test_classify_regress_and_both_at_once(stubs):
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name, classify.model_spec.signature_name = "halves", "classify"
    classify.input.example_list.examples.append(example(x=2.0))
    response = stubs.prediction.Classify(classify)
    classes = response.result.classifications[0].classes
    assert [(c.label, c.score) for c in classes] == [("low", -4.0), ("high", 4.0)]
    regress = regression_pb2.RegressionRequest()
    regress.model_spec.name, regress.model_spec.signature_name = "halves", "regress"
    regress.input.example_list_with_context.context.CopyFrom(example(x=2.0))
    regress.input.example_list_with_context.examples.extend([example(), example(x=4.0)])
    response = stubs.prediction.Regress(regress)
    assert [r.value for r in response.result.regressions] == [4.0, 5.0]
    both = inference_pb2.MultiInferenceRequest(input=classify.input)
    for name in ("classify", "regress"):
        task = both.tasks.add(method_name=f"tensorflow/serving/{name}")
        task.model_spec.name, task.model_spec.signature_name = "halves", name
    results = stubs.prediction.MultiInference(both).results
    assert results[0].classification_result.classifications[0].classes[1].score == 4.0
    assert results[1].regression_result.regressions[0].value == 4.0
    assert results[1].model_spec.version.value == 2


def test_status_and_metadata(stubs):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "halves"
    (told,) = stubs.model.GetModelStatus(request).model_version_status
    assert (told.version, told.state, told.status.error_code) == (2, 30, 0)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "halves"
    response = stubs.prediction.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "classify", "regress"} <= set(signatures.signature_def)
    assert response.model_spec.version.value == 2


def test_health_is_the_standard_service(server, stubs):
    check = health_pb2_grpc.HealthStub(stubs.channel).Check
    states = health_pb2.HealthCheckResponse
    # One model of the directory cannot be loaded.
    assert check(health_pb2.HealthCheckRequest()).status == states.NOT_SERVING
    code, _ = error_of(check, health_pb2.HealthCheckRequest(service="unknown"))
    assert code == "NOT_FOUND"


def no_spec():
    return predict_pb2.PredictRequest()


def with_tensor(**fields):
    request = predict_request()
    request.inputs["x"].dtype = tf.float32.as_datatype_enum
    for size in fields.get("sizes", []):
        request.inputs["x"].tensor_shape.dim.add(size=size)
    request.inputs["x"].float_val.append(1.0)
    return request


def labelled(label):
    request = predict_request(x=[1.0])
    request.model_spec.version_label = label
    return request


def version(number):
    request = predict_request(x=[1.0])
    request.model_spec.version.value = number
    return request


MALFORMED = [
    (no_spec(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    (predict_request("", x=[1.0]), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    (predict_request("foo", x=[1.0]), "NOT_FOUND", "Servable not found for request: Latest(foo)"),
    (predict_request("../halves", x=[1.0]), "NOT_FOUND", "Servable not found"),
    (version(7), "NOT_FOUND", "Servable not found for request: Specific(halves, 7)"),
    (labelled("x"), "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
    (predict_request(signature="no", x=[1.0]), "FAILED_PRECONDITION", 'key "no" not found.'),
    (predict_request(), "INVALID_ARGUMENT", "Missing but required: {x}."),
    (predict_request(x=[1.0], y=[1.0]), "INVALID_ARGUMENT", "Sent extra: {y}."),
    (predict_request(y=[1.0]), "INVALID_ARGUMENT", "Missing but required: {x}."),
    (
        predict_request(outputs=["z"], x=[1.0]),
        "INVALID_ARGUMENT",
        "alias not found in signature: z",
    ),
    (predict_request(outputs=["y", "y"], x=[1.0]), "INVALID_ARGUMENT", "duplicate output"),
    (predict_request(x=["a"]), "INVALID_ARGUMENT", "must be of type float32. Received: string"),
    (predict_request(x=[[1.0]]), "INVALID_ARGUMENT", "must have the shape [-1]"),
    (with_tensor(sizes=[-1]), "INVALID_ARGUMENT", "tensor parsing error: x"),
    (with_tensor(sizes=[2**40, 2**20]), "INVALID_ARGUMENT", "tensor parsing error: x"),
    (with_tensor(sizes=[2000]), "INVALID_ARGUMENT", "larger than maximum input batch size"),
    (predict_request("picky", x=[-1.0]), "INVALID_ARGUMENT", "no negative numbers"),
]


@pytest.mark.parametrize(("request_", "code", "message"), MALFORMED)
def test_a_malformed_request_ends_with_tensorflow_servings_code(stubs, request_, code, message):
    found, told = error_of(stubs.prediction.Predict, request_)
    assert message in told
    assert found == code


def test_bytes_that_are_no_message_are_a_client_error(stubs):
    whole = predict_request(x=[1.0, 2.0]).SerializeToString()
    call = stubs.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert error_of(call, whole[:-3]) == ("INVALID_ARGUMENT", "The request is not a PredictRequest")
    unknown = stubs.channel.unary_unary("/tensorflow.serving.PredictionService/Guess")
    assert error_of(unknown, whole)[0] == "UNIMPLEMENTED"


def test_a_configuration_chooses_among_the_servers_own_models_alone(server, stubs, models):
    request = model_management_pb2.ReloadConfigRequest()
    code, _ = error_of(stubs.model.HandleReloadConfigRequest, request)
    assert code == "INVALID_ARGUMENT"
    config = request.config.model_config_list.config.add(name="halves", base_path="/etc")
    code, message = error_of(stubs.model.HandleReloadConfigRequest, request)
    assert code == "PERMISSION_DENIED"
    assert "base_path of model halves" in message
    config.base_path = str(models / "kinds" / ".." / "halves" / ".." / ".." / "secret")
    assert error_of(stubs.model.HandleReloadConfigRequest, request)[0] == "PERMISSION_DENIED"


def test_a_deadline_ends_a_request(stubs):
    code, _ = error_of(stubs.prediction.Predict, predict_request("slow", x=[0.5]), timeout=0.1)
    assert code == "DEADLINE_EXCEEDED"


def test_a_message_that_is_too_large_is_refused(server):
    with Stubs(server.port) as large:
        value = np.zeros(9 * 2**20, np.float32)
        code, _ = error_of(large.prediction.Predict, predict_request(x=value))
        assert code == "RESOURCE_EXHAUSTED"
