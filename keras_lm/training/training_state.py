"""The variables of a training: what a checkpoint holds, and whether it is this model's.

Four groups. "weights" and "optimizer" (with iterations, rates, loss scale and averages) are the
same on every replica, and kept once. "random" (what every seed generator has come to) and "metrics"
(what the epoch has added up so far) may differ by replica, and are kept for each.

Knows no directory and no step.

R replicas, over all workers.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.training import workers
from keras_lm.training.keras_overrides import global_random_state, strategy_of

Tensor = Any
# Of "random" and "metrics", by group: one array of shape (R, ...) for each variable.
ReplicaValues = Mapping[str, Sequence[np.ndarray]]

_ONCE, _BY_REPLICA = ("weights", "optimizer"), ("random", "metrics")
# Keras numbers what has no name of its own by how many the process made before.
_NUMBER = re.compile(r"_\d+(?=[_/]|$)")


class TrainingState:
    """The state of a model that is built and compiled, and whose optimizer and metrics are built.

    Args:
        model: a `LanguageModel`.
    """

    def __init__(self, model: Any) -> None:
        self._strategy = strategy_of(model)
        self._name = model.name
        metrics = model.metrics_variables
        known = {id(variable) for variable in (*model.weights, *metrics)}
        others = [variable for variable in model.variables if id(variable) not in known]
        self._groups = {
            "weights": model.weights,
            "optimizer": model.optimizer.variables,
            "random": [*others, *global_random_state()],
            "metrics": metrics,
        }

    def _local(self, variable: Any) -> Sequence[Any]:
        """Returns the TensorFlow variables that this process has for one of Keras's."""
        if self._strategy is None:
            return (variable.value,)
        return self._strategy.experimental_local_results(variable.value)

    def _path(self, variable: Any) -> str:
        path = variable.path.removeprefix(f"{self._name}/")
        return path.replace(f"/{self._name}_", "/")

    def describe(self) -> dict[str, list[list[Any]]]:
        """Returns path, shape and dtype of each variable, by group."""
        return {
            group: [[self._path(v), list(v.shape), v.dtype] for v in variables]
            for group, variables in self._groups.items()
        }

    def replica_values(self) -> ReplicaValues:
        """Returns what may differ by replica. All workers must call it, at the same step."""
        variables = [v for group in _BY_REPLICA for v in self._groups[group]]
        locals_ = [self._local(variable) for variable in variables]
        number = max((len(values) for values in locals_), default=1)
        rows = [_packed([values[i % len(values)] for values in locals_]) for i in range(number)]
        all_rows = workers.from_all_replicas(self._strategy, rows)
        arrays = iter(_unpacked(all_rows, variables))
        return {group: [next(arrays) for _ in self._groups[group]] for group in _BY_REPLICA}

    def write(self, prefix: str, replica_values: ReplicaValues) -> None:
        """Writes all of it in TensorFlow's format, a tensor for each path.

        Args:
            prefix: of the files' names.
            replica_values: as of the function of that name.
        """
        names, tensors = [], []
        for group, variables in self._groups.items():
            names += _keys(group, [self._path(v) for v in variables])
            if group in _ONCE:
                tensors += [self._local(v)[0].read_value() for v in variables]
            else:
                tensors += [tf.constant(array) for array in replica_values[group]]
        with tf.device("CPU:0"):
            tf.raw_ops.SaveV2(
                prefix=prefix,
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=tensors,
            )

    def check(self, described: Mapping[str, Any], where: Any) -> None:
        """Raises where a checkpoint is of another model, or of another optimizer.

        Args:
            described: as `describe` gave it when the checkpoint was written.
            where: its path.

        Raises:
            ValueError: a variable has another path, shape or dtype, or is missing.
        """
        ours = self.describe()
        for group in _ONCE:
            for theirs, mine in itertools.zip_longest(described[group], ours[group]):
                if not _same(theirs, mine):
                    raise ValueError(
                        "A checkpoint must be of the same model and optimizer; another training "
                        f"needs another directory. Received: {where}, whose {group} have "
                        f"{_said(theirs)} where those of this model have {_said(mine)}"
                    )

    def restore(self, prefix: str, described: Mapping[str, Any], groups: Sequence[str]) -> None:
        """Gives the variables the values of a checkpoint that `check` let pass.

        Of "random" and "metrics" what the checkpoint does not have stays as it is. For another
        number of replicas metrics are spread evenly, and each starts with the first one's seeds.

        Args:
            prefix: of the files' names.
            described: as for `check`.
            groups: names of groups.
        """
        reader = tf.train.load_checkpoint(prefix)
        ids = workers.replica_ids(self._strategy)
        for group in groups:
            variables = self._groups[group]
            keys = _keys(group, [path for path, _, _ in described[group]])
            pairs = zip(keys, described[group], variables, strict=False)
            for (key, theirs, variable), mine in zip(pairs, self.describe()[group], strict=False):
                if not _same(theirs, mine):
                    break
                value = reader.get_tensor(key)
                local = self._local(variable)
                for i, component in enumerate(local):
                    own = value
                    if group in _BY_REPLICA:
                        number = self._number_of_replicas()
                        own = _own(value, ids[i % len(ids)], number, group)
                    component.assign(own)

    def _number_of_replicas(self) -> int:
        return 1 if self._strategy is None else self._strategy.num_replicas_in_sync


