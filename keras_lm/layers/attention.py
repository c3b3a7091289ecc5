"""Multi-head attention with one product for queries, keys and values, and a cache for decoding.

B batch, T queries, S keys, H heads, K width of a head, D width of the output.
"""

import functools
from typing import Any

import keras
import tensorflow as tf

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.banded import banded_attention, keys_of_block
from keras_lm.layers.building import build_once
from keras_lm.layers.cache import KVCache, StartCache, extend_cache, start_cache
from keras_lm.layers.dense import Dense
from keras_lm.layers.dropout import Dropout
from keras_lm.layers.initializers import Initializer, fresh
from keras_lm.layers.masks import MASKED, all_of, at_places, document_mask, places_mask
from keras_lm.layers.products import one_by_each, softmax_of_one
from keras_lm.layers.rows import as_before, flat_rows, shape_of

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class MultiHeadAttention(RecordsArguments, keras.layers.Layer):
    """Attends from `query` to `value`, with an optional key/value cache for decoding.

    The numbers of `keras.layers.MultiHeadAttention` with the same weights.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.

    A banded layer (`window`) works in blocks: memory and time grow with T x window, not with T x S.
    It computes the full matrix where blocks would be no smaller, where scores are asked for, where
    a mask says more than which keys are real, and where `value` is another sequence.

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
            S is the length that it was started with, but that of the query in the call that starts
            one.
        document_ids: int `(B, T)`: a query sees the keys of its own document only. In a
            self-attention, and not behind a `KVCache`, which does not hold them.
        cache: a `KVCache`, which the query extends from each row's position on; or a `StartCache`:
            the call starts one, and the query is its beginning. An int scalar is its `length`. That
            of a banded layer holds the window alone; T positions that extend it at once see each
            its own window, and cost T x (T + window).
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
            cross-attention that is also causal or banded; a query or mask of another rank;
            `document_ids` where they can't be.
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
        self.causal, self.cross_attention = causal, cross_attention
        self.window: Any = window

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
        self.dropout: Any = Dropout(dropout_rate, dtype=self.dtype_policy)

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
        document_ids: Tensor | None = None,
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
        length = shape_of(query)[1]
        cached = isinstance(cache, KVCache)
        alone = (value is None or value is query) and (key is None or key is query)
        if document_ids is not None and (cached or self.cross_attention or not alone):
            raise ValueError(
                "document_ids are for a self-attention without a KVCache. Received: document_ids, "
                f"cross_attention={self.cross_attention}, cache={type(cache).__name__}"
            )
        own_BT = mask if query_mask is None else query_mask
        real_BS = own_BT if value is None else value_mask
        if cached or (self.cross_attention and value is None):
            real_BS = None
        near: Tensor | None = None
        if cached and self.cross_attention:
            one = _is_one(query)
            rows_query = self.query.columns(flat_rows(query), few=one)
            query_BHTK = self._heads(rows_query, query, one=one)
            key_BHSK, value_BHSK = cache.keys, cache.values
        else:
            query_BHTK, key_BHSK, value_BHSK = self._projections(query, value, key)
            if cached:
                key_BHSK, value_BHSK, places, cache = extend_cache(
                    cache, key_BHSK, value_BHSK, self.window
                )
                near = places.seen
                if attention_mask is not None and self.window is not None:
                    attention_mask = at_places(attention_mask, places.positions)
            elif cache is not None:
                start = cache if isinstance(cache, StartCache) else StartCache(cache)
                cache = start_cache(key_BHSK, value_BHSK, start, self.window)

        allowed = all_of(attention_mask, real_BS)
        parts = query_BHTK, key_BHSK, value_BHSK
        weight_BHTS: Any = None
        if alone and not (cached or return_attention_scores) and self._blocks_do(length, allowed):
            real = None if allowed is None else allowed[:, 0, 0] & tf.ones([1, length], "bool")
            mixed_BHTK = banded_attention(
                *parts,
                self.window,
                causal=self.causal,
                real=real,
                document_ids=document_ids,
                dropout=functools.partial(self.dropout, training=training),
            )
        else:
            if not cached and (self.causal or self.window is not None):
                place_1T, place_1S = (tf.range(shape_of(x)[2])[None] for x in parts[:2])
                near = places_mask(place_1T, place_1S, causal=self.causal, window=self.window)
            within = None if document_ids is None else document_mask(document_ids)
            seen = all_of(allowed, near, within)
            weight_BHTS = self._weights(query_BHTK, key_BHSK, seen, training)
            mix = one_by_each if _is_one(query) else tf.matmul
            mixed_BHTK = mix(weight_BHTS, value_BHSK)
        one = _is_one(query)
        mixed_BTHK = mixed_BHTK if one else tf.transpose(mixed_BHTK, [0, 2, 1, 3])
        mixed_ND = tf.reshape(mixed_BTHK, [-1, self.width])
        output_BTD = as_before(self.output_projection.columns(mixed_ND, few=one), query)

        extras = ([weight_BHTS] if return_attention_scores else []) + (
            [cache] if cache is not None else []
        )
        return (output_BTD, *extras) if extras else output_BTD

    def _projections(self, query: Tensor, value: Tensor, key: Tensor) -> tuple[Tensor, ...]:
        """Gives the scaled queries, the keys and the values, each float `(B, H, length, K)`."""
        value = query if value is None else value
        key = value if key is None else key
        width = self.width
        if not self.cross_attention and query is key and key is value:
            one = _is_one(query)
            every_N3D = self.query_key_value.columns(flat_rows(query), few=one)
            if one:
                every = tf.reshape(every_N3D, [-1, 3, self.num_heads, 1, self.head_dim])
                query_BHTK, key_BHSK, value_BHSK = tf.unstack(every, axis=1)
            else:
                # Not -1 for the length: of an empty batch TensorFlow reads it as 1.
                sizes = [*shape_of(query)[:2], 3, self.num_heads, self.head_dim]
                every = tf.reshape(every_N3D, sizes)
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
            query_BHTK = self._heads(rows_query, query, scaled=False)
            key_BHSK = self._heads(rows_key, key, scaled=False)
            value_BHSK = self._heads(rows_value, value, scaled=False)
        return query_BHTK * self._scale(query_BHTK), key_BHSK, value_BHSK

    def _scale(self, query: Tensor) -> Tensor:
        return tf.cast(self.head_dim**-0.5, query.dtype)

    def _heads(self, rows: Tensor, of: Tensor, scaled: bool = True, one: bool = False) -> Tensor:
        """Gives float `(B, H, length, K)` of the rows of `of`, float `(B, length, D)`."""
        if one:
            heads = tf.reshape(rows, [-1, self.num_heads, 1, self.head_dim])
        else:
            split = tf.reshape(rows, [*shape_of(of)[:2], self.num_heads, self.head_dim])
            heads = tf.transpose(split, [0, 2, 1, 3])
        return heads * self._scale(heads) if scaled else heads

    def _weights(
        self, query_BHTK: Tensor, key_BHSK: Tensor, seen: Tensor | None, training: bool | None
    ) -> Tensor:
        """Gives the attention weights, float `(B, H, T, S)`."""
        one = query_BHTK.shape[2] == 1
        score_BHTS = (one_by_each if one else tf.matmul)(query_BHTK, key_BHSK, transpose_b=True)
        # A softmax in half precision loses the tail, and MASKED overflows.
        score_BHTS = tf.cast(score_BHTS, "float32")
        if seen is not None:
            # Not added: of a mask that is known when the graph is made TensorFlow's CPU runtime
            # would fuse product and sum, into a kernel that is a hundred times slower.
            score_BHTS -= tf.where(seen, 0.0, -MASKED)
        softmax = softmax_of_one if one else tf.nn.softmax
        weight_BHTS = tf.cast(softmax(score_BHTS), key_BHSK.dtype)
        return self.dropout(weight_BHTS, training=training)

    def _blocks_do(self, length: Tensor, allowed: Tensor | None) -> bool:
        """Tells whether blocks can take the place of the full matrix, and are smaller."""
        if self.window is None or not (allowed is None or tuple(allowed.shape[1:3]) == (1, 1)):
            return False
        known = isinstance(length, int)
        return not known or length > keys_of_block(self.window, self.causal)


def _is_one(x: Tensor) -> bool:
    """Whether `(B, T, D)` is one position of each row: few rows, and a transpose moves nothing."""
    return x.shape[1] == 1
