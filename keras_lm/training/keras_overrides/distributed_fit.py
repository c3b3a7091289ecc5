"""`fit` under a strategy."""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.training.keras_overrides.reading import strategy_of


class DistributedTraining:
    """For models: `fit` under MirroredStrategy and MultiWorkerMirroredStrategy.

    1. `_maybe_symbolic_build` takes a batch out of the data and averages it over the replicas:
       bool and string features have no such sum, neither has a batch that does not divide evenly,
       and a PerReplica structure cannot be reduced over workers (keras#20585, keras#20329). Shapes
       and dtypes are all it needs, so they are read from the dataset; no batch is lost.
    2. `reduce_per_replica` averages the logs of several workers over their first dimension, which
       a scalar has not (keras#20585). (`train_step`, `test_step`)

    And without a strategy: `build_ahead`.
    """

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        strategy = strategy_of(self)
        if strategy is None:
            return
        if iterator is not None:
            specs = iterator._distributed_dataset.element_spec
            data_batch = tf.nest.map_structure(_first_replica, specs)
        with strategy.scope():
            self._symbolic_build(data_batch=data_batch)  # type: ignore[attr-defined]

    def build_ahead(self, data: Any, eager: bool = False) -> None:
        """Makes the variables of a training before its first step is traced.

        Keras makes those of optimizer and metrics in the first step, and TensorFlow traces a
        function that made variables a second time. Found here; no issue is known.

        Args:
            data: what is trained on. Only a dataset of dense tensors says what its batches are.
            eager: whether to do it where nothing is traced, too.
        """
        if strategy_of(self) is not None:
            return  # `_maybe_symbolic_build` does it
        if self.run_eagerly and not eager:  # type: ignore[attr-defined]
            return
        specs = data.element_spec if isinstance(data, tf.data.Dataset) else None
        if all(isinstance(spec, tf.TensorSpec) for spec in tf.nest.flatten(specs)):
            if not self.built:  # type: ignore[attr-defined]
                self.build(None)  # type: ignore[attr-defined]
            self._symbolic_build(data_batch=specs)  # type: ignore[attr-defined]

    def train_step(self, data: Any) -> Any:
        """Makes one step of training, as Keras does."""
        return self._as_vectors(super().train_step(data))  # type: ignore[misc]

    def test_step(self, data: Any) -> Any:
        """Makes one step of evaluation, as Keras does."""
        return self._as_vectors(super().test_step(data))  # type: ignore[misc]

    def _as_vectors(self, logs: Any) -> Any:
        strategy = self.distribute_strategy  # type: ignore[attr-defined]
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and (
            strategy.extended._in_multi_worker_mode()
        ):
            return keras.tree.map_structure(lambda value: tf.reshape(value, [1]), logs)
        return logs


def _first_replica(spec: Any) -> Any:
    """Returns the spec of one replica's tensor, None for what Keras stands in for no tensor."""
    spec = getattr(spec, "_value_specs", (spec,))[0]
    return spec if isinstance(spec, tf.TensorSpec) else None
