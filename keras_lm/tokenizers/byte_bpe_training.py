"""Trains a byte-level BPE vocabulary on the host, with the trainer of the `tokenizers` library."""

import itertools
import json
from collections.abc import Iterable

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from keras_lm.tokenizers.byte_bpe import GPT2_TOKENS, ROBERTA_TOKENS, ByteBPE
from keras_lm.tokenizers.text_files import Source, corpus

# By kind: the special tokens by role, and how many of them stand before all other tokens.
_KINDS = {"gpt2": (GPT2_TOKENS, 0), "roberta": (ROBERTA_TOKENS, 4)}


def train_byte_bpe(
    files: Source | None = None,
    vocab_size: int = 50_257,
    *,
    texts: Iterable[str] | None = None,
    kind: str = "gpt2",
    add_prefix_space: bool = False,
    min_frequency: int = 2,
) -> ByteBPE:
    """Learns merges of bytes from text (Radford et al. 2019, section 2.2).

    The same text gives the same vocabulary.

    Args:
        files: UTF-8 files: a path or a glob, or several; `.gz` too.
        vocab_size: how many tokens to learn, the 256 bytes and the special tokens included. A small
            text may give fewer.
        texts: strings, in the place of files.
        kind: whose special tokens it has. "gpt2": the token that ends texts, with the last id.
            "roberta", for RoBERTa and BART: `<s>`, `<pad>`, `</s>` and `<unk>` with the ids 0 to 3,
            and `<mask>` with the last.
        add_prefix_space: see `ByteBPE`.
        min_frequency: how often a pair must occur to be merged.

    Raises:
        FileNotFoundError: a file that does not exist, or a glob that nothing matches.
        TypeError: both or neither of `files` and `texts`.
        ValueError: an unknown kind, an empty text, a file that is not UTF-8, or a `vocab_size`
            below 257, or 261 for RoBERTa.
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}. Received: kind={kind!r}")
    lines = corpus(files, texts)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    roles, num_first = _KINDS[kind]
    special = list(dict.fromkeys(roles.values()))
    if vocab_size < len(alphabet) + len(special):
        raise ValueError(
            f"vocab_size must be at least {len(alphabet) + len(special)}, for the bytes and the "
            f"special tokens. Received: vocab_size={vocab_size}"
        )
    first = next(filter(None, lines), None)
    if first is None:
        raise ValueError("A text to train on must not be empty. Received: no character")
    engine = tokenizers.Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(special),
        min_frequency=min_frequency,
        show_progress=False,
        initial_alphabet=alphabet,
    )
    engine.train_from_iterator(itertools.chain([first], lines), trainer)
    model = json.loads(engine.to_str())["model"]
    learned = sorted(model["vocab"], key=model["vocab"].__getitem__)
    tokens = [*special[:num_first], *learned, *special[num_first:]]
    vocabulary = {token: id_ for id_, token in enumerate(tokens)}
    return ByteBPE(vocabulary, model["merges"], add_prefix_space=add_prefix_space, **roles)
