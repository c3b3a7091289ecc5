"""A text as the tokens that a model reads, each with its place in the text.

Knows no model. On the host, one row at a time: for who explains answers, not for who makes many.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.models.interface import as_text
from keras_lm.models.limits import BYTES_PER_TOKEN
from keras_lm.models.reading import token_texts


class TextToken(NamedTuple):
    """A token of a row.

    Attributes:
        text: what it stands for, `text[start:end]`; of a special token its name.
        token: as the vocabulary has it, `"##ing"`; of byte-level BPE as text, `" the"`.
        start: place of its first character in its text; -1 of a special token that was added.
        end: place behind its last one; -1 likewise. Tokens that are parts of one character have
            its place, all of them.
        part: 0: of the text; 1: of the second one of a pair; -1: it was added.
    """

    text: str
    token: str
    start: int
    end: int
    part: int


class TokenRow(NamedTuple):
    """What a model reads of a text.

    Attributes:
        texts: the text, or both of a pair.
        tokens: a `TextToken` for each token.
        token_ids: int32 `(T,)`.
        segment_ids: int32 `(T,)`; 0 where the tokenizer has no segments.
        cut: whether the text did not fit, and this is its start.
    """

    texts: tuple[str, ...]
    tokens: tuple[TextToken, ...]
    token_ids: np.ndarray
    segment_ids: np.ndarray
    cut: bool


def token_row(
    tokenizer: Any,
    texts: list[str | bytes],
    max_length: int,
    *,
    pack: Callable[..., dict[str, Any]] | None = None,
    parse: bool = True,
) -> TokenRow:
    """Reads a text, or a pair of them, as the graphs of the models read it.

    Args:
        tokenizer: of the model.
        texts: one or two.
        max_length: T at most.
        pack: makes rows, as `tokenizer.pack` does. None: that one.
        parse: see `tokens_of`.

    Raises:
        ValueError: there is no token, or a pair for a tokenizer that cannot tell its texts apart.
    """
    limit = BYTES_PER_TOKEN * max_length
    whole = [as_text(text) for text in texts]
    known = [tokens_of(tokenizer, text, part, limit, parse) for part, text in enumerate(whole)]
    row = row_of(tokenizer, whole, known, max_length, pack)
    kept = sum(token.part >= 0 for token in row.tokens)
    cut = kept < sum(map(len, known)) or any(start_of(text, limit) != text for text in whole)
    return row._replace(cut=cut)


def tokens_of(
    tokenizer: Any, text: str, part: int, limit: int, parse: bool = True
) -> list[tuple[int, TextToken]]:
    """Gives the tokens of a text, each behind its id.

    Args:
        tokenizer: of the model.
        text: the whole text.
        part: which one of the row it is.
        limit: bytes of it that are read.
        parse: False: special tokens in it are text, whatever the tokenizer does, as for
            `Tokenizer.tokenize_words`.
    """
    read, host = start_of(text, limit), tokenizer.host
    if not parse and tokenizer.special_tokens == "parse":
        names = [tokenizer.tokens[id_] for id_ in tokenizer.special_ids]
        if any(name in read for name in names):
            host = copy.deepcopy(host)
            host.encode_special_tokens = True
    names = token_texts(tokenizer)
    encoding = host.encode(read, add_special_tokens=False)
    known = []
    for id_, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        start += len(text[start:end]) - len(text[start:end].lstrip() or text[start:end])
        known.append((id_, TextToken(text[start:end], names[id_], start, end, part)))
    return known


def start_of(text: str, limit: int) -> str:
    """As much of a text as so many bytes hold."""
    return text.encode()[:limit].decode("utf-8", "replace")


def row_of(
    tokenizer: Any,
    texts: list[str],
    known: list[list[tuple[int, TextToken]]],
    max_length: int,
    pack: Callable[..., dict[str, Any]] | None = None,
) -> TokenRow:
    """Makes a row of tokens of one or two texts, which is not said to be cut.

    Args:
        tokenizer: of the model.
        texts: whole.
        known: of each text what is read of it, as `tokens_of` gives it.
        max_length: T at most.
        pack: see `token_row`.

    Raises:
        ValueError: there is no token.
    """
    # In place of ids the number of each token, behind all ids, goes into the row.
    first = tokenizer.vocab_size
    numbers = []
    for part in known:
        count = len(part)
        numbers.append(tf.RaggedTensor.from_row_lengths(tf.range(first, first + count), [count]))
        first += count
    packed = (pack or tokenizer.pack)(*numbers, max_length=max_length)
    real = packed["padding_mask"].numpy()[0]
    number_T = packed["token_ids"].numpy()[0][real] - tokenizer.vocab_size
    if not len(number_T):
        raise ValueError(f"A text must have a token at least. Received: {texts[0]!r:.80}")
    names = token_texts(tokenizer)
    every = [pair for part in known for pair in part]
    row = []
    for number in number_T.tolist():
        id_ = number + tokenizer.vocab_size
        row.append(every[number] if number >= 0 else (id_, _added(names[id_])))
    segment_T = np.zeros(len(row), "int32")
    if "segment_ids" in packed:
        segment_T = packed["segment_ids"].numpy()[0][real]
    ids, tokens = zip(*row, strict=True)
    return TokenRow(tuple(texts), tokens, np.array(ids, "int32"), segment_T, False)


def _added(name: str) -> TextToken:
    return TextToken(name, name, -1, -1, -1)
