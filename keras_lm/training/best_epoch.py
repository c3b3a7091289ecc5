"""Which epoch of a training was the best."""

import math
from collections.abc import Sequence
from typing import Any

_LOWER_IS_BETTER = ("loss", "perplexity", "error")
_HIGHER_IS_BETTER = ("accuracy", "acc", "auc", "f1", "precision", "recall")


def mode_of(monitor: str | None, mode: str | None) -> str | None:
    """Returns whether the least or the greatest value is best: "min" or "max".

    Args:
        monitor: name of the value; None: there is none, nor a mode.
        mode: what was asked for; None: by the monitor's name.

    Raises:
        ValueError: the mode is unknown, or the name does not say it.
    """
    if mode not in (None, "min", "max"):
        raise ValueError(f'mode must be "min", "max" or None. Received: mode={mode!r}')
    if monitor is None or mode is not None:
        return mode
    for words, meant in ((_LOWER_IS_BETTER, "min"), (_HIGHER_IS_BETTER, "max")):
        if any(monitor.endswith(word) for word in words):
            return meant
    raise ValueError(
        f'mode must be "min" or "max" for a monitor whose name does not say it. '
        f"Received: monitor={monitor!r}, mode=None"
    )


def best_first(values: Sequence[tuple[int, Any]], mode: str | None) -> list[int]:
    """Returns epochs, the best first; of equal ones the earlier. What is no number is left out.

    Args:
        values: pairs of an epoch and its value.
        mode: "min" or "max".
    """
    sign = 1 if mode == "min" else -1
    return [epoch for _, epoch in sorted((sign * v, e) for e, v in values if not math.isnan(v))]
