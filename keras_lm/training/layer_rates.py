"""Learning rates that fall from the top of a model to its bottom.

Source: Howard and Ruder 2018, arXiv:1801.06146, section 3.2; Clark et al. 2020, arXiv:2003.10555,
appendix B. Knows layers by the names of this package's models alone.
"""

import re
from collections.abc import Sequence

_BLOCK = re.compile(r"(.*?)\bblock_(\d+)/")
_BOTTOM = ("embedding", "tokens", "projection")


def layer_rates(paths: Sequence[str], layer_decay: float) -> list[float]:
    """Returns the factor of the learning rate of each weight.

    decay^(L + 1 - i) for block i = 1 .. L of a stack of L; decay^(L + 1) for embeddings and what
    projects them, with the L of the highest stack; 1 for everything else: norms behind the blocks,
    poolers, heads.

    Args:
        paths: of the weights, `"bert/encoder/block_0/attention/output/kernel"`.
        layer_decay: above 0, at most 1.

    Raises:
        ValueError: there is no block among them.
    """
    blocks = [_BLOCK.match(path) for path in paths]
    heights: dict[str, int] = {}
    for block in blocks:
        if block is not None:
            stack, height = block.group(1), int(block.group(2)) + 1
            heights[stack] = max(height, heights.get(stack, 0))
    if not heights:
        raise ValueError(
            "layer_decay is for models of blocks, whose weights' paths contain block_0/, block_1/, "
            f"... Received: {len(paths)} weights, {', '.join(paths[:3])}, ..."
        )
    rates = []
    for path, block in zip(paths, blocks, strict=True):
        steps = 0
        if block is not None:
            steps = heights[block.group(1)] - int(block.group(2))
        elif set(_BOTTOM) & set(path.split("/")):
            steps = max(heights.values()) + 1
        rates.append(layer_decay**steps)
    return rates
