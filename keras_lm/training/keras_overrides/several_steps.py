"""Several steps of a training in one call of a graph, under a strategy."""

from typing import Any

import tensorflow as tf

from keras_lm.training.keras_overrides.reading import strategy_of


class SeveralSteps:
    """For models: `compile(steps_per_execution=...)` under a strategy.

    Keras loops in the graph, where gradients cannot be reduced (keras#19246): it fails. Here the
    batches are taken first, as many as there are, and the graph has a copy of the step for each.
    """

    def make_train_function(self, force: bool = False) -> Any:
        """Makes what `fit` calls with an iterator."""
        model: Any = self
        if not self._loops_fail():
            return super().make_train_function(force)  # type: ignore[misc]
        if model.train_function is None or force:
            model.train_function = self._unrolled(model.train_step)
        return model.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """Makes what `evaluate` calls with an iterator."""
        model: Any = self
        if not self._loops_fail():
            return super().make_test_function(force)  # type: ignore[misc]
        if model.test_function is None or force:
            model.test_function = self._unrolled(model.test_step)
        return model.test_function

    def _loops_fail(self) -> bool:
        return strategy_of(self) is not None and self.steps_per_execution > 1  # type: ignore[attr-defined]

    def _unrolled(self, step: Any) -> Any:
        model: Any = self
        strategy, number = model.distribute_strategy, model.steps_per_execution
        step = model._autoconvert_optionals(step)

        def mean(value: Any) -> Any:
            value = strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
            return tf.reshape(value, []) if value.shape == (1,) else value

        @tf.autograph.experimental.do_not_convert
        def run(batches: Any) -> Any:
            for batch in batches:
                logs = strategy.run(step, args=(batch,))
            return tf.nest.map_structure(mean, logs)

        if not model.run_eagerly:
            run = tf.function(run, reduce_retracing=True)

        def function(iterator: Any) -> Any:
            batches: list[Any] = []
            try:
                while len(batches) < number:
                    batches.append(next(iterator))
            except (StopIteration, tf.errors.OutOfRangeError):
                if not batches:
                    raise StopIteration from None
            return run(tuple(batches))

        return function
