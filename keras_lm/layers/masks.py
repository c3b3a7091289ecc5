"""Which key a query may see. Every mask is bool, True where attention is allowed.

B batch, T queries, S keys.
"""

from typing import Any

import tensorflow as tf

Tensor = Any

# Added to a score that is masked: large enough to vanish in a float32 softmax, small enough that
# a row with nothing to see stays finite.
MASKED = -1e9


def padding_mask(real_BS: Tensor) -> Tensor:
    """Hides padding from every query.

    Args:
        real_BS: bool or number, `(B, S)`; true where a key is no padding.

    Returns:
        `(B, 1, S)`, bool.
    """
    return tf.cast(real_BS, "bool")[:, None, :]


def places_mask(
    query_places: Tensor, key_places: Tensor, *, causal: bool, window: int | None
) -> Tensor:
    """Tells which keys a query may see, from where both stand.

    Args:
        query_places: int32 `(B, T)`.
        key_places: int32 `(B, S)`; below 0 there is no key. Either may have one row for all.
        causal: hides the keys behind the query.
        window: hides the keys `window` places away or more (Child et al. 2019, arXiv:1904.10509).
            None: none.

    Returns:
        `(B, T, S)`, bool.
    """
    seen = (key_places >= 0)[:, None]
    distance = query_places[:, :, None] - key_places[:, None]
    if causal:
        seen = seen & (distance >= 0)
    if window is not None:
        seen = seen & ((distance if causal else tf.abs(distance)) < window)
    return seen


def all_of(*masks: Tensor | None) -> Tensor | None:
    """Combines masks.

    Args:
        *masks: bool or number, `(B, S)`, `(B, T, S)` or `(B, H, T, S)`, dimensions of 1 repeated;
            or None.

    Returns:
        bool of four dimensions; None where there is no mask.

    Raises:
        ValueError: a mask of another rank.
    """
    found = None
    for mask in masks:
        if mask is None:
            continue
        mask = as_rank_4(mask)
        found = mask if found is None else found & mask
    return found


def as_rank_4(mask: Tensor) -> Tensor:
    """Lines the dimensions of a mask up with scores `(B, H, T, S)`.

    Raises:
        ValueError: its rank is not 2, 3 or 4.
    """
    rank = len(mask.shape)
    if rank not in (2, 3, 4):
        raise ValueError(
            "attention_mask must have the shape (B, S), (B, T, S) or (B, H, T, S). "
            f"Received: shape {tuple(mask.shape)}"
        )
    mask = tf.cast(mask, "bool")
    return mask[:, None, None] if rank == 2 else mask[:, None] if rank == 3 else mask


def at_places(mask: Tensor, places: Tensor) -> Tensor:
    """Picks the keys of a mask that stand at these places.

    Args:
        mask: of any rank that `as_rank_4` takes, over all places.
        places: int32 `(B, N)`; where below 0, what is picked does not count.

    Returns:
        bool, four dimensions, the last of N.
    """
    mask = as_rank_4(mask)
    mask &= tf.ones([tf.shape(places)[0], 1, 1, 1], "bool")
    # A last dimension of 1 is repeated.
    places = tf.clip_by_value(places, 0, tf.shape(mask)[3] - 1)
    return tf.gather(mask, places, axis=3, batch_dims=1)


def document_mask(document_ids: Tensor) -> Tensor:
    """Keeps attention within the documents of a packed row.

    Args:
        document_ids: int `(B, T)`; equal where two tokens are of one document.

    Returns:
        `(B, T, T)`, bool.
    """
    return document_ids[:, :, None] == document_ids[:, None, :]


def document_positions(document_ids: Tensor) -> Tensor:
    """Numbers the tokens of each document of a packed row from 0.

    Args:
        document_ids: int `(B, T)`; equal where two tokens are of one document.

    Returns:
        int32 `(B, T)`.
    """
    # Sorted, equal ids stand together and in their order: a token's place there less the first one.
    # A mask of T x T would say the same.
    order_BT = tf.argsort(document_ids, stable=True)
    place_BT = tf.argsort(order_BT)
    first_BT = tf.searchsorted(tf.gather(document_ids, order_BT, batch_dims=1), document_ids)
    return place_BT - first_BT
