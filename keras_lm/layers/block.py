"""One layer of a Transformer: attention, an optional cross-attention, and a feed-forward network.

B batch, T length, S length of the memory, D hidden size.
"""

import functools
from typing import Any

import keras

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.attention import MultiHeadAttention
from keras_lm.layers.building import build_once
from keras_lm.layers.dense import Dense
from keras_lm.layers.dropout import Dropout
from keras_lm.layers.initializers import Initializer, fresh
from keras_lm.layers.recompute import recomputed

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class TransformerBlock(RecordsArguments, keras.layers.Layer):
    """Sublayers with residual connections, normalized after each sum or before each sublayer.

    Post-norm, `norm(x + sublayer(x))`: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; BERT.
    Pre-norm, `x + sublayer(norm(x))`: GPT-2 (Radford et al. 2019, section 2.3); Xiong et al. 2020,
    arXiv:2002.04745. Dropout is applied to each sublayer's output before the sum and to the
    attention weights (Vaswani et al., section 5.4; BERT's and GPT-2's released code).

    Args:
        num_heads: of the attention.
        d_model: D, width of input and output.
        num_hidden_units: width of the feed-forward layer.
        dropout_rate: applied to each sublayer's output.
        d_kv: width of the attention over all heads. None: `d_model`.
        norm: `"post"` or `"pre"`.
        causal: a position sees itself and what is before it only.
        window: see `MultiHeadAttention`.
        cross_attention: adds an attention to `memory` between the two sublayers.
        activation: of the feed-forward layer: `"gelu"` is exact, `"gelu_tanh"` approximate.
        attention_dropout_rate: applied to the attention weights. None: `dropout_rate`.
        layer_norm_epsilon: of the norms.
        kernel_initializer: of every kernel.
        output_initializer: of the kernels whose output is added to the residual (GPT-2 scales them
            down by the depth). None: `kernel_initializer`.

    Attributes:
        recompute: whether a training keeps the inputs alone and computes the rest again for the
            gradient, see `recomputed`; False until it is set.

    Call arguments:
        inputs: float `(B, T, D)`.
        memory: float `(B, S, D)`, for the cross-attention.
        attention_mask: bool, for the self-attention, see `MultiHeadAttention`.
        document_ids: int `(B, T)`, for the self-attention, see there.
        memory_mask: bool, for the cross-attention, see `attention_mask` there.
        cache: see `MultiHeadAttention`; with a cross-attention, a pair: for the self-attention and
            for the cross-attention.
        return_attention_scores: also return the self-attention's weights, float `(B, H, T, T)`.
        return_cross_attention_scores: also return those of the cross-attention, float
            `(B, H, T, S)`, behind them.
        inputs_mask: bool `(B, T)`, False where an input is padding, which nothing attends to. Keras
            passes this itself, for instance behind an embedding with `mask_zero=True`.
        mask: the name by which Keras passes it where the input is the only tensor.

    Returns:
        float `(B, T, D)`; a tuple where scores are asked for or a cache is passed, in the order of
        `MultiHeadAttention`.

    Raises:
        ValueError: an unknown `norm`; a rate outside [0, 1); `num_hidden_units` not positive; a
            memory without a cross-attention, or the other way round.
    """

    def __init__(
        self,
        num_heads: int,
        d_model: int,
        num_hidden_units: int,
        dropout_rate: float = 0.1,
        *,
        d_kv: int | None = None,
        norm: str = "post",
        causal: bool = False,
        window: int | None = None,
        cross_attention: bool = False,
        activation: str = "gelu",
        attention_dropout_rate: float | None = None,
        layer_norm_epsilon: float = 1e-5,
        kernel_initializer: Initializer = "glorot_uniform",
        output_initializer: Initializer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.recompute = False
        if norm not in ("post", "pre"):
            raise ValueError(f"norm must be 'post' or 'pre'. Received: {norm!r}")
        self.pre_norm, self.d_model, self.num_hidden_units = (
            norm == "pre",
            d_model,
            num_hidden_units,
        )
        output_initializer = output_initializer or kernel_initializer

        def attention(name: str, **options: Any) -> MultiHeadAttention:
            return MultiHeadAttention(
                num_heads,
                d_model,
                d_kv,
                dropout_rate if attention_dropout_rate is None else attention_dropout_rate,
                kernel_initializer=kernel_initializer,
                output_initializer=output_initializer,
                name=name,
                dtype=self.dtype_policy,
                **options,
            )

        def normalization(name: str) -> keras.layers.Layer:
            return keras.layers.LayerNormalization(
                epsilon=layer_norm_epsilon, name=name, dtype=self.dtype_policy
            )

        self.attention = attention("attention", causal=causal, window=window)
        self.attention_norm = normalization("attention_norm")
        self.cross_attention: Any = None
        if cross_attention:
            self.cross_attention = attention("cross_attention", cross_attention=True)
            self.cross_attention_norm = normalization("cross_attention_norm")
        self.feed_forward_in = Dense(
            num_hidden_units,
            activation,
            kernel_initializer=fresh(kernel_initializer),
            name="feed_forward_in",
            dtype=self.dtype_policy,
        )
        self.feed_forward_out = Dense(
            d_model,
            kernel_initializer=fresh(output_initializer),
            name="feed_forward_out",
            dtype=self.dtype_policy,
        )
        self.feed_forward_norm = normalization("feed_forward_norm")
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy)

    def build(
        self,
        inputs_shape: tuple[int | None, ...],
        memory_shape: tuple[int | None, ...] | None = None,
        **shapes: Any,
    ) -> None:
        """Makes the weights for these widths; other shapes do not matter."""
        hidden_shape = (None, None, self.d_model)
        build_once(self.attention, hidden_shape)
        build_once(self.attention_norm, hidden_shape)
        if self.cross_attention is not None:
            build_once(self.cross_attention, hidden_shape, memory_shape or hidden_shape)
            build_once(self.cross_attention_norm, hidden_shape)
        build_once(self.feed_forward_in, hidden_shape)
        build_once(self.feed_forward_out, (None, self.num_hidden_units))
        build_once(self.feed_forward_norm, hidden_shape)
        self.built = True

    def call(
        self,
        inputs: Tensor,
        memory: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        memory_mask: Tensor | None = None,
        cache: Any = None,
        return_attention_scores: bool = False,
        return_cross_attention_scores: bool = False,
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        """Transforms; see the class."""
        if self.cross_attention is None and memory is not None:
            raise ValueError(
                "A block takes a memory if it was constructed with cross_attention=True. "
                "Received: a memory, cross_attention=False"
            )
        if self.cross_attention is None and return_cross_attention_scores:
            raise ValueError(
                "A block has scores of a cross-attention if it was constructed with "
                "cross_attention=True. "
                "Received: return_cross_attention_scores=True, cross_attention=False"
            )
        if self.cross_attention is not None and memory is None and cache is None:
            raise ValueError(
                "A block with a cross-attention needs a memory, or a cache of one. "
                "Received: memory=None, cache=None"
            )
        asked = {
            "attention_mask": attention_mask,
            "document_ids": document_ids,
            "memory_mask": memory_mask,
            "cache": cache,
            "return_attention_scores": return_attention_scores,
            "return_cross_attention_scores": return_cross_attention_scores,
            "inputs_mask": mask if inputs_mask is None else inputs_mask,
            "training": training,
        }
        wants_scores = return_attention_scores or return_cross_attention_scores
        if not (self.recompute and training) or cache is not None or wants_scores:
            return self._transform(inputs, memory, **asked)
        tensors = (inputs,) if memory is None else (inputs, memory)
        return recomputed(functools.partial(self._transform, **asked), *tensors)

    def _transform(
        self,
        inputs: Tensor,
        memory: Tensor | None = None,
        *,
        attention_mask: Tensor | None,
        document_ids: Tensor | None,
        memory_mask: Tensor | None,
        cache: Any,
        return_attention_scores: bool,
        return_cross_attention_scores: bool,
        inputs_mask: Tensor | None,
        training: bool | None,
    ) -> Any:
        extras: list[Any] = []
        caches: list[Any] = []
        own, of_memory = cache if cache is not None and self.cross_attention else (cache, None)

        def attend(x: Tensor) -> Tensor:
            found = self.attention(
                x,
                attention_mask=attention_mask,
                document_ids=document_ids,
                cache=own,
                return_attention_scores=return_attention_scores,
                query_mask=inputs_mask,
                training=training,
            )
            found = found if isinstance(found, tuple) else (found,)
            extras.extend(found[1:2] if return_attention_scores else [])
            caches.extend(found[-1:] if own is not None else [])
            return found[0]

        def attend_to_memory(x: Tensor) -> Tensor:
            found = self.cross_attention(
                x,
                memory,
                attention_mask=memory_mask,
                cache=of_memory,
                return_attention_scores=return_cross_attention_scores,
                training=training,
            )
            found = found if isinstance(found, tuple) else (found,)
            extras.extend(found[1:2] if return_cross_attention_scores else [])
            caches.extend(found[-1:] if of_memory is not None else [])
            return found[0]

        def feed_forward(x: Tensor) -> Tensor:
            return self.feed_forward_out(self.feed_forward_in(x))

        x_BTD = self._residual(inputs, attend, self.attention_norm, training)
        if self.cross_attention is not None:
            x_BTD = self._residual(x_BTD, attend_to_memory, self.cross_attention_norm, training)
        x_BTD = self._residual(x_BTD, feed_forward, self.feed_forward_norm, training)
        if caches:
            extras.append(tuple(caches) if self.cross_attention is not None else caches[0])
        return (x_BTD, *extras) if extras else x_BTD

    def _residual(self, x: Tensor, sublayer: Any, norm: Any, training: bool | None) -> Tensor:
        if self.pre_norm:
            return x + self.dropout(sublayer(norm(x)), training=training)
        return norm(x + self.dropout(sublayer(x), training=training))
