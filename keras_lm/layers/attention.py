"""Multi-head attention with one product for queries, keys and values, and a cache for decoding.

B batch, T queries, S keys, H heads, K width of a head, D width of the output.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.building import build_once
from keras_lm.layers.dense import Dense
from keras_lm.layers.initializers import Initializer, fresh
from keras_lm.layers.masks import banded_mask, causal_mask
from keras_lm.layers.rows import flat_rows, shape_of

Tensor = Any

# Added to a score that is masked: large enough to vanish in a float32 softmax, small enough that
# a row with nothing to see stays finite.
MASKED = -1e9


class KVCache(NamedTuple):
    """Keys and values of the positions that were read so far, allocated for all that will come.

    Attributes:
        keys: float `(B, H, S, K)`.
        values: float `(B, H, S, K)`.
        position: int32 `(B,)`, how many positions of each row are filled. What stands behind them
            is never seen, so a row shorter than the others needs no mask.
    """

    keys: Tensor
    values: Tensor
    position: Tensor


@keras.saving.register_keras_serializable("keras_lm")
class MultiHeadAttention(RecordsArguments, keras.layers.Layer):
    """Attends from `query` to `value`, with an optional key/value cache for decoding.

    The numbers of `keras.layers.MultiHeadAttention` with the same weights.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.

    Args:
        num_heads: H.
        d_model: D, width of the output.
        d_kv: width of the projections over all heads, H x K. None: `d_model`.
        dropout_rate: rate applied to the attention weights while training.
        causal: a query sees the keys up to its own position only.
        window: a query sees keys less than `window` positions away only (behind it if causal).
        cross_attention: queries and keys come from different sequences, so their projections are
            separate weights; otherwise they are one weight and one product.
        use_bias: whether the projections have biases.
        kernel_initializer: of the projections to queries, keys and values.
        output_initializer: of the output projection. None: `kernel_initializer`.

    Call arguments:
        query: float `(B, T, D)`.
        value: float `(B, S, D)`; None for self-attention, or when `cache` holds what a
            cross-attention attends to.
        key: float `(B, S, D)`; None: `value`.
        attention_mask: bool, True = may attend: `(B, S)`, the same for every query; `(B, T, S)`,
            the same for every head; or `(B, H, T, S)`; dimensions of 1 are repeated. With a cache,
            S is the length of the cache, but that of the query in the call that starts one.
        cache: a `KVCache`, which the query extends from each row's position on; or an int scalar:
            the call starts a cache of that many positions, and the query is its beginning. Rows
            padded on the right get their own length by `cache._replace(position=lengths)`.
        return_attention_scores: also return the attention weights, float `(B, H, T, S)`.
        query_mask: bool `(B, T)`, False where the query is padding, which nothing attends to if the
            query is the value, too. Keras passes this itself, for instance behind an embedding with
            `mask_zero=True`.
        mask: the name by which Keras passes it where the query is the only tensor.
        value_mask: bool `(B, S)`, the same for the value.

    Returns:
        float `(B, T, D)` in the compute dtype; a tuple `(output, scores)`, `(output, cache)` or
        `(output, scores, cache)` where scores are asked for or a cache is passed.

    Raises:
        ValueError: `d_kv` is no multiple of `num_heads`; a rate outside [0, 1); `window` below 1; a
            cross-attention that is also causal or banded; a query or mask of another rank.
    """

    def __init__(
        self,
        num_heads: int,
        d_model: int,
        d_kv: int | None = None,
        dropout_rate: float = 0.1,
        *,
        causal: bool = False,
        window: int | None = None,
        cross_attention: bool = False,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        output_initializer: Initializer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        width = d_model if d_kv is None else d_kv
        if num_heads < 1 or width < 1 or width % num_heads:
            raise ValueError(
                "num_heads must be positive and d_kv (by default d_model) a multiple of it. "
                f"Received: num_heads={num_heads}, d_kv={width}"
            )
        if not 0 <= dropout_rate < 1:
            raise ValueError(f"dropout_rate must be in [0, 1). Received: {dropout_rate}")
        if window is not None and window < 1:
            raise ValueError(f"window must be positive or None. Received: window={window}")
        if cross_attention and (causal or window is not None):
            raise ValueError(
                "A cross-attention has no common positions, so it can't be causal or banded. "
                f"Received: causal={causal}, window={window}"
            )
        self.num_heads, self.d_model, self.width = num_heads, d_model, width
        self.head_dim = width // num_heads
        self.causal, self.window, self.cross_attention = causal, window, cross_attention

        def projection(parts: int, name: str) -> Dense:
            return Dense(
                parts * width,
                use_bias=use_bias,
                parts=parts,
                kernel_initializer=fresh(kernel_initializer),
                name=name,
                dtype=self.dtype_policy,
            )

        if cross_attention:
            self.query = projection(1, "query")
            self.key_value = projection(2, "key_value")
        else:
            self.query_key_value = projection(3, "query_key_value")
        self.output_projection = Dense(
            d_model,
            use_bias=use_bias,
            kernel_initializer=fresh(output_initializer or kernel_initializer),
            name="output",
            dtype=self.dtype_policy,
        )
        self.dropout = keras.layers.Dropout(dropout_rate, dtype=self.dtype_policy)

    def build(
        self,
        query_shape: tuple[int | None, ...],
        value_shape: tuple[int | None, ...] | None = None,
        **shapes: Any,
    ) -> None:
        """Makes the weights for inputs of these widths; other shapes do not matter."""
        if self.cross_attention:
            build_once(self.query, query_shape)
            build_once(self.key_value, query_shape if value_shape is None else value_shape)
        else:
            build_once(self.query_key_value, query_shape)
        build_once(self.output_projection, (None, self.width))
        self.built = True

    def call(
        self,
        query: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        cache: Any = None,
        return_attention_scores: bool = False,
        mask: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        """Attends; see the class."""
        if len(query.shape) != 3:
            raise ValueError(
                f"query must have the shape (B, T, D). Received: shape {tuple(query.shape)}"
            )
        batch, length = shape_of(query)[:2]
        offset: Tensor = 0
        cached = isinstance(cache, KVCache)
        if cached and self.cross_attention:
            query_BHTK = self._heads(self.query.columns(flat_rows(query)), batch)
            key_BHSK, value_BHSK = cache.keys, cache.values
        else:
            query_BHTK, key_BHSK, value_BHSK = self._projections(query, value, key)
            if cached:
                offset = cache.position
                key_BHSK = write(cache.keys, key_BHSK, offset)
                value_BHSK = write(cache.values, value_BHSK, offset)
                cache = KVCache(key_BHSK, value_BHSK, offset + length)
            elif cache is not None:
                cache = start_cache(key_BHSK, value_BHSK, cache)

        score_BHTS = tf.matmul(query_BHTK, key_BHSK, transpose_b=True)
        # A softmax in half precision loses the tail, and MASKED overflows.
        score_BHTS = tf.cast(score_BHTS, "float32")
        seen = self._seen(length, shape_of(key_BHSK)[2], offset, attention_mask)
        own_BT = mask if query_mask is None else query_mask
        real_BS = own_BT if value is None else value_mask
        if real_BS is not None and not (cached or (self.cross_attention and value is None)):
            real_B11S = tf.cast(real_BS, "bool")[:, None, None]
            seen = real_B11S if seen is None else seen & real_B11S
        if seen is not None:
            score_BHTS += tf.where(seen, 0.0, MASKED)
        weight_BHTS = tf.cast(tf.nn.softmax(score_BHTS), value_BHSK.dtype)
        weight_BHTS = self.dropout(weight_BHTS, training=training)
        mixed_BTHK = tf.transpose(tf.matmul(weight_BHTS, value_BHSK), [0, 2, 1, 3])
        output_ND = self.output_projection.columns(tf.reshape(mixed_BTHK, [-1, self.width]))
        output_BTD = tf.reshape(output_ND, [batch, length, self.d_model])

        extras = ([weight_BHTS] if return_attention_scores else []) + (
            [cache] if cache is not None else []
        )
        return (output_BTD, *extras) if extras else output_BTD

    def _projections(self, query: Tensor, value: Tensor, key: Tensor) -> tuple[Tensor, ...]:
        """Gives the scaled queries, the keys and the values, each float `(B, H, length, K)`."""
        value = query if value is None else value
        key = value if key is None else key
        batch, width = shape_of(query)[0], self.width
        if not self.cross_attention and query is key and key is value:
            every_N3D = self.query_key_value.columns(flat_rows(query))
            every = tf.reshape(every_N3D, [batch, -1, 3, self.num_heads, self.head_dim])
            query_BHTK, key_BHSK, value_BHSK = tf.unstack(tf.transpose(every, [2, 0, 3, 1, 4]))
        else:
            # Columns of the one kernel, or the two layers of a cross-attention.
            of_query, of_key, shift = (
                (self.query, self.key_value, 0)
                if self.cross_attention
                else (self.query_key_value, self.query_key_value, width)
            )
            rows_query = of_query.columns(flat_rows(query), 0, width)
            rows_key = of_key.columns(flat_rows(key), shift, shift + width)
            rows_value = of_key.columns(flat_rows(value), shift + width, shift + 2 * width)
            query_BHTK = self._heads(rows_query, batch, scaled=False)
            key_BHSK = self._heads(rows_key, batch, scaled=False)
            value_BHSK = self._heads(rows_value, batch, scaled=False)
        return query_BHTK * self._scale(query_BHTK), key_BHSK, value_BHSK

    def _scale(self, query: Tensor) -> Tensor:
        return tf.cast(self.head_dim**-0.5, query.dtype)

    def _heads(self, rows: Tensor, batch: Tensor, scaled: bool = True) -> Tensor:
        split = tf.reshape(rows, [batch, -1, self.num_heads, self.head_dim])
        heads = tf.transpose(split, [0, 2, 1, 3])
        return heads * self._scale(heads) if scaled else heads

    def _seen(self, length: Tensor, keys: Tensor, offset: Tensor, mask: Tensor) -> Tensor | None:
        """Combines all reasons to hide a key: bool, broadcastable to `(B, H, T, S)`, or None."""
        cached = isinstance(offset, tf.Tensor)
        seen = None
        if self.causal or (cached and not self.cross_attention):
            seen = causal_mask(length, keys, offset, self.window)[:, None]
        elif self.window is not None:
            seen = banded_mask(length, keys, self.window)[:, None]
        if mask is None:
            return seen
        rank = len(mask.shape)
        if rank not in (2, 3, 4):
            raise ValueError(
                "attention_mask must have the shape (B, S), (B, T, S) or (B, H, T, S). "
                f"Received: shape {tuple(mask.shape)}"
            )
        mask = tf.cast(mask, "bool")
        mask = mask[:, None, None] if rank == 2 else mask[:, None] if rank == 3 else mask
        return mask if seen is None else seen & mask


def start_cache(keys: Tensor, values: Tensor, length: Tensor) -> KVCache:
    """Allocates a cache of `length` positions that begins with these.

    Args:
        keys: float `(B, H, T, K)`.
        values: float `(B, H, T, K)`.
        length: S, int scalar, at least T.
    """
    batch, _, filled, _ = shape_of(keys)
    behind = [[0, 0], [0, 0], [0, length - filled], [0, 0]]
    return KVCache(tf.pad(keys, behind), tf.pad(values, behind), tf.fill([batch], filled))


def write(cache: Tensor, new: Tensor, position: Tensor) -> Tensor:
    """Replaces T positions of each row, from that row's own position on.

    TensorFlow updates the buffer in place where nobody else holds it, as in a decode loop.

    Args:
        cache: float `(B, H, S, K)`.
        new: float `(B, H, T, K)`.
        position: int32 `(B,)`; `position + T` may not exceed S.
    """
    batch, heads, size, width = shape_of(cache)
    length = shape_of(new)[2]
    place_BT = position[:, None] + tf.range(length)
    first_BH = tf.reshape(tf.range(batch * heads) * size, [batch, heads])
    index_BHT = first_BH[:, :, None] + place_BT[:, None, :]
    flat = tf.tensor_scatter_nd_update(
        tf.reshape(cache, [-1, width]),
        tf.reshape(index_BHT, [-1, 1]),
        tf.reshape(tf.cast(new, cache.dtype), [-1, width]),
    )
    return tf.reshape(flat, [batch, heads, size, width])
