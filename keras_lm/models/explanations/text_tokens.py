"""A text as the tokens that a model reads, each with its place in the text.

Knows no model. On the host, one row at a time: for who explains answers, not for who makes many.
"""

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


def token_row(tokenizer: Any, texts: list[str | bytes], max_length: int) -> TokenRow:
    """Reads a text, or a pair of them, as the graphs of the tasks read it.

    Args:
        tokenizer: of the model.
        texts: one or two.
        max_length: T at most.

    Raises:
        ValueError: there is no token, or a pair for a tokenizer that cannot tell its texts apart.
    """
    limit = BYTES_PER_TOKEN * max_length
    whole = [as_text(text) for text in texts]
    read = [text.encode()[:limit].decode("utf-8", "replace") for text in whole]
    encodings = [tokenizer.host.encode(text, add_special_tokens=False) for text in read]
    # In place of ids the number of each token, behind all ids, goes into the row.
    first = tokenizer.vocab_size
    numbers = []
    for encoding in encodings:
        count = len(encoding.ids)
        numbers.append(tf.RaggedTensor.from_row_lengths(tf.range(first, first + count), [count]))
        first += count
    packed = tokenizer.pack(*numbers, max_length=max_length)
    real = packed["padding_mask"].numpy()[0]
    number_T = packed["token_ids"].numpy()[0][real] - tokenizer.vocab_size
    if not len(number_T):
        raise ValueError(f"A text must have a token at least. Received: {whole[0]!r:.80}")
    names = token_texts(tokenizer)
    known = []
    for part, (encoding, text) in enumerate(zip(encodings, whole, strict=True)):
        for id_, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            start += len(text[start:end]) - len(text[start:end].lstrip() or text[start:end])
            known.append((id_, TextToken(text[start:end], names[id_], start, end, part)))
    row = []
    for number in number_T.tolist():
        id_ = number + tokenizer.vocab_size
        row.append(known[number] if number >= 0 else (id_, _added(names[id_])))
    segment_T = np.zeros(len(row), "int32")
    if "segment_ids" in packed:
        segment_T = packed["segment_ids"].numpy()[0][real]
    ids, tokens = zip(*row, strict=True)
    kept = sum(token.part >= 0 for token in tokens)
    cut = kept < len(known) or any(a != b for a, b in zip(read, whole, strict=True))
    return TokenRow(tuple(whole), tokens, np.array(ids, "int32"), segment_T, cut)


def _added(name: str) -> TextToken:
    return TextToken(name, name, -1, -1, -1)
