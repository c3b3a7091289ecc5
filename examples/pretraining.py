"""What the recipes of pre-training share: steps, figures beside baselines, and what they leave."""

import argparse
import pathlib
import time
from typing import Any

import tensorflow as tf
from held_out import Split, masked_baselines, masked_rows, report

import keras_lm
from keras_lm.training import LanguageModel


def arguments(description: str, steps: int, out: str) -> argparse.Namespace:
    """Reads `--steps` and `--out`."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--steps", type=int, default=steps, help=f"of training; default: {steps}")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(out))
    return parser.parse_args()


def fit(
    model: LanguageModel, data: tf.data.Dataset, steps: int, reports: int = 5, **options: Any
) -> float:
    """Trains for so many steps, with a line for each part of them; returns the seconds it took."""
    start = time.monotonic()
    each = max(1, steps // reports)
    model.fit(data, epochs=steps // each, steps_per_epoch=each, verbose=2, **options)
    return time.monotonic() - start


def masked_lm(
    model: LanguageModel,
    text: Split,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    mask_rate: float = 0.15,
) -> None:
    """Trains a masked LM and prints its accuracy on held-out masks beside what counting reaches."""
    tokenizer, length = model.tokenizer, model.max_length
    model.compile(learning_rate=learning_rate)
    data = keras_lm.data.masked_lm(
        texts=text.train,
        tokenizer=tokenizer,
        sequence_length=length,
        batch_size=batch_size,
        mask_rate=mask_rate,
    )
    fit(model, data, steps, validation_data=masked_rows(text.dev[:300], tokenizer, length))

    rows = masked_rows(text.held_out, tokenizer, length)
    accuracy = model.evaluate(rows, verbose=0, return_dict=True)["accuracy"]
    print(f"\nOn {len(text.held_out):,} texts that were held out:")
    report(
        "accuracy on masked tokens, higher is better",
        {type(model).__name__: accuracy, **masked_baselines(text.train, tokenizer, rows)},
    )


def leave(model: LanguageModel, out: pathlib.Path, start: float) -> None:
    """Saves a checkpoint, exports, and prints where, and the time since `start`."""
    keras_lm.save(model, out / "checkpoint")
    export = keras_lm.export(model, out)
    print(f"{out / 'checkpoint'} {export}. Time: {time.monotonic() - start:.0f} s")
