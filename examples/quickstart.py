"""Train a small BERT and a small GPT on real English, export both, and ask the exports.

    make quickstart                                 # or: python examples/quickstart.py
    make quickstart TEXT="a.txt b.txt"              # or: python examples/quickstart.py a.txt b.txt

Data: the language reference of Python that its `help()` shows (`pydoc_data/topics.py`, PSF License
Version 2), 330,000 characters without repeats; or text files in UTF-8, .gz too, whose paragraphs
are divided by blank lines, with 100,000 characters or more.

Measured on 2026-11-28, TensorFlow 2.21, 2 CPU cores: 330 s (on 2026-11-22,
alone: 259 s). On 174 paragraphs that were held out:

    accuracy on masked tokens   BERT 0.294   most frequent token 0.093, behind its neighbour 0.207
    perplexity per token        GPT 122.2    interpolated bigrams 149.7
"""

import argparse
import os
import pathlib
import pydoc_data.topics
import re
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from held_out import (
    Split,
    causal_baselines,
    causal_rows,
    masked_baselines,
    masked_rows,
    report,
    split,
)

import keras_lm
from keras_lm.training import LanguageModel

VOCAB_SIZE = 4_000
SIZES = {
    "hidden_size": 128,
    "num_layers": 2,
    "num_attention_heads": 4,
    "num_hidden_units": 512,
    "initializer_range": 0.06,  # the usual 0.02 is for widths near 768
}
BERT_LENGTH, GPT_LENGTH = 32, 64
LEARNING_RATE = 2e-3
BERT_STEPS, GPT_STEPS = 1_800, 780
REPORTS = 6  # how often a training stops to evaluate; Keras calls that an epoch
LEAST_CHARACTERS = 100_000


def read(files: list[str]) -> list[str]:
    """The different paragraphs of files, or of Python's reference; each on one line."""
    topics = pydoc_data.topics.topics
    texts = ["\n".join(keras_lm.tokenizers.read_lines(file)) for file in files] or [
        topics[name] for name in sorted(topics)
    ]
    found: dict[str, None] = {}  # a set that keeps the order
    for text in texts:
        for block in re.split(r"\n\s*\n", text):
            # A line without a letter is a ruler. A file without blank lines has a text a line.
            lines = [line for line in block.split("\n") if re.search(r"[^\W\d_]", line)]
            for paragraph in lines if len(block) > 5_000 else [" ".join(lines)]:
                found[" ".join(paragraph.split())] = None
    found.pop("", None)
    size = sum(map(len, found))
    if size < LEAST_CHARACTERS:
        raise ValueError(
            f"The text must have at least {LEAST_CHARACTERS:,} characters, repeats not counted: "
            f"less teaches nothing. Received: {size:,} in {', '.join(files)}"
        )
    return list(found)


