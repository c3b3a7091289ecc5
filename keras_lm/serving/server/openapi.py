"""The REST interface in OpenAPI 3.1, for tools that make clients, pages and tests of it.

Below `/v1/models/` it is TensorFlow Serving's own; beside it OpenAI's, and what operators ask.
"""

from collections.abc import Sequence
from typing import Any

from keras_lm.version import __version__

_JSON = "application/json"
_ANY: dict[str, Any] = {}
_STRING = {"type": "string"}
_NUMBER = {"type": ["number", "string"]}  # JSON has no NaN; where a parser allows none, text

_ERRORS = {
    "400": "The request is not one that the model takes",
    "401": "The bearer token is missing or another one",
    "404": "There is no such model, version or label",
    "413": "The body is too large",
    "429": "The time was over before the request was run",
    "499": "The client has gone",
    "500": "The server failed",
    "501": "JSON has no values of this dtype",
    "503": "The queue is full, or too many requests are under way",
    "504": "There was no answer in the time",
}


def _object(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties}
    return {**found, "required": list(required)} if required else found


def _list(items: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **rest}


_SIGNATURE_NAME = {**_STRING, "description": "default: serving_default"}
_EXAMPLES = _list(
    {"type": "object", "additionalProperties": {}},
    minItems=1,
    description="tf.Example messages: names of features and their values",
)
_FEATURES = {"type": "object", "description": "features that all examples have"}
_LABELLED = {"type": "array", "prefixItems": [_STRING, _NUMBER], "minItems": 2, "maxItems": 2}
_SCHEMAS = {
    "Error": _object(["error"], error=_STRING),
    "PredictRequest": {
        "oneOf": [
            _object(
                ["instances"],
                signature_name=_SIGNATURE_NAME,
                instances=_list(_ANY, minItems=1, description="a value, or values by name, a row"),
            ),
            _object(
                ["inputs"],
                signature_name=_SIGNATURE_NAME,
                inputs={"description": "a tensor, or tensors by name; bytes are {'b64': ...}"},
            ),
        ]
    },
    "PredictResponse": {
        "oneOf": [_object(["predictions"], predictions=_list(_ANY)), _object(["outputs"])]
    },
    "ExamplesRequest": _object(
        ["examples"], signature_name=_SIGNATURE_NAME, context=_FEATURES, examples=_EXAMPLES
    ),
    "ClassifyResponse": _object(["results"], results=_list(_list(_LABELLED))),
    "RegressResponse": _object(["results"], results=_list(_NUMBER)),
    "ModelStatus": _object(
        ["model_version_status"],
        model_version_status=_list(
            _object(
                ["version", "state", "status"],
                version=_STRING,
                state={"enum": ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
                status=_object([], error_code=_STRING, error_message=_STRING),
            )
        ),
    ),
    "Metadata": _object(["model_spec", "metadata"]),
    "CompletionRequest": _object(
        ["model"],
        model=_STRING,
        prompt={"description": "a text, ids, or a list of one of them"},
        max_tokens={"type": "integer", "minimum": 0, "default": 16},
        n={"type": "integer", "minimum": 1, "maximum": 128, "default": 1},
        seed={"type": "integer"},
        stop={"description": "a text, or up to four"},
        logprobs={"type": "integer", "minimum": 0, "maximum": 5},
        echo={"type": "boolean", "default": False},
        stream={"type": "boolean", "default": False},
        **{
            name: {"type": "number", "minimum": least, "maximum": most}
            for name, (least, most) in {
                "temperature": (0, 2),
                "top_p": (0, 1),
                "min_p": (0, 1),
                "presence_penalty": (-2, 2),
                "frequency_penalty": (-2, 2),
                "repetition_penalty": (0, 1e6),
                "top_k": (0, 2**31 - 1),
            }.items()
        },
    ),
    "EmbeddingRequest": _object(["model", "input"], model=_STRING, input={}),
    "List": _object(["object", "data"], object=_STRING, data=_list(_ANY)),
    "Completion": _object(["object", "choices"], object=_STRING, choices=_list(_ANY)),
    "ApiError": _object(
        ["error"],
        error=_object(
            ["message", "type", "param", "code"],
            message=_STRING,
            type=_STRING,
            param={"type": ["string", "null"]},
            code={"type": ["string", "null"]},
        ),
    ),
    "Health": _object(["status"], status=_STRING),
}
_TIMEOUT = {
    "name": "X-Request-Timeout",
    "in": "header",
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
    "description": "seconds until the answer is of no use",
}
_METHODS = {
    "predict": ("Ask a signature", "PredictRequest", "PredictResponse"),
    "classify": ("Classes of examples", "ExamplesRequest", "ClassifyResponse"),
    "regress": ("Numbers for examples", "ExamplesRequest", "RegressResponse"),
}


def document(models: Sequence[str]) -> dict[str, Any]:
    """The page.

    Args:
        models: the names of those that are served.
    """
    model = {**_STRING, "enum": list(models)} if models else _STRING
    places = {
        "": [_parameter("model", model)],
        "/versions/{version}": [
            _parameter("model", model),
            _parameter("version", {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}),
        ],
        "/labels/{label}": [
            _parameter("model", model),
            _parameter("label", {**_STRING, "pattern": "^[A-Za-z0-9_.-]+$"}),
        ],
    }
    paths: dict[str, Any] = {}
    for place, parameters in places.items():
        base = f"/v1/models/{{model}}{place}"
        for method, (summary, body, answer) in _METHODS.items():
            post = _operation(summary, answer, [*parameters, _TIMEOUT])
            post["requestBody"] = {"required": True, "content": _content(body)}
            paths[f"{base}:{method}"] = {"post": post}
        paths[base] = {"get": _operation("Versions of a model", "ModelStatus", parameters)}
        told = _operation("Signatures of a model", "Metadata", parameters)
        paths[f"{base}/metadata"] = {"get": told}
    for path, summary, body, answer in (
        (
            "/v1/completions",
            "Texts that go on, as OpenAI has it",
            "CompletionRequest",
            "Completion",
        ),
        ("/v1/embeddings", "Vectors of texts, as OpenAI has it", "EmbeddingRequest", "List"),
    ):
        post = _operation(summary, answer, [_TIMEOUT], "ApiError")
        post["requestBody"] = {"required": True, "content": _content(body)}
        paths[path] = {"post": post}
    told = paths["/v1/completions"]["post"]["responses"]["200"]["content"]
    told["text/event-stream"] = {"schema": {**_STRING, "description": "with stream"}}
    listed = _operation("The models: OpenAI's", "List", [], "ApiError")
    paths["/v1/models"] = {"get": listed}
    for path, summary in (("/healthz", "The server is alive"), ("/readyz", "It takes requests")):
        answers = {code: _answer(summary, "Health") for code in ("200", "503")}
        paths[path] = {"get": {"summary": summary, "responses": answers, "security": []}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "keras-lm serve",
            "version": __version__,
            "description": "TensorFlow Serving's REST interface, and OpenAI's completions. A "
            "bearer token is asked for where the server was started with one.",
        },
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _operation(
    summary: str, answer: str, parameters: list[dict], error: str = "Error"
) -> dict[str, Any]:
    errors = {code: _answer(what, error) for code, what in _ERRORS.items()}
    responses = {"200": _answer("The answer", answer), **errors}
    return {"summary": summary, "parameters": parameters, "responses": responses}


def _answer(what: str, schema: str) -> dict[str, Any]:
    return {"description": what, "content": _content(schema)}


def _content(schema: str) -> dict[str, Any]:
    return {_JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
