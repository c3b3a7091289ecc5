"""Optimizers whose steps do not depend on how a batch is spread over replicas."""

from typing import Any

import keras

from keras_lm.training.keras_overrides import ExactGradients, FiniteOnAllReplicas

Tensor = Any

# Parts of the names of weights that weight decay leaves alone.
NO_DECAY = ("bias", "gamma", "beta", "embedding")


@keras.saving.register_keras_serializable("keras_lm")
class AdamW(ExactGradients, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Differs from Keras's own in three ways. The gradient of an embedding is summed over the repeats
    of an id before it is squared. Gradients are clipped after they were summed over the replicas.
    Biases, the weights of normalizations and embeddings do not decay, unless
    `exclude_from_weight_decay` is called, which then says alone what does not.

    Args:
        learning_rate: float or schedule.
        weight_decay: share of a weight that a step takes away, times the learning rate.
        beta_1: decay of the mean of the gradients.
        beta_2: decay of the mean of their squares.
        epsilon: added to the square root.
        no_decay: weights whose name contains one of these do not decay.
        **kwargs: as `keras.optimizers.AdamW` takes them: `clipnorm`, `global_clipnorm`,
            `clipvalue`, `use_ema`, ...
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        *,
        no_decay: tuple[str, ...] = NO_DECAY,
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
        self.no_decay = tuple(no_decay)
        self._told_what_to_exclude = False

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Says which weights do not decay, in place of `no_decay`; before `build`."""
        self._told_what_to_exclude = True
        super().exclude_from_weight_decay(var_list=var_list, var_names=var_names)

    def build(self, variables: Any) -> None:
        """Creates the moments of the variables."""
        if not self.built and not self._told_what_to_exclude:
            super().exclude_from_weight_decay(
                var_list=[v for v in variables if any(part in v.name for part in self.no_decay)]
            )
        super().build(variables)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "no_decay": list(self.no_decay)}


@keras.saving.register_keras_serializable("keras_lm")
class LossScaleOptimizer(FiniteOnAllReplicas, keras.optimizers.LossScaleOptimizer):
    """Scales the loss for float16; every replica skips a step that overflowed on one of them."""
