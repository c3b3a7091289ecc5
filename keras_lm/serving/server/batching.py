"""Joins the rows of several requests into one run, and answers each request with its own rows.

Requests wait in a queue of their version and signature. A free thread takes the oldest request and
those behind it that have the same shapes but for the batch: rows of other widths are never padded,
since no server knows what a padding means to a model. Knows nothing of protocols.
"""

import bisect
import collections
import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from keras_lm.serving.server.batching_parameters import BatchingParameters
from keras_lm.serving.server.metrics import Metrics
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.statuses import Code, ServingError

# A thread that nobody wakes looks again after this.
_IDLE_SECONDS = 1.0


@dataclasses.dataclass(eq=False)
class Task:
    """One request in a queue.

    Attributes:
        feeds: arrays by the names of the graph's tensors.
        fetches: names of tensors.
        rows: of each array; 1 where the arrays have no batch.
        joinable: whether other requests may be run with it.
        deadline: in `time.monotonic`'s seconds. None: none.
        answer: of this request: the tensors of `fetches`.
    """

    feeds: Mapping[str, np.ndarray]
    fetches: tuple[str, ...]
    rows: int
    joinable: bool
    deadline: float | None = None
    answer: concurrent.futures.Future = dataclasses.field(default_factory=concurrent.futures.Future)
    arrived: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def kind(self) -> Hashable:
        """Requests of one kind may be run together."""
        shapes = tuple((name, v.dtype.kind, v.shape[1:]) for name, v in sorted(self.feeds.items()))
        return self.fetches, shapes


class _Queue:
    """What waits for one signature of one version."""

    def __init__(self, servable: Servable) -> None:
        self.servable = servable
        self.tasks: collections.deque[Task] = collections.deque()
        self.rows = 0
        # False once the outputs turned out not to have a row for each row of the inputs.
        self.joinable = True

    def take(self, most_rows: int) -> list[Task]:
        """Removes the oldest request, and all that may be run with it."""
        first = self.tasks.popleft()
        taken, rows = [first], first.rows
        if first.joinable and self.joinable:
            left: collections.deque[Task] = collections.deque()
            kind = first.kind
            while self.tasks and rows < most_rows:
                task = self.tasks.popleft()
                if task.joinable and rows + task.rows <= most_rows and task.kind == kind:
                    taken.append(task)
                    rows += task.rows
                else:
                    left.append(task)
            left.extend(self.tasks)
            self.tasks = left
        self.rows -= rows
        return taken


