"""Which of a model's attention weights a picture shows.

L layers, H heads, T tokens, S tokens that are attended to.
"""

from typing import Any


def panels(
    scores_LHTS: Any, layer: int | None = None, head: int | None = None, kind: str = ""
) -> list[tuple[str, Any]]:
    """Gives titles, each with float `(T, S)`.

    Args:
        scores_LHTS: float `(L, H, T, S)`.
        layer: which one; from the end below 0. None: all, one by one.
        head: which one; from the end below 0. None: the mean over all.
        kind: stands before each title.

    Raises:
        ValueError: there is no such layer or head.
    """
    layers, heads = scores_LHTS.shape[:2]
    for name, asked, count in (("layer", layer, layers), ("head", head, heads)):
        if asked is not None and not -count <= asked < count:
            raise ValueError(
                f"{name} must be in 0 .. {count - 1}, or from the end -1 .. {-count}. "
                f"Received: {name}={asked}"
            )
    found = []
    before = f"{kind}, " if kind else ""
    for i in range(layers) if layer is None else [layer % layers]:
        if head is None:
            found.append((f"{before}layer {i}, mean of {heads} heads", scores_LHTS[i].mean(axis=0)))
        else:
            found.append((f"{before}layer {i}, head {head % heads}", scores_LHTS[i, head % heads]))
    return found
