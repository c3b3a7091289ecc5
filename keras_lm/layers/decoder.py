"""A causal Transformer, alone or behind an encoder: ids to hidden states, with a cache.

B batch, T length, S positions of the cache, M length of the memory, D hidden size, H heads, K width
of a head.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.attention import KVCache
from keras_lm.layers.block import TransformerBlock
from keras_lm.layers.building import build_once
from keras_lm.layers.cache import Places, blank, joined_rows, next_places, with_more_slots
from keras_lm.layers.initializers import Initializer
from keras_lm.layers.inputs import as_inputs
from keras_lm.layers.masks import document_positions, padding_mask
from keras_lm.layers.rows import shape_of
from keras_lm.layers.text_embedding import TextEmbedding

Tensor = Any


class DecoderCache(NamedTuple):
    """What the decoder has read so far.

    Attributes:
        blocks: for each block its keys and values, each float `(B, H, S, K)`, where a banded block
            has no more than its window; behind an encoder also those of the memory, each float `(B,
            H, M, K)`, which are made once.
        position: int32 `(B,)`, how many positions of each row were read.
        memory_mask: bool `(B, M)`, True where the memory is no padding; behind an encoder only.
    """

    blocks: tuple[tuple[Tensor, ...], ...]
    position: Tensor
    memory_mask: Any = ()

    def of_beams(self, rows: Tensor) -> "DecoderCache":
        """Gives each row what another one holds that has read as much, of the same memory.

        Args:
            rows: int32 `(B,)`, which one.
        """
        blocks = tuple(
            (tf.gather(keys, rows), tf.gather(values, rows), *of_memory)
            for keys, values, *of_memory in self.blocks
        )
        return self._replace(blocks=blocks)

    def taken_back(self, counts: Tensor, finite: Tensor) -> "DecoderCache":
        """Forgets the newest positions of each row, see `StartCache.spare`.

        Args:
            counts: int32 `(B,)`, how many.
            finite: bool scalar, whether what was read there is known to be finite.
        """

        def blanked() -> tuple[tuple[Tensor, ...], ...]:
            return tuple(
                (blank(keys, self.position, counts), blank(values, self.position, counts), *others)
                for keys, values, *others in self.blocks
            )

        blocks = tf.cond(finite, lambda: self.blocks, blanked)
        return self._replace(blocks=blocks, position=self.position - counts)


@keras.saving.register_keras_serializable("keras_lm")
class TransformerDecoder(RecordsArguments, keras.layers.Layer):
    """Embeddings, then blocks in which a token sees itself and what is before it.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; pre-norm without an encoder: GPT-2
    (Radford et al. 2019, section 2.3).

    Args:
        embedding: a `TextEmbedding` of width D.
        num_layers: number of blocks.
        num_attention_heads: heads of each attention; D must be a multiple of it, unless `head_dim`
            is given.
        num_hidden_units: width of the feed-forward layers.
        dropout_rate: of each sublayer.
        attention_dropout_rate: of the attention weights. None: `dropout_rate`.
        norm: `"post"` or `"pre"`, see `TransformerBlock`; behind pre-norm blocks one more norm.
        head_dim: K, width of a head. None: D divided by the number of heads.
        window: the self-attention of blocks 1, 3, 5... sees so many tokens only, the newest among
            them, and caches no more; blocks 0, 2, 4... see all. None: all blocks do.
        cross_attention: whether each block also attends to a memory.
        activation: of the feed-forward layers.
        layer_norm_epsilon: of the norms.
        kernel_initializer: of every kernel.
        output_initializer: of the kernels whose output is added to the residual. None:
            `kernel_initializer`.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`;
            `padding_mask`: bool `(B, T)`, True where a token is no padding; padding on the right
            needs none, since nothing sees it;
            `document_ids`: int `(B, T)`, equal within a document of a packed row: attention stays
            within documents and positions restart;
            `token_embeddings`: float `(B, T, D)`, in place of the rows of the token table.
        memory: float `(B, M, D)`, an encoder's output, with `cross_attention`. None with a
            `DecoderCache`, which holds what was made of it.
        memory_mask: bool `(B, M)`, True where the memory is no padding. None: everywhere.
        cache: a `DecoderCache`, which the inputs extend from each row's position on; or a
            `StartCache` or an int scalar, see `MultiHeadAttention`: the inputs are its beginning.
        return_hidden_states: also return the embeddings and each block's output, a list of
            `num_layers + 1` floats `(B, T, D)`, before the last norm.
        return_attention_scores: also return the weights of each block's self-attention, a list of
            `num_layers` floats `(B, H, T, T)`. A banded block then computes its full matrix, whose
            weights outside of the band are 0.
        return_cross_attention_scores: also return the weights with which each block attends to the
            memory, a list of `num_layers` floats `(B, H, T, M)`.

    Returns:
        float `(B, T, D)`; a tuple of it, the hidden states, the attention weights, those of the
        cross-attention and the cache, as asked for.

    Raises:
        ValueError: sizes that do not fit each other; a memory without a cross-attention, or the
            other way round.
    """

    def __init__(
        self,
        embedding: TextEmbedding,
        num_layers: int,
        num_attention_heads: int,
        num_hidden_units: int,
        dropout_rate: float = 0.1,
        *,
        attention_dropout_rate: float | None = None,
        norm: str = "pre",
        head_dim: int | None = None,
        window: int | None = None,
        cross_attention: bool = False,
        activation: str = "gelu_tanh",
        layer_norm_epsilon: float = 1e-5,
        kernel_initializer: Initializer = "glorot_uniform",
        output_initializer: Initializer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_layers < 1:
            raise ValueError(f"num_layers must be positive. Received: num_layers={num_layers}")
        if window is not None and window < 1:
            raise ValueError(f"window must be positive or None. Received: window={window}")
        self.embedding = embedding
        self.cross_attention = cross_attention
        own = {"dtype": self.dtype_policy}
        self.blocks = [
            TransformerBlock(
                num_attention_heads,
                embedding.size,
                num_hidden_units,
                dropout_rate,
                d_kv=None if head_dim is None else num_attention_heads * head_dim,
                norm=norm,
                causal=True,
                window=window if i % 2 else None,
                cross_attention=cross_attention,
                activation=activation,
                attention_dropout_rate=attention_dropout_rate,
                layer_norm_epsilon=layer_norm_epsilon,
                kernel_initializer=kernel_initializer,
                output_initializer=output_initializer,
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
        for layer in (*self.blocks, self.norm):
            if layer is not None:
                build_once(layer, (None, None, self.embedding.size))
        self.built = True

    def call(
        self,
        inputs: Any,
        memory: Tensor | None = None,
        *,
        memory_mask: Tensor | None = None,
        cache: Any = None,
        return_hidden_states: bool = False,
        return_attention_scores: bool = False,
        return_cross_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Decodes; see the class."""
        inputs = as_inputs(inputs)
        token_ids, document_ids = inputs["token_ids"], inputs.get("document_ids")
        mask = padding_mask(inputs["padding_mask"]) if "padding_mask" in inputs else None
        positions = None if document_ids is None else document_positions(document_ids)
        continues = isinstance(cache, DecoderCache)
        if continues:
            place_BT = cache.position[:, None] + tf.range(tf.shape(token_ids)[1])
            # A row that has ended is carried along by a decode loop, perhaps beyond its table.
            positions = tf.minimum(place_BT, self.embedding.max_length - 1)
            memory_mask = cache.memory_mask if self.cross_attention else None
        elif memory is not None and memory_mask is None and cache is not None:
            memory_mask = tf.ones(tf.shape(memory)[:2], "bool")
        places = self._places(cache, token_ids) if continues else {}
        x_BTD = self.embedding(
            token_ids,
            positions=positions,
            token_embeddings=inputs.get("token_embeddings"),
            training=training,
        )
        states, new_blocks = [x_BTD], []
        scores: list[Any] = []
        cross_scores: list[Any] = []
        for i, block in enumerate(self.blocks):
            x_BTD = block(
                x_BTD,
                memory,
                attention_mask=mask,
                document_ids=document_ids,
                memory_mask=memory_mask,
                cache=self._of_block(cache, i, memory, places),
                return_attention_scores=return_attention_scores,
                return_cross_attention_scores=return_cross_attention_scores,
                training=training,
            )
            x_BTD, *extras = x_BTD if isinstance(x_BTD, tuple) else (x_BTD,)
            if return_attention_scores:
                scores.append(extras.pop(0))
            if return_cross_attention_scores:
                cross_scores.append(extras.pop(0))
            if cache is not None:
                extended = extras[-1]
                parts = extended if self.cross_attention else (extended,)
                position = parts[0].position
                new_blocks.append(tuple(x for part in parts for x in (part.keys, part.values)))
            states.append(x_BTD)
        if self.norm is not None:
            x_BTD = self.norm(x_BTD)
        found = [x_BTD] + ([states] if return_hidden_states else [])
        found += [scores] if return_attention_scores else []
        found += [cross_scores] if return_cross_attention_scores else []
        if cache is not None:
            seen = memory_mask if self.cross_attention else ()
            found.append(DecoderCache(tuple(new_blocks), position, seen))
        return tuple(found) if len(found) > 1 else found[0]

    def make_room(self, cache: DecoderCache, count: Tensor, spare: Tensor = 0) -> DecoderCache:
        """Lets a cache grow where it is too small.

        Args:
            cache: to be extended.
            count: int scalar, how many more positions of each row are to be read.
            spare: int scalar, so many more slots are made where any have to be: a cache that grows
                often is copied less often.

        Returns:
            A cache with slots for them. A banded block needs no more than it was started with.
        """
        # There may be no rows.
        most = tf.reduce_max(tf.concat([cache.position, [0]], 0)) + count
        blocks = []
        for block, (keys, values, *of_memory) in zip(self.blocks, cache.blocks, strict=True):
            if block.attention.window is None:
                lacks = most - tf.shape(keys)[2]
                more = tf.where(lacks > 0, lacks + spare, 0)
                keys, values = with_more_slots(keys, more), with_more_slots(values, more)
            blocks.append((keys, values, *of_memory))
        return cache._replace(blocks=tuple(blocks))

    def join(
        self,
        cache: DecoderCache,
        rows: Tensor,
        other: DecoderCache,
        other_rows: Tensor,
        room: Tensor,
    ) -> DecoderCache:
        """Puts rows of two caches together.

        Args:
            cache: of some rows.
            rows: int32 `(X,)`, which of them.
            other: of other rows, which may have read more or less, of other memories.
            other_rows: int32 `(Y,)`, which of those.
            room: int scalar, for how many more positions of each row there is to be room. There are
                no more slots than that takes.

        Returns:
            A cache of X + Y rows. What stands behind a row's own is never seen.
        """
        position = tf.concat(
            [tf.gather(cache.position, rows), tf.gather(other.position, other_rows)], 0
        )
        most = tf.reduce_max(tf.concat([position, [0]], 0)) + room

        def joined(x: Tensor, y: Tensor, size: Tensor | None, axis: int) -> Tensor:
            return joined_rows(x, rows, y, other_rows, size=size, axis=axis)

        blocks = []
        for block, mine, their in zip(self.blocks, cache.blocks, other.blocks, strict=True):
            # A ring that is shorter than its window has not come round: a longer one holds its
            # positions in the same slots.
            slots = most if block.attention.window is None else None
            own = (joined(x, y, slots, 2) for x, y in zip(mine[:2], their[:2], strict=True))
            of_memory = (joined(x, y, None, 2) for x, y in zip(mine[2:], their[2:], strict=True))
            blocks.append((*own, *of_memory))
        seen: Any = ()
        if self.cross_attention:
            seen = joined(cache.memory_mask, other.memory_mask, None, 1)
        return DecoderCache(tuple(blocks), position, seen)

    def _places(self, cache: DecoderCache, token_ids: Tensor) -> dict[Any, Places]:
        """Where the tokens go, by window: the same for all blocks of one window."""
        found: dict[Any, Places] = {}
        for block, (keys, *_) in zip(self.blocks, cache.blocks, strict=True):
            window = block.attention.window
            if window not in found:
                length = shape_of(token_ids)[1]
                found[window] = next_places(keys, cache.position, length, window)
        return found

    def _of_block(
        self, cache: Any, i: int, memory: Tensor | None, places: dict[Any, Places]
    ) -> Any:
        """Gives the cache that block `i` is called with."""
        if not isinstance(cache, DecoderCache):
            if cache is None or not self.cross_attention:
                return cache
            # Keras takes no mixture of tensors and numbers.
            own = cache if isinstance(cache, tuple) else tf.convert_to_tensor(cache)
            return own, None if memory is None else tf.shape(memory)[1]
        keys, values, *of_memory = cache.blocks[i]
        own = KVCache(keys, values, cache.position, places[self.blocks[i].attention.window])
        if not self.cross_attention:
            return own
        memory_keys, memory_values = of_memory
        return own, KVCache(memory_keys, memory_values, cache.position)
