"""What `compile` refuses, because Keras would fail later, and less clearly."""

from typing import Any

import keras

from keras_lm.training.keras_overrides import ExactGradients


def check_distribution() -> None:
    """Raises where Keras was told to shard models.

    On TensorFlow it takes `keras.distribution.set_distribution`, shards nothing and says nothing.

    Raises:
        ValueError: a `keras.distribution` is set.
    """
    distribution = keras.distribution.distribution()
    if distribution is not None:
        raise ValueError(
            "keras.distribution shards nothing on TensorFlow. Take keras_lm.training.strategy(), "
            "and keras.distribution.set_distribution(None). "
            f"Received: a {type(distribution).__name__} is set"
        )


def check_can_be_traced(optimizer: Any, run_eagerly: bool) -> None:
    """Raises for what Keras 3.15 cannot put into the graph of a step over several replicas.

    Args:
        optimizer: the optimizer given, or None.
        run_eagerly: as Keras takes it; eager steps accumulate and overwrite rightly.

    Raises:
        ValueError: the optimizer accumulates gradients over steps, or is one of Keras's own and
            overwrites weights by their averages.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    steps = getattr(inner, "gradient_accumulation_steps", None)
    if steps and not run_eagerly:
        raise ValueError(
            "Under a tf.distribute strategy an optimizer cannot accumulate gradients over steps "
            "(keras#20582). Take compile(gradient_accumulation_steps=...), which computes each "
            f"batch in parts. Received: an optimizer with gradient_accumulation_steps={steps}"
        )
    every = getattr(inner, "ema_overwrite_frequency", None)
    if every and not run_eagerly and not isinstance(inner, ExactGradients):
        raise ValueError(
            "Under a tf.distribute strategy an optimizer of Keras cannot overwrite weights by "
            "their averages (keras#20582); those of keras_lm.training can. "
            f"Received: a {type(inner).__name__} with ema_overwrite_frequency={every}"
        )


def check_parts(parts: Any, optimizer: Any, loss: Any, jit_compile: Any, run_eagerly: bool) -> None:
    """Raises for what a step in parts, or with XLA, cannot be.

    Args:
        parts: `gradient_accumulation_steps`.
        optimizer: the optimizer given, or None.
        loss: as Keras takes it.
        jit_compile: as Keras takes it.
        run_eagerly: as Keras takes it.

    Raises:
        ValueError: the number is not positive; the optimizer accumulates, too; the loss is a sum;
            XLA is asked for in eager steps.
    """
    if not isinstance(parts, int) or parts < 1:
        raise ValueError(
            "gradient_accumulation_steps must be a positive int. "
            f"Received: gradient_accumulation_steps={parts!r}"
        )
    if jit_compile is True and run_eagerly:
        raise ValueError("XLA compiles graphs. Received: jit_compile=True with run_eagerly=True")
    if parts == 1:
        return
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    steps = getattr(inner, "gradient_accumulation_steps", None)
    if steps:
        raise ValueError(
            "Either compile() accumulates gradients, in parts of a batch, or the optimizer, over "
            f"batches. Received: gradient_accumulation_steps={parts}, and an optimizer with {steps}"
        )
    for item in keras.tree.flatten(loss):
        if getattr(item, "reduction", None) in ("sum", "none"):
            raise ValueError(
                "gradient_accumulation_steps is for losses that are means over rows. "
                f"Received: a loss with reduction={item.reduction!r}"
            )


def check_recompute(recompute: bool, blocks: int) -> None:
    """Raises where there is nothing to be computed again.

    Args:
        recompute: as `compile` takes it.
        blocks: number of the model's `TransformerBlock`s.

    Raises:
        ValueError: it is asked for, and there is no block.
    """
    if recompute and not blocks:
        raise ValueError(
            "recompute is for models made of keras_lm.layers.TransformerBlock. "
            "Received: recompute=True, a model without one"
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