def load_weights(model: Any, prefix: str, described: Mapping[str, Any], where: Any) -> None:
    """Gives a model the weights of a checkpoint, and nothing else.

    Args:
        model: a built `keras.Model`.
        prefix: of the files' names.
        described: as `TrainingState.describe` gave it.
        where: the checkpoint's path.

    Raises:
        ValueError: the checkpoint is of another model.
    """
    theirs = described["weights"]
    ours = [[v.path.removeprefix(f"{model.name}/"), list(v.shape), v.dtype] for v in model.weights]
    for saved, mine in itertools.zip_longest(theirs, ours):
        if not _same(saved, mine):
            raise ValueError(
                f"A checkpoint must be of the same model. Received: {where}, which has "
                f"{_said(saved)} where the model has {_said(mine)}"
            )
    reader = tf.train.load_checkpoint(prefix)
    keys = _keys("weights", [path for path, _, _ in theirs])
    for key, variable in zip(keys, model.weights, strict=True):
        variable.assign(reader.get_tensor(key))


def _keys(group: str, paths: Sequence[str]) -> list[str]:
    """Returns the names of tensors: paths that repeat get a number."""
    seen: dict[str, int] = {}
    keys = []
    for path in paths:
        seen[path] = seen.get(path, 0) + 1
        keys.append(f"{group}/{path}" + (f"#{seen[path]}" if seen[path] > 1 else ""))
    return keys


def _same(theirs: Any, mine: Any) -> bool:
    if theirs is None or mine is None:
        return False
    return _NUMBER.sub("", theirs[0]) == _NUMBER.sub("", mine[0]) and theirs[1:] == mine[1:]


def _said(described: Any) -> str:
    if described is None:
        return "no variable"
    path, shape, dtype = described
    return f"{path} of shape {tuple(shape)}, {dtype},"


def _packed(tensors: Sequence[Tensor]) -> np.ndarray:
    """The bytes of tensors as one row of int32, each tensor padded to 4 bytes."""
    rows = [np.zeros(0, np.int32)]
    for tensor in tensors:
        content = np.ascontiguousarray(tensor.numpy()).tobytes()
        rows.append(np.frombuffer(content + b"\0" * (-len(content) % 4), np.int32))
    return np.concatenate(rows)


def _unpacked(rows_RN: np.ndarray, variables: Sequence[Any]) -> list[np.ndarray]:
    """The arrays `(R, ...)` that `_packed` made rows of."""
    arrays, start = [], 0
    for variable in variables:
        dtype = tf.as_dtype(variable.dtype).as_numpy_dtype
        count = int(np.prod(variable.shape)) * np.dtype(dtype).itemsize
        part = np.ascontiguousarray(rows_RN[:, start : start - (-count // 4)])
        content = part.view(np.uint8)[:, :count]
        shape = (len(rows_RN), *variable.shape)
        arrays.append(np.ascontiguousarray(content).view(dtype).reshape(shape))
        start -= -count // 4
    return arrays


def _own(values_R: np.ndarray, replica: int, number: int, group: str) -> np.ndarray:
    """What a replica gets of the values that so many, maybe others, had."""
    if len(values_R) == number:
        return values_R[replica]
    if group == "metrics":
        return (values_R.sum(axis=0) / number).astype(values_R.dtype)
    return values_R[0]
