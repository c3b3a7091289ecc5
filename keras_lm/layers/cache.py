"""Keys and values that were made before: how a cache starts, and how it is extended.

A banded layer's cache is a ring: position p stands in slot p mod S, where S is the window and what
is spare, or less where the whole sequence is shorter. Any other cache has a slot for every
position; that is a ring that never comes round.

B batch, H heads, T new positions, S slots, K width of a head.
"""

from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from keras_lm.layers.masks import places_mask
from keras_lm.layers.rows import shape_of

Tensor = Any


class Places(NamedTuple):
    """Where T new positions of each row are written, and what they see.

    The same for all caches of one size, so that a stack of layers needs to find it out only once.

    Attributes:
        slots: int32 `(B x H x T,)`, counted through all slots of all heads of all rows; of more
            positions than a head has slots only those that remain.
        positions: int32 `(B or 1, N)`, of the keys there are to see; negative where there is none.
        seen: bool `(B, T, N)`, which of them each new position sees.
    """

    slots: Tensor
    positions: Tensor
    seen: Tensor


class KVCache(NamedTuple):
    """Keys and values of the positions that were read so far, allocated for all that will come.

    Attributes:
        keys: float `(B, H, S, K)`.
        values: float `(B, H, S, K)`.
        position: int32 `(B,)`, how many positions of each row were read. What stands behind them is
            never seen, so a row shorter than the others needs no mask.
        places: `Places` of what comes next, where they are known; or `()`: they are found out.
    """

    keys: Tensor
    values: Tensor
    position: Tensor
    places: Any = ()


class _Start(NamedTuple):
    length: Tensor
    lengths: Tensor | None = None
    spare: Tensor = 0
    slots: Tensor | None = None


class StartCache(_Start):
    """Asks a layer to start a cache, with the query as its beginning.

    All become tensors: in what a layer is called with, Keras does not let numbers and tensors
    stand together.

    Attributes:
        length: int scalar, how many positions will be read in all, at least those of the query. A
            banded layer allocates no more of them than its window and `spare`.
        lengths: int32 `(B,)`, how many positions of each row are real where rows are padded on the
            right; the row goes on behind them. None: all.
        spare: int scalar, how many of the newest positions may be taken back, by lowering
            `position`: they are hidden, and what is read next is written over them. A banded layer
            keeps so many more, so that its window does not show a hole.
        slots: int scalar, for how many positions a layer without a window allocates slots at first,
            at least those of the query; see `with_more_slots`. None: `length`.
    """

    __slots__ = ()

    def __new__(
        cls,
        length: Tensor,
        lengths: Tensor | None = None,
        spare: Tensor = 0,
        slots: Tensor | None = None,
    ) -> "StartCache":
        """Makes tensors of them."""

        def number(x: Tensor | None) -> Tensor | None:
            return None if x is None else tf.cast(x, "int32")

        return super().__new__(cls, number(length), number(lengths), number(spare), number(slots))


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
    length = start.length if window is not None or start.slots is None else start.slots
    known, spare = (tf.get_static_value(x) for x in (length, start.spare))
    size = length if known is None else int(known)
    if window is not None:
        most = window + (start.spare if spare is None else int(spare))
        size = min(size, most) if _known(size, most) else tf.minimum(size, most)
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


def with_more_slots(cache: Tensor, count: Tensor) -> Tensor:
    """Gives a cache that is no ring more slots, which hold 0.

    Args:
        cache: float `(B, H, S, K)`, keys or values.
        count: int32 scalar; 0 copies nothing.

    Returns:
        float `(B, H, S + count, K)`; its shape does not say how many.
    """
    more = tf.pad(cache, [[0, 0], [0, 0], [0, count], [0, 0]])
    more.set_shape([*cache.shape[:2], None, *cache.shape[3:]])
    return more


def joined_rows(
    x: Tensor,
    rows: Tensor,
    other: Tensor,
    other_rows: Tensor,
    *,
    axis: int = 1,
    size: Tensor | None = None,
    fill: Any = 0,
) -> Tensor:
    """Puts rows of two tensors together that differ in one more dimension.

    Args:
        x: of some rank, the rows first.
        rows: int32 `(X,)`, which of its rows.
        other: of the same rank and dtype.
        other_rows: int32 `(Y,)`, which of its rows.
        axis: where they may differ.
        size: int scalar, what that dimension becomes: what is behind it is cut, what is missing is
            filled. None: as large as the larger one.
        fill: with what.

    Returns:
        X + Y rows; the shape does not say the size.
    """
    if size is None:
        size = tf.maximum(tf.shape(x)[axis], tf.shape(other)[axis])

    def fitted(values: Tensor, which: Tensor) -> Tensor:
        values = tf.gather(values, which)
        shape = tf.shape(values)
        kept = tf.minimum(shape[axis], size)
        sizes = tf.concat([shape[:axis], [kept], shape[axis + 1 :]], 0)
        values = tf.slice(values, tf.zeros_like(sizes), sizes)
        behind = [[0, size - kept if i == axis else 0] for i in range(len(values.shape))]
        return tf.pad(values, behind, constant_values=fill)

    joined = tf.concat([fitted(x, rows), fitted(other, other_rows)], 0)
    joined.set_shape([None, *x.shape[1:axis], None, *x.shape[axis + 1 :]])
    return joined


