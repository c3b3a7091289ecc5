"""Trains a WordPiece vocabulary on the host, with the trainer of the `tokenizers` library."""

import collections
from collections.abc import Iterable, Iterator

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from keras_lm.tokenizers.text_files import Source, corpus
from keras_lm.tokenizers.wordpiece import SPECIAL_TOKENS, WordPiece

_PREFIX = "##"
# Of how many characters a vocabulary is made at least; a large one has room for more.
_LEAST_ALPHABET = 1_000


def train_wordpiece(
    files: Source | None = None,
    vocab_size: int = 30_522,
    *,
    texts: Iterable[str] | None = None,
    lowercase: bool = True,
    end_token: str | None = None,
    min_frequency: int = 2,
) -> WordPiece:
    """Learns word pieces from text.

    The same text gives the same vocabulary, whatever the order of its lines. (The library's trainer
    alone does not: it numbers the characters inside words in the order of a hash table.)

    Args:
        files: UTF-8 files: a path or a glob, or several; `.gz` too.
        vocab_size: how many tokens to learn, the five special ones included. A small text may give
            fewer.
        texts: strings, in the place of files.
        lowercase: whether text is lowered.
        end_token: "[SEP]" for a tokenizer that causal models take, too; see `WordPiece`.
        min_frequency: how often a pair of pieces must occur to be joined.

    Raises:
        FileNotFoundError: a file that does not exist, or a glob that nothing matches.
        TypeError: both or neither of `files` and `texts`.
        ValueError: no word in the text, a file that is not UTF-8, or a `vocab_size` with no room
            for the characters of the text. The most frequent ones count: 1,000, or as many as half
            of the vocabulary (every Chinese character is a word of its own).
    """
    lines = corpus(files, texts)
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    chunks: collections.Counter[str] = collections.Counter()
    for line in lines:
        chunks.update(line.split(" "))  # ASCII's space alone surely ends a word

    alphabet: collections.Counter[str] = collections.Counter()
    inside: set[str] = set()
    for chunk, count in chunks.items():
        for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(chunk)):
            for character in word:
                alphabet[character] += count
            inside.update(word[1:])
    if not alphabet:
        raise ValueError("A text to train on must have at least one word. Received: none")
    by_count = sorted(alphabet, key=lambda character: (-alphabet[character], character))
    characters = sorted(by_count[: max(_LEAST_ALPHABET, vocab_size // 2)])
    # The trainer adds what it is told are special tokens first and in order.
    first = [
        *SPECIAL_TOKENS,
        *characters,
        *(_PREFIX + character for character in characters if character in inside),
    ]
    if vocab_size < len(first):
        raise ValueError(
            f"vocab_size must be at least {len(first)} for the special tokens and the characters "
            f"of this text. Received: vocab_size={vocab_size}"
        )
    engine = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    engine.normalizer, engine.pre_tokenizer = normalizer, pre_tokenizer
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        show_progress=False,
        special_tokens=first,
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        continuing_subword_prefix=_PREFIX,
    )
    engine.train_from_iterator(_repeat(chunks), trainer)
    vocabulary = engine.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    return WordPiece(tokens, lowercase, end_token=end_token)


def _repeat(chunks: collections.Counter[str]) -> Iterator[str]:
    """Each chunk as often as it occurred, in lines of bounded length."""
    for chunk in sorted(chunks):
        count = chunks[chunk]
        step = 1 + 100_000 // (len(chunk) + 1)
        for begin in range(0, count, step):
            yield " ".join([chunk] * min(step, count - begin))
