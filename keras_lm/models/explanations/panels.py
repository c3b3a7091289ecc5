"""Which of a model's attention weights a picture shows.

L layers, H heads, T tokens.
"""

from typing import Any


def panels(
    scores_LHTT: Any, layer: int | None = None, head: int | None = None
) -> list[tuple[str, Any]]:
    """Gives titles, each with float `(T, T)`.

    Args:
        scores_LHTT: float `(L, H, T, T)`.
        layer: which one; from the end below 0. None: all, one by one.
        head: which one; from the end below 0. None: the mean over all.

    Raises:
        ValueError: there is no such layer or head.
    """
    layers, heads = scores_LHTT.shape[:2]
    for name, asked, count in (("layer", layer, layers), ("head", head, heads)):
        if asked is not None and not -count <= asked < count:
            raise ValueError(
                f"{name} must be in 0 .. {count - 1}, or from the end -1 .. {-count}. "
                f"Received: {name}={asked}"
            )
    found = []
    for i in range(layers) if layer is None else [layer % layers]:
        if head is None:
            found.append((f"layer {i}, mean of {heads} heads", scores_LHTT[i].mean(axis=0)))
        else:
            found.append((f"layer {i}, head {head % heads}", scores_LHTT[i, head % heads]))
    return found
