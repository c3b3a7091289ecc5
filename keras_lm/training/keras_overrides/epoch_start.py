"""`fit` from the midst of an epoch on."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class EpochStart:
    """Where in an epoch `fit` begins.

    Args:
        step: steps of the epoch that were made.
        batches_to_skip: batches of the data that were taken.
        logs: those of the step before, where there was one.
        restore: called when all variables are made, before anybody has seen them.
    """

    def __init__(
        self,
        step: int,
        batches_to_skip: int,
        logs: dict[str, Any],
        restore: Callable[[], None],
    ) -> None:
        self._step, self._skip = step, batches_to_skip
        self.logs, self._restore = logs, restore
        self._iterator: Any = None

    @property
    def batches_taken(self) -> int:
        """How many batches were taken of the data as they were given, or of this round of them."""
        return 0 if self._iterator is None else self._iterator._steps_seen

    @property
    def rereads_every_epoch(self) -> bool:
        """Says whether each epoch begins the data anew."""
        return self._iterator.steps_per_epoch is None

    def attach(self, iterator: Any) -> None:
        """Takes hold of the iterator that `fit` made of its data."""
        self._iterator = iterator
        self._restore()
        if self._step or self._skip:
            iterator._enumerate_iterator = self._first_epoch

    def _first_epoch(self) -> Any:
        """Does what the iterator does, from another step on."""
        it = self._iterator
        del it._enumerate_iterator  # the next epoch is Keras's again
        it.data_adapter.on_epoch_begin()
        it._current_iterator = _iterator_behind(it._get_iterator(), self._skip)
        it._steps_seen = self._skip
        number, each = it.steps_per_epoch or it._num_batches, it.steps_per_execution
        step = self._step
        while number is None or step < number:
            if it._num_batches and it._steps_seen >= it._num_batches:
                break
            it._steps_seen += each
            yield step, step + each - 1, it._current_iterator
            step += each
        if it._num_batches and it._steps_seen >= it._num_batches:
            it._current_iterator, it._steps_seen = iter(it._get_iterator()), 0
        it.data_adapter.on_epoch_end()


def _iterator_behind(data: Any, number: int) -> Any:
    if isinstance(data, tf.data.Dataset):
        return iter(data.skip(number))
    # A distributed one may be sharded by files, so that what it skips is known to itself alone.
    iterator = iter(data)
    for _ in range(number):
        next(iterator)
    return iterator


class BeginsWithinEpoch:
    """For models: `fit` may begin at any step of an epoch, see `EpochStart`.

    Keras begins at the first step of an epoch: its BackupAndRestore writes checkpoints in the midst
    of one and repeats the epoch from its first step with the weights of the later one. Found here;
    no issue is known.
    """

    _epoch_start: EpochStart | None = None

    def begin_at(self, start: EpochStart | None) -> None:
        """Says where the next `fit` begins; it is told once."""
        self._epoch_start = start

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)  # type: ignore[misc]
        start = self._epoch_start
        # The first iterator is that of `fit`; those of validation come later.
        if start is not None and iterator is not None and start._iterator is None:
            start.attach(iterator)

    def _get_metrics_result_or_logs(self, logs: Any) -> Any:
        start = self._epoch_start
        if not logs and start is not None:
            # The epoch had no step left: its last one was made before `fit` began.
            logs, start.logs = start.logs, {}
        return super()._get_metrics_result_or_logs(logs)  # type: ignore[misc]
