"""The devices that a model is trained on: one, several, or those of several processes."""

import functools
from typing import Any

import tensorflow as tf

from keras_lm.training.cluster import Cluster, read_cluster, wait_for_workers

KINDS = ("auto", "mirrored", "multi_worker", "one_device")


def strategy(
    kind: str = "auto", *, devices: list[str] | None = None, timeout: float = 600.0
) -> tf.distribute.Strategy:
    """Returns a strategy, in whose scope a model is constructed and compiled.

    ```python
    strategy = keras_lm.training.strategy()
    with strategy.scope():
        model = keras_lm.BERT(...)
        model.compile()
    model.fit(data)
    ```

    Call it once, before anything else of TensorFlow: several processes can be joined at no later
    time. Asked again for the same, it returns the same strategy.

    Args:
        kind: `"multi_worker"`: several processes, one for each worker that the environment variable
            TF_CONFIG names, with all GPUs of each, or its CPU. `"mirrored"`: several devices of
            this process. `"one_device"`: TensorFlow's choice, a GPU if there is one. `"auto"`: the
            first of these that there are several of.
        devices: for `"mirrored"`: their names, `["GPU:0", "GPU:1"]`. None: all GPUs; without any
            all logical CPU devices.
        timeout: seconds to wait for the other workers.

    Returns:
        `tf.distribute.MultiWorkerMirroredStrategy`, `tf.distribute.MirroredStrategy`, or for one
        device TensorFlow's default, which leaves everything as it is without a strategy.

    Raises:
        ValueError: `kind` is unknown; TF_CONFIG is malformed, missing, or names several workers for
            `"mirrored"`, which knows this process alone; the port of this worker is taken;
            TensorFlow was used before; a device is unknown.
        TimeoutError: a worker did not come in time.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}. Received: kind={kind!r}")
    if devices is not None and kind != "mirrored":
        raise ValueError(
            f'devices are for kind="mirrored". Received: kind={kind!r}, devices={devices}'
        )
    if timeout <= 0:
        raise ValueError(f"timeout must be positive. Received: timeout={timeout}")
    cluster = read_cluster()
    several = cluster is not None and len(cluster.workers) > 1
    if kind == "multi_worker" or (kind == "auto" and several):
        if cluster is None:
            raise ValueError(
                'kind="multi_worker" needs the environment variable TF_CONFIG, which names the '
                "workers. Received: no TF_CONFIG"
            )
        return _multi_worker(_Awaited(cluster, timeout))
    if kind == "mirrored" and cluster is not None and several:
        raise ValueError(
            'kind="mirrored" knows the devices of one process, and each worker would train alone. '
            f'Take "multi_worker". Received: TF_CONFIG with {len(cluster.workers)} workers'
        )
    if kind == "one_device":
        return tf.distribute.get_strategy()
    names = tuple(_known(devices) if devices is not None else _local_devices())
    if kind == "auto" and len(names) == 1:
        return tf.distribute.get_strategy()
    return _mirrored(names)


class _Awaited:
    """A cluster and how long to wait for it: the same cluster is the same strategy."""

    def __init__(self, cluster: Cluster, timeout: float) -> None:
        self.cluster, self.timeout = cluster, timeout

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Awaited) and other.cluster == self.cluster

    def __hash__(self) -> int:
        return hash(self.cluster.me)


@functools.cache
def _multi_worker(awaited: _Awaited) -> Any:
    if _has_started():  # before it waits: TensorFlow itself would say so only after
        raise ValueError(
            'strategy("multi_worker") must come before every other use of TensorFlow: before '
            "models, layers, optimizers, tensors and datasets. "
            "Received: a process in which TensorFlow has started"
        )
    wait_for_workers(awaited.cluster, awaited.timeout)
    return tf.distribute.MultiWorkerMirroredStrategy()


def _has_started() -> bool:
    threads = tf.config.threading.get_inter_op_parallelism_threads()
    try:  # what can be changed as long as it has not
        tf.config.threading.set_inter_op_parallelism_threads(threads + 1)
    except RuntimeError:
        return True
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return False


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> Any:
    # TensorFlow's own way between CPUs fails where a process has several strategies, and in a loop
    # of steps. Between GPUs it is NCCL.
    on_cpu = all("CPU" in name.upper() for name in devices)
    reduction = tf.distribute.ReductionToOneDevice() if on_cpu else None
    return tf.distribute.MirroredStrategy(list(devices), cross_device_ops=reduction)


def _local_devices() -> list[str]:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [_short(device.name) for device in devices]


def _short(name: str) -> str:
    return name.removeprefix("/").removeprefix("device:").upper()


def _known(devices: list[str]) -> list[str]:
    here = [_short(device.name) for device in tf.config.list_logical_devices()]
    names = [_short(name) for name in devices]
    if not names or len(set(names)) < len(names) or set(names) - set(here):
        raise ValueError(
            f"devices must be different ones out of {here}. Received: devices={devices}"
        )
    return names