def train(model: LanguageModel, data: tf.data.Dataset, dev: tf.data.Dataset, steps: int) -> None:
    """Trains for so many steps, however long the text is; every pass has other masks."""
    model.compile(learning_rate=LEARNING_RATE)
    each = max(1, steps // REPORTS)
    model.fit(
        data,
        epochs=steps // each,
        steps_per_epoch=each,
        validation_data=dev,
        verbose=1 if sys.stdout.isatty() else 2,  # Keras's bar, or a line in the place of each
    )


def bert(text: Split, steps: int) -> tuple[keras_lm.BERT, dict[str, float]]:
    """A masked language model; its accuracy on held-out masks, and that of two baselines."""
    tokenizer = keras_lm.tokenizers.train_wordpiece(
        texts=text.train, vocab_size=VOCAB_SIZE, min_frequency=1
    )
    model = keras_lm.BERT(
        tokenizer.vocab_size, **SIZES, dropout_rate=0.0, max_length=BERT_LENGTH, tokenizer=tokenizer
    )
    data = keras_lm.data.masked_lm(
        texts=text.train,
        tokenizer=tokenizer,
        sequence_length=BERT_LENGTH,
        batch_size=32,
        mask_rate=0.2,
    )
    train(model, data, masked_rows(text.dev, tokenizer, BERT_LENGTH), steps)

    rows = masked_rows(text.held_out, tokenizer, BERT_LENGTH, rounds=5)
    accuracy = model.evaluate(rows, verbose=0, return_dict=True)["accuracy"]
    return model, {"BERT": accuracy, **masked_baselines(text.train, tokenizer, rows)}


def gpt(text: Split, steps: int) -> tuple[keras_lm.GPT, dict[str, float]]:
    """A causal language model; its perplexity on held-out text, and that of bigrams."""
    tokenizer = keras_lm.tokenizers.train_byte_bpe(
        texts=text.train, vocab_size=VOCAB_SIZE, min_frequency=1
    )
    model = keras_lm.GPT(
        tokenizer.vocab_size, **SIZES, dropout_rate=0.2, max_length=GPT_LENGTH, tokenizer=tokenizer
    )
    data = keras_lm.data.causal_lm(
        texts=text.train, tokenizer=tokenizer, sequence_length=GPT_LENGTH, batch_size=16
    )
    train(model, data, causal_rows(text.dev, tokenizer, GPT_LENGTH), steps)

    rows = causal_rows(text.held_out, tokenizer, GPT_LENGTH)
    perplexity = model.evaluate(rows, verbose=0, return_dict=True)["perplexity"]
    baselines = causal_baselines(text.train, text.dev, tokenizer, rows)
    return model, {"GPT": perplexity, **baselines}


def questions(text: Split, tokenizer: keras_lm.tokenizers.Tokenizer) -> dict[str, list[str]]:
    """Held-out texts with a word masked; those words; beginnings; a text in two orders."""
    asked: dict[str, list[str]] = {"masked": [], "words": [], "beginnings": [], "orders": []}
    for paragraph in text.held_out:
        words = paragraph.split()[:14]
        known = [i for i in range(2, len(words)) if words[i] in tokenizer.tokens]
        too_long = len(tokenizer.encode(" ".join(words))) > BERT_LENGTH
        if len(words) < 8 or too_long or not known or not paragraph[0].isalpha():
            continue
        place = known[len(known) // 2]
        asked["masked"].append(" ".join([*words[:place], "[MASK]", *words[place + 1 :]]))
        asked["words"].append(words[place])
        asked["beginnings"].append(" ".join(words[:4]))
        asked["orders"] = [" ".join(words), " ".join(reversed(words))]
        if len(asked["words"]) == 3:
            break
    return asked


def ask(bert_export: pathlib.Path, gpt_export: pathlib.Path, asked: dict[str, list[str]]) -> None:
    """Asks both exports in a process of their own, which imports TensorFlow alone."""
    command = [sys.executable, pathlib.Path(__file__).with_name("ask.py")]
    command += ["--fill", bert_export, *asked["masked"]]
    command += ["--complete", gpt_export, *asked["beginnings"]]
    command += ["--score", gpt_export, *asked["orders"]]
    subprocess.run(command, check=True)
    print(f"What was masked: {', '.join(asked['words'])}")


def main() -> None:
    """Reads the command line, and goes from text to answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="UTF-8 text; none: Python's own reference")
    parser.add_argument("--out", default="saved_models", help="where the exports go")
    parser.add_argument("--bert-steps", type=int, default=BERT_STEPS)
    parser.add_argument("--gpt-steps", type=int, default=GPT_STEPS)
    args = parser.parse_args()
    start = time.monotonic()
    try:
        text = split(read(args.files))
    except (OSError, ValueError) as error:
        sys.exit(f"quickstart: {error}")
    keras.utils.set_random_seed(0)
    text.report()

    out = pathlib.Path(args.out)
    print(f"\nBERT learns to fill masks, {args.bert_steps} steps")
    bert_model, accuracy = bert(text, args.bert_steps)
    bert_export = keras_lm.export(bert_model, out / "quickstart_bert")
    print(f"\nGPT learns to continue texts, {args.gpt_steps} steps")
    gpt_model, perplexity = gpt(text, args.gpt_steps)
    gpt_export = keras_lm.export(gpt_model, out / "quickstart_gpt", max_new_tokens=30)

    if (asked := questions(text, bert_model.tokenizer))["words"]:
        print("\nA new process asks the exports.", flush=True)
        ask(bert_export, gpt_export, asked)

    print(f"\nOn {len(text.held_out)} paragraphs that were held out:")
    report("accuracy on masked tokens, higher is better", accuracy)
    report("perplexity per token, lower is better", perplexity, digits=1)
    print(f"Exports: {bert_export} {gpt_export}. Time: {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
