"""Which operations of TensorFlow the time of a token, a step or a pass goes into."""

import collections
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

# All operations, the cheap ones too: each is recorded, which takes time of its own.
_EVERY_OPERATION = 3


def profile(call: Callable[[], Any], number: int, kinds: int = 20) -> dict[str, Any]:
    """Profiles a call that has been warmed up.

    Args:
        call: what is profiled.
        number: of the tokens of a row, or steps, or passes, in the call.
        kinds: how many kinds of operations are listed.

    Returns:
        Of each of that number: `ms`, while it is profiled; `operations`, for each kind, the dearest
        first, its milliseconds in all threads and how often it ran; `others`, the milliseconds of
        all other kinds. What `ms` is more than all of them is between operations; where it is less,
        several ran at a time. Of generated tokens they hold the prompt's pass too.
    """
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    options = tf.profiler.experimental.ProfilerOptions(
        host_tracer_level=_EVERY_OPERATION, python_tracer_level=0, device_tracer_level=0
    )
    with tempfile.TemporaryDirectory() as directory:
        tf.profiler.experimental.start(directory, options)
        begin = time.perf_counter()
        call()
        seconds = time.perf_counter() - begin
        tf.profiler.experimental.stop()
        (path,) = pathlib.Path(directory).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace()
        space.ParseFromString(path.read_bytes())
    spent: dict[str, float] = collections.Counter()
    ran: dict[str, int] = collections.Counter()
    for plane in space.planes:
        names = {key: data.name for key, data in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                # An operation's events are named "name:Kind", what runs them "Class::Function".
                name, colon, kind = names[event.metadata_id].rpartition(":")
                if colon and kind.lstrip("_").isalnum() and not name.endswith(":"):
                    spent[kind] += 1e-9 * event.duration_ps
                    ran[kind] += 1
    dearest = sorted(spent, key=lambda kind: -spent[kind])
    return {
        "ms": round(1e3 * seconds / number, 3),
        "operations": {
            kind: {
                "ms": round(spent[kind] / number, 4),
                "times": round(ran[kind] / number, 1),
            }
            for kind in dearest[:kinds]
        },
        "others": round(sum(spent[kind] for kind in dearest[kinds:]) / number, 4),
    }
