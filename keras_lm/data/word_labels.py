"""Sentences of words to rows of ids, with a label where a word begins.

Words are joined by spaces and read as text, so that what is trained on is what a text gives later.
N tokens, R sentences.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_lm.data.packed_rows import PackedRows
from keras_lm.data.tagged_sentences import Sentence
from keras_lm.data.tags import TagScheme
from keras_lm.tokenizers.tokenizer import Tokenizer

IGNORED = -100  # Transformers' number
_SENTENCES_AT_ONCE = 1024


class TaggedRows(NamedTuple):
    """Sentences as rows.

    Attributes:
        rows: see `PackedRows`; `cut` says which lost words.
        labels: int32 `(N,)`, the class of each token, or `IGNORED`.
        tokens: for each sentence int64 `(words,)`: the place in its row of each word's first token;
            -1 where it has none, or was cut.
    """

    rows: PackedRows
    labels: np.ndarray
    tokens: list[np.ndarray]


def label_words(
    sentences: Sequence[Sentence], tokenizer: Tokenizer, labels: Sequence[str], max_length: int
) -> TaggedRows:
    """Tokenizes sentences and puts tags on tokens.

    A tokenizer may take a word for several, `U.S.` for four. The first token of each has a label;
    of those behind the first one in place of `B-` the tag `I-`, where there is one.

    Args:
        sentences: R of them.
        tokenizer: of the model.
        labels: names of the classes.
        max_length: tokens of a row at most, special tokens included.

    Raises:
        ValueError: `max_length` leaves no room.
    """
    before = 0 if tokenizer.cls_id is None else 1
    room = max_length - len(tokenizer.encode(""))
    if room < 1:
        raise ValueError(
            "sequence_length must leave room for a token beside the special ones. "
            f"Received: {max_length}"
        )
    scheme = TagScheme(labels)
    index = {name: i for i, name in enumerate(labels)}
    later = [scheme.inside(name) for name in labels]
    within = np.array([IGNORED if name is None else index[name] for name in later])
    ids: list[np.ndarray] = []
    classes: list[np.ndarray] = []
    tokens: list[np.ndarray] = []
    for begin in range(0, len(sentences), _SENTENCES_AT_ONCE):
        chunk = sentences[begin : begin + _SENTENCES_AT_ONCE]
        found = tokenizer.tokenize_words([" ".join(sentence.words) for sentence in chunk])
        columns = [(part.values.numpy(), part.row_splits.numpy()) for part in found]
        for i, sentence in enumerate(chunk):
            own_ids, starts, _, first = (
                values[splits[i] : splits[i + 1]] for values, splits in columns
            )
            lengths = np.array([len(word) + 1 for word in sentence.words])
            # The word of the sentence that each word of the tokenizer is in.
            of = np.searchsorted(np.cumsum(lengths), starts, side="right")
            is_first = np.diff(of, prepend=-1) > 0
            tag = np.array(sentence.tags)[of]
            label = np.full(len(own_ids), IGNORED, np.int32)
            # Backwards: where one token has parts of two words, the first one labels it.
            label[first[::-1]] = np.where(is_first, tag, within[tag])[::-1]
            place = np.full(len(sentence.words), -1, np.int64)
            kept = is_first & (first < room)
            place[of[kept]] = first[kept] + before
            tokens.append(place)
            ids.append(own_ids[:room])
            classes.append(label[:room])
    return TaggedRows(*_framed(tokenizer, ids, classes, tokens), tokens)


def _framed(
    tokenizer: Tokenizer,
    ids: list[np.ndarray],
    classes: list[np.ndarray],
    tokens: list[np.ndarray],
) -> tuple[PackedRows, np.ndarray]:
    """Puts the special tokens around the ids, and what is ignored around the classes."""
    before = [] if tokenizer.cls_id is None else [tokenizer.cls_id]
    behind = [] if tokenizer.sep_id is None else [tokenizer.sep_id]
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.int32
    ignored = [np.full(len(part), IGNORED, np.int32) for part in (before, behind)]
    flat_ids, flat_classes = [], []
    for own_ids, own_classes in zip(ids, classes, strict=True):
        flat_ids += [np.array(before, dtype), own_ids.astype(dtype), np.array(behind, dtype)]
        flat_classes += [ignored[0], own_classes, ignored[1]]
    length_R = np.array([len(before) + len(row) + len(behind) for row in ids], np.int64)
    rows = PackedRows(
        np.concatenate(flat_ids),
        np.cumsum(length_R) - length_R,
        length_R,
        length_R if tokenizer.has_segments else None,
        np.array([(places < 0).any() for places in tokens]),
    )
    return rows, np.concatenate(flat_classes)
