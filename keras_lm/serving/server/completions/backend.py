"""Completions in front of a TensorFlow Serving elsewhere, or of another server of this package.

It is asked over gRPC. A cache does not travel, of GPT-2 it is 72 MB a row: `prefill` is asked for
all but the cache, and then `generate_ids` reads prompt and answer anew for each piece.
"""

import asyncio
import codecs
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_lm.generation import Reason
from keras_lm.serving.server.completions.engine_options import EngineOptions
from keras_lm.serving.server.completions.rows import RUNNING, Row, Told
from keras_lm.serving.server.completions.sources import Source, rows_of_ids
from keras_lm.serving.server.proto_tensors import arrays_from, tensors_to
from keras_lm.serving.server.signature import Arrays
from keras_lm.serving.server.statuses import Code, ServingError, as_serving_error

# What is asked for of a state.
_SMALL = ("prompt_ids", "prompt_lengths", "token_ids", "count", "reason", "status")
# Tokens of a piece. Each piece costs a pass over all before it.
_PIECE = 16
_OPTION_TYPES = {
    "temperature": np.float32,
    "top_k": np.int32,
    "top_p": np.float32,
    "min_p": np.float32,
    "seed": np.int64,
    "repetition_penalty": np.float32,
    "presence_penalty": np.float32,
    "frequency_penalty": np.float32,
    "max_new_tokens": np.int32,
    "min_new_tokens": np.int32,
}


