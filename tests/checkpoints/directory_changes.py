"""Spoils and compares the directories of tests."""

import json

import numpy as np
import safetensors.numpy


def change_config(directory, **fields):
    path = directory / "config.json"
    values = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({k: v for k, v in values.items() if v != "GONE"}))


def change_tensors(directory, change):
    path = directory / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    change(tensors)
    safetensors.numpy.save_file(tensors, path, {"format": "pt"})


def same_weights(one, other):
    return all(
        np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    )
