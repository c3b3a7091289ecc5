"""Keys and values that were made before: how a cache starts, and how it is extended.

A banded layer's cache is a ring: position p stands in slot p mod S, where S is the window, or less
where the whole sequence is shorter. Any other cache has a slot for every position; that is a ring
that never comes round.

B batch, H heads, T new positions, S slots, K width of a head.
"""

from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from keras_lm.layers.rows import shape_of

Tensor = Any


class KVCache(NamedTuple):
    """Keys and values of the positions that were read so far, allocated for all that will come.

    Attributes:
        keys: float `(B, H, S, K)`.
        values: float `(B, H, S, K)`.
        position: int32 `(B,)`, how many positions of each row were read. What stands behind them is
            never seen, so a row shorter than the others needs no mask.
    """

    keys: Tensor
    values: Tensor
    position: Tensor


class _Start(NamedTuple):
    length: Tensor
    lengths: Tensor | None = None


class StartCache(_Start):
    """Asks a layer to start a cache, with the query as its beginning.

    Both become tensors: in what a layer is called with, Keras does not let numbers and tensors
    stand together.

    Attributes:
        length: int scalar, how many positions will be read in all, at least those of the query. A
            banded layer allocates no more of them than its window.
        lengths: int32 `(B,)`, how many positions of each row are real where rows are padded on the
            right; the row goes on behind them. None: all.
    """

    __slots__ = ()

    def __new__(cls, length: Tensor, lengths: Tensor | None = None) -> "StartCache":
        """Makes tensors of both."""
        length = tf.cast(length, "int32")
        return super().__new__(cls, length, None if lengths is None else tf.cast(lengths, "int32"))


def start_cache(keys: Tensor, values: Tensor, start: StartCache, window: int | None) -> KVCache:
    """Allocates a cache that begins with these.

    Args:
        keys: float `(B, H, T, K)`.
        values: float `(B, H, T, K)`.
        start: how long it will be, and how much of each row is real.
        window: None: a slot for every position.
    """
    batch, _, filled, _ = shape_of(keys)
    position_B = tf.fill([batch], filled) if start.lengths is None else start.lengths
    # A number where it is known, so that the cache's shape is.
    known = tf.get_static_value(start.length)
    size = start.length if known is None else int(known)
    if window is not None:
        size = tf.minimum(size, window) if known is None else min(size, window)
        # The last of each row's real positions.
        place_BS = slot_positions(position_B - 1, size)
        real_BS = place_BS >= 0
        keys, values = (
            tf.gather(x, tf.maximum(place_BS, 0), axis=2, batch_dims=1) for x in (keys, values)
        )
    else:
        real_BS = tf.range(size)[None] < position_B[:, None]
        behind = [[0, 0], [0, 0], [0, size - filled], [0, 0]]
        keys, values = tf.pad(keys, behind), tf.pad(values, behind)
    if window is not None or start.lengths is not None:
        # What is never seen is 0, or an infinity in it would be seen: its weight is 0, its product
        # with that is not.
        zero = tf.zeros([], keys.dtype)
        keys, values = (tf.where(real_BS[:, None, :, None], x, zero) for x in (keys, values))
    return KVCache(keys, values, position_B)


def extend_cache(
    cache: KVCache, keys: Tensor, values: Tensor, window: int | None
) -> tuple[Tensor, Tensor, Tensor, KVCache]:
    """Reads T more positions of each row.

    Args:
        cache: whose `position + T` may not exceed its slots, unless it is a ring.
        keys: float `(B, H, T, K)`, of the new positions.
        values: float `(B, H, T, K)`.
        window: None: the cache has a slot for every position.

    Returns:
        Keys and values to attend to, each float `(B, H, N, K)`; their positions, int32 `(B or 1,
        N)`, negative where there is nothing; the extended cache.
    """
    length, size = shape_of(keys)[2], shape_of(cache.keys)[2]
    place_BT = cache.position[:, None] + tf.range(length)
    position_B = cache.position + length
    if window is None:
        new = KVCache(
            _write(cache.keys, keys, place_BT), _write(cache.values, values, place_BT), position_B
        )
        return new.keys, new.values, tf.range(size)[None], new
    # Of more positions than there are slots the last remain.
    first = max(length - size, 0) if _known(length, size) else tf.maximum(length - size, 0)
    slot_BT = place_BT[:, first:] % size
    new = KVCache(
        _write(cache.keys, keys[:, :, first:], slot_BT),
        _write(cache.values, values[:, :, first:], slot_BT),
        position_B,
    )
    if _known(length) and length == 1:
        return new.keys, new.values, slot_positions(cache.position, size), new
    # The last new positions take the slots of old ones that the first ones still see.
    old_BS = slot_positions(cache.position - 1, size)
    return (
        tf.concat([cache.keys, tf.cast(keys, cache.keys.dtype)], 2),
        tf.concat([cache.values, tf.cast(values, cache.values.dtype)], 2),
        tf.concat([old_BS, place_BT], 1),
        new,
    )


def slot_positions(newest: Tensor, size: Tensor) -> Tensor:
    """Tells which position each slot of a ring holds.

    Args:
        newest: int32 `(B,)`, the last position that was read; -1: none was.
        size: S, int or int scalar.

    Returns:
        int32 `(B, S)`, the largest position that belongs into the slot and is not above `newest`;
        negative where there is none.
    """
    newest_B1 = newest[:, None]
    return newest_B1 - (newest_B1 - tf.range(size)[None]) % size


def _known(*sizes: Tensor) -> bool:
    return all(isinstance(size, int) for size in sizes)


def _write(cache: Tensor, new: Tensor, slot_BT: Tensor) -> Tensor:
    """Replaces T slots of each row, float `(B, H, S, K)`.

    In place where nobody else holds the buffer, as in a decode loop.

    Args:
        cache: float `(B, H, S, K)`.
        new: float `(B, H, T, K)`.
        slot_BT: int32 `(B, T)`, different slots in each row.
    """
    batch, heads, size, width = shape_of(cache)
    first_BH = tf.reshape(tf.range(batch * heads) * size, [batch, heads])
    index_N = tf.reshape(first_BH[:, :, None] + slot_BT[:, None, :], [-1])
    new_NK = tf.reshape(tf.cast(new, cache.dtype), [-1, width])
    flat = tf.reshape(cache, [-1, width])
    if GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        flat = tf.tensor_scatter_nd_update(flat, index_N[:, None], new_NK)
    else:
        # On a CPU that operation copies the whole cache at every step. This one does not, and XLA
        # has none of it: what was there goes to 0, exactly, and the new is added. Not before the
        # new is there: until then the step before may read the buffer, which then is copied.
        with tf.control_dependencies([new_NK]):
            gone_NK = -tf.gather(flat, index_N)
        for change_NK in (gone_NK, new_NK):
            flat = tf.raw_ops.ScatterNdNonAliasingAdd(
                input=flat, indices=index_N[:, None], updates=change_NK
            )
    return tf.reshape(flat, [batch, heads, size, width])
