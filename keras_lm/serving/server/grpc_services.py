"""gRPC's PredictionService and ModelService, as TensorFlow Serving has them.

The messages and names are those of `tensorflow-serving-api`. Requests come as bytes and are parsed
here, so that what is no message ends as INVALID_ARGUMENT and not as an error of the server.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from keras_lm.serving.server import bearer_token, examples
from keras_lm.serving.server.inference import Inference
from keras_lm.serving.server.model_answers import fill_spec, metadata, status, wish_of
from keras_lm.serving.server.proto_tensors import arrays_from, tensors_to
from keras_lm.serving.server.repository import Repository
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.signature import DEFAULT, find
from keras_lm.serving.server.statuses import Code, ServingError, as_serving_error, cut, invalid
from keras_lm.serving.server.traffic import Call, Traffic

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"
_SIGNATURE_DEF = "signature_def"
_CODES = {code.value[0]: code for code in grpc.StatusCode}

Method = Callable[[Any, Call, float | None], Awaitable[Any]]


class GrpcServices:
    """What the methods of both services do.

    Args:
        repository: the models.
        inference: runs requests.
        traffic: counts them.
        token: what each must carry. None: nothing.
        reload: takes the ModelConfig messages of a HandleReloadConfigRequest.
    """

    def __init__(
        self,
        repository: Repository,
        inference: Inference,
        traffic: Traffic,
        token: str | None,
        reload: Callable[[list[Any]], Awaitable[None]],
    ) -> None:
        self._repository, self._inference = repository, inference
        self._traffic, self._token, self._reload = traffic, token, reload

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers both services."""
        prediction = {
            "Predict": (predict_pb2.PredictRequest, self._predict),
            "Classify": (classification_pb2.ClassificationRequest, self._classify),
            "Regress": (regression_pb2.RegressionRequest, self._regress),
            "MultiInference": (inference_pb2.MultiInferenceRequest, self._multi_inference),
            "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, self._metadata),
        }
        model = {
            "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, self._status),
            "HandleReloadConfigRequest": (
                model_management_pb2.ReloadConfigRequest,
                self._reload_config,
            ),
        }
        for service, methods in ((PREDICTION, prediction), (MODEL, model)):
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(self._handler(name, kind, method))
                for name, (kind, method) in methods.items()
            }
            generic = grpc.method_handlers_generic_handler(service, handlers)
            server.add_generic_rpc_handlers((generic,))

    def _handler(self, name: str, kind: type, method: Method) -> Callable[..., Awaitable[bytes]]:
        async def handle(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
            try:
                with self._traffic.call("GRPC") as call:
                    call.method = name
                    sent = dict(context.invocation_metadata() or ())
                    bearer_token.check(self._token, sent.get("authorization"))
                    self._traffic.take(call, len(body))
                    answer = await method(_parsed(kind, body), call, context.time_remaining())
                    return answer.SerializeToString()
            except Exception as error:
                known = as_serving_error(error)
                await context.abort(_CODES[known.code], cut(known.message))
                raise  # abort does not return

        return handle

    async def _predict(self, request: Any, call: Call, seconds: float | None) -> Any:
        _require_spec(request)
        response = predict_pb2.PredictResponse()
        spec = request.model_spec
        with self._repository.use(wish_of(spec)) as servable:
            call.model = servable.name
            signature = find(servable.signatures, spec.signature_name)
            outputs = await self._inference.run(
                servable, signature, arrays_from(request.inputs), request.output_filter, seconds
            )
            fill_spec(response.model_spec, servable, spec.signature_name or DEFAULT)
        tensors_to(outputs, response.outputs)
        return response

    async def _classify(self, request: Any, call: Call, seconds: float | None) -> Any:
        response = classification_pb2.ClassificationResponse()
        await self._examples(request, response, examples.CLASSIFY, call, seconds)
        return response

    async def _regress(self, request: Any, call: Call, seconds: float | None) -> Any:
        response = regression_pb2.RegressionResponse()
        await self._examples(request, response, examples.REGRESS, call, seconds)
        return response

    async def _examples(
        self,
        request: Any,
        response: Any,
        method: examples.Method,
        call: Call,
        seconds: float | None,
    ) -> None:
        _require_spec(request)
        with self._repository.use(wish_of(request.model_spec)) as servable:
            call.model = servable.name
            await self._one(servable, request.model_spec, request.input, method, response, seconds)

    async def _one(
        self,
        servable: Servable,
        spec: Any,
        given: Any,
        method: examples.Method,
        response: Any,
        seconds: float | None,
    ) -> None:
        signature = method.signature(servable.signatures, spec.signature_name)
        rows = examples.serialized(given)
        outputs = await self._inference.run(
            servable, signature, {examples.INPUTS: rows}, method.outputs(signature), seconds
        )
        method.write(outputs, len(rows), response.result)
        fill_spec(response.model_spec, servable, spec.signature_name)

    async def _multi_inference(self, request: Any, call: Call, seconds: float | None) -> Any:
        tasks = list(request.tasks)
        _check_tasks(tasks)
        response = inference_pb2.MultiInferenceResponse()
        with self._repository.use(wish_of(tasks[0].model_spec)) as servable:
            call.model = servable.name
            for task in tasks:
                method = _method(task.method_name)
                kind = "classification" if method is examples.CLASSIFY else "regression"
                one = {
                    "classification": classification_pb2.ClassificationResponse,
                    "regression": regression_pb2.RegressionResponse,
                }[kind]()
                await self._one(servable, task.model_spec, request.input, method, one, seconds)
                result = response.results.add(model_spec=one.model_spec)
                getattr(result, f"{kind}_result").CopyFrom(one.result)
        return response

    async def _metadata(self, request: Any, call: Call, seconds: float | None) -> Any:
        _require_spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self._repository.use(wish_of(request.model_spec)) as servable:
            call.model = servable.name
            spec, signatures = metadata(servable)
        response.model_spec.CopyFrom(spec)
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response

    async def _status(self, request: Any, call: Call, seconds: float | None) -> Any:
        _require_spec(request)
        return status(self._repository, wish_of(request.model_spec))

    async def _reload_config(self, request: Any, call: Call, seconds: float | None) -> Any:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            )
        await self._reload(list(request.config.model_config_list.config))
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def _parsed(kind: type, body: bytes) -> Any:
    message = kind()
    try:
        message.ParseFromString(body)  # type: ignore[attr-defined]
    except DecodeError as error:
        raise invalid(f"The request is not a {kind.__name__}") from error
    return message


def _require_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")


def _method(name: str) -> examples.Method:
    for method in (examples.CLASSIFY, examples.REGRESS):
        if name == method.name:
            return method
    raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {name}")


def _check_tasks(tasks: list[Any]) -> None:
    if not tasks:
        raise invalid("Inference request must have at least one task")
    names = {task.model_spec.name for task in tasks}
    if "" in names:
        raise invalid("Found ModelSpec with an empty model name.")
    if len(names) > 1:
        raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    seen = set()
    for task in tasks:
        _method(task.method_name)
        name = task.model_spec.signature_name or DEFAULT
        if name in seen:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
