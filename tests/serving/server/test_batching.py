"""Joining of requests, with a model that a test holds in its hand."""

import threading
import time

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")

from keras_lm.serving.server.batching import Batcher, Task
from keras_lm.serving.server.batching_parameters import BatchingParameters
from keras_lm.serving.server.metrics import Metrics
from keras_lm.serving.server.statuses import Code, ServingError


class HeldModel:
    """Doubles its input once it is let go; notes what it was given."""

    name = "held"

    def __init__(self):
        self.let_go = threading.Event()
        self.busy = threading.Event()
        self.runs = []
        self.seconds = []
        self.in_use = 0

    def run(self, feeds, fetches, seconds=None):
        self.busy.set()
        assert self.let_go.wait(10)
        self.runs.append(feeds["x"].shape)
        self.seconds.append(seconds)
        if (feeds["x"] == -1).any():
            raise ValueError("a row is -1")
        if fetches == ("sum",):
            return [feeds["x"].sum(keepdims=True)]
        return [feeds["x"] * 2]

    def retain(self):
        self.in_use += 1

    def release(self):
        self.in_use -= 1


@pytest.fixture
def held():
    return HeldModel()


@pytest.fixture
def batcher(held):
    made = []

    def make(**parameters):
        made.append(Batcher(BatchingParameters(**parameters), Metrics()))
        return made[-1]

    yield make
    held.let_go.set()
    for found in made:
        found.stop()


def task(*rows, fetches=("y",), joinable=True, **options):
    values = np.array(rows, np.float32)
    return Task({"x": values}, fetches, len(values), joinable, **options)


def occupied(batcher, held):
    """Gives the thread something to do, so that what comes now waits."""
    first = task(0.0)
    batcher.submit(held, "s", first)
    assert held.busy.wait(10)
    return first


def test_what_waits_is_run_together_and_answered_apart(batcher, held):
    batches = batcher(max_batch_size=4)
    occupied(batches, held)
    tasks = [task(1.0, 2.0), task(3.0), task(4.0), task(5.0)]
    for one in tasks:
        batches.submit(held, "s", one)
    held.let_go.set()
    answers = [one.answer.result(10)[0].tolist() for one in tasks]
    assert answers == [[2.0, 4.0], [6.0], [8.0], [10.0]]
    assert held.runs == [(1,), (4,), (1,)]
    assert held.in_use == 0


def test_other_widths_outputs_and_signatures_are_never_joined(batcher, held):
    batches = batcher(max_batch_size=100)
    occupied(batches, held)
    tasks = [
        task([1.0, 2.0]),
        task([1.0]),
        task([3.0, 4.0]),
        task([3.0, 4.0], fetches=("z",)),
        task([3.0, 4.0], joinable=False),
    ]
    for one in tasks:
        batches.submit(held, "s", one)
    batches.submit(held, "other", other := task([5.0, 6.0]))
    held.let_go.set()
    assert tasks[2].answer.result(10)[0].tolist() == [[6.0, 8.0]]
    assert other.answer.result(10)[0].tolist() == [[10.0, 12.0]]
    for one in tasks:
        one.answer.result(10)
    assert sorted(held.runs[1:]) == [(1, 1), (1, 2), (1, 2), (1, 2), (2, 2)]


def test_a_request_that_fails_leaves_the_others_alone(batcher, held):
    batches = batcher()
    occupied(batches, held)
    tasks = [task(1.0), task(-1.0), task(3.0)]
    for one in tasks:
        batches.submit(held, "s", one)
    held.let_go.set()
    assert tasks[0].answer.result(10)[0].tolist() == [2.0]
    assert tasks[2].answer.result(10)[0].tolist() == [6.0]
    with pytest.raises(ValueError, match="a row is -1"):
        tasks[1].answer.result(10)


def test_outputs_that_are_no_rows_are_asked_for_one_by_one(batcher, held):
    batches = batcher()
    occupied(batches, held)
    tasks = [task(1.0, fetches=("sum",)), task(3.0, fetches=("sum",))]
    for one in tasks:
        batches.submit(held, "s", one)
    held.let_go.set()
    assert [one.answer.result(10)[0].tolist() for one in tasks] == [[1.0], [3.0]]


def test_a_full_queue_refuses_and_memory_stays_bounded(batcher, held):
    batches = batcher(max_batch_size=2, max_enqueued_batches=3)
    occupied(batches, held)
    waiting = [task(1.0) for _ in range(6)]
    for one in waiting:
        batches.submit(held, "s", one)
    with pytest.raises(ServingError, match="queue to which this task was submitted is full") as e:
        batches.submit(held, "s", task(1.0))
    assert e.value.code == Code.UNAVAILABLE
    assert "currently 3 batches enqueued and max_enqueued_batches is 3" in e.value.message
    # Who goes away makes room.
    assert waiting[0].answer.cancel()
    batches.submit(held, "s", task(1.0))
    assert batches.waiting() == 6


def test_who_goes_away_is_not_run(batcher, held):
    batches = batcher()
    occupied(batches, held)
    gone, stays = task(1.0, 1.0), task(2.0)
    batches.submit(held, "s", gone)
    batches.submit(held, "s", stays)
    assert gone.answer.cancel()
    held.let_go.set()
    assert stays.answer.result(10)[0].tolist() == [4.0]
    assert held.runs == [(1,), (1,)]
    assert held.in_use == 0


def test_a_request_whose_time_is_over_is_not_run(batcher, held):
    batches = batcher()
    occupied(batches, held)
    late = task(1.0, deadline=time.monotonic())
    soon = task(1.0, deadline=time.monotonic() + 5)
    batches.submit(held, "s", late)
    batches.submit(held, "s", soon)
    held.let_go.set()
    with pytest.raises(ServingError, match="timeout exceeded while waiting in batching queue"):
        late.answer.result(10)
    soon.answer.result(10)
    assert held.runs == [(1,), (1,)]
    assert 0 < held.seconds[1] < 5


def test_the_first_waits_for_others_no_longer_than_it_was_told(batcher, held):
    held.let_go.set()
    batches = batcher(max_batch_size=3, batch_timeout_micros=150_000)
    started = time.monotonic()
    alone = task(1.0)
    batches.submit(held, "s", alone)
    alone.answer.result(10)
    assert time.monotonic() - started > 0.14
    tasks = [task(1.0) for _ in range(3)]
    for one in tasks:
        batches.submit(held, "s", one)
    for one in tasks:
        one.answer.result(10)
    assert held.runs == [(1,), (3,)]


def test_batches_are_filled_up_to_the_allowed_sizes(batcher, held):
    batches = batcher(max_batch_size=8, allowed_batch_sizes=(2, 4, 8))
    occupied(batches, held)
    tasks = [task(1.0), task(2.0, 3.0)]
    for one in tasks:
        batches.submit(held, "s", one)
    held.let_go.set()
    assert [one.answer.result(10)[0].tolist() for one in tasks] == [[2.0], [4.0, 6.0]]
    assert held.runs == [(2,), (4,)]


def test_stopping_runs_what_waits_and_takes_no_more(batcher, held):
    batches = batcher()
    occupied(batches, held)
    waiting = task(1.0)
    batches.submit(held, "s", waiting)
    ending = threading.Thread(target=batches.stop)
    ending.start()
    held.let_go.set()
    ending.join(10)
    assert waiting.answer.result(0)[0].tolist() == [2.0]
    with pytest.raises(ServingError, match="shutting down"):
        batches.submit(held, "s", task(1.0))
