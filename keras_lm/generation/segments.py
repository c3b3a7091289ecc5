"""A decode loop whose cache grows by segments.

A step attends to all slots of its cache, written or not. One allocated for the longest text that is
asked for would cost that much at each step, however short the text becomes. So room is made for
`SEGMENT` positions at a time. What was read is copied then: once in so many steps, and less than it
would cost to attend to what has not been written.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensor = Any
MakeRoom = Callable[[Any, Tensor], Any]

# Positions that room is made for at once.
SEGMENT = 64


def turns(
    goes_on: Callable[[Any, Any], Tensor],
    turn: Callable[[Any, Any], tuple[Any, Any]],
    state: Any,
    cache: Any,
    *,
    left: Callable[[Any], Tensor],
    make_room: MakeRoom | None,
) -> tuple[Any, Any]:
    """Does `turn` while `goes_on`.

    Args:
        goes_on: takes state and cache; returns bool scalar.
        turn: takes both and returns both, in the same shapes; the cache reads one more position.
        state: to begin with.
        cache: to begin with.
        left: takes the state; returns int32 scalar, how many turns there will be at most.
        make_room: takes the cache and an int32 scalar; returns a cache in which so many more
            positions can be read, of a shape that does not say how many. None: there is room.

    Returns:
        State and cache.
    """
    if make_room is None:
        return tf.while_loop(goes_on, turn, (state, cache), parallel_iterations=1)

    def with_room(state: Any, cache: Any) -> tuple[Tensor, Any, Any]:
        ahead = tf.where(goes_on(state, cache), tf.minimum(left(state), SEGMENT), 0)
        return ahead, state, make_room(cache, ahead)

    def segment(ahead: Tensor, state: Any, cache: Any) -> tuple[Tensor, Any, Any]:
        _, state, cache = tf.while_loop(
            lambda done, state, cache: (done < ahead) & goes_on(state, cache),
            lambda done, state, cache: (done + 1, *turn(state, cache)),
            (tf.constant(0), state, cache),
            parallel_iterations=1,
        )
        return with_room(state, cache)

    _, state, cache = tf.while_loop(
        lambda ahead, *_: ahead > 0, segment, with_room(state, cache), parallel_iterations=1
    )
    return state, cache
