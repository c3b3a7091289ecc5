"""Which models there are, in OpenAI's words, and the names that stand for others."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from keras_lm.serving.server.completions.errors import unknown_model
from keras_lm.serving.server.repository import Repository, Wish
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.statuses import Code, ServingError


class Models:
    """Finds models.

    Args:
        repository: where they are.
        aliases: names of models by other names.
        started: when the server was, in seconds since 1970.
        elsewhere: names of models that another server has.
    """

    def __init__(
        self,
        repository: Repository,
        aliases: Mapping[str, str],
        started: int,
        elsewhere: Sequence[str] = (),
    ) -> None:
        self._repository, self._aliases, self._started = repository, aliases, started
        self._elsewhere = elsewhere

    @contextmanager
    def use(self, name: str) -> Iterator[Servable]:
        """The newest version of a model; it stays in memory meanwhile.

        Raises:
            ApiError: there is no such model.
        """
        with ExitStack() as stack:
            try:
                servable = stack.enter_context(self._repository.use(Wish(self.behind(name))))
            except ServingError as error:
                raise (unknown_model(name) if error.code == Code.NOT_FOUND else error) from None
            yield servable

    def behind(self, name: str) -> str:
        """The name that a name stands for. A model of that name comes before an alias."""
        return name if self._repository.answers(name) else self._aliases.get(name, name)

    def is_elsewhere(self, name: str) -> bool:
        """Whether another server is to be asked for a model."""
        return name in self._elsewhere and not self._repository.answers(name)

    def listed(self) -> list[dict[str, Any]]:
        """All that answer, by both of their names."""
        names = [name for name in self._repository.names() if self._repository.answers(name)]
        names += self._elsewhere
        others = [
            alias for alias, name in self._aliases.items() if alias not in names and name in names
        ]
        return [self.document(name) for name in sorted({*names, *others})]

    def document(self, name: str) -> dict[str, Any]:
        """What OpenAI tells of a model."""
        return {"id": name, "object": "model", "created": self._started, "owned_by": "keras_lm"}
