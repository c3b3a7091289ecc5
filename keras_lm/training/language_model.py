"""The base of every model: recorded arguments, heads, tokenizer, and a right `compile` and `fit`.

Knows no architecture. A model is a subclass that makes its layers in `__init__`, creates all its
weights in `build(input_shape=None)` and maps a dict of ids to one tensor (one head), a dict by head
name (several heads) or hidden states (no head) in `call`. What a head costs is in `head_losses`.
Half of this long file is what `compile` and `fit` promise.
"""

import contextlib
import functools
import inspect
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_lm.layers import TransformerBlock
from keras_lm.layers.arguments import RecordsArguments
from keras_lm.training.compile_checks import (
    check_can_be_traced,
    check_default_loss,
    check_distribution,
    check_label_smoothing,
    check_parts,
    check_recompute,
    check_sampled_softmax,
)
from keras_lm.training.fit_data import (
    check_executions,
    check_ids,
    is_pipeline,
    refuse_generators,
    steps_per_epoch_of,
    view,
)
from keras_lm.training.has_tokenizer import HasTokenizer
from keras_lm.training.head_losses import HeadLosses
from keras_lm.training.keras_overrides import (
    BeginsWithinEpoch,
    DistributedTraining,
    SeveralSteps,
    TrainsInParts,
    TrainsWithoutLogits,
    layers_of,
    made_together,
    schedule_of,
    strategy_of,
)
from keras_lm.training.lora import HasLoRA
from keras_lm.training.optimizers import AdamW, LossScaleOptimizer
from keras_lm.training.provenance import HasProvenance, Provenance, data_name
from keras_lm.training.resuming import checkpoints_of, resumed
from keras_lm.training.sampled_softmax import SampledSoftmax
from keras_lm.training.schedules import Linear, Schedule
from keras_lm.training.spread_data import check_equal_steps, too_few_files_named
from keras_lm.training.step_values import RecordsSteps
from keras_lm.training.workers import lost_ones_named

# What keras.Model itself takes; everything else that reaches the base class is a typing error.
_KERAS_ARGUMENTS = ("name", "dtype", "trainable")