class Batcher:
    """Runs requests on a few threads, joined where they may be.

    Args:
        parameters: sizes, waits and threads.
        metrics: where it counts.
    """

    def __init__(self, parameters: BatchingParameters, metrics: Metrics) -> None:
        self._parameters, self._metrics = parameters, metrics
        self._queues: dict[tuple[Servable, str], _Queue] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, servable: Servable, signature: str, task: Task) -> None:
        """Puts a request into the queue of its signature; `task.answer` gets its end.

        Raises:
            ServingError: the queue is full, or the server ends.
        """
        key = servable, signature
        with self._changed:
            if self._stopping:
                raise ServingError(Code.UNAVAILABLE, "The server is shutting down")
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = _Queue(servable)
            self._forget_cancelled(queue)
            # An empty queue takes a request of any size that the server takes at all.
            if queue.tasks and queue.rows + task.rows > self._parameters.capacity:
                self._metrics.refused.labels(servable.name).inc()
                raise self._full(queue)
            servable.retain()
            task.answer.add_done_callback(lambda _: servable.release())
            queue.tasks.append(task)
            queue.rows += task.rows
            self._changed.notify()

    def waiting(self) -> int:
        """Rows that wait in all queues."""
        with self._changed:
            return sum(queue.rows for queue in self._queues.values())

    def forget(self, servable: Servable) -> None:
        """Drops the queues of a version that nobody can reach any more."""
        with self._changed:
            for key in [key for key in self._queues if key[0] is servable]:
                del self._queues[key]

    def stop(self) -> None:
        """Runs what waits, takes nothing more, and ends the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _full(self, queue: _Queue) -> ServingError:
        return ServingError(
            Code.UNAVAILABLE,
            "The batch scheduling queue to which this task was submitted is full; currently "
            f"{-(-queue.rows // self._parameters.max_batch_size)} batches enqueued and "
            f"max_enqueued_batches is {self._parameters.max_enqueued_batches}",
        )

    def _work(self) -> None:
        while True:
            with self._changed:
                while True:
                    batch, seconds = self._next()
                    if batch is not None:
                        break
                    if self._stopping:
                        return
                    self._changed.wait(seconds)
            self._run(*batch)

    def _next(self) -> tuple[tuple[_Queue, list[Task]] | None, float]:
        """The next batch; or how long to wait for one. The queues take turns."""
        now = time.monotonic()
        patience = self._parameters.batch_timeout_micros / 1e6
        seconds = _IDLE_SECONDS
        for key, queue in list(self._queues.items()):
            self._forget_cancelled(queue)
            if not queue.tasks:
                continue
            full = queue.rows >= self._parameters.max_batch_size
            left = queue.tasks[0].arrived + patience - now
            if full or left <= 0 or self._stopping or not queue.tasks[0].joinable:
                self._queues[key] = self._queues.pop(key)
                return (queue, queue.take(self._parameters.max_batch_size)), 0.0
            seconds = min(seconds, left)
        return None, seconds

    @staticmethod
    def _forget_cancelled(queue: _Queue) -> None:
        """Requests whose client has gone make room as soon as somebody needs it."""
        if any(task.answer.cancelled() for task in queue.tasks):
            queue.tasks = collections.deque(t for t in queue.tasks if not t.answer.cancelled())
            queue.rows = sum(task.rows for task in queue.tasks)

    def _run(self, queue: _Queue, tasks: list[Task]) -> None:
        # From here on a request cannot be cancelled: it runs.
        tasks = [task for task in tasks if task.answer.set_running_or_notify_cancel()]
        now = time.monotonic()
        late = [task for task in tasks if task.deadline is not None and task.deadline <= now]
        for task in late:
            task.answer.set_exception(timed_out_waiting())
        tasks = [task for task in tasks if task not in late]
        name = queue.servable.name
        for task in tasks:
            self._metrics.queuing_latency.labels(name).observe((now - task.arrived) * 1e6)
        if not tasks:
            return
        try:
            answers = self._run_joined(queue, tasks)
        except _NotRowsError:
            queue.joinable = False
            answers = None
        except Exception as error:
            if len(tasks) == 1:
                tasks[0].answer.set_exception(error)
                return
            # One of them is at fault: the others must not pay for it.
            answers = None
        if answers is None:
            for task in tasks:
                try:
                    task.answer.set_result(self._run_alone(queue.servable, task))
                except Exception as error:
                    task.answer.set_exception(error)
            return
        for task, answer in zip(tasks, answers, strict=True):
            task.answer.set_result(answer)

    def _run_alone(self, servable: Servable, task: Task) -> list[np.ndarray]:
        return self._timed(servable, task.rows, task.feeds, task.fetches, task.deadline)

    def _run_joined(self, queue: _Queue, tasks: Sequence[Task]) -> list[list[np.ndarray]]:
        rows = sum(task.rows for task in tasks)
        padding = 0
        if tasks[0].joinable and rows:
            padding = self._allowed(rows) - rows
        if len(tasks) == 1 and not padding:
            return [self._run_alone(queue.servable, tasks[0])]
        feeds = {}
        for name in tasks[0].feeds:
            parts = [task.feeds[name] for task in tasks]
            # A row that is there is one that the model can take.
            parts += [parts[-1][:1]] * padding
            feeds[name] = np.concatenate(parts)
        deadlines = [task.deadline for task in tasks]
        latest = None if None in deadlines else max(d for d in deadlines if d is not None)
        found = self._timed(queue.servable, rows, feeds, tasks[0].fetches, latest)
        if any(value.ndim == 0 or len(value) != rows + padding for value in found):
            raise _NotRowsError
        ends = np.cumsum([task.rows for task in tasks])[:-1]
        parts_of_outputs = [np.split(value[:rows], ends) for value in found]
        return [list(parts) for parts in zip(*parts_of_outputs, strict=True)]

    def _timed(
        self,
        servable: Servable,
        rows: int,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None,
    ) -> list[np.ndarray]:
        started = time.monotonic()
        seconds = None if deadline is None else max(0.001, deadline - started)
        try:
            return servable.run(feeds, fetches, seconds)
        finally:
            taken = time.monotonic() - started
            self._metrics.runtime_latency.labels(servable.name).observe(taken * 1e6)
            self._metrics.batch_size.labels(servable.name).observe(rows)

    def _allowed(self, rows: int) -> int:
        sizes = self._parameters.allowed_batch_sizes
        place = bisect.bisect_left(sizes, rows)
        return sizes[place] if place < len(sizes) else rows


def timed_out_waiting() -> ServingError:
    """The end of a request whose time was over before it was run."""
    return ServingError(
        Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue"
    )


class _NotRowsError(Exception):
    """The outputs do not have a row for each row of the inputs."""
