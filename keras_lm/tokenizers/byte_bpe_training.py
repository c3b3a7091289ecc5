"""Trains a byte-level BPE vocabulary on the host, with the trainer of the `tokenizers` library."""

import itertools
import json
from collections.abc import Iterable

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from keras_lm.tokenizers.byte_bpe import ByteBPE
from keras_lm.tokenizers.text_files import Source, corpus

_END_TOKEN = "<|endoftext|>"


def train_byte_bpe(
    files: Source | None = None,
    vocab_size: int = 50_257,
    *,
    texts: Iterable[str] | None = None,
    min_frequency: int = 2,
) -> ByteBPE:
    """Learns merges of bytes from text (Radford et al. 2019, section 2.2).

    The same text gives the same vocabulary. The token that ends texts has the last id.

    Args:
        files: UTF-8 files: a path or a glob, or several; `.gz` too.
        vocab_size: how many tokens to learn, the 256 bytes and the end token included. A small text
            may give fewer.
        texts: strings, in the place of files.
        min_frequency: how often a pair must occur to be merged.

    Raises:
        FileNotFoundError: a file that does not exist, or a glob that nothing matches.
        TypeError: both or neither of `files` and `texts`.
        ValueError: an empty text, a file that is not UTF-8, or a `vocab_size` below 257.
    """
    lines = corpus(files, texts)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size < len(alphabet) + 1:
        raise ValueError(
            f"vocab_size must be at least {len(alphabet) + 1}, for the bytes and the end token. "
            f"Received: vocab_size={vocab_size}"
        )
    first = next(filter(None, lines), None)
    if first is None:
        raise ValueError("A text to train on must not be empty. Received: no character")
    engine = tokenizers.Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=min_frequency,
        show_progress=False,
        initial_alphabet=alphabet,
    )
    engine.train_from_iterator(itertools.chain([first], lines), trainer)
    model = json.loads(engine.to_str())["model"]
    vocabulary = {**model["vocab"], _END_TOKEN: len(model["vocab"])}
    return ByteBPE(vocabulary, model["merges"], end_token=_END_TOKEN)
