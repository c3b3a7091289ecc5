"""A bidirectional Transformer: ids to hidden states.

B batch, T length, D hidden size.
"""

from typing import Any

import keras

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.block import TransformerBlock
from keras_lm.layers.building import build_once
from keras_lm.layers.dense import Dense
from keras_lm.layers.initializers import Initializer, fresh
from keras_lm.layers.inputs import as_inputs
from keras_lm.layers.masks import document_mask, document_positions, padding_mask
from keras_lm.layers.text_embedding import TextEmbedding

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class TransformerEncoder(RecordsArguments, keras.layers.Layer):
    """Embeddings, then blocks in which every token sees every other one.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; Devlin et al. 2019,
    arXiv:1810.04805, section 3.

    Args:
        embedding: a `TextEmbedding`; where it is not D wide, its output is projected.
        hidden_size: D.
        num_layers: number of blocks.
        num_attention_heads: heads of each attention; D must be a multiple of it.
        num_hidden_units: width of the feed-forward layers.
        dropout_rate: of each sublayer.
        attention_dropout_rate: of the attention weights. None: `dropout_rate`.
        norm: `"post"` or `"pre"`, see `TransformerBlock`; behind pre-norm blocks one more norm.
        activation: of the feed-forward layers.
        layer_norm_epsilon: of the norms.
        kernel_initializer: of every kernel.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`;
            `segment_ids`: int `(B, T)`, where the embedding has segments; left out: 0;
            `padding_mask`: bool `(B, T)`, True where a token is no padding; left out: True;
            `document_ids`: int `(B, T)`, equal within a document of a packed row: attention stays
            within documents and positions restart;
            `token_embeddings`: float `(B, T, E)`, in place of the rows of the token table.
        return_hidden_states: also return the embeddings and each block's output, a list of
            `num_layers + 1` floats `(B, T, D)`.
        return_attention_scores: also return each block's attention weights, a list of `num_layers`
            floats `(B, H, T, T)`.

    Returns:
        float `(B, T, D)`; a tuple of it and what was asked for, in that order.

    Raises:
        ValueError: sizes that do not fit each other.
    """

    def __init__(
        self,
        embedding: TextEmbedding,
        hidden_size: int,
        num_layers: int,
        num_attention_heads: int,
        num_hidden_units: int,
        dropout_rate: float = 0.1,
        *,
        attention_dropout_rate: float | None = None,
        norm: str = "post",
        activation: str = "gelu",
        layer_norm_epsilon: float = 1e-12,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_layers < 0:
            raise ValueError(f"num_layers must not be negative. Received: num_layers={num_layers}")
        self.hidden_size, self.embedding = hidden_size, embedding
        own = {"dtype": self.dtype_policy}
        self.projection: Any = None
        if embedding.size != hidden_size:
            self.projection = Dense(
                hidden_size, kernel_initializer=fresh(kernel_initializer), name="projection", **own
            )
        self.blocks = [
            TransformerBlock(
                num_attention_heads,
                hidden_size,
                num_hidden_units,
                dropout_rate,
                norm=norm,
                activation=activation,
                attention_dropout_rate=attention_dropout_rate,
                layer_norm_epsilon=layer_norm_epsilon,
                kernel_initializer=kernel_initializer,
                name=f"block_{i}",
                **own,
            )
            for i in range(num_layers)
        ]
        self.norm: Any = None
        if norm == "pre":
            self.norm = keras.layers.LayerNormalization(
                epsilon=layer_norm_epsilon, name="norm", **own
            )

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        build_once(self.embedding)
        if self.projection is not None:
            build_once(self.projection, (None, None, self.embedding.size))
        for layer in (*self.blocks, self.norm):
            if layer is not None:
                build_once(layer, (None, None, self.hidden_size))
        self.built = True

    def call(
        self,
        inputs: Any,
        return_hidden_states: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Encodes; see the class."""
        inputs = as_inputs(inputs)
        document_ids = inputs.get("document_ids")
        mask = padding_mask(inputs["padding_mask"]) if "padding_mask" in inputs else None
        positions = None
        if document_ids is not None:
            positions = document_positions(document_ids)
            within = document_mask(document_ids)
            mask = within if mask is None else within & mask
        x_BTD = self.embedding(
            inputs["token_ids"],
            segment_ids=inputs.get("segment_ids"),
            positions=positions,
            token_embeddings=inputs.get("token_embeddings"),
            training=training,
        )
        if self.projection is not None:
            x_BTD = self.projection(x_BTD)
        states, scores = [x_BTD], []
        for block in self.blocks:
            x_BTD = block(
                x_BTD,
                attention_mask=mask,
                return_attention_scores=return_attention_scores,
                training=training,
            )
            if return_attention_scores:
                x_BTD, score_BHTT = x_BTD
                scores.append(score_BHTT)
            states.append(x_BTD)
        if self.norm is not None:
            x_BTD = self.norm(x_BTD)
        asked = [states] if return_hidden_states else []
        asked += [scores] if return_attention_scores else []
        return (x_BTD, *asked) if asked else x_BTD
