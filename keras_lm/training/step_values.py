"""The numbers of single steps of a training, kept in the graph until somebody reads them.

Keras shows means over the epoch so far, and with `steps_per_execution` those of the last step of
several. Here each step writes its own row, so that none is lost, and a watcher reads them all.
Nothing of this is in the graph of a training that is not watched.
"""

import contextlib
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lm.training.keras_overrides import report_losses, strategy_of
from keras_lm.training.losses import replica_context
from keras_lm.training.step_counts import real_tokens, training_flops

Tensor = Any


class Step(NamedTuple):
    """One step of a training.

    Attributes:
        loss: of the global batch.
        learning_rate: that the step was made with.
        gradient_norm: of the gradient of the global batch, before it was clipped, as the last
            update had it; 0 where there was none yet, or it is not asked for.
        tokens: real ones of the global batch.
        flops: that the model needs for them, see `training_flops`.
    """

    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: float
    flops: float


class StepValues:
    """A ring of rows that every step adds one to.

    Args:
        model: a `RecordsSteps` that is compiled.
        gradient_norm: whether to compute the norm of the gradients.
    """

    def __init__(self, model: Any, gradient_norm: bool) -> None:
        self.capacity = int(model.steps_per_execution)
        self.optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        self.gradient_norm = gradient_norm
        strategy = strategy_of(model)
        with strategy.scope() if strategy else contextlib.nullcontext():
            self._rows = _variable(np.full((self.capacity, len(Step._fields)), np.nan))
            self._count = _variable(np.zeros((), np.int64))
            # Of the losses that this step has reported so far: sum, and sum of weights.
            self._losses = _variable(np.zeros(2))
            self._norm = _variable(np.zeros(()))
        self._seen = 0
        self._recording = False
        report_losses(model, self._add_loss)
        if gradient_norm:
            self.optimizer.on_gradients = self._keep_norm

    def fits(self, model: Any, gradient_norm: bool) -> bool:
        """Says whether this is what a training of the model needs."""
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        return (self.capacity, self.optimizer, self.gradient_norm) == (
            int(model.steps_per_execution),
            optimizer,
            gradient_norm,
        )

    @contextlib.contextmanager
    def step(self, model: Any, inputs: Any) -> Any:
        """Records what is done within it as one step; to be traced."""
        self._losses.assign(tf.zeros(2, tf.float64))
        rate = tf.cast(model.optimizer.learning_rate, tf.float64)
        self._recording = True
        try:
            yield
        finally:
            self._recording = False
        losses = self._losses.read_value()
        counts = tf.stack([real_tokens(inputs), training_flops(model, inputs)])
        whole = tf.concat([losses, counts], 0)
        context = replica_context()
        if context is not None:
            whole = context.all_reduce(tf.distribute.ReduceOp.SUM, whole)
        row = tf.stack([whole[0] / whole[1], rate, self._norm.read_value(), whole[2], whole[3]])
        count = self._count.read_value()
        place = tf.reshape(count % self.capacity, [1, 1])
        self._rows.assign(tf.tensor_scatter_nd_update(self._rows.read_value(), place, row[None]))
        self._count.assign(count + 1)

    def _add_loss(self, loss: Tensor, weight: Tensor) -> None:
        if self._recording:
            loss, weight = tf.cast(loss, tf.float64), tf.cast(weight, tf.float64)
            self._losses.assign(self._losses.read_value() + tf.stack([loss * weight, weight]))

    def _keep_norm(self, gradients: list[Tensor]) -> None:
        self._norm.assign(tf.cast(tf.linalg.global_norm(gradients), tf.float64))

    def read(self) -> list[Step]:
        """Returns the steps since the last call, the oldest first."""
        count = int(self._count.numpy())
        rows = self._rows.numpy()
        places = range(max(self._seen, count - self.capacity), count)
        self._seen = count
        return [Step(*map(float, rows[place % self.capacity])) for place in places]


def _variable(value: np.ndarray) -> tf.Variable:
    # Every replica writes the same, and the first one's is read: no replica waits for another.
    return tf.Variable(
        value,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


class RecordsSteps:
    """For models: `watch` makes each step of `fit` keep its numbers. To stand first of all."""

    _step_values: StepValues | None = None

    def watch(self, gradient_norm: bool = True) -> StepValues:
        """Makes the steps from now on keep their numbers, until `compile` is called again.

        Args:
            gradient_norm: whether to compute the norm of the gradients, too.

        Returns:
            Where to read them.

        Raises:
            ValueError: the optimizer is none of `keras_lm.training` and so does not tell the
                gradient of the global batch.
        """
        model: Any = self
        values = self._step_values
        if values is None or not values.fits(model, gradient_norm):
            optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
            if gradient_norm and not hasattr(optimizer, "on_gradients"):
                raise ValueError(
                    "The norm of the gradients is told by the optimizers of keras_lm.training: "
                    "take one of these, or gradient_norm=False. "
                    f"Received: {type(optimizer).__module__}.{type(optimizer).__name__}"
                )
            self._step_values = values = StepValues(model, gradient_norm)
            model.make_train_function(force=True)
        values.read()
        return values

    def steps_made(self) -> int:
        """Returns how many steps of training the optimizer has counted."""
        return self._updates()  # type: ignore[attr-defined]

    def train_step(self, data: Any) -> Any:
        """Makes one step of training, and records it where somebody watches."""
        if self._step_values is None:
            return super().train_step(data)  # type: ignore[misc]
        inputs = keras.utils.unpack_x_y_sample_weight(data)[0]
        with self._step_values.step(self, inputs):
            return super().train_step(data)  # type: ignore[misc]
