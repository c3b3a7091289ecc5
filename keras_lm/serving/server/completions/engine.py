"""Continuous batching: rows of all clients are continued together, and join and leave at any chunk.

An engine has a number of slots. Between two chunks of a few tokens, rows that have ended, or whose
client has gone, leave; rows that wait are read, all that have a slot together, and join. A row's
text does not depend on the rows beside it. What is read stays in TensorFlow, see `state_graph`.
Knows nothing of protocols.
"""

import collections
import logging
import threading
import time
from collections.abc import Sequence

import numpy as np

from keras_lm.serving.server.completions.engine_options import EngineOptions
from keras_lm.serving.server.completions.metrics import GenerationMetrics
from keras_lm.serving.server.completions.rows import RUNNING, Row, Told
from keras_lm.serving.server.completions.state_graph import Looked, State, StateGraph
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.statuses import Code, ServingError, as_serving_error


class Engine:
    """Continues rows with one version of a model, in a thread of its own.

    Args:
        servable: the version; it has `states`. Each row keeps it in memory.
        options: slots and the like.
        metrics: where it counts.
        logger: is told of failures.
    """

    def __init__(
        self,
        servable: Servable,
        options: EngineOptions,
        metrics: GenerationMetrics,
        logger: logging.Logger,
    ) -> None:
        assert servable.states is not None
        self._servable, self._graph = servable, servable.states
        self._options, self._metrics, self._logger = options, metrics, logger
        self._changed = threading.Condition()
        self._waiting: collections.deque[Row] = collections.deque()
        self._running: list[Row] = []  # in the order of the state's rows
        self._joining: list[Row] = []  # that are being read
        self._state: State = []
        self._stopping = False
        self._thread = threading.Thread(
            target=self._work, name=f"engine-{servable.name}", daemon=True
        )
        self._thread.start()

    def submit(self, rows: Sequence[Row]) -> None:
        """Lets rows wait for slots, all or none.

        Raises:
            ServingError: too many wait, or the server ends.
        """
        with self._changed:
            if self._stopping:
                raise ServingError(Code.UNAVAILABLE, "The server is shutting down")
            free = self._options.slots - self._num_running()
            most = free + self._options.max_waiting
            if len(self._waiting) + len(rows) > most:
                self._metrics.refused.labels(self._servable.name).inc()
                raise ServingError(
                    Code.UNAVAILABLE,
                    f"The model is overloaded: {self._num_running()} rows are being continued, "
                    f"{len(self._waiting)} wait, and at most {self._options.max_waiting} may. "
                    f"Received: {len(rows)} more",
                )
            for row in rows:
                self._servable.retain()
                self._waiting.append(row)
            self._count()
            self._changed.notify()

    def cancel(self, rows: Sequence[Row]) -> None:
        """Says that nobody wants the text of rows any more: they leave at the next chunk."""
        with self._changed:
            for row in rows:
                if not row.is_over:
                    self._metrics.cancelled.labels(self._servable.name).inc()
                    self._end(row)
            self._waiting = collections.deque(row for row in self._waiting if not row.is_over)
            self._count()
            self._changed.notify()

    def stop(self) -> None:
        """Ends all rows and the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _num_running(self) -> int:
        return sum(not row.is_over for row in (*self._running, *self._joining))

    def _count(self) -> None:
        name = self._servable.name
        self._metrics.running.labels(name).set(self._num_running())
        self._metrics.waiting.labels(name).set(len(self._waiting))

    def _end(self, row: Row) -> None:
        row.is_over = True
        self._servable.release()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._running or self._stopping):
                    self._changed.wait()
                if self._stopping:
                    break
                self._end_late()
                new = self._joining = self._next()
            try:
                self._turn(new)
            except Exception as error:
                self._give_up([*self._running, *new], error)
                self._forget_state()
            with self._changed:
                self._joining = []
                self._count()
        stopped = ServingError(Code.UNAVAILABLE, "The server is shutting down")
        self._give_up([*self._running, *self._waiting], stopped)
        self._forget_state()

    def _end_late(self) -> None:
        """Ends rows whose time is over."""
        now = time.monotonic()
        for row in [*self._running, *self._waiting]:
            if not row.is_over and row.deadline is not None and row.deadline <= now:
                error = ServingError(Code.DEADLINE_EXCEEDED, "The text took longer than its time")
                self._end(row)
                row.tell(Told(error=error))
        self._waiting = collections.deque(row for row in self._waiting if not row.is_over)

    def _next(self) -> list[Row]:
        """Takes those that waited longest and are read by one signature, as many as have slots."""
        free = self._options.slots - self._num_running()
        new: list[Row] = []
        while self._waiting and len(new) < free:
            if new and self._waiting[0].prefill != new[0].prefill:
                break
            new.append(self._waiting.popleft())
        return new

    def _turn(self, new: list[Row]) -> None:
        """Lets rows leave and join, and takes a chunk."""
        read: State = []
        if new:
            try:
                read = self._read(new)
            except Exception as error:  # those that were read before must not pay for it
                self._give_up(new, error)
                new = []
        try:
            self._arrange(new, read)
        except Exception:
            self._graph.release(self._servable, read)
            raise
        if self._running:
            chunk = self._options.tokens_per_chunk
            self._metrics.chunk_rows.labels(self._servable.name).observe(len(self._running))
            self._state, looked = self._graph.decode(self._servable, self._state, chunk)
            self._tell(self._running, looked)

    def _read(self, new: list[Row]) -> State:
        """Reads prompts, and tells of their first tokens."""
        inputs = inputs_of(self._graph, new)
        state, looked = self._graph.prefill(self._servable, new[0].prefill, inputs)
        now = time.monotonic()
        for row in new:
            self._metrics.first_token.labels(self._servable.name).observe(now - row.arrived)
        self._tell(new, looked)
        return state

    def _arrange(self, new: list[Row], read: State) -> None:
        """The state of the rows that go on, of those before and of the new ones."""
        with self._changed:  # a client may go at any moment
            kept = [place for place, row in enumerate(self._running) if not row.is_over]
            begun = [place for place, row in enumerate(new) if not row.is_over]
            running = [self._running[place] for place in kept] + [new[place] for place in begun]
        state, graph, servable = self._state, self._graph, self._servable
        if kept and begun:
            self._state = graph.join(servable, state, kept, read, begun)
        elif begun:
            graph.release(servable, state)
            self._state = read if len(begun) == len(new) else graph.select(servable, read, begun)
        else:
            graph.release(servable, read)
            if not kept:
                graph.release(servable, state)
                self._state = []
            elif len(kept) < len(self._running):
                self._state = graph.select(servable, state, kept)
        with self._changed:
            self._running, self._joining = running, []
            self._count()

    def _tell(self, rows: list[Row], looked: Looked) -> None:
        with self._changed:
            going = [(place, row) for place, row in enumerate(rows) if not row.is_over]
        for place, row in going:
            told = told_of(looked, place)
            self._metrics.tokens.labels(self._servable.name).inc(len(told.token_ids) - row.count)
            row.count = len(told.token_ids)
            if told.reason != RUNNING:
                with self._changed:
                    if not row.is_over:
                        self._end(row)
            row.tell(told)

    def _give_up(self, rows: Sequence[Row], error: Exception) -> None:
        """Tells rows why they have no more text."""
        known = as_serving_error(error)
        if not isinstance(error, ServingError):
            about = {"model": self._servable.name, "version": self._servable.version}
            self._logger.error("generation failed", extra=about, exc_info=error)
        with self._changed:
            ended = [row for row in dict.fromkeys(rows) if not row.is_over]
            for row in ended:
                self._end(row)
        for row in ended:
            row.tell(Told(error=known))

    def _forget_state(self) -> None:
        with self._changed:
            state, self._state, self._running = self._state, [], []
        self._graph.release(self._servable, state)


def told_of(looked: Looked, place: int) -> Told:
    """What is new of one row of a state."""
    count, length = int(looked["count"][place]), int(looked["prompt_lengths"][place])
    return Told(
        piece=looked["piece"][place].decode("utf-8", "replace"),
        reason=int(looked["reason"][place]),
        status=int(looked["status"][place]),
        prompt_ids=looked["prompt_ids"][place, :length].tolist(),
        token_ids=looked["token_ids"][place, :count].tolist(),
    )


def inputs_of(graph: StateGraph, rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """What the signature takes that reads these rows; all are read by the same."""
    inputs = {}
    for alias, dtype in graph.input_types[rows[0].prefill].items():
        if dtype.name == "string":
            values = np.array([row.prompt for row in rows], object)
        elif alias == "lengths":
            values = np.array([len(row.prompt) for row in rows], dtype.as_numpy_dtype)
        elif alias == "token_ids":
            longest = max(len(row.prompt) for row in rows)
            values = np.zeros((len(rows), longest), dtype.as_numpy_dtype)
            for place, row in enumerate(rows):
                values[place, : len(row.prompt)] = list(row.prompt)
        else:
            values = np.array([row.options.get(alias, 0) for row in rows], dtype.as_numpy_dtype)
        inputs[alias] = values
    return inputs


def warm_up(graph: StateGraph, servable: Servable) -> None:
    """Runs all that an engine runs once: TensorFlow optimizes a graph when it runs first."""
    options = {"max_new_tokens": 3, "min_new_tokens": 3, "top_p": 1.0, "repetition_penalty": 1.0}
    states = []
    for prompt in (b"a", [0]):
        row = Row(prompt, options, tell=lambda told: None)
        state, _ = graph.prefill(servable, row.prefill, inputs_of(graph, [row]))
        states.append(state)
    state = graph.join(servable, states[0], [0], states[1], [0])
    state, _ = graph.decode(servable, state, 1)
    graph.release(servable, graph.select(servable, state, [1]))