class Backend:
    """A server elsewhere.

    Args:
        address: its host and the port of gRPC.
        options: how many rows it is asked for at a time, and how many may wait.
    """

    def __init__(self, address: str, options: EngineOptions) -> None:
        self._address, self._options = address, options
        self._stub: Any = None
        self._free = asyncio.Semaphore(max(options.slots, 1))
        self._num_rows = 0

    def source(self, name: str) -> Source:
        """One of its models."""
        return RemoteSource(name, self)

    @contextlib.contextmanager
    def places(self, count: int) -> Iterator[None]:
        """Room for so many rows.

        Raises:
            ServingError: there is none.
        """
        most = self._options.slots + self._options.max_waiting
        if self._num_rows + count > most:
            raise ServingError(
                Code.UNAVAILABLE,
                f"The model is overloaded: {self._num_rows} rows have no answer yet, and at most "
                f"{most} may. Received: {count} more",
            )
        self._num_rows += count
        try:
            yield
        finally:
            self._num_rows -= count

    async def predict(
        self,
        model: str,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] = (),
        seconds: float | None = None,
    ) -> Arrays:
        """Asks one signature.

        Args:
            model: the name.
            signature: of it.
            inputs: arrays by alias.
            outputs: aliases of what is wanted. Empty: all.
            seconds: until the answer is of no use. None: any time.

        Raises:
            ServingError: it has no answer.
        """
        if self._stub is None:  # in the event loop that asks it
            channel = grpc.aio.insecure_channel(
                self._address, [("grpc.max_receive_message_length", -1)]
            )
            self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        tensors_to(inputs, request.inputs)
        request.output_filter.extend(outputs)
        try:
            async with self._free:
                response = await self._stub.Predict(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            code = Code(error.code().value[0])
            raise ServingError(code, error.details() or code.name) from None
        return arrays_from(response.outputs)


class RemoteSource(Source):
    """A model of a server elsewhere.

    Args:
        name: of the model.
        backend: the server.
    """

    continues_prompts = True

    def __init__(self, name: str, backend: Backend) -> None:
        self.name = self.fingerprint = name
        self._backend = backend
        self._tasks: dict[Row, asyncio.Task[None]] = {}

    def submit(self, rows: Sequence[Row]) -> None:
        """See `Source`."""
        places = contextlib.ExitStack()
        places.enter_context(self._backend.places(len(rows)))
        for row in rows:
            self._tasks[row] = asyncio.ensure_future(self._continue(row))
        every = asyncio.gather(*self._tasks.values(), return_exceptions=True)
        every.add_done_callback(lambda _: places.close())

    def cancel(self, rows: Sequence[Row]) -> None:
        """See `Source`."""
        for row in rows:
            row.is_over = True
            self._tasks[row].cancel()

    async def ask(self, signature: str, inputs: Arrays, seconds: float | None) -> Arrays:
        """See `Source`."""
        return await self._backend.predict(self.name, signature, inputs, seconds=seconds)

    async def _continue(self, row: Row) -> None:
        try:
            await self._tell(row)
        except Exception as error:
            row.tell(Told(error=as_serving_error(error)))

    async def _tell(self, row: Row) -> None:
        options = {name: row.options.get(name, 0) for name in _OPTION_TYPES}
        inputs = _optioned(options)
        if isinstance(row.prompt, bytes):
            inputs["prompt"] = np.array([row.prompt], object)
        else:
            inputs |= rows_of_ids([row.prompt])
        begun = await self._ask(row, row.prefill, inputs, _SMALL)
        prompt = begun["prompt_ids"][0, : begun["prompt_lengths"][0]].tolist()
        status, reason = int(begun["status"][0]), int(begun["reason"][0])
        ids = begun["token_ids"][0, : begun["count"][0]].tolist()
        text = codecs.getincrementaldecoder("utf-8")("replace")
        num_told = 0
        penalizes = any(options[name] for name in ("presence_penalty", "frequency_penalty"))
        # In one go all is as if the model were here. A penalty knows its own piece alone.
        in_pieces = row.in_pieces and not penalizes
        if status or reason != RUNNING:
            in_pieces = True  # there is nothing to be done in one go
        if not in_pieces:
            ids, reason = await self._more(row, prompt, options)
        while True:
            pieces = (await self._tokens(row, ids[num_told:])) if ids[num_told:] else []
            num_told = len(ids)
            piece = text.decode(b"".join(pieces), final=reason != RUNNING)
            row.tell(Told(piece, reason, status, prompt, ids))
            if reason != RUNNING:
                return
            left = int(options["max_new_tokens"]) - len(ids)
            least = int(options["min_new_tokens"]) - len(ids)
            size = min(_PIECE, left)
            asked = {
                **options,
                "max_new_tokens": size,
                "min_new_tokens": min(max(least, 0), size),
                # A draw is a function of seed and step, and steps begin anew.
                "seed": _mixed(int(options["seed"]), len(ids)),
            }
            new, reason = await self._more(row, [*prompt, *ids], asked)
            ids = [*ids, *new]
            if reason == Reason.LENGTH and len(ids) < options["max_new_tokens"]:
                reason = RUNNING

    async def _more(
        self, row: Row, ids: Sequence[int], options: Mapping[str, float]
    ) -> tuple[list[int], int]:
        """New ids behind others, and a `Reason`."""
        inputs = {**rows_of_ids([ids]), **_optioned(options)}
        found = await self._ask(row, "generate_ids", inputs, ("token_ids", "count"))
        new = found["token_ids"][0, : found["count"][0]].tolist()
        is_full = len(new) >= options["max_new_tokens"]
        return new, int(Reason.LENGTH if is_full else Reason.END_TOKEN)

    async def _tokens(self, row: Row, ids: Sequence[int]) -> list[bytes]:
        found = await self._ask(row, "detokenize", rows_of_ids([ids]), ("tokens",))
        return found["tokens"][0].tolist()

    async def _ask(
        self, row: Row, signature: str, inputs: Arrays, outputs: Sequence[str]
    ) -> Arrays:
        seconds = None
        if row.deadline is not None:
            seconds = max(0.001, row.deadline - time.monotonic())
        return await self._backend.predict(self.name, signature, inputs, outputs, seconds)


def _optioned(options: Mapping[str, float]) -> Arrays:
    return {name: np.array([options[name]], dtype) for name, dtype in _OPTION_TYPES.items()}


def _mixed(seed: int, step: int) -> int:
    """Another seed for each piece of a row, of 64 bits (Steele et al. 2014, SplitMix)."""
    mixed = (seed + step * 0x9E3779B97F4A7C15) % 2**64
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
    mixed ^= mixed >> 31
    return mixed - 2**64 if mixed >= 2**63 else mixed
