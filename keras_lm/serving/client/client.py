"""Asks a server: TensorFlow Serving, or `keras-lm serve`."""

import concurrent.futures
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from keras_lm.serving.client import batches, tasks
from keras_lm.serving.client.answers import (
    Answer,
    Classification,
    Completion,
    Entity,
    Filling,
    Score,
)
from keras_lm.serving.client.connecting import transport_for
from keras_lm.serving.client.errors import InvalidRequestError, NotFoundError
from keras_lm.serving.client.metadata import Signature, VersionStatus
from keras_lm.serving.client.retrying import Deadline, with_retries
from keras_lm.serving.client.transport import Arrays, Target

Row = TypeVar("Row")
Texts = str | Sequence[str]

_DEFAULT = "serving_default"
# A new version may have other signatures.
_METADATA_SECONDS = 60.0


class Client:
    """Asks the models of one server. Any number of threads may use one client.

    A text gives one answer, a list of texts a list. Every call takes `version` or `label`, and
    `timeout` in place of the client's. What `keras_lm.export` writes answers the calls of its task;
    `predict` asks anybody's models.

    Over `http` and `https` no TensorFlow is imported; `grpc` and `grpcs` need the extra `serve`,
    and their stubs import TensorFlow.

    Args:
        url: `grpc://host:port`, `grpcs://...`, `http://...` or `https://...`; of HTTP a path may
            follow, which stands before `/v1/`.
        token: the server's bearer token. None: no token.
        ca: a file in PEM with the authorities that the server's certificate may come from. None:
            those of the system.
        certificate: files in PEM of the client's own certificate and its key. None: it has none.
        timeout: seconds for each request with all of its tries. None: any time.
        retries: how often a request is sent again that the server did not take: UNAVAILABLE, 503,
            429, or a connection that was refused. Waits grow up to 5 s, and are drawn at random.
        batch_size: rows of a request; a longer list becomes several.
        concurrency: requests of one list that are under way at once.

    Raises:
        ValueError: an argument is out of range, or a file is not what it should be.
        ImportError: gRPC is asked for and the extra `serve` is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ca: str | os.PathLike | None = None,
        certificate: tuple[str | os.PathLike, str | os.PathLike] | None = None,
        timeout: float | None = 30.0,
        retries: int = 4,
        batch_size: int = 32,
        concurrency: int = 4,
    ) -> None:
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be positive or None. Received: timeout={timeout}")
        if retries < 0:
            raise ValueError(f"retries must not be negative. Received: retries={retries}")
        for name, number in (("batch_size", batch_size), ("concurrency", concurrency)):
            if number < 1:
                raise ValueError(f"{name} must be positive. Received: {name}={number}")
        self._timeout, self._retries, self._batch_size = timeout, retries, batch_size
        self._transport = transport_for(url, token, ca, certificate)
        self._workers = concurrent.futures.ThreadPoolExecutor(concurrency, "keras_lm-client")
        self._known: dict[Target, tuple[float, dict[str, Signature]]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._workers.shutdown(cancel_futures=True)
        self._transport.close()

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any] | Any,
        *,
        signature: str = _DEFAULT,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> Arrays:
        """Asks one signature.

        Where every input and output has rows, more of them than `batch_size` are sent as several
        requests, some at once; the first that fails ends the call.

        Args:
            model: its name.
            inputs: arrays or lists by name; of a signature with one input its value may stand
                alone. Strings are str or bytes.
            signature: its name.
            version: a number. None: the newest, or that of the label.
            label: such as "stable". One of the two at most.
            timeout: in place of the client's, for each request.

        Returns:
            Arrays by name. Strings are str, what is no UTF-8 in them replaced; where an output's
            name ends in `_bytes`, bytes.

        Raises:
            ValueError: the inputs are not those of the signature.
            ClientError: there is no answer; see its classes.
        """
        target, timeout = _target(model, version, label), self._seconds(timeout)
        known = self._signature(target, signature, timeout)
        return self._run(target, signature, known, inputs, timeout)

    def classify(
        self, model: str, texts: Texts, pairs: Texts | None = None, **where: Any
    ) -> Classification | list[Classification]:
        """Classes of texts, of a `TextClassifier`.

        Args:
            model: its name.
            texts: one or several.
            pairs: the second text of each, of an export with `pairs=True`.
            **where: `version`, `label`, `timeout`.
        """
        second = {} if pairs is None else {"text_pair": pairs}
        return self._task(model, {"text": texts, **second}, tasks.classification, where)

    def regress(
        self, model: str, texts: Texts, pairs: Texts | None = None, **where: Any
    ) -> list[float] | list[list[float]]:
        """The numbers of texts, of a `TextClassifier` of a regression; as `classify`."""
        second = {} if pairs is None else {"text_pair": pairs}
        return self._task(model, {"text": texts, **second}, lambda row: row["scores"], where)

    def tag(self, model: str, texts: Texts, **where: Any) -> list[Entity] | list[list[Entity]]:
        """Entities in texts, of a `TokenClassifier`."""
        return self._task(model, {"text": texts}, tasks.entities, where)

    def fill_mask(
        self, model: str, texts: Texts, **where: Any
    ) -> list[list[Filling]] | list[list[list[Filling]]]:
        """For each mask of a text the tokens that may stand there, the likeliest first."""
        return self._task(model, {"text": texts}, tasks.fillings, where)

    def answer(
        self, model: str, questions: Texts, contexts: Texts, **where: Any
    ) -> Answer | list[Answer]:
        """Answers of `QuestionAnswering`, pieces of the contexts.

        Args:
            model: its name.
            questions: one or several.
            contexts: one for all questions, or one for each.
            **where: `version`, `label`, `timeout`.
        """
        if isinstance(contexts, str) and not isinstance(questions, str):
            contexts = [contexts] * len(questions)
        return self._task(model, {"question": questions, "context": contexts}, tasks.answer, where)

    def embed(self, model: str, texts: Texts, **where: Any) -> np.ndarray:
        """Vectors of texts, float32 `(B, D)`, of one text `(D,)`."""
        found = self._task(model, {"text": texts}, lambda row: row["embedding"], where)
        return np.array(found, np.float32)

    def generate(
        self,
        model: str,
        texts: Texts,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        signature: str = "generate",
        **options: Any,
    ) -> Completion | list[Completion]:
        """Goes on with prompts, or answers texts where the model has an encoder and a decoder.

        Args:
            model: its name.
            texts: one or several.
            version: as of `predict`, and so are the next two.
            label: as of `predict`.
            timeout: as of `predict`.
            signature: its name.
            **options: of `keras_lm.generation.Options`, a value or one for each text. Without any,
                at most 50 of the likeliest tokens. A `seed` that is not given is drawn.
        """
        target, timeout = _target(model, version, label), self._seconds(timeout)
        known = self._signature(target, signature, timeout)
        rows = [texts] if isinstance(texts, str) else list(texts)
        text = "prompt" if "prompt" in known.inputs else "text"
        asked = {text: rows, **tasks.options_for(known, len(rows), options, signature)}
        found = self._run(target, signature, known, asked, timeout)
        return _like(texts, tasks.by_row(found, tasks.completion))

    def translate(self, model: str, texts: Texts, **options: Any) -> Completion | list[Completion]:
        """Answers of an encoder and a decoder, as long as the export says; else as `generate`."""
        if set(options) <= {"version", "label", "timeout"}:
            return self._task(model, {"text": texts}, tasks.completion, options)
        return self.generate(model, texts, **options)

    def score(
        self, model: str, texts: Texts, targets: Texts | None = None, **where: Any
    ) -> Score | list[Score]:
        """How likely texts are; of an encoder and a decoder how likely the targets are."""
        second = {} if targets is None else {"target": targets}
        asked = {"text": texts, **second}
        return self._task(model, asked, tasks.score, {"signature": "score", **where})

    def signatures(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Signature]:
        """What a model can be asked, by name."""
        target = _target(model, version, label)
        deadline = Deadline(self._seconds(timeout), model)
        found = with_retries(
            lambda: self._transport.signatures(target, deadline), self._retries, deadline
        )
        with self._lock:
            self._known[target] = time.monotonic(), found
        return found

    def status(self, model: str, *, timeout: float | None = None) -> list[VersionStatus]:
        """A model's versions, the newest first."""
        target, deadline = Target(model), Deadline(self._seconds(timeout), model)
        found = with_retries(
            lambda: self._transport.statuses(target, deadline), self._retries, deadline
        )
        return sorted(found, reverse=True)

    def _task(
        self,
        model: str,
        texts: Mapping[str, Texts],
        read: Callable[[dict[str, Any]], Row],
        where: dict[str, Any],
    ) -> Any:
        first = next(iter(texts.values()))
        rows = {key: [t] if isinstance(t, str) else list(t) for key, t in texts.items()}
        sizes = {key: len(values) for key, values in rows.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{number} of {key}" for key, number in sizes.items())
            raise ValueError(f"Each text needs one of the others. Received: {told}")
        found = self.predict(model, rows, **where)
        try:
            return _like(first, tasks.by_row(found, read))
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"Model {model!r} must have the outputs of this task. "
                f"Received: {', '.join(sorted(found))}; missing: {error}"
            ) from error

    def _run(
        self,
        target: Target,
        name: str,
        signature: Signature,
        given: Mapping[str, Any] | Any,
        timeout: float | None,
    ) -> Arrays:
        inputs = batches.inputs_for(name, signature, given, target.model)

        def send(piece: Arrays) -> Arrays:
            deadline = Deadline(timeout, target.model)
            return with_retries(
                lambda: self._transport.predict(target, name, signature, piece, deadline),
                self._retries,
                deadline,
            )

        try:
            if not batches.can_be_cut(signature, inputs, self._batch_size):
                return send(inputs)
            sent = [
                self._workers.submit(send, piece)
                for piece in batches.pieces(inputs, self._batch_size)
            ]
            try:
                return batches.joined([answer.result() for answer in sent])
            finally:
                for answer in sent:
                    answer.cancel()
        except (InvalidRequestError, NotFoundError):
            # It may be another version by now.
            with self._lock:
                self._known.pop(target, None)
            raise

    def _signature(self, target: Target, name: str, timeout: float | None) -> Signature:
        with self._lock:
            since, found = self._known.get(target, (float("-inf"), {}))
        if time.monotonic() > since + _METADATA_SECONDS or name not in found:
            found = self.signatures(
                target.model, version=target.version, label=target.label, timeout=timeout
            )
        if name not in found:
            raise ValueError(
                f"Model {target.model!r} has the signatures {', '.join(found)}. Received: {name!r}"
            )
        return found[name]

    def _seconds(self, timeout: float | None) -> float | None:
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be positive or None. Received: timeout={timeout}")
        return self._timeout if timeout is None else timeout


def _target(model: str, version: int | None, label: str | None) -> Target:
    if not isinstance(model, str) or not model:
        raise ValueError(f"A model has a name. Received: {model!r}")
    if version is not None and label is not None:
        raise ValueError(
            f"A version has a number or a label. Received: version={version}, label={label!r}"
        )
    return Target(model, version, label)


def _like(texts: Texts, rows: list[Row]) -> Row | list[Row]:
    return rows[0] if isinstance(texts, str) else rows
