"""What `compile` refuses, because Keras would fail later, and less clearly."""

from typing import Any


def check_can_be_traced(optimizer: Any, jit_compile: Any, run_eagerly: bool) -> None:
    """Raises for what Keras 3.15 cannot put into the graph of a step over several replicas.

    Args:
        optimizer: the optimizer given, or None.
        jit_compile: as Keras takes it.
        run_eagerly: as Keras takes it; eager steps accumulate and overwrite rightly.

    Raises:
        ValueError: XLA, accumulated gradients, or weights overwritten by their averages are asked
            for.
    """
    if jit_compile is True:
        raise ValueError(
            "Keras cannot compile a step over several replicas with XLA (keras#19005). "
            "Received: jit_compile=True under a tf.distribute strategy"
        )
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    for name in ("gradient_accumulation_steps", "ema_overwrite_frequency"):
        value = getattr(inner, name, None)
        if value and not run_eagerly:
            raise ValueError(
                "Keras cannot trace this under a tf.distribute strategy (keras#20582). "
                f"Received: an optimizer with {name}={value}"
            )


def check_default_loss(
    heads: tuple[str, ...], known: tuple[str, ...], loss_weights: dict[str, float] | None
) -> None:
    """Raises where the heads have no loss, or not the loss that is weighted.

    Args:
        heads: the heads of the model.
        known: the heads that its class offers.
        loss_weights: factors by head, or None.

    Raises:
        ValueError: there is no head, or a factor belongs to none.
    """
    if not heads:
        raise ValueError(
            "A model without a head has no loss of its own: pass loss=..., or construct it "
            f"with heads out of {known}. Received: heads=(), loss=None"
        )
    if set(loss_weights or {}) - set(heads):
        raise ValueError(
            f"loss_weights must be a dict by head, out of {heads}. "
            f"Received: loss_weights={loss_weights!r}"
        )


def check_label_smoothing(label_smoothing: float, loss: Any) -> None:
    """Raises for a share that is none, or that the loss could not know of.

    Args:
        label_smoothing: as `compile` takes it.
        loss: as `compile` takes it.

    Raises:
        ValueError: it is outside 0 .. 1, or given beside a loss.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            "label_smoothing must be at least 0 and less than 1. "
            f"Received: label_smoothing={label_smoothing!r}"
        )
    if label_smoothing and loss is not None:
        raise ValueError(
            "label_smoothing is for the losses of the heads; give it to your own loss. "
            f"Received: loss={loss!r}, label_smoothing={label_smoothing}"
        )


def check_sampled_softmax(model: Any, sampler: Any, label_smoothing: float, loss: Any) -> None:
    """Raises where a model cannot be trained with a sampled softmax.

    Args:
        model: a `LanguageModel`.
        sampler: a `SampledSoftmax`.
        label_smoothing: as `compile` takes it.
        loss: as `compile` takes it.

    Raises:
        ValueError: there is no head for it, a loss or label smoothing beside it, or it does not fit
            the vocabulary.
    """
    if not set(model.heads) & set(model.SAMPLED_HEADS):
        raise ValueError(
            f"sampled_softmax is for the heads {model.SAMPLED_HEADS} of a {type(model).__name__}. "
            f"Received: heads={model.heads}"
        )
    if loss is not None or label_smoothing:
        raise ValueError(
            "sampled_softmax stands for the loss, and smooths no labels. "
            f"Received: loss={loss!r}, label_smoothing={label_smoothing}"
        )
    sampler.check(model.vocab_size)