def next_places(keys: Tensor, position: Tensor, length: int | Tensor, window: int | None) -> Places:
    """Finds out where positions go that come next.

    Args:
        keys: float `(B, H, S, K)`, of the cache.
        position: int32 `(B,)`, how many positions of each row were read.
        length: T, int or int scalar, how many come.
        window: None: the cache has a slot for every position.
    """
    _, heads, size, _ = shape_of(keys)
    place_BT = position[:, None] + tf.range(length)
    if window is None:
        slot_BT, of_key = place_BT, tf.range(size)[None]
    else:
        # Of more positions than there are slots the last remain.
        first = max(length - size, 0) if _known(length, size) else tf.maximum(length - size, 0)
        slot_BT = place_BT[:, first:] % size
        if _known(length) and length == 1:
            of_key = slot_positions(position, size)
        else:
            # The last new positions take the slots of old ones that the first ones still see.
            of_key = tf.concat([slot_positions(position - 1, size), place_BT], 1)
    seen_BTN = places_mask(place_BT, of_key, causal=True, window=window)
    return Places(_through_all(slot_BT, heads, size), of_key, seen_BTN)


def extend_cache(
    cache: KVCache, keys: Tensor, values: Tensor, window: int | None
) -> tuple[Tensor, Tensor, Places, KVCache]:
    """Reads T more positions of each row.

    Args:
        cache: whose `position + T` may not exceed its slots, unless it is a ring.
        keys: float `(B, H, T, K)`, of the new positions.
        values: float `(B, H, T, K)`.
        window: None: the cache has a slot for every position.

    Returns:
        Keys and values to attend to, each float `(B, H, N, K)`; where they are, and which of them
        each new position sees; the extended cache.
    """
    length, size = shape_of(keys)[2], shape_of(cache.keys)[2]
    places = cache.places or next_places(cache.keys, cache.position, length, window)
    first = 0
    if window is not None:
        first = max(length - size, 0) if _known(length, size) else tf.maximum(length - size, 0)
    new = KVCache(
        _write(cache.keys, keys[:, :, first:], places.slots),
        _write(cache.values, values[:, :, first:], places.slots),
        cache.position + length,
    )
    if window is None or (_known(length) and length == 1):
        return new.keys, new.values, places, new
    return (
        tf.concat([cache.keys, tf.cast(keys, cache.keys.dtype)], 2),
        tf.concat([cache.values, tf.cast(values, cache.values.dtype)], 2),
        places,
        new,
    )


def blank(cache: Tensor, position: Tensor, counts: Tensor) -> Tensor:
    """Writes 0 into the newest slots of each row.

    Hidden slots weigh 0, but 0 times an infinity is none: where positions are taken back and are
    not known to be finite, lowering `position` is not enough.

    Args:
        cache: float `(B, H, S, K)`, keys or values.
        position: int32 `(B,)`, how many positions of each row were read.
        counts: int32 `(B,)`, how many of them go, at most S.

    Returns:
        float `(B, H, S, K)`.
    """
    back_T = tf.range(tf.reduce_max(counts))
    slot_BT = (position[:, None] - 1 - back_T) % shape_of(cache)[2]
    stays_BT = back_T >= counts[:, None]
    old = tf.gather(cache, slot_BT, axis=2, batch_dims=1)
    new = tf.where(stays_BT[:, None, :, None], old, tf.zeros([], cache.dtype))
    return _write(cache, new, _through_all(slot_BT, *shape_of(cache)[1:3]))


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


def _through_all(slot_BT: Tensor, heads: Tensor, size: Tensor) -> Tensor:
    """Counts each row's slots, int32 `(B, T)`, through all heads: int32 `(B x H x T,)`."""
    head_BH1 = tf.reshape(tf.range(tf.shape(slot_BT)[0] * heads) * size, [-1, heads, 1])
    return tf.reshape(head_BH1 + slot_BT[:, None, :], [-1])


def _write(cache: Tensor, new: Tensor, index_N: Tensor) -> Tensor:
    """Replaces slots of a cache, float `(B, H, S, K)`.

    In place where nobody else holds the buffer, as in a decode loop.

    Args:
        cache: float `(B, H, S, K)`.
        new: float `(B, H, T, K)`.
        index_N: int32 `(B x H x T,)`, different slots, see `Places`.
    """
    width = cache.shape[-1]
    new_NK = tf.reshape(tf.cast(new, cache.dtype), [-1, width])
    flat = tf.reshape(cache, [-1, width])
    if GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        flat = tf.tensor_scatter_nd_update(flat, index_N[:, None], new_NK)
    else:
        # On a CPU that operation copies the whole cache at every step. This one does not, and XLA
        # has none of it: the difference is added. Bits differ exactly where floats may not. Not
        # before the new is there: until then the step before may read the buffer, which then is
        # copied.
        bits_NX, new_NX = _bits(flat), _bits(new_NK)
        with tf.control_dependencies([new_NX]):
            change_NX = new_NX - tf.gather(bits_NX, index_N)
        bits_NX = tf.raw_ops.ScatterNdNonAliasingAdd(
            input=bits_NX, indices=index_N[:, None], updates=change_NX
        )
        flat = tf.bitcast(bits_NX, flat.dtype)
    written = tf.reshape(flat, tf.shape(cache))
    written.set_shape(cache.shape)
    return written


def _bits(rows: Tensor) -> Tensor:
    """Reads rows of floats, `(N, K)`, as integers: of 64 bits if K allows, else of as many."""
    width, size = rows.shape[-1], rows.dtype.size
    if size < 8 and width % (8 // size) == 0:
        return tf.bitcast(tf.reshape(rows, [-1, width * size // 8, 8 // size]), tf.int64)
    return tf.bitcast(rows, {2: tf.int16, 4: tf.int32, 8: tf.int64}[size])