class LanguageModel(
    RecordsSteps,
    RecordsArguments,
    HasTokenizer,
    HeadLosses,
    HasLoRA,
    HasProvenance,
    BeginsWithinEpoch,
    DistributedTraining,
    SeveralSteps,
    TrainsInParts,
    TrainsWithoutLogits,
    keras.Model,
):
    """Abstract base of the language models.

    The arguments of the subclass's constructor are recorded once, when it is called: `get_config`
    returns them flat, with the defaults filled in, and `from_config` is `cls(**config)`.

    A subclass makes every layer in `__init__` and every weight in `build(input_shape=None)`, from
    its sizes alone, so that a `.keras` file restores without data. Its constructor ends in
    `**kwargs` and passes them on, with `heads` and `tokenizer`, to this one.

    Args:
        heads: names of the heads, in the order they were asked for. Kept as `heads`.
        tokenizer: turns text into ids; None where none is needed.
        vocab_size: number of ids. None: the constructor's argument of that name, if it has one.
        **kwargs: `name`, `dtype` and `trainable`, as Keras takes them.

    Attributes:
        HEADS: the heads that this class offers.
        TOKENIZER_ROLES: the special tokens that it needs, see `HasTokenizer`.
        LEARNING_RATE: peak of the default schedule.
        heads: the heads of this model, a tuple.

    Raises:
        TypeError: an argument is unknown.
        ValueError: a head is unknown or given twice, or the tokenizer has more tokens than
            `vocab_size` or lacks a special token.
    """

    HEADS: ClassVar[tuple[str, ...]] = (
        "masked_lm",
        "next_sentence",
        "causal_lm",
        "replaced_token",
        "seq2seq",
    )
    LEARNING_RATE: ClassVar[float] = 3e-4

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Makes every `build` create its variables for the strategy that the model belongs to."""
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _in_own_scope(cls.build)

    def __init__(
        self,
        *,
        heads: tuple[str, ...] = (),
        tokenizer: Any = None,
        vocab_size: int | None = None,
        **kwargs: Any,
    ):
        unknown = sorted(set(kwargs) - set(_KERAS_ARGUMENTS))
        if unknown:
            known = dict.fromkeys((*self.constructor_arguments, *_KERAS_ARGUMENTS))
            names = ", ".join(name for name in known if name not in unknown)
            raise TypeError(
                f"{type(self).__name__} takes these arguments alone: {names}. "
                f"Received: {', '.join(unknown)}"
            )
        super().__init__(**kwargs)
        if isinstance(heads, str) or len(set(heads)) < len(heads) or set(heads) - set(self.HEADS):
            raise ValueError(
                f"heads must be a tuple of different names out of {self.HEADS}. "
                f"Received: heads={heads!r}"
            )
        self.heads = tuple(heads)
        own = self.constructor_arguments.get("vocab_size")
        self.vocab_size: int | None = own if vocab_size is None else vocab_size
        self.tokenizer = tokenizer
        self._compile_arguments: Any = None

    def require_head(self, what: str, head: str) -> None:
        """Raises unless the model has a head.

        Args:
            what: the deed that needs it, as a sentence begins: `"generate()"`.
            head: name of the head.

        Raises:
            ValueError: the model has no such head.
        """
        if head not in self.heads:
            raise ValueError(f'{what} needs the head "{head}". Received: heads={self.heads}')

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, flat, with the tokenizer as it is now."""
        known = "tokenizer" in self.constructor_arguments
        return self.config_with(**({"tokenizer": self.tokenizer} if known else {}))

    def get_build_config(self) -> dict[str, Any] | None:
        """Says whether there are weights to restore, which were added or frozen, and whence.

        The sizes are in `get_config`.
        """
        if not self.built:
            return None
        known = self.provenance.as_json()
        return {
            "input_shape": None,
            **self.adaptation(),
            **({"provenance": known} if known else {}),
        }

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Creates the weights, from the sizes alone, and what was added to them."""
        if not self.built:
            self.build(None)
            self.adapt(config)
            self.provenance = Provenance.from_json(config.get("provenance", {}))

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the model; arguments are those of `keras.Model.save`.

        A model that was not called yet gets its weights first: a file without them would load as
        another model. So does an optimizer that has made no step, which Keras would warn of.
        """
        if not self.built:
            self.build()
        if self.compiled and not self.optimizer.built:
            strategy = strategy_of(self)
            with strategy.scope() if strategy else contextlib.nullcontext():
                self.optimizer.build(self.trainable_variables)
        super().save(filepath, *args, **kwargs)

    # compile

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        *,
        learning_rate: Any = None,
        layer_decay: float | None = None,
        loss_weights: dict[str, float] | None = None,
        label_smoothing: float = 0.0,
        sampled_softmax: int | SampledSoftmax | None = None,
        gradient_accumulation_steps: int = 1,
        recompute: bool = False,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """Configures the training. What is given wins; what is not is right for the heads.

        Without `optimizer`: AdamW (weight decay 0.01, none on biases, normalizations and
        embeddings; gradients clipped to a global norm of 1) with a warm-up over the first tenth of
        the steps and a linear decay to 0, whose length `fit` fills in from epochs and data. Where
        the data do not know their length, the rate goes down with the inverse square root.

        Without `loss`: for each head the cross-entropy of the labels, weighted by the sample
        weights and divided by their sum over the global batch; heads are added up, and so are
        `add_loss` and regularization, once. Labels of weight 0 may be any number.

        Without any of `loss`, `metrics` and `weighted_metrics`: accuracy; for `causal_lm` and
        `seq2seq` perplexity too. Both are weighted.

        It may be called outside the scope of the strategy that the model was constructed under.

        Args:
            optimizer: as Keras takes it.
            loss: as Keras takes it; its means are over the rows of the global batch.
            metrics: as Keras takes it.
            weighted_metrics: as Keras takes it.
            learning_rate: of the default optimizer, a float (the peak) or a schedule. None: the
                peak is `LEARNING_RATE`, 3e-4 for a model that is trained from scratch.
            layer_decay: of the default optimizer: each block has so many times the rate of the one
                above, and the embeddings of the lowest, see `AdamW`. None: all have the same.
            loss_weights: factor of each head's loss, by head; where none is given that of
                `LOSS_WEIGHTS`, for most heads 1.
            label_smoothing: the share of each label that is spread evenly over all classes
                (Szegedy et al. 2016, arXiv:1512.00567, section 7; Vaswani et al. 2017,
                arXiv:1706.03762, section 5.4). It is for the loss alone, not for the metrics, and
                leaves heads that answer yes or no as they are.
            sampled_softmax: for large vocabularies: a number of ids, or a `SampledSoftmax`. A step
                of training then looks at so many ids, and shows an estimate of the loss and no
                metrics; evaluation is by the whole softmax. For heads in `SAMPLED_HEADS`.
            gradient_accumulation_steps: in so many parts each batch is computed, one after the
                other, where it is too large for the memory of a device; of several replicas each
                computes its rows in so many. `batch_size` stays that of an update, and the numbers
                stay the same: gradients are added up, reduced and applied once.
            recompute: keep of each Transformer block the input alone, and compute the rest again
                for the gradient: less memory for a second forward pass, the same numbers.
            jit_compile: True: XLA. Under a strategy it compiles forward and backward of each
                replica, in training alone. `"auto"`: as Keras decides; under a strategy False.
            **kwargs: the rest of what `keras.Model.compile` takes.

        Raises:
            ValueError: `optimizer` is given, and `learning_rate` or `layer_decay` too; there is no
                head and no loss; `label_smoothing` is outside 0 .. 1, or `sampled_softmax` does not
                fit the model, or one of them is given beside a loss; the optimizer or the model was
                made outside the strategy's scope; the optimizer accumulates gradients itself, under
                a strategy or besides `gradient_accumulation_steps`; a `keras.distribution` is set,
                which does nothing on TensorFlow; `recompute` for a model without blocks.
        """
        self._check_scope("compile")
        check_distribution()
        strategy, eager = strategy_of(self), kwargs.get("run_eagerly", False)
        if strategy is not None:
            check_can_be_traced(optimizer, eager)
        check_parts(gradient_accumulation_steps, optimizer, loss, jit_compile, eager)
        if loss is None:
            check_default_loss(self.heads, self.HEADS, loss_weights)
        check_label_smoothing(label_smoothing, loss)
        if isinstance(sampled_softmax, int):
            sampled_softmax = SampledSoftmax(sampled_softmax)
        if sampled_softmax is not None:
            check_sampled_softmax(self, sampled_softmax, label_smoothing, loss)
        for name, given in (("learning_rate", learning_rate), ("layer_decay", layer_decay)):
            if optimizer is not None and given is not None:
                raise ValueError(
                    f"{name} is that of the default optimizer; give it to your own one. "
                    f"Received: optimizer={optimizer!r}, {name}={given!r}"
                )
        blocks = layers_of(self, TransformerBlock)
        check_recompute(recompute, len(blocks))
        for block in blocks:
            block.recompute = recompute
        with strategy.scope() if strategy else contextlib.nullcontext():
            scale = kwargs.get("auto_scale_loss", True)
            optimizer = self._make_optimizer(optimizer, learning_rate, layer_decay, scale)
            if not made_together(self, optimizer):
                raise ValueError(
                    "Model and optimizer must be made in the scope of the same strategy. "
                    f"Received: an optimizer {optimizer.name!r} that was made elsewhere"
                )
            in_one = gradient_accumulation_steps == 1
            defaults = metrics is None and weighted_metrics is None and loss is None
            super().compile(
                optimizer=optimizer,
                loss=loss,
                loss_weights=loss_weights if loss is not None else None,
                metrics=metrics,
                weighted_metrics=self._default_metrics() if defaults else weighted_metrics,
                # Else XLA is for what is inside a step, see `TrainsInParts`.
                jit_compile=jit_compile if strategy is None and in_one else False,
                **kwargs,
            )
            schedule = schedule_of(self.optimizer)
            if isinstance(schedule, Schedule):
                schedule.prepare()
        # What was asked for, not what it became: defaults are made anew when a file is loaded.
        self._compile_arguments = _Box(
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            loss_weights=loss_weights,
            label_smoothing=label_smoothing,
            sampled_softmax=sampled_softmax,
            gradient_accumulation_steps=gradient_accumulation_steps,
            recompute=recompute,
            jit_compile=jit_compile,
            **kwargs,
        )

    @property
    def gradient_accumulation_steps(self) -> int:
        """In how many parts a batch is computed, as `compile` was told."""
        arguments = self._compile_arguments
        return 1 if arguments is None else arguments.values["gradient_accumulation_steps"]

    @property
    def xla_in_replicas(self) -> bool:
        """Whether XLA compiles forward and backward alone, not what Keras would compile."""
        arguments = self._compile_arguments
        asked = arguments is not None and arguments.values["jit_compile"] is True
        return asked and (strategy_of(self) is not None or self.gradient_accumulation_steps > 1)

    def _make_optimizer(
        self, optimizer: Any, learning_rate: Any, layer_decay: float | None, scale: bool
    ) -> Any:
        if optimizer is None:
            rate = self.LEARNING_RATE if learning_rate is None else learning_rate
            rate = Linear(rate) if isinstance(rate, (int, float)) else rate
            optimizer = AdamW(rate, weight_decay=0.01, layer_decay=layer_decay, global_clipnorm=1.0)
        optimizer = keras.optimizers.get(optimizer)
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if scale and self.dtype_policy.name == "mixed_float16" and not scaled:
            optimizer = LossScaleOptimizer(optimizer)
        return optimizer

    def _default_metrics(self) -> Any:
        metrics = {head: self.head_metrics(head) for head in self.heads}
        return metrics if len(self.heads) > 1 else metrics[self.heads[0]]

    def _check_scope(self, what: str) -> None:
        current = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
        if current is not None and current is not strategy_of(self):
            raise ValueError(
                "A model must be constructed in the scope of the strategy that it is trained "
                f"under. Received: {what}() in the scope of a {type(current).__name__}, "
                "a model constructed outside it"
            )

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` was asked for, serialized by Keras."""
        if not self.compiled or self._compile_arguments is None:
            return {}
        return keras.saving.serialize_keras_object(self._compile_arguments.values)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says and creates the optimizer's variables."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    # fit

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains the model; arguments and result are those of `keras.Model.fit`.

        A pipeline of `keras_lm.data` is taken through its endless view, so that every epoch has a
        fresh order and fresh masks, and epoch `initial_epoch` is the one it would have been.
        The length of the learning-rate schedule is filled in, unless it was given. With a
        `keras_lm.training.Checkpoints` among the callbacks it goes on from the last checkpoint.

        On a GPU an id outside the vocabulary reads zeros; on a CPU it fails. NumPy inputs are
        checked here.

        Raises:
            ValueError: the model was not compiled, or was constructed outside the scope of the
                current strategy; an id is outside the vocabulary; a Python generator is given,
                of which Keras loses batches; workers have different numbers of batches, or fewer
                files than there are workers; or see `Checkpoints`.
            RuntimeError: another worker ended, or cannot be reached.
        """
        values = _bind(super().fit, x, args, kwargs)
        first_epoch = values["initial_epoch"]
        self._check_data("fit", x, values["validation_data"])
        n = steps_per_epoch_of(values)
        if self.sampled_softmax is not None and self.vocab_size is not None:
            self.sampled_softmax.count(x, self.vocab_size)
        with (
            lost_ones_named(strategy_of(self)),
            too_few_files_named(strategy_of(self)),
            resumed(self, values, n, self._updates()) as start,
        ):
            values["initial_epoch"] = start.epoch
            if n is not None and is_pipeline(x):
                values.update(x=view(x, strategy_of(self), start.data_step), steps_per_epoch=n)
            check_equal_steps(strategy_of(self), x, n)
            check_executions(n, self.steps_per_execution, values)
            if isinstance(values["x"], (tf.data.Dataset, tf.distribute.DistributedDataset)):
                values["shuffle"] = False  # Keras cannot shuffle these, and warns
            schedule = schedule_of(self.optimizer)
            if isinstance(schedule, Schedule):
                schedule.plan(None if n is None else start.updates_before + values["epochs"] * n)
            if self.gradient_accumulation_steps > 1 and not self.built:
                self.build(None)  # not in the loop over the parts
            self.build_ahead(values["x"], eager=checkpoints_of(values) is not None)
            with self.noting_training(x) as noted:
                history = super().fit(**values)
                noted.epochs = start.epoch - first_epoch + len(history.epoch)
            return history

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Returns loss and metrics; arguments and result are those of `keras.Model.evaluate`."""
        self._check_data("evaluate", x)
        found = super().evaluate(x, *args, **kwargs)
        self.note_scores(self.get_metrics_result(), data_name(getattr(x, "files", None)))
        return found

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns the outputs; arguments and result are those of `keras.Model.predict`."""
        self._check_scope("predict")
        check_ids(x, self.vocab_size)
        return super().predict(x, *args, **kwargs)

    def _check_data(self, what: str, *data: Any) -> None:
        if not self.compiled:
            raise ValueError(
                f"{what}() needs a compiled model: call compile(), which has defaults. "
                "Received: a model that was not compiled"
            )
        self._check_scope(what)
        check_distribution()
        for item in data:
            refuse_generators(what, item)
            check_ids(item, self.vocab_size)

    def _updates(self) -> int:
        """Returns the number of steps that the schedule has counted."""
        micro = getattr(self.optimizer, "gradient_accumulation_steps", None) or 1
        return int(self.optimizer.iterations.numpy()) * micro


def _in_own_scope(build: Any) -> Any:
    @functools.wraps(build)
    def build_in_scope(self: Any, input_shape: Any = None) -> None:
        strategy = strategy_of(self)
        with strategy.scope() if strategy else contextlib.nullcontext():
            build(self, input_shape)

    return build_in_scope


class _Box:
    """Values by name, in an object that Keras neither tracks nor wraps."""

    def __init__(self, **values: Any) -> None:
        self.values = values


def _bind(method: Any, x: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    bound = inspect.signature(method).bind(x, *args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)
