"""ELECTRA's pre-training: a generator replaces tokens, a discriminator finds them.

Clark et al. 2020, arXiv:2003.10555, section 2. The two share the whole embedding: tokens,
positions, segments and their norm, as in the released code; the paper, section 3.2, speaks of
tokens and positions.

B batch, T length, P masked positions, V vocabulary.
"""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_lm.generation import draw_tokens, row_keys
from keras_lm.layers.building import build_once
from keras_lm.layers.inputs import as_inputs
from keras_lm.models.electra import ELECTRA
from keras_lm.models.replacement import detection_labels, replaced
from keras_lm.training import LanguageModel

Tensor = Any

# Of evaluation: whatever was trained before, a row draws the same.
_EVALUATION_SEED = (0, 0)


@keras.saving.register_keras_serializable("keras_lm")
class ELECTRAPretrainer(LanguageModel):
    """A generator and a discriminator that are trained together. The defaults are ELECTRA-base.

    `fit` takes what `keras_lm.data.masked_lm` gives. The generator predicts the masked tokens; at
    each masked position a token is drawn from its prediction, at temperature 1, without a gradient;
    the discriminator says of every token of the row whether it is another than stood there. The
    loss is that of the generator and 50 times that of the discriminator, which is the mean over all
    tokens that are no padding. `compile(loss_weights={"replaced_token": ...})` takes another factor
    than 50.

    What a row draws is a pure function of a seed, the step and the row's tokens, so it is the same
    on one replica and on many; `keras.utils.set_random_seed` repeats it. In `evaluate` the step
    does not count: one model gets the same result each time.

    For fine-tuning save the discriminator alone: `pretrainer.discriminator.save("electra.keras")`.

    Args:
        vocab_size: V.
        hidden_size: of the discriminator.
        num_layers: of both.
        num_attention_heads: of the discriminator.
        num_hidden_units: width of its feed-forward layers.
        pos_embedding_size: width of the position table. None: `embedding_size`.
        dropout_rate: of embeddings, sublayers and attention weights.
        max_length: number of positions.
        embedding_size: of both. None: `hidden_size`; projected where it differs, in each of both.
        generator_size: the generator's share of the discriminator's hidden size, attention heads
            and feed-forward width (the paper, section 3.2: 1/4 small and large, 1/3 base).
        num_segments: number of segment embeddings.
        activation: `"gelu"` (exact) or `"gelu_tanh"`, or another that Keras knows.
        layer_norm_epsilon: of the norms.
        attention_dropout_rate: of the attention weights. None: `dropout_rate`.
        initializer_range: standard deviation of the truncated normal that weights start with.
        tokenizer: a `keras_lm.tokenizers.WordPiece`; both models get it.

    Attributes:
        generator: an `ELECTRA` with the head `"masked_lm"`.
        discriminator: an `ELECTRA` with the head `"replaced_token"`.

    Call arguments:
        inputs: as of `ELECTRA`, with `masked_positions`: int `(B, P)`, different but for zeros;
            position 0 is never replaced.

    Returns:
        A dict: `masked_lm`, float32 logits `(B, P, V)`; `drawn`, int32 `(B, P)`, the tokens that
        the discriminator saw at the masked positions; `replaced_token`, float32 logits `(B, T)`.

    Raises:
        ValueError: sizes that do not fit each other; `generator_size` outside 0 .. 1; a tokenizer
            with more tokens than `vocab_size`; inputs without `masked_positions`.
    """

    HEADS = ("masked_lm", "replaced_token")
    TOKENIZER_ROLES = ELECTRA.TOKENIZER_ROLES
    LOSS_WEIGHTS: ClassVar[dict[str, float]] = {"replaced_token": 50.0}

    def __init__(
        self,
        vocab_size: int = 30_522,
        hidden_size: int = 768,
        num_layers: int = 12,
        num_attention_heads: int = 12,
        num_hidden_units: int = 3_072,
        pos_embedding_size: int | None = None,
        dropout_rate: float = 0.1,
        max_length: int = 512,
        *,
        embedding_size: int | None = None,
        generator_size: float = 1 / 3,
        num_segments: int = 2,
        activation: str = "gelu",
        layer_norm_epsilon: float = 1e-12,
        attention_dropout_rate: float | None = None,
        initializer_range: float = 0.02,
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(heads=self.HEADS, tokenizer=tokenizer, vocab_size=vocab_size, **kwargs)
        width = round(hidden_size * generator_size)
        heads = max(1, round(num_attention_heads * generator_size))
        if not 0 < generator_size <= 1 or width < 1 or width % heads:
            raise ValueError(
                "generator_size must be above 0 and at most 1, and leave the generator a hidden "
                "size that is a multiple of its attention heads. Received: "
                f"generator_size={generator_size}, which leaves {width} with {heads} heads"
            )
        both = {
            "vocab_size": vocab_size,
            "num_layers": num_layers,
            "pos_embedding_size": pos_embedding_size,
            "dropout_rate": dropout_rate,
            "max_length": max_length,
            "embedding_size": hidden_size if embedding_size is None else embedding_size,
            "num_segments": num_segments,
            "activation": activation,
            "layer_norm_epsilon": layer_norm_epsilon,
            "attention_dropout_rate": attention_dropout_rate,
            "initializer_range": initializer_range,
            "tokenizer": tokenizer,
            "dtype": self.dtype_policy,
        }
        self.max_length = max_length
        self.discriminator = ELECTRA(
            hidden_size=hidden_size,
            num_attention_heads=num_attention_heads,
            num_hidden_units=num_hidden_units,
            heads=("replaced_token",),
            name="discriminator",
            **both,
        )
        self.generator = ELECTRA(
            hidden_size=width,
            num_attention_heads=heads,
            num_hidden_units=max(1, round(num_hidden_units * generator_size)),
            heads=("masked_lm",),
            embedding=self.discriminator.encoder.embedding,
            name="generator",
            **both,
        )
        self.seed_generator = keras.random.SeedGenerator()

    def set_tokenizer(self, tokenizer: Any) -> None:
        """Checks the tokenizer and gives it to both models, too."""
        super().set_tokenizer(tokenizer)
        for name in ("discriminator", "generator"):
            if hasattr(self, name):  # not yet where the constructor sets it
                getattr(self, name).tokenizer = tokenizer

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        build_once(self.discriminator)
        build_once(self.generator)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Predicts, draws and judges; see the class."""
        inputs = as_inputs(inputs)
        if "masked_positions" not in inputs:
            raise ValueError(
                "ELECTRA is pre-trained on masked_positions, which keras_lm.data.masked_lm gives. "
                f"Received: {', '.join(inputs)}"
            )
        token_ids, positions = inputs["token_ids"], inputs["masked_positions"]
        logits_BPV = self.generator(inputs, training=training)
        seed = self.seed_generator.next() if training else tf.constant(_EVALUATION_SEED)
        drawn_BP = draw_tokens(logits_BPV, row_keys(seed, token_ids, _real(inputs)))
        seen = {name: value for name, value in inputs.items() if name != "masked_positions"}
        seen["token_ids"] = replaced(token_ids, positions, drawn_BP)
        return {
            "masked_lm": logits_BPV,
            "drawn": drawn_BP,
            "replaced_token": self.discriminator(seen, training=training),
        }

    def head_metrics(self, head: str) -> list[Any]:
        """Adds to the accuracies precision and recall of finding what was replaced."""
        metrics = super().head_metrics(head)
        if head == "replaced_token":
            # Of logits: above 0 is above one half.
            metrics.append(keras.metrics.Precision(thresholds=0.0, name="precision"))
            metrics.append(keras.metrics.Recall(thresholds=0.0, name="recall"))
        return metrics

    def per_head(self, x: Any, y: Any, outputs: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Gives labels, outputs and weights of both heads; `y` and the weights are masked LM's."""
        if isinstance(y, dict):
            raise ValueError(
                "The labels of replaced-token detection are those of a masked LM alone, a tensor. "
                f"Received: a dict with {sorted(y)}"
            )
        inputs = as_inputs(x)
        drawn_BP = tf.cast(y, tf.int32) if outputs is None else outputs["drawn"]
        replaced_BT, counts_BT = detection_labels(
            _real(inputs), inputs["masked_positions"], drawn_BP, y, sample_weight
        )
        if sample_weight is None:
            sample_weight = tf.ones_like(y, tf.float32)
        return (
            {"masked_lm": y, "replaced_token": replaced_BT},
            outputs and {head: outputs[head] for head in self.HEADS},
            {"masked_lm": sample_weight, "replaced_token": counts_BT},
        )


def _real(inputs: dict[str, Tensor]) -> Tensor:
    mask = inputs.get("padding_mask")
    return tf.ones_like(inputs["token_ids"], "bool") if mask is None else tf.cast(mask, "bool")
