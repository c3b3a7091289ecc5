"""Opens golden/*.npz, and fills models with the weights in them."""

import pathlib
import re

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / "golden"
LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}


class Golden:
    def __init__(self, name):
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            self.arrays = dict(arrays)

    def part(self, kind):
        return {k.removeprefix(kind): v for k, v in self.arrays.items() if k.startswith(kind)}

    def assign(self, model, names, transposed):
        """Fills every weight of the model.

        names: a path, or a layer's path with "/" behind it -> the name there. What lies side by
        side here has several: a list of them, or "{part}" for queries, keys and values.
        transposed: kernels lie (out, in) in the file.
        """
        weights = self.part("weight/")
        for variable in model.weights:
            path = variable.path.split("/", 1)[1]
            block = re.search(r"block_(\d+)", path)
            path = re.sub(r"block_\d+", "block_{i}", path)
            layer, _, leaf = path.rpartition("/")
            theirs = names[path] if path in names else names[f"{layer}/"]
            if "{part}" in theirs:
                parts = "qkv" if "{part}_lin" in theirs else ("query", "key", "value")
                theirs = [theirs.replace("{part}", part) for part in parts]
            theirs = [theirs] if isinstance(theirs, str) else theirs
            ending = "" if path in names else LEAVES[leaf]
            number = block[1] if block else ""
            tensors = [weights[name.replace("{i}", number) + ending] for name in theirs]
            if leaf == "kernel" and transposed:
                tensors = [tensor.T for tensor in tensors]
            variable.assign(np.concatenate(tensors, -1))
