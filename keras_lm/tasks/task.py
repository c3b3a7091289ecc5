"""The base of every task: a model's encoder or decoder, its tokenizer and sizes, and a head.

B batch, T length, D hidden size.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import keras
import tensorflow as tf

from keras_lm.layers import Dense, Dropout
from keras_lm.layers.building import build_once
from keras_lm.layers.inputs import as_inputs
from keras_lm.models.explanations.attention_scores import ShowsAttention
from keras_lm.models.given_texts import as_texts
from keras_lm.tasks.head_kinds import head_of
from keras_lm.training import LanguageModel
from keras_lm.training.keras_overrides import strategy_of

Tensor = Any

_INPUTS = ("token_ids", "segment_ids", "padding_mask", "document_ids", "token_embeddings")


class Backbone(NamedTuple):
    """The model beneath a task, without its weights and its tokenizer.

    Attributes:
        model: its class.
        arguments: the constructor's, as `get_config` gives them, without heads.
    """

    model: Any
    arguments: dict[str, Any]


class Task(ShowsAttention, LanguageModel):
    """Abstract base of the tasks.

    A task shares the encoder of the model that it is given (GPT: the decoder, Transformer: both):
    training the one changes the other. The model's heads are left behind; its tokenizer comes
    along, and so does what `keras_lm.load` found beside its weights.

    Args:
        model: one of those that `head_kinds` knows.
        **kwargs: `heads`, and what Keras takes: `name` and `trainable`; `dtype` is the model's.

    Attributes:
        head_kind: how the model's family is headed.
        dropout_rate: before the last layer; `family_dropout_rate` where none was given.
        hidden_size: D.
        max_length: as that of the model, and so is `vocab_size`.

    Raises:
        ValueError: a model that a task can't stand on, another dtype than the model's, or a model
            that was constructed in the scope of another strategy.
    """

    # Devlin et al. 2019, arXiv:1810.04805, appendix A.3: 2e-5 to 5e-5.
    LEARNING_RATE: ClassVar[float] = 5e-5
    TRAINS_HEAD: ClassVar[bool] = True  # Beside LoRA's adapters.

    def __init__(self, model: LanguageModel, **kwargs: Any) -> None:
        kind = head_of(type(model))
        dtype = kwargs.pop("dtype", None)
        if dtype is not None and keras.dtype_policies.get(dtype) != model.dtype_policy:
            raise ValueError(
                "A task computes in the dtype of its model. "
                f"Received: dtype={dtype!r}, a model of {model.dtype_policy.name}"
            )
        super().__init__(vocab_size=model.vocab_size, dtype=model.dtype_policy, **kwargs)
        if strategy_of(self) is not strategy_of(model):
            raise ValueError(
                "A task and its model must be constructed in the scope of the same strategy. "
                f"Received: a {type(model).__name__} that was constructed elsewhere"
            )
        self.head_kind = kind
        # The model itself would keep its heads and its optimizer's variables in memory.
        self.record(model=_backbone_of(model))
        for name in ("encoder", "decoder"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))
        first = self.stacks[0]
        self.hidden_size = getattr(first, "hidden_size", first.embedding.size)
        self.max_length = model.max_length
        self.tokenizer = model.tokenizer
        if hasattr(model, "companions"):
            self.companions = model.companions
        # Scores are those of its heads, which are left behind.
        self.provenance = dataclasses.replace(model.provenance, scores=())

    @property
    def backbone(self) -> Backbone:
        """Class and sizes of the model beneath."""
        return self.constructor_arguments["model"]

    @property
    def stacks(self) -> list[Any]:
        """The encoder, the decoder, or both."""
        return [getattr(self, name) for name in ("encoder", "decoder") if hasattr(self, name)]

    @property
    def TOKENIZER_ROLES(self) -> tuple[str, ...]:  # type: ignore[override]  # noqa: N802
        """The special tokens that the model needs."""
        return self.backbone.model.TOKENIZER_ROLES

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments; `model` is one without heads and weights."""
        model, arguments = self.backbone
        tokenizer = self.tokenizer and keras.saving.serialize_keras_object(self.tokenizer)
        serialized = {
            "module": model.__module__,
            "class_name": model.__name__,
            "config": {**arguments, "tokenizer": tokenizer},
            "registered_name": keras.saving.get_registered_name(model),
        }
        return {**self.config_with(model=None), "model": serialized}

    @property
    def smooths_labels(self) -> bool:
        """Whether the loss knows of label smoothing."""
        return True

    def compile(self, *args: Any, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        """Configures the training; see `LanguageModel.compile`. Without `learning_rate`: 5e-5.

        Raises:
            ValueError: `label_smoothing` for a loss that has none, besides what that one says.
        """
        if label_smoothing and not self.smooths_labels:
            raise ValueError(
                "Labels are smoothed where a text or a token has one class. "
                f"Received: label_smoothing={label_smoothing} for a {type(self).__name__}"
            )
        super().compile(*args, label_smoothing=label_smoothing, **kwargs)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains the model; see `LanguageModel.fit`. NumPy labels are checked here, too."""
        self._check(y, kwargs.get("sample_weight"))
        validation = kwargs.get("validation_data")
        if isinstance(validation, (tuple, list)):
            self._check(*validation[1:])
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Returns loss and metrics; see `LanguageModel.evaluate`."""
        self._check(y, kwargs.get("sample_weight"))
        return super().evaluate(x, y, *args, **kwargs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Answers texts; or returns the outputs for data, as `keras.Model.predict` does.

        Args:
            x: a string, or a pair of them as a tuple; a list of strings, or of pairs; or what Keras
                takes.
            batch_size: texts that are read at once. None: 32.
            verbose: 0: no progress bar. Of texts also a function, which is told behind each batch
                how many of them are answered, and how many there are.
            steps: for data alone.
            callbacks: for data alone.

        Raises:
            ValueError: there is no text; texts and something else are mixed; there is no tokenizer.
        """
        texts = as_texts(x)
        if texts is None:
            return super().predict(x, batch_size, verbose, steps, callbacks)
        if steps is not None or callbacks is not None:
            raise ValueError(
                "steps and callbacks are for data, not for texts. "
                f"Received: steps={steps}, callbacks={callbacks!r:.80}"
            )
        return self.predict_texts(*texts, batch_size=batch_size, verbose=verbose)

    def predict_texts(
        self, texts: list[list[Any]], single: bool, *, batch_size: int | None, verbose: Any
    ) -> Any:
        """Answers texts, see `predict`; for a subclass to fill in.

        Args:
            texts: one or two lists of strings, see `as_texts`.
            single: whether a single text was given.
            batch_size: see `predict`.
            verbose: see `predict`.
        """
        raise ValueError(
            f"predict() of a {type(self).__name__} takes token_ids. Received: {texts!r:.80}"
        )

    def _check(self, labels: Any = None, weights: Any = None) -> None:
        if weights is None:  # With a weight of 0 a label may be any number.
            self.check_labels(labels)

    def check_labels(self, labels: Any) -> None:
        """Raises for labels in a NumPy array that can't be; for a subclass to fill in."""

    def head_dropout(self, rate: float | None, kind: float | None) -> Dropout:
        """Makes the dropout before the last layer.

        Args:
            rate: what the constructor was given.
            kind: the rate of the family. None: that of the model.
        """
        self.family_dropout_rate = self.backbone.arguments["dropout_rate"] if kind is None else kind
        self.dropout_rate = self.family_dropout_rate if rate is None else rate
        return Dropout(self.dropout_rate, dtype=self.dtype_policy)

    def head_layer(
        self, units: int, name: str, activation: str | None = None, use_bias: bool = True
    ) -> Dense:
        """Makes a dense layer that starts as the layers of the model do."""
        spread = self.backbone.arguments["initializer_range"] or 0.02
        return Dense(
            units,
            activation,
            use_bias,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=spread),
            name=name,
            dtype=self.dtype_policy,
        )

    def build_layers(self, *layers: Any) -> None:
        """Makes every weight: those of the model, and those of the layers over hidden states."""
        for stack in self.stacks:
            build_once(stack)
        for layer in layers:
            build_once(layer, (None, None, self.hidden_size))
        self.built = True

    def hidden_states(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Returns the model's hidden states, float `(B, T, D)`.

        Segments are not read where the model does not tell them apart, so what makes rows for BERT
        serves every model. Behind an encoder the decoder reads the same tokens once more (Lewis et
        al. 2020, arXiv:1910.13461, section 3.1), one place later, as it was trained.

        Raises:
            ValueError: an input that no task reads.
        """
        inputs = as_inputs(inputs)
        if set(inputs) - set(_INPUTS):
            raise ValueError(
                f"A task reads token_ids and, where wanted, {', '.join(_INPUTS[1:])}. "
                f"Received: {', '.join(sorted(inputs))}"
            )
        first, *second = self.stacks
        segments = first.embedding.segments
        if segments is None or segments.vocab_size == 1:
            inputs = {name: value for name, value in inputs.items() if name != "segment_ids"}
        states = first(inputs, training=training)
        if not second:
            return states
        ids_BT = tf.convert_to_tensor(inputs["token_ids"])
        start = self.backbone.arguments["decoder_start_ids"][0]
        start_B1 = tf.fill([tf.shape(ids_BT)[0], 1], tf.cast(start, ids_BT.dtype))
        shifted_BT = tf.concat([start_B1, ids_BT[:, :-1]], axis=1)
        shifted = {"token_ids": shifted_BT}
        if "token_embeddings" in inputs:
            start_B1D = self.decoder.embedding.tokens(start_B1)
            shifted["token_embeddings"] = tf.concat(
                [start_B1D, tf.cast(inputs["token_embeddings"], start_B1D.dtype)[:, :-1]], axis=1
            )
        seen = inputs.get("padding_mask")
        return self.decoder(shifted, states, memory_mask=seen, training=training)


def _backbone_of(model: LanguageModel) -> Backbone:
    values = model.constructor_arguments
    # A layer that it shares with another model is its own from now on; a pooler is the task's.
    gone = [name for name, value in values.items() if isinstance(value, keras.layers.Layer)]
    gone += [name for name in ("pooler", "tokenizer") if name in values]
    changed = dict.fromkeys(gone)
    if "decoder_start_ids" in values:
        changed["decoder_start_ids"] = model.start_ids  # Its tokenizer's, where it was not told.
    return Backbone(type(model), model.config_with(heads=(), **changed))


def last_real(hidden_BTD: Tensor, padding_mask: Tensor | None) -> Tensor:
    """Picks the last hidden state of each row that is no padding, `(B, D)`."""
    if padding_mask is None:
        return hidden_BTD[:, -1]
    place_T = tf.range(tf.shape(hidden_BTD)[1])
    last_B = tf.reduce_max(place_T * tf.cast(padding_mask, "int32"), axis=1)
    return tf.gather(hidden_BTD, last_B, batch_dims=1)
