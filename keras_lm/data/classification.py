"""Labelled texts, or pairs of texts, to batches for a `TextClassifier`.

R rows, B batch, T length, C classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data import checks
from keras_lm.data.batching import Batching
from keras_lm.data.bucket_pipeline import BucketPipeline
from keras_lm.data.label_values import LabelReader
from keras_lm.data.labelled_texts import read_labelled, reader_of
from keras_lm.data.packed_rows import RowTables, pack_rows
from keras_lm.data.table_rows import Files, Values
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any


def classification(
    files: Files | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    rows: Iterable[Values] | None = None,
    labels: Sequence[str],
    batch_size: int,
    problem: str = "single_label",
    sequence_length: int = 128,
    text: str = "text",
    text_pair: str | None = "text_pair",
    label: str | Sequence[str] = "label",
    label_names: Mapping[str, str] | None = None,
    label_separator: str = ",",
    class_weights: str | Mapping[str, float] | None = None,
    bad_rows: str = "raise",
    num_buckets: int = 8,
    batch_multiple: int = 1,
    drop_remainder: bool = False,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
) -> BucketPipeline:
    """Batches of `(inputs, labels)`, or `(inputs, labels, weights)` with `class_weights`.

    Texts are tokenized once, here, and packed with the special tokens of the tokenizer. Rows of
    about the same length share a batch. Everything is read and checked before that.

    Args:
        files: a path, a glob or a list of them: `.csv` and `.tsv` with names of columns in the
            first line, `.jsonl`; UTF-8, `.gz` too.
        tokenizer: of the model.
        rows: dicts in place of files: a list, a `datasets.Dataset`, a finite `tf.data.Dataset`.
        labels: names of the classes, class 0 first: `model.labels`. A file has no say in their
            order. For regression names of what is estimated.
        batch_size: B.
        problem: `"single_label"`, `"multi_label"` or `"regression"`, as the model's.
        sequence_length: T at most, special tokens included; not above the model's `max_length`.
        text: name of the column.
        text_pair: name of the column of second texts. One called "text_pair" is read where it is
            there; another one must be. None: there are no pairs.
        label: name of the column. A class is its name; a number in `rows` or JSONL that is no name
            is its place in `labels`, or in the names that a `datasets.Dataset` gives. Of several
            labels: a list, or names in one cell. Or for several labels or numbers a list of
            columns, one for each of `labels`, of numbers (labels: 0 .. 1).
        label_names: what labels are called in the files: `{"1": "positive"}`.
        label_separator: between the labels in one cell.
        class_weights: weights of rows by their class: a dict of all names, or `"balanced"`: R / (C
            x rows of the class).
        bad_rows: `"raise"`; or `"drop"`: rows without a text or with no known label are left out.
            What is no row at all always raises.
        num_buckets: number of different T at most.
        batch_multiple: every batch has a multiple of so many rows: the number of replicas, where
            all of them shall get equally many.
        drop_remainder: whether rows that do not fill a batch are left out. Otherwise they make a
            smaller one; but for `batch_multiple` nothing is left out then.
        seed: what the orders of the epochs are drawn from.
        start_step: the step to begin with, counted over all epochs; costs nothing.
        shuffle: whether each epoch has an order of its own. Without it, the shortest rows come
            first; with `num_buckets=1` rows come as they stand.

    Returns:
        A `Pipeline`, with `buckets`, `num_rows`, `num_cut` (rows that lost their end) and `dropped`
        (what was wrong with each row that was left out). Inputs: `token_ids` int32 `(B, T)`,
        `padding_mask` bool `(B, T)`, of WordPiece `segment_ids` int32 `(B, T)`. Labels: int32
        `(B,)`; of several labels or numbers float32 `(B, C)`. Weights: float32 `(B,)`.

    Raises:
        TypeError: neither or both of `files` and `rows`, or something that cannot be read twice.
        ValueError: an argument out of range; a file that cannot be read; a row without a text or
            with no known label, with its file, line and column; pairs for a tokenizer without a
            separator.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    batching = Batching(
        batch_size, num_buckets, batch_multiple, drop_remainder, seed, start_step, shuffle
    ).checked()
    sequence_length = checks.integer("sequence_length", sequence_length, 1)
    tokenizer = checks.tokenizer(tokenizer)
    reader = reader_of(rows, labels, problem, label, label_names, label_separator)
    _check_class_weights(class_weights, reader)
    found = read_labelled(files, rows, reader, text=text, text_pair=text_pair, bad_rows=bad_rows)
    packed = pack_rows(tokenizer, found.texts, found.pairs, sequence_length)
    if not packed.lengths.all():
        raise ValueError(
            f"A text must give a token. Received: {found.texts[int(packed.lengths.argmin())]!r:.80}"
        )
    tables = RowTables(packed, tokenizer.pad_id)
    with tf.device("CPU:0"):
        label_R = tf.constant(found.labels)
        weight_R = None
        if class_weights is not None:
            weight_R = tf.constant(_weights(class_weights, reader.labels, found.labels))

    def batch(row_B: Tensor, length: Tensor, _: Tensor, seed: Tensor) -> tuple[Any, ...]:
        del seed  # there is nothing to draw
        values = [label_R] if weight_R is None else [label_R, weight_R]
        return tables.batch(row_B, length), *(tf.gather(value, row_B) for value in values)

    pipeline = batching.pipeline(batch, packed.lengths)
    pipeline.files = files
    pipeline.num_rows, pipeline.num_cut = len(found.texts), int(packed.cut.sum())
    pipeline.dropped = found.dropped
    return pipeline


def _check_class_weights(weights: Any, reader: LabelReader) -> None:
    if weights is None:
        return
    if reader.problem != "single_label":
        raise ValueError(
            "class_weights are for texts of one class. "
            f"Received: class_weights={weights!r}, problem={reader.problem!r}"
        )
    if isinstance(weights, Mapping):
        known = set(weights) == set(reader.labels)
        if known and all(0 <= float(weights[name]) < np.inf for name in reader.labels):
            return
    if not isinstance(weights, str) or weights != "balanced":
        raise ValueError(
            'class_weights must be "balanced", or a dict of a weight for each of '
            f"{reader.labels}. Received: class_weights={weights!r}"
        )


def _weights(weights: Any, labels: Sequence[str], label_R: np.ndarray) -> np.ndarray:
    """The weight of each row, float32 `(R,)`."""
    if isinstance(weights, Mapping):
        weight_C = np.array([weights[name] for name in labels])
    else:
        count_C = np.bincount(label_R, minlength=len(labels))
        weight_C = len(label_R) / (len(labels) * np.maximum(count_C, 1))
    return weight_C.astype(np.float32)[label_R]
