"""Who continues a client's texts: an engine here, or a server elsewhere."""

import abc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from keras_lm.serving.server.completions.engines import Engines
from keras_lm.serving.server.completions.errors import ApiError
from keras_lm.serving.server.completions.logprobs import Tokens, tokens_from
from keras_lm.serving.server.completions.models import Models
from keras_lm.serving.server.completions.rows import Row
from keras_lm.serving.server.inference import Inference
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.signature import Arrays

_SCORE, _DETOKENIZE = "score_ids", "detokenize"


class Source(abc.ABC):
    """One model that continues texts.

    Attributes:
        name: of the model.
        fingerprint: says who answered.
        continues_prompts: whether it goes on with a text, and does not answer with another.
    """

    name: str
    fingerprint: str
    continues_prompts: bool

    @abc.abstractmethod
    def submit(self, rows: Sequence[Row]) -> None:
        """Continues rows, all or none.

        Raises:
            ServingError: they find no place.
        """

    @abc.abstractmethod
    def cancel(self, rows: Sequence[Row]) -> None:
        """Says that nobody wants the text of rows any more."""

    @abc.abstractmethod
    async def ask(self, signature: str, inputs: Arrays, seconds: float | None) -> Arrays:
        """Asks another signature.

        Raises:
            ServingError: it has none, or no answer.
        """

    async def tokens(self, ids: Sequence[int], seconds: float | None) -> Tokens:
        """Tells of ids how likely they are."""
        return tokens_from(await self.ask(_SCORE, rows_of_ids([ids]), seconds))

    async def text(self, ids: Sequence[int], seconds: float | None) -> str:
        """The text of ids."""
        found = await self.ask(_DETOKENIZE, rows_of_ids([ids]), seconds)
        return found["text"][0].decode("utf-8", "replace")


class LocalSource(Source):
    """A version in this server.

    Args:
        servable: which the caller has in use.
        engines: continue rows.
        inference: runs other signatures.

    Raises:
        ApiError: it is none that can continue texts.
    """

    def __init__(self, servable: Servable, engines: Engines, inference: Inference) -> None:
        self.name = servable.name
        self.fingerprint = f"{servable.name}/{servable.version}"
        self._servable, self._inference = servable, inference
        self._engine = engines.of(servable)
        self.continues_prompts = engines.continues_prompts(servable)

    def submit(self, rows: Sequence[Row]) -> None:
        """See `Source`."""
        self._engine.submit(rows)

    def cancel(self, rows: Sequence[Row]) -> None:
        """See `Source`."""
        self._engine.cancel(rows)

    async def ask(self, signature: str, inputs: Arrays, seconds: float | None) -> Arrays:
        """See `Source`."""
        found = self._servable.signatures.get(signature)
        if found is None:
            raise not_told(signature)
        return await self._inference.run(self._servable, found, inputs, seconds=seconds)


class Sources:
    """Finds sources.

    Args:
        models: of this server.
        engines: of this server.
        inference: of this server.
        elsewhere: gives a source by its name, for models of another server. None: there is none.
    """

    def __init__(
        self,
        models: Models,
        engines: Engines,
        inference: Inference,
        elsewhere: Callable[[str], Source] | None,
    ) -> None:
        self._models, self._engines, self._inference = models, engines, inference
        self._elsewhere = elsewhere

    @contextmanager
    def use(self, name: str) -> Iterator[Source]:
        """Whoever a name stands for; it stays in memory meanwhile.

        Raises:
            ApiError: there is nobody.
        """
        behind = self._models.behind(name)
        if self._elsewhere is not None and self._models.is_elsewhere(behind):
            yield self._elsewhere(behind)
            return
        with self._models.use(name) as servable:
            yield LocalSource(servable, self._engines, self._inference)


def rows_of_ids(rows: Sequence[Sequence[int]]) -> Arrays:
    """What a signature takes that reads ids."""
    lengths = np.array([len(row) for row in rows], np.int32)
    ids = np.zeros((len(rows), int(lengths.max(initial=0))), np.int32)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = list(row)
    return {"token_ids": ids, "lengths": lengths}


def not_told(signature: str) -> ApiError:
    """The end of a request that takes a signature which an export does not have."""
    return ApiError(
        f"The model does not tell of tokens: its export has no signature {signature}",
        "logprobs" if signature == _SCORE else "echo",
        "unsupported_parameter",
    )
