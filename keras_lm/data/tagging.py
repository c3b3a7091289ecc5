"""Tagged sentences to batches for a `TokenClassifier`.

B batch, T length.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from keras_lm.data import checks
from keras_lm.data.batching import Batching
from keras_lm.data.bucket_pipeline import BucketPipeline
from keras_lm.data.packed_rows import RowTables
from keras_lm.data.rows import padded
from keras_lm.data.table_rows import Files, Values
from keras_lm.data.tagged_sentences import read_sentences
from keras_lm.data.word_labels import IGNORED, label_words
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any


def tagging(
    files: Files | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    rows: Iterable[Values] | None = None,
    labels: Sequence[str],
    batch_size: int,
    sequence_length: int = 128,
    word: str | int = "words",
    tag: str | int = "tags",
    bad_rows: str = "raise",
    num_buckets: int = 8,
    batch_multiple: int = 1,
    drop_remainder: bool = False,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
) -> BucketPipeline:
    """Batches of `(inputs, labels)` of sentences whose words have tags.

    The words of a sentence are joined by spaces and tokenized once, here. The first token of a word
    has its tag's class, and so has the first token of each part of a word that the tokenizer takes
    for a word of its own, such as punctuation, `B-` becoming `I-` there; all others have -100 and
    never count. Sentences of about the same length share a batch.

    Args:
        files: of CoNLL's kind: a word and its tag a line, columns with a tab or spaces between, an
            empty line behind each sentence; `-DOCSTART-` is none. A path, a glob or a list of them.
        tokenizer: of the model.
        rows: dicts in place of files, with a list of words and one of tags: names, or places in
            `labels`, or in the names that a `datasets.Dataset` gives.
        labels: names of the tags, class 0 first: `model.labels`.
        batch_size: B.
        sequence_length: T at most, special tokens included; not above the model's `max_length`.
        word: column of the words: of files its number, the first one if not given; of rows its
            name.
        tag: column of the tags: of files its number, the last one if not given; of rows its name.
        bad_rows: `"raise"`; or `"drop"`: sentences in which a word or a tag is wrong are left out.
        num_buckets: see `classification`, and so the arguments below.
        batch_multiple: see there.
        drop_remainder: see there.
        seed: see there.
        start_step: see there.
        shuffle: see there.

    Returns:
        A `Pipeline`, with `buckets`, `num_rows`, `num_cut`, the sentences of which words have no
        token, mostly because they are too long, and `dropped`, what was wrong with each sentence
        that was left out. Inputs: `token_ids` int32 `(B, T)`,
        `padding_mask` bool `(B, T)`, of WordPiece `segment_ids` int32 `(B, T)`. Labels: int32
        `(B, T)`.

    Raises:
        TypeError: neither or both of `files` and `rows`, or something that cannot be read twice.
        ValueError: an argument out of range; a line or a row without words or with a tag that is
            none of `labels`, with its file and line.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    batching = Batching(
        batch_size, num_buckets, batch_multiple, drop_remainder, seed, start_step, shuffle
    ).checked()
    sequence_length = checks.integer("sequence_length", sequence_length, 1)
    tokenizer = checks.tokenizer(tokenizer)
    sentences, dropped = read_sentences(files, rows, labels, word=word, tag=tag, bad_rows=bad_rows)
    found = label_words(sentences, tokenizer, labels, sequence_length)
    tables = RowTables(found.rows, tokenizer.pad_id)
    with tf.device("CPU:0"):
        label_N = tf.constant(found.labels)

    def batch(row_B: Tensor, length: Tensor, _: Tensor, seed: Tensor) -> tuple[Any, Tensor]:
        del seed  # there is nothing to draw
        label_BT, _ = padded(label_N, *tables.spans(row_B), length, IGNORED)
        return tables.batch(row_B, length), label_BT

    pipeline = batching.pipeline(batch, found.rows.lengths)
    pipeline.files = files
    pipeline.num_rows, pipeline.num_cut = len(sentences), int(found.rows.cut.sum())
    pipeline.dropped = dropped
    return pipeline
