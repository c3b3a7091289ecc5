"""What lies beside a SavedModel for who runs it: the sheet, the card, requests for warming up."""

import contextlib
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_lm.serving.questions import TEXTS, answer, inputs_of, is_for_an_engine, question
from keras_lm.serving.sheet import signature_entry, write_sheet
from keras_lm.serving.warmup import write_warmup

DIRECTORY = "assets.extra"
_WORD = "word"


def write_extra_files(
    version: pathlib.Path,
    name: str,
    model: Any,
    functions: Mapping[str, Any],
    options: Mapping[str, Any],
    about: str | None,
    batch_sizes: Sequence[int],
) -> None:
    """Writes `assets.extra/` of a version, and asks each signature its example.

    The graphs are run as they were traced: optimized, as a server runs them, they may round the
    last digits of numbers otherwise.

    Args:
        version: the directory of the SavedModel.
        name: the name that it is served under.
        model: the model, with its tokenizer.
        functions: a `tf.function` with a signature for each name.
        options: what the export was asked for, as JSON has it.
        about: what its authors say of the model.
        batch_sizes: of the requests for warming up, each with short texts and with long ones.
    """
    directory = version / DIRECTORY
    directory.mkdir()
    tokenizer = model.tokenizer
    mask = getattr(tokenizer, "mask_id", None)
    is_masked = "masked_lm" in model.heads and mask is not None
    begin = f"{tokenizer.decode([mask], skip_special_tokens=False).strip()} " if is_masked else ""
    short: Any = f"{begin}This is an example."
    long: Any = begin + " ".join([_WORD] * model.max_length)

    def encode(*texts: str) -> list[int]:
        return tokenizer.encode(*texts)[: model.max_length]

    features = set(inputs_of(functions["serving_default"].get_concrete_function()))
    if len(features & TEXTS) > 1:  # Rows of ids hold two texts, too.
        first = "What is this?" if "question" in features else short
        short, long = (first, short), (first, long)
    entries, warming = {}, []
    for key, function in sorted(functions.items()):
        concrete = function.get_concrete_function()
        inputs = inputs_of(concrete)
        example = None
        if not is_for_an_engine(concrete):
            asked = question(inputs, [short], encode)
            with unoptimized():
                example = asked, answer(concrete, asked)
            for size, text in itertools.product(batch_sizes, (short, long)):
                warming.append((key, question(inputs, [text] * size, encode)))
        entries[key] = signature_entry(key, concrete, example, features)
    write_sheet(directory, name, model, options, entries, about)
    write_warmup(directory, name, warming)


@contextlib.contextmanager
def unoptimized() -> Iterator[None]:
    """Runs graphs as they were traced: to optimize one takes longer than the one time it is run."""
    name = "disable_meta_optimizer"
    before = tf.config.optimizer.get_experimental_options().get(name, False)
    tf.config.optimizer.set_experimental_options({name: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: before})
