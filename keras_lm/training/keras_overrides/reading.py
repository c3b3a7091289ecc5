"""What can only be read, or listened to, in private attributes."""

from typing import Any

import keras

Tensor = Any


def schedule_of(optimizer: Any) -> Any:
    """Returns the optimizer's learning-rate schedule or variable.

    `optimizer.learning_rate` gives the rate of the moment only.
    """
    return getattr(optimizer, "inner_optimizer", optimizer)._learning_rate


def strategy_of(model: Any) -> Any:
    """Returns the strategy in whose scope the model was constructed, None for none."""
    return model._distribute_strategy


def made_together(model: Any, optimizer: Any) -> bool:
    """Says whether model and optimizer were made in the same strategy's scope, or in none."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return optimizer._distribution_strategy is model.distribute_strategy


def layers_of(model: Any, kind: Any) -> list[Any]:
    """Returns the layers of a class, or of several, in a model, however deep."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def report_losses(model: Any, report: Any) -> None:
    """Tells somebody each loss that enters the mean of the epoch; `fit` shows that mean alone.

    Args:
        model: a compiled `keras.Model`.
        report: called in the graph with the loss and its weight, the number of rows.
    """
    tracker = model._loss_tracker
    update = type(tracker).update_state.__get__(tracker)

    def update_state(values: Tensor, sample_weight: Tensor = None) -> Any:
        report(values, 1.0 if sample_weight is None else sample_weight)
        return update(values, sample_weight)

    tracker.update_state = update_state


def global_random_state() -> list[Any]:
    """Returns the variable that Keras's random functions without a seed count with, if any."""
    generator = keras.src.backend.common.global_state.get_global_attribute(
        keras.src.random.seed_generator.GLOBAL_SEED_GENERATOR
    )
    return [] if generator is None else [generator.state]
