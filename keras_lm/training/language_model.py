"""The base of every model: recorded arguments, heads, tokenizer, and a right `compile` and `fit`.

Knows no architecture. A model is a subclass that makes its layers in `__init__`, creates all its
weights in `build(input_shape=None)` and maps a dict of ids to one tensor (one head), a dict by head
name (several heads) or hidden states (no head) in `call`.

Above 400 lines, because what a user calls on every model is described here, once.
"""

import contextlib
import functools
import inspect
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.training.compile_checks import check_can_be_traced, check_default_loss
from keras_lm.training.fit_data import (
    check_ids,
    endless,
    is_pipeline,
    refuse_generators,
    steps_per_epoch_of,
)
from keras_lm.training.keras_overrides import (
    DistributedTraining,
    made_together,
    schedule_of,
    strategy_of,
)
from keras_lm.training.losses import global_mean, token_cross_entropy
from keras_lm.training.metrics import Perplexity
from keras_lm.training.optimizers import AdamW, LossScaleOptimizer
from keras_lm.training.schedules import Linear, Schedule

Tensor = Any

# What keras.Model itself takes; everything else that reaches the base class is a typing error.
_KERAS_ARGUMENTS = ("name", "dtype", "trainable")


class LanguageModel(RecordsArguments, DistributedTraining, keras.Model):
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
        TOKENIZER_ROLES: the special tokens that it needs, such as "mask".
        heads: the heads of this model, a tuple.

    Raises:
        TypeError: an argument is unknown.
        ValueError: a head is unknown or given twice, or the tokenizer has more tokens than
            `vocab_size` or lacks a special token.
    """

    HEADS: ClassVar[tuple[str, ...]] = ("masked_lm", "next_sentence", "causal_lm")
    TOKENIZER_ROLES: ClassVar[tuple[str, ...]] = ()

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
        self._default_loss = False
        self._compile_arguments: Any = None

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, or None. It can be set; its tokens must fit the model."""
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Any) -> None:
        size = self.vocab_size
        if tokenizer is not None and not hasattr(tokenizer, "vocab_size"):
            raise ValueError(
                "A tokenizer is one of keras_lm.tokenizers, such as its load() gives. "
                f"Received: {tokenizer!r:.80}"
            )
        missing = [] if tokenizer is None else self._missing_roles(tokenizer)
        if missing:
            raise ValueError(
                f"{type(self).__name__} needs a tokenizer with the special tokens "
                f"{self.TOKENIZER_ROLES}. Received: a {type(tokenizer).__name__} without {missing}"
            )
        if tokenizer is not None and size is not None and tokenizer.vocab_size > size:
            raise ValueError(
                "A tokenizer cannot have more tokens than the model's vocabulary. "
                f"Received: {tokenizer.vocab_size} tokens, vocab_size={size}"
            )
        self._tokenizer = tokenizer

    def _missing_roles(self, tokenizer: Any) -> list[str]:
        return [r for r in self.TOKENIZER_ROLES if getattr(tokenizer, f"{r}_id", None) is None]

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

    def require_tokenizer(self, what: str) -> Any:
        """Returns the tokenizer.

        Args:
            what: the deed that needs it, as a sentence begins: `"generate() from text"`.

        Raises:
            ValueError: the model has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError(
                f"{what} needs a tokenizer: construct {type(self).__name__} with tokenizer=..., "
                f"or set `model.tokenizer`. Received: tokenizer=None"
            )
        return self.tokenizer

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, flat, with the tokenizer as it is now."""
        config = super().get_config()
        if "tokenizer" in config:
            tokenizer = self.tokenizer
            config["tokenizer"] = tokenizer and keras.saving.serialize_keras_object(tokenizer)
        return config

    def get_build_config(self) -> dict[str, Any] | None:
        """Says whether there are weights to restore; the sizes are in `get_config`."""
        return {"input_shape": None} if self.built else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Creates the weights, from the sizes alone."""
        if not self.built:
            self.build(None)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the model; arguments are those of `keras.Model.save`.

        A model that was not called yet gets its weights first: a file without them would load as
        another model.
        """
        if not self.built:
            self.build()
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
        loss_weights: dict[str, float] | None = None,
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

        Without any of `loss`, `metrics` and `weighted_metrics`: accuracy; for `causal_lm`
        perplexity too. Both are weighted.

        It may be called outside the scope of the strategy that the model was constructed under.

        Args:
            optimizer: as Keras takes it.
            loss: as Keras takes it; Keras then normalizes it in its own way.
            metrics: as Keras takes it.
            weighted_metrics: as Keras takes it.
            learning_rate: of the default optimizer, a float (the peak; 3e-4) or a schedule.
            loss_weights: factor of each head's loss, by head; 1 where none is given.
            jit_compile: as Keras takes it.
            **kwargs: the rest of what `keras.Model.compile` takes.

        Raises:
            ValueError: both `optimizer` and `learning_rate` are given; there is no head and no
                loss; the optimizer or the model was made outside the strategy's scope;
                `jit_compile=True`, or an optimizer that accumulates gradients or overwrites weights
                with their averages, under a strategy.
        """
        self._check_scope("compile")
        strategy = strategy_of(self)
        if strategy is not None:
            check_can_be_traced(optimizer, jit_compile, kwargs.get("run_eagerly", False))
        if loss is None:
            check_default_loss(self.heads, self.HEADS, loss_weights)
        if optimizer is not None and learning_rate is not None:
            raise ValueError(
                "learning_rate is that of the default optimizer; give it to your own one. "
                f"Received: optimizer={optimizer!r}, learning_rate={learning_rate!r}"
            )
        with strategy.scope() if strategy else contextlib.nullcontext():
            scale = kwargs.get("auto_scale_loss", True)
            optimizer = self._make_optimizer(optimizer, learning_rate, scale)
            if not made_together(self, optimizer):
                raise ValueError(
                    "Model and optimizer must be made in the scope of the same strategy. "
                    f"Received: an optimizer {optimizer.name!r} that was made elsewhere"
                )
            defaults = metrics is None and weighted_metrics is None and loss is None
            super().compile(
                optimizer=optimizer,
                loss=loss,
                loss_weights=loss_weights if loss is not None else None,
                metrics=metrics,
                weighted_metrics=self._default_metrics() if defaults else weighted_metrics,
                jit_compile=jit_compile,
                **kwargs,
            )
            schedule = schedule_of(self.optimizer)
            if isinstance(schedule, Schedule):
                schedule.prepare()
        self._default_loss = loss is None
        # What was asked for, not what it became: defaults are made anew when a file is loaded.
        self._compile_arguments = _Box(
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            loss_weights=loss_weights,
            jit_compile=jit_compile,
            **kwargs,
        )

    def _make_optimizer(self, optimizer: Any, learning_rate: Any, scale: bool) -> Any:
        if optimizer is None:
            rate = 3e-4 if learning_rate is None else learning_rate
            rate = Linear(rate) if isinstance(rate, (int, float)) else rate
            optimizer = AdamW(rate, weight_decay=0.01, global_clipnorm=1.0)
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

    # Loss and metrics of the heads

    def head_loss(
        self, head: str, labels: Tensor, outputs: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the loss of each label and its weight; for a subclass to change.

        Args:
            head: name of the head.
            labels: int, `(B, P)` for masked_lm, `(B,)` for next_sentence, `(B, T)` for causal_lm.
            outputs: the head's logits.
            weights: the labels' sample weights, or None.

        Returns:
            Both float32 of the labels' shape.
        """
        return token_cross_entropy(labels, outputs, weights)

    def head_metrics(self, head: str) -> list[Any]:
        """Returns a head's metrics where `compile` was given none; for a subclass to change."""
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        return [*metrics, Perplexity()] if head == "causal_lm" else metrics

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Returns this replica's part of the loss of the global batch.

        Args:
            x: inputs; not used.
            y: labels, in the structure of the outputs.
            y_pred: outputs: the logits of one head, or a dict by head.
            sample_weight: weights of the labels, in the structure of the outputs, or None.
            training: not used.

        Returns:
            float32 scalar. Under a strategy the replicas' values are equal and add up to the loss;
            the gradients of the replicas add up to its gradient.
        """
        if not self._default_loss:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        labels = self._by_head(y, "labels")
        outputs = self._by_head(y_pred, "outputs")
        weights = self._by_head(sample_weight, "sample weights", optional=True)
        shares = self._compile_arguments.values["loss_weights"] or {}
        sums, counts = [], []
        for head in self.heads:
            loss, weight = self.head_loss(head, labels[head], outputs[head], weights.get(head))
            sums.append(tf.reduce_sum(loss * weight))
            counts.append(tf.reduce_sum(weight))
        extra = tf.add_n([tf.zeros(()), *(tf.cast(loss, tf.float32) for loss in self.losses)])
        return global_mean(sums, counts, [shares.get(head, 1.0) for head in self.heads], extra)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns the metrics so far, after this batch; arguments as in `compute_loss`."""
        if self._default_loss:
            y = self._as_output(self._by_head(y, "labels"))
            weights = self._by_head(sample_weight, "sample weights", optional=True)
            if weights:
                labels = self._by_head(y, "labels")
                for head in self.heads:
                    if weights.get(head) is None:
                        weights[head] = tf.ones_like(labels[head], tf.float32)
                sample_weight = self._as_output(weights)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _by_head(self, values: Any, what: str, optional: bool = False) -> dict[str, Any]:
        if values is None and optional:
            return {}
        if not isinstance(values, dict) and len(self.heads) == 1 and values is not None:
            return {self.heads[0]: values}
        names = set(values) if isinstance(values, dict) else set()
        if names == set(self.heads) or (optional and names and names < set(self.heads)):
            return dict(values)
        got = sorted(names) if isinstance(values, dict) else type(values).__name__
        rule = "a tensor" if len(self.heads) == 1 else f"a dict with the keys {self.heads}"
        raise ValueError(f"The {what} of this model are {rule}. Received: {got}")

    def _as_output(self, values: dict[str, Any]) -> Any:
        return values[self.heads[0]] if len(self.heads) == 1 else values

    # fit

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains the model; arguments and result are those of `keras.Model.fit`.

        A pipeline of `keras_lm.data` is taken through its endless view, so that every epoch has a
        fresh order and fresh masks, and epoch `initial_epoch` is the one it would have been.
        The length of the learning-rate schedule is filled in, unless it was given.

        On a GPU an id outside the vocabulary reads zeros; on a CPU it fails. NumPy inputs are
        checked here.

        Raises:
            ValueError: the model was not compiled, or was constructed outside the scope of the
                current strategy; an id is outside the vocabulary; a Python generator is given,
                of which Keras loses batches.
        """
        values = _bind(super().fit, x, args, kwargs)
        self._check_data("fit", x, values["validation_data"])
        n = steps_per_epoch_of(values)
        if n is not None and is_pipeline(x):
            values.update(x=endless(x, n, values["initial_epoch"]), steps_per_epoch=n)
        if isinstance(values["x"], (tf.data.Dataset, tf.distribute.DistributedDataset)):
            values["shuffle"] = False  # Keras cannot shuffle these, and warns
        schedule = schedule_of(self.optimizer)
        if isinstance(schedule, Schedule):
            epochs = values["epochs"] - values["initial_epoch"]
            schedule.plan(None if n is None else self._updates() + epochs * n)
        return super().fit(**values)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Returns loss and metrics; arguments and result are those of `keras.Model.evaluate`."""
        self._check_data("evaluate", x)
        return super().evaluate(x, *args, **kwargs)

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
