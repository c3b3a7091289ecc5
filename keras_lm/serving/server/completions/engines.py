"""The engines of a server, one for each version that has been asked for a completion."""

import logging
import threading

from keras_lm.serving.server.completions.engine import Engine, warm_up
from keras_lm.serving.server.completions.engine_options import EngineOptions
from keras_lm.serving.server.completions.errors import ApiError
from keras_lm.serving.server.completions.metrics import GenerationMetrics
from keras_lm.serving.server.servable import Servable


class Engines:
    """Makes engines, and ends them.

    Args:
        options: of each.
        metrics: where they count.
        logger: is told of their failures.
    """

    def __init__(
        self, options: EngineOptions, metrics: GenerationMetrics, logger: logging.Logger
    ) -> None:
        self._options, self._metrics, self._logger = options, metrics, logger
        self._lock = threading.Lock()
        self._engines: dict[Servable, Engine] = {}

    def of(self, servable: Servable) -> Engine:
        """The engine of a version that the caller has in use.

        Raises:
            ApiError: it can have none.
        """
        if not self.can_have(servable):
            raise ApiError(
                "The model writes no completions here: that takes an export with the signatures "
                f"prefill, decode_chunk and join_states, and slots. Received: {servable.name}",
                "model",
                "model_not_supported",
            )
        with self._lock:
            if servable not in self._engines:
                self._engines[servable] = Engine(
                    servable, self._options, self._metrics, self._logger
                )
            return self._engines[servable]

    def can_have(self, servable: Servable) -> bool:
        """Whether a version can be asked for completions."""
        return servable.states is not None and self._options.slots > 0

    def continues_prompts(self, servable: Servable) -> bool:
        """Whether a version goes on with a text that it reads, and does not answer with another."""
        return servable.states is not None and "prompt" in servable.states.input_types["prefill"]

    def warm_up(self, servable: Servable) -> None:
        """Runs what an engine runs, before anybody waits for it."""
        if servable.states is not None and self.can_have(servable):
            warm_up(servable.states, servable)

    def forget(self, servable: Servable) -> None:
        """Ends the engine of a version that nobody can reach any more."""
        with self._lock:
            engine = self._engines.pop(servable, None)
        if engine is not None:
            engine.stop()

    def stop(self) -> None:
        """Ends all."""
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        for engine in engines:
            engine.stop()
