"""`/v1/embeddings`: texts to vectors, with any signature that gives an `embedding`."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from keras_lm.serving.server.bodies import until_gone
from keras_lm.serving.server.completions.endpoint import Endpoint
from keras_lm.serving.server.completions.errors import ApiError, as_bytes
from keras_lm.serving.server.completions.models import Models
from keras_lm.serving.server.completions.request import Prompt, model_name, texts_or_ids, whole
from keras_lm.serving.server.completions.sources import rows_of_ids
from keras_lm.serving.server.inference import Inference
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.signature import DEFAULT, Arrays, Signature
from keras_lm.serving.server.traffic import Call

OUTPUT = "embedding"
_FIELDS = {"model", "input", "encoding_format", "dimensions", "user"}
_TEXT, _IDS = {"text"}, {"token_ids", "lengths"}


class Embeddings(Endpoint):
    """An ASGI application for embeddings.

    Args:
        models: finds them.
        inference: runs signatures.
        *others: as `Endpoint` takes them.
    """

    method = "Embedding"

    def __init__(self, models: Models, inference: Inference, *others: Any) -> None:
        super().__init__(*others)
        self._models, self._inference = models, inference

    async def answer(
        self,
        request: Request,
        document: Mapping[str, Any],
        seconds: float | None,
        call: Call,
        send: Send,
    ) -> Response:
        """See `Endpoint`."""
        for name in document:
            if name not in _FIELDS:
                raise ApiError(
                    f"Unrecognized request argument supplied: {name:.100}",
                    name[:100],
                    "unknown_field",
                )
        form = document.get("encoding_format") or "float"
        if form not in ("float", "base64"):
            raise ApiError(
                f"encoding_format must be float or base64. Received: {form!r:.100}",
                "encoding_format",
                "invalid_value",
            )
        asked = model_name(document, request.path_params.get("name"))
        texts = texts_or_ids(document.get("input"), "input")
        with self._models.use(asked) as servable:
            call.model = servable.name
            signature = _signature(servable, texts)
            inputs = _inputs(signature, texts)
            work = self._embed(servable, signature, inputs, seconds, document, asked, form)
            return Response(await until_gone(request, work), media_type="application/json")

    async def _embed(
        self,
        servable: Servable,
        signature: Signature,
        inputs: Arrays,
        seconds: float | None,
        document: Mapping[str, Any],
        asked: str,
        form: str,
    ) -> bytes:
        found = await self._inference.run(servable, signature, inputs, seconds=seconds)
        vectors = found[OUTPUT].astype("<f4")
        width = vectors.shape[1]
        if document.get("dimensions") is not None:
            wanted = whole(document, "dimensions", 1, 2**31 - 1, width)
            if wanted != width:
                raise ApiError(
                    f"dimensions must be what the model has, {width}. Received: {wanted}",
                    "dimensions",
                    "unsupported_parameter",
                )
        # A signature need not say how many tokens it read.
        counts = next((found[name] for name in ("num_tokens", "count") if name in found), None)
        tokens = 0 if counts is None else int(np.sum(counts))
        rows = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector.tobytes()).decode()
                if form == "base64"
                else vector.tolist(),
            }
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return as_bytes({"object": "list", "data": rows, "model": asked, "usage": usage})


def embeds(signature: Signature) -> bool:
    """Whether a signature gives a vector for each row."""
    info = signature.outputs.get(OUTPUT)
    return info is not None and signature.joinable and len(info.tensor_shape.dim) == 2


def _signature(servable: Servable, texts: list[Prompt]) -> Signature:
    """The signature that takes these texts, or ids; the default one first."""
    are_ids = {isinstance(text, list) for text in texts}
    if len(are_ids) > 1:
        raise ApiError("input must be strings or tokens, not both", "input", "invalid_type")
    takes = _IDS if are_ids.pop() else _TEXT
    signatures = servable.signatures
    for name in sorted(signatures, key=lambda name: (name != DEFAULT, name)):
        if embeds(signatures[name]) and set(signatures[name].inputs) == takes:
            return signatures[name]
    raise ApiError(
        f"The model gives no embeddings: it has no signature of {' and '.join(sorted(takes))} "
        f"that answers {OUTPUT}. Received: {servable.name}",
        "model",
        "model_not_supported",
    )


def _inputs(signature: Signature, texts: list[Prompt]) -> Arrays:
    if set(signature.inputs) == _TEXT:
        return {"text": np.array(texts, object)}
    return rows_of_ids(texts)
