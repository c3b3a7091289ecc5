"""Optimizers whose steps do not depend on how a batch is spread over replicas."""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.training.keras_overrides import ExactGradients, FiniteOnAllReplicas, OwnWeightDecay
from keras_lm.training.layer_rates import layer_rates
from keras_lm.training.spared_weights import BIASES_AND_NORMS, SparesWeights

Tensor = Any

# Parts of the names of weights that weight decay leaves alone.
NO_DECAY = (*BIASES_AND_NORMS, "embedding")


@keras.saving.register_keras_serializable("keras_lm")
class AdamW(SparesWeights, OwnWeightDecay, ExactGradients, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Differs from Keras's own in five ways. The gradient of an embedding is summed over the repeats
    of an id before it is squared. Gradients are clipped after they were summed over the replicas.
    Biases, the weights of normalizations and embeddings do not decay, unless
    `exclude_from_weight_decay` is called, which then says alone what does not. Lower layers can
    have lower rates. A weight and its moments are read and written once a step, by TensorFlow's
    `ResourceApplyAdam`, where Keras has ten operations that each go over the memory.

    Args:
        learning_rate: float or schedule.
        weight_decay: share of a weight that a step takes away, times the learning rate.
        beta_1: decay of the mean of the gradients.
        beta_2: decay of the mean of their squares.
        epsilon: added to the square root.
        no_decay: weights whose name contains one of these do not decay.
        layer_decay: each block of a model has so many times the rate of the one above, and the
            embeddings of the lowest, for fine-tuning; ELECTRA took 0.8 and 0.9. See `layer_rates`.
            None: all have the same.
        **kwargs: as `keras.optimizers.AdamW` takes them: `clipnorm`, `global_clipnorm`,
            `clipvalue`, `use_ema`, ...

    Raises:
        ValueError: `layer_decay` is not above 0 and at most 1; or, at the first step, the model has
            no blocks.
    """

    NO_DECAY = NO_DECAY

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        *,
        no_decay: tuple[str, ...] = NO_DECAY,
        layer_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        if layer_decay is not None and not 0 < layer_decay <= 1:
            raise ValueError(
                "layer_decay must be above 0 and at most 1, or None. "
                f"Received: layer_decay={layer_decay!r}"
            )
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            **kwargs,
        )
        self.spare(no_decay)
        self.layer_decay = layer_decay
        self._rates: tuple[float, ...] = ()

    def build(self, variables: Any) -> None:
        """Creates the moments of the variables."""
        if not self.built and self.layer_decay is not None:
            self._rates = tuple(layer_rates([v.path for v in variables], self.layer_decay))
        super().build(variables)

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Makes the step of one weight."""
        place, dtype = self.place_of(variable), variable.dtype
        rate = tf.cast(learning_rate, dtype)
        if self.layer_decay is not None:
            rate *= self._rates[place]
        if self.weight_decay and self.may_decay(variable):
            self.assign_sub(variable, variable * (self.weight_decay * rate))
        if self.amsgrad:
            super().update_step(gradient, variable, rate)
            return
        beta_1, beta_2 = (tf.cast(beta, dtype) for beta in (self.beta_1, self.beta_2))
        step = tf.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "layer_decay": self.layer_decay}


@keras.saving.register_keras_serializable("keras_lm")
class LAMB(SparesWeights, OwnWeightDecay, ExactGradients, keras.optimizers.Lamb):
    """Adam whose steps are as long as the weights, for large batches.

    Source: You et al. 2020, arXiv:1904.00962, algorithm 2; as there, weight decay belongs to the
    update whose length is scaled. Keras's `Lamb` takes it away before, by the learning rate alone.
    Weights that do not decay are not scaled either: a plain step of Adam, as in the authors' code.
    Repeated ids and clipping are as of `AdamW`.

    Args:
        learning_rate: float or schedule.
        weight_decay: lambda in the paper.
        beta_1: decay of the mean of the gradients.
        beta_2: decay of the mean of their squares.
        epsilon: added to the square root.
        no_decay: weights whose name contains one of these are neither decayed nor scaled.
        **kwargs: as `keras.optimizers.Lamb` takes them.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        *,
        no_decay: tuple[str, ...] = BIASES_AND_NORMS,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            **kwargs,
        )
        self.spare(no_decay)

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Makes the step of one weight."""
        place, dtype = self.place_of(variable), variable.dtype
        m, v = self._momentums[place], self._velocities[place]
        gradient, rate = tf.cast(gradient, dtype), tf.cast(learning_rate, dtype)
        step = tf.cast(self.iterations + 1, dtype)
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (tf.square(gradient) - v) * (1 - self.beta_2))
        m_hat = m / (1 - tf.pow(tf.cast(self.beta_1, dtype), step))
        v_hat = v / (1 - tf.pow(tf.cast(self.beta_2, dtype), step))
        update = m_hat / (tf.sqrt(v_hat) + self.epsilon)
        if self.may_decay(variable):
            update += (self.weight_decay or 0.0) * variable
            length, of_update = tf.norm(variable), tf.norm(update)
            scale = tf.math.divide_no_nan(length, of_update)
            update *= tf.where((length > 0) & (of_update > 0), scale, tf.ones((), dtype))
        self.assign_sub(variable, rate * update)


@keras.saving.register_keras_serializable("keras_lm")
class LossScaleOptimizer(FiniteOnAllReplicas, keras.optimizers.LossScaleOptimizer):
    """Scales the loss for float16; every replica skips a step that overflowed on one of them."""
