"""What is kept apart before anything is trained, and what is measured on it.

A tenth of the texts is held out and a twentieth is for watching, by a hash of the text, so that a
text stays in its part when others are added. Those of them that share a run of words with the rest
are left out: they were seen.

N tokens.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from baselines import Bigrams, masked_pairs, next_token_pairs, stream

import keras_lm
from keras_lm.data import split_by_hash

LEAST_OF_A_PART = 2_000  # characters
BATCHES = 500  # at most, of a text that is much larger


class Split(NamedTuple):
    """Texts to train on, to watch the training with, and to measure the result with."""

    train: list[str]
    dev: list[str]
    held_out: list[str]

    def report(self) -> None:
        """Prints how much of each there is."""
        for name, texts in self._asdict().items():
            print(f"{name:>8}: {len(texts):,} texts, {sum(map(len, texts)):,} characters")


def split(texts: list[str], run: int = 8) -> Split:
    """Divides texts; see the module.

    Args:
        texts: each different from the others.
        run: how many words in a row are too many to share with the training.

    Raises:
        ValueError: a part has nearly no text.
    """
    shares = {"train": 0.85, "dev": 0.05, "held_out": 0.10}
    # Each text is different, so it is its own key.
    parts = split_by_hash(texts, shares, shared_words=run, key=lambda text: text).parts
    part = Split(**parts)
    sizes = [sum(map(len, texts)) for texts in part]
    if min(sizes) < LEAST_OF_A_PART:
        raise ValueError(
            f"The text must have paragraphs enough to give {LEAST_OF_A_PART:,} characters to each "
            f"of three parts. Received: {sizes[0]:,}, {sizes[1]:,} and {sizes[2]:,}"
        )
    return part


def masked_rows(
    texts: list[str], tokenizer: Any, sequence_length: int, rounds: int = 1
) -> tf.data.Dataset:
    """Rows to evaluate a masked LM with, each masked `rounds` times; only the mask itself counts.

    A tenth of the chosen positions keep their token and another tenth get a random one: they do not
    count here.
    """
    data = keras_lm.data.masked_lm(
        texts=texts, tokenizer=tokenizer, sequence_length=sequence_length, batch_size=4
    )

    def hidden(inputs, labels, weights):
        token = tf.gather(inputs["token_ids"], inputs["masked_positions"], batch_dims=1)
        return inputs, labels, weights * tf.cast(token == tokenizer.mask_id, tf.float32)

    return data.endless().take(min(rounds * data.steps_per_epoch, BATCHES)).map(hidden).cache()


def causal_rows(texts: list[str], tokenizer: Any, sequence_length: int) -> tf.data.Dataset:
    """Rows to evaluate a causal LM with."""
    data = keras_lm.data.causal_lm(
        texts=texts, tokenizer=tokenizer, sequence_length=sequence_length, batch_size=2
    )
    return data.take(BATCHES).cache()


def masked_baselines(
    train: list[str], tokenizer: Any, held_out: tf.data.Dataset
) -> dict[str, float]:
    """What counting reaches on the masks of `masked_rows`: shares of them that are right."""
    ids = stream(train, tokenizer, tokenizer.sep_id)
    counts = Bigrams(ids, tokenizer.vocab_size, never=tokenizer.special_ids)  # they are no answers
    left, answer = masked_pairs(held_out.as_numpy_iterator())
    says_nothing = (tokenizer.mask_id, tokenizer.cls_id)
    return {
        "most frequent token": np.mean(answer == counts.most_frequent),
        "most frequent behind its left neighbour": np.mean(
            answer == counts.likeliest_after(left, says_nothing)
        ),
    }


def causal_baselines(
    train: list[str], dev: list[str], tokenizer: Any, held_out: tf.data.Dataset
) -> dict[str, float]:
    """What counting reaches on the tokens of `causal_rows`: a perplexity."""
    counts = Bigrams(stream(train, tokenizer, tokenizer.end_id), tokenizer.vocab_size)
    watched = stream(dev, tokenizer, tokenizer.end_id)
    counts.tune(watched[:-1], watched[1:])
    return {
        "interpolated bigrams": counts.perplexity(*next_token_pairs(held_out.as_numpy_iterator()))
    }


def bootstrap_interval(
    figure: Callable[[np.ndarray], float], num_rows: int, draws: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Where a figure of held-out rows lies, with 95 % confidence: percentiles of the bootstrap.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.

    Args:
        figure: of the rows whose numbers it is given, int `(num_rows,)`, some of them repeated.
        num_rows: of all that were held out.
        draws: of so many rows each.
        seed: of the draws: equal ones for two figures make their difference one of pairs.
    """
    random = np.random.default_rng(seed)
    found = [figure(random.integers(num_rows, size=num_rows)) for _ in range(draws)]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def report(title: str, figures: dict[str, float], digits: int = 3) -> None:
    """Prints figures below each other."""
    print(f"  {title}")
    for name, figure in figures.items():
        print(f"    {name:<42}{figure:>8.{digits}f}")
