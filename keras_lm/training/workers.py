"""What the processes of one training say to each other: who writes, what all of them do next.

Under a strategy of one process, or none, nothing is sent.

R replicas, over all workers.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any

# What TensorFlow raises on the workers that are left.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


def are_several(strategy: Any) -> bool:
    """Says whether a strategy, or None, spans more than one process."""
    return (
        isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        and _cluster_size(strategy) > 1
    )


def is_chief(strategy: Any) -> bool:
    """Says whether this process is the one that writes files."""
    if not are_several(strategy):
        return True
    resolver = strategy.cluster_resolver
    if resolver.task_type == "worker":
        has_chief = "chief" in resolver.cluster_spec().as_dict()
        return resolver.task_id == 0 and not has_chief
    return resolver.task_type == "chief"


def _cluster_size(strategy: Any) -> int:
    resolver = strategy.cluster_resolver
    spec = resolver.cluster_spec().as_dict() if resolver is not None else {}
    return sum(len(spec.get(kind, ())) for kind in ("chief", "worker"))


def replica_ids(strategy: Any) -> list[int]:
    """Returns the numbers of this process's replicas, out of 0 .. R - 1."""
    if strategy is None:
        return [0]
    ids = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(context.replica_id_in_sync_group)
    )
    return [int(number) for number in strategy.experimental_local_results(ids)]


def from_all_replicas(strategy: Any, rows: Sequence[Tensor]) -> np.ndarray:
    """Gathers what each replica has. All workers must call it, at the same step.

    Args:
        strategy: the strategy, or None.
        rows: int32 `(N,)` of each replica of this process.

    Returns:
        int32 `(R, N)`, the same on all workers.
    """
    if not are_several(strategy):
        return np.stack([np.asarray(row) for row in rows])
    first = replica_ids(strategy)[0]
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(rows[context.replica_id_in_sync_group - first])
    )
    gathered = _gather(strategy)(values)
    return strategy.experimental_local_results(gathered)[0].numpy()


@functools.cache
def _gather(strategy: Any) -> Any:
    # TensorFlow's own `strategy.gather` is traced anew at every call, which takes longer than many
    # a step. This one is a sum of rows that are zero but for each replica's own.
    def each(row_N: Tensor) -> Tensor:
        context = tf.distribute.get_replica_context()
        own_R = tf.one_hot(
            context.replica_id_in_sync_group, context.num_replicas_in_sync, dtype=row_N.dtype
        )
        return context.all_reduce(tf.distribute.ReduceOp.SUM, own_R[:, None] * row_N)

    @tf.function
    def gather(values: Any) -> Any:
        return strategy.run(each, args=(values,))

    return gather


def agree(strategy: Any, wish: int) -> int:
    """Returns the highest wish of all workers, on all of them. All must call it at the same step.

    Args:
        strategy: the strategy, or None.
        wish: what this worker wants.
    """
    if not are_several(strategy):
        return wish
    number = len(strategy.extended.worker_devices)
    rows = [np.array([wish], np.int32)] * number
    return int(from_all_replicas(strategy, rows).max())


@contextlib.contextmanager
def lost_ones_named(strategy: Any) -> Iterator[None]:
    """Turns TensorFlow's errors about a worker that is gone into one that says what to do.

    Raises:
        RuntimeError: another worker ended, was stopped, or cannot be reached.
    """
    try:
        yield
    except tf.errors.OpError as error:
        said = str(error.message)
        lost = isinstance(error, _LOST) or "Collective ops is aborted" in said
        if not lost or not are_several(strategy):
            raise
        resolver = strategy.cluster_resolver
        raise RuntimeError(
            "All workers must run for a training to go on, and one of them ended or cannot be "
            "reached: start all of them again. With keras_lm.training.Checkpoints they go on "
            f"from the last checkpoint. Received: on {resolver.task_type} {resolver.task_id}, "
            f"{type(error).__name__}: {said.splitlines()[0]:.200}"
        ) from error
