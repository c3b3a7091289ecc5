"""Dropout that differs between the replicas of a batch, and can be repeated."""

import threading
from typing import Any

import keras
import tensorflow as tf

Tensor = Any

# Seeds are int64 in variables (a GPU has no int32 ones), and int32 for the draw, as in Keras.
_LARGEST = tf.int32.max - 1
# Of this thread: replicas on one machine are traced in threads of their own.
_thread = threading.local()


@keras.saving.register_keras_serializable("keras_lm")
class Dropout(keras.layers.Dropout):
    """Sets a share of the inputs to 0 and scales the rest up (Srivastava et al. 2014).

    On one device the numbers are those of `keras.layers.Dropout`. Of several replicas each draws a
    mask of its own: Keras gives all of them the same one. The state of the draws is in
    `model.variables`, so who restores it draws on as before.

    Args:
        rate: share that is set to 0.
        noise_shape: as Keras takes it.
        seed: an int; None: drawn from the seed of `keras.utils.set_random_seed`.
        **kwargs: as of every layer.

    Call arguments:
        inputs: float, any shape.
        training: nothing is dropped unless it is True.

    Returns:
        float of the inputs' shape.
    """

    def call(self, inputs: Tensor, training: bool | None = False) -> Tensor:
        """Drops; see the class."""
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return tf.zeros_like(inputs)
        shape = None
        if self.noise_shape is not None:
            sizes = tf.unstack(tf.shape(inputs))
            shape = [
                size if given is None else given
                for given, size in zip(self.noise_shape, sizes, strict=True)
            ]
        seed = _next_seed(self.seed_generator, getattr(_thread, "tape", None))
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed=seed, noise_shape=shape)


def _next_seed(generator: keras.random.SeedGenerator, tape: Any) -> Tensor:
    """Returns the next seed of this replica, int32 `(2,)`, or the one to be repeated."""
    if tape is not None:
        return tape.next(generator)
    seed = tf.cast(tf.math.floormod(generator.next(), _LARGEST), tf.int32)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    replica = tf.convert_to_tensor(context.replica_id_in_sync_group)
    return tf.random.experimental.stateless_fold_in(seed, replica, alg="philox")


class SeedTape:
    """The seeds that a computation drew, for doing it once more with the same masks.

    Each `with tape:` after the first gives out the seeds of the first.
    """

    def __init__(self) -> None:
        self._seeds: list[Tensor] = []
        self._repeats = False
        self._position = 0
        self._outer: Any = None

    def next(self, generator: keras.random.SeedGenerator) -> Tensor:
        """Returns the next seed: the generator's the first time, then what that one was."""
        if not self._repeats:
            self._seeds.append(_next_seed(generator, self._outer))
            return self._seeds[-1]
        self._position += 1
        return self._seeds[self._position - 1]

    def __enter__(self) -> None:
        self._position, self._outer = 0, getattr(_thread, "tape", None)
        _thread.tape = self

    def __exit__(self, *error: object) -> None:
        _thread.tape, self._repeats = self._outer, True
