"""`/v1/completions`: from a request to its answer, in one piece or as a stream of events."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from keras_lm.generation import Status
from keras_lm.models.limits import CUT
from keras_lm.serving.server.bodies import until_gone
from keras_lm.serving.server.completions.answers import Choice, Frame
from keras_lm.serving.server.completions.endpoint import Endpoint
from keras_lm.serving.server.completions.errors import ApiError, as_bytes, error_of
from keras_lm.serving.server.completions.logprobs import as_logprobs
from keras_lm.serving.server.completions.request import CompletionRequest, completion_request
from keras_lm.serving.server.completions.rows import Row, Told
from keras_lm.serving.server.completions.sources import Source, Sources
from keras_lm.serving.server.statuses import Code, ServingError, as_serving_error
from keras_lm.serving.server.traffic import Call

# What a stream consists of: each document is one event.
Documents = AsyncGenerator[dict[str, Any], None]


class Completions(Endpoint):
    """An ASGI application for completions.

    Args:
        sources: continue texts.
        *others: as `Endpoint` takes them.
    """

    method = "Completion"

    def __init__(self, sources: Sources, *others: Any) -> None:
        super().__init__(*others)
        self._sources = sources

    async def answer(
        self,
        request: Request,
        document: Mapping[str, Any],
        seconds: float | None,
        call: Call,
        send: Send,
    ) -> Response | None:
        """See `Endpoint`."""
        asked = completion_request(document, request.path_params.get("name"))
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._sources.use(asked.model) as source:
            call.model = source.name
            documents = _documents(asked, source, deadline)
            async with contextlib.aclosing(documents):
                if not asked.stream:
                    return Response(
                        await until_gone(request, _last(documents)), media_type="application/json"
                    )
                error = await _stream(request, send, documents)
                if error is not None:
                    call.code, call.message = error.code, error.message
        return None


async def _documents(asked: CompletionRequest, source: Source, deadline: float | None) -> Documents:
    """The events of a stream; or, of what is no stream, the one document."""
    if asked.echo and not source.continues_prompts:
        raise ApiError(
            "echo is for models that go on with a prompt", "echo", "unsupported_parameter"
        )
    choices = [Choice(i, asked) for i in range(len(asked.prompts) * asked.n)]
    frame = Frame(asked, source.fingerprint)
    news: asyncio.Queue[tuple[Choice, Told]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(choice: Choice, told: Told) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(news.put_nowait, (choice, told))

    rows = [
        Row(
            asked.prompts[choice.index // asked.n],
            asked.options_of(choice.index % asked.n),
            functools.partial(tell, choice),
            deadline,
            in_pieces=asked.stream,
        )
        for choice in choices
    ]
    parts: dict[int, dict[str, Any]] = {}
    source.submit(rows)
    try:
        while any(choice.finish is None for choice in choices):
            choice, told = await news.get()
            if told.error is not None:
                raise told.error
            if choice.finish is not None:
                continue
            _check_fits(asked, told)
            is_first = not choice.told.prompt_ids
            new = choice.take(told)
            if choice.finish is not None:
                source.cancel([rows[choice.index]])
            if is_first and asked.echo:
                choice.before = await _prompt_text(asked, source, choice, deadline)
                new = choice.before + new
            logprobs = None
            wants = asked.logprobs is not None
            if wants and (asked.stream or choice.finish is not None):
                logprobs = await _logprobs(asked, source, choice, deadline)
            if asked.stream:
                if new or logprobs or choice.finish is not None:
                    told_now = choice.document(new, logprobs, choice.finish)
                    yield frame.document([told_now])
            elif choice.finish is not None:
                text = choice.before + choice.text
                parts[choice.index] = choice.document(text, logprobs, choice.finish)
    finally:
        source.cancel(rows)
    usage = frame.usage(choices)
    if not asked.stream:
        yield frame.document([parts[i] for i in sorted(parts)], usage=usage)
    elif asked.include_usage:
        yield frame.document([], usage=usage)


async def _prompt_text(
    asked: CompletionRequest, source: Source, choice: Choice, deadline: float | None
) -> str:
    prompt = asked.prompts[choice.index // asked.n]
    if isinstance(prompt, bytes):
        return prompt.decode("utf-8", "replace")
    ids = choice.told.prompt_ids
    return await source.text(ids, _left(deadline))


async def _logprobs(
    asked: CompletionRequest, source: Source, choice: Choice, deadline: float | None
) -> dict[str, Any]:
    """Of the tokens that were not told of yet."""
    assert asked.logprobs is not None
    prompt, new = choice.told.prompt_ids, choice.told.token_ids[: choice.num_tokens]
    ids = [*prompt, *new]
    tokens = await source.tokens(ids, _left(deadline))
    # What an empty prompt begins with is no part of it.
    is_empty = asked.prompts[choice.index // asked.n] == b""
    first = (int(is_empty) if asked.echo else len(prompt)) + len(choice.told_tokens)
    size = None if choice.finish is None else len(choice.before + choice.text)
    told = b"".join(choice.told_tokens)
    found = as_logprobs(tokens, first, len(ids), told, asked.logprobs, size)
    choice.told_tokens += tokens.pieces[first:]
    return found


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.001, deadline - time.monotonic())


def _check_fits(asked: CompletionRequest, told: Told) -> None:
    """Refuses what was cut: an answer to half of a prompt is none."""
    if told.status & (CUT | Status.MAX_NEW_TOKENS):
        raise ApiError(
            "This model's maximum context length is below what was asked for: the prompt and "
            f"max_tokens={asked.max_tokens} must fit together. Please reduce your prompt or "
            "max_tokens",
            "max_tokens" if not told.status & CUT else "prompt",
            "context_length_exceeded",
        )


async def _last(documents: Documents) -> bytes:
    """The only document."""
    found = [document async for document in documents]
    return as_bytes(found[-1])


async def _stream(request: Request, send: Send, documents: Documents) -> ServingError | None:
    """Sends documents as events until they end or the client goes.

    Returns:
        How it ended, if not well.

    Raises:
        ServingError: before anything was sent.
    """
    gone = asyncio.ensure_future(request.receive())
    has_begun = False

    async def tell(data: bytes, more: bool = True) -> None:
        nonlocal has_begun
        if not has_begun:
            has_begun = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
            headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data, "more_body": more})

    try:
        while True:
            ahead = asyncio.ensure_future(anext(documents, None))
            try:
                await asyncio.wait((ahead, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not ahead.done():
                    ahead.cancel()
                    await asyncio.wait((ahead,))
            if gone.done():
                return ServingError(Code.CANCELLED, "The client has gone")
            try:
                document = ahead.result()
            except Exception as error:
                if not has_begun:
                    raise
                # The status has been sent: the error is the last event.
                await tell(_event(error_of(error)[2]), more=False)
                return as_serving_error(error)
            if document is None:
                await tell(b"data: [DONE]\n\n", more=False)
                return None
            await tell(_event(document))
    finally:
        gone.cancel()


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + as_bytes(document) + b"\n\n"
