"""A recipe that trains in a second, and what a file of it looks like."""

import json
import pathlib

CONFIGS = pathlib.Path(__file__).parents[3] / "examples" / "configs"

TINY = {
    "model": {
        "class": "GPT",
        "hidden_size": 8,
        "num_layers": 1,
        "num_attention_heads": 2,
        "num_hidden_units": 16,
        "max_length": 16,
    },
    "tokenizer": {"vocab_size": 300},
    "data": {"sequence_length": 8, "batch_size": 4},
    "optimizer": {"learning_rate": 0.01},
    "training": {"steps": 6, "steps_per_epoch": 3},
    "strategy": "one_device",
}


def write(directory, files, **sections):
    """Writes the tiny recipe, with other values in some sections; returns its path."""
    recipe = json.loads(json.dumps(TINY))
    recipe["directory"] = str(directory / "run")
    recipe["data"]["files"] = str(files)
    for name, values in sections.items():
        recipe[name] = {**recipe.get(name, {}), **values} if isinstance(values, dict) else values
    path = directory / "recipe.yaml"
    path.write_text(json.dumps(recipe))  # which is YAML, too
    return path
