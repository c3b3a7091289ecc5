"""Texts that are alike, or not, to batches for a `TextEmbedder`.

R rows, B batch, S texts of a row, T length.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data import checks
from keras_lm.data.batching import Batching
from keras_lm.data.bucket_pipeline import BucketPipeline
from keras_lm.data.packed_rows import RowTables, pack_rows
from keras_lm.data.similar_texts import NEGATIVE, groups_of, read_similar
from keras_lm.data.table_rows import Files, Values
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any


def similarity(
    files: Files | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    rows: Iterable[Values] | None = None,
    batch_size: int,
    objective: str = "ranking",
    sequence_length: int = 128,
    text: str = "text",
    text_pair: str = "text_pair",
    negative: str = NEGATIVE,
    score: str = "score",
    score_range: tuple[float, float] = (0.0, 1.0),
    bad_rows: str = "raise",
    num_buckets: int = 8,
    batch_multiple: int = 1,
    drop_remainder: bool = False,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
) -> BucketPipeline:
    """Batches of `(inputs, labels)` of rows of two or three texts.

    Each text is tokenized once, here, and packed by itself with the special tokens of the
    tokenizer. Rows whose longest texts are of about the same length share a batch. Everything is
    read and checked before that.

    Args:
        files: a path, a glob or a list of them: `.csv` and `.tsv` with names of columns in the
            first line, `.jsonl`; UTF-8, `.gz` too.
        tokenizer: of the model.
        rows: dicts in place of files: a list, a `datasets.Dataset`, a finite `tf.data.Dataset`.
        batch_size: B.
        objective: as `TextEmbedder.compile` has it: `"ranking"`: texts and what is like them;
            `"cosine"`: two texts and a score; `"triplet"`: a text, one like it, and one unlike it.
        sequence_length: T at most, special tokens included; not above the model's `max_length`.
        text: name of the column of the first texts.
        text_pair: name of the column of the second ones.
        negative: name of the column of the third ones. For `"ranking"` one called "negative" is
            read where it is there; another one must be.
        score: name of the column of scores.
        score_range: the lowest and the highest score; they are learnt as 0 and 1.
        bad_rows: `"raise"`; or `"drop"`: rows without a text or a score are left out. What is no
            row at all always raises.
        num_buckets: see `keras_lm.data.classification`, and so the arguments below.
        batch_multiple: see there.
        drop_remainder: see there.
        seed: see there.
        start_step: see there.
        shuffle: see there.

    Returns:
        A `Pipeline`, with `buckets`, `num_rows`, `num_cut` (texts that lost their end) and
        `dropped` (what was wrong with each row that was left out). Inputs: `token_ids` int32 `(B,
        S, T)`, `padding_mask` bool `(B, S, T)`. Labels: of `"cosine"` float32 `(B,)`, 0 .. 1; of
        others int32 `(B,)`, the group of each row: rows that share a text are in one.

    Raises:
        TypeError: neither or both of `files` and `rows`, or something that cannot be read twice.
        ValueError: an argument out of range; a file that cannot be read; a row without a text or a
            score, with its file, line and column; rows that all share a text, for `"ranking"`.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    batching = Batching(
        batch_size, num_buckets, batch_multiple, drop_remainder, seed, start_step, shuffle
    ).checked()
    sequence_length = checks.integer("sequence_length", sequence_length, 1)
    tokenizer = checks.tokenizer(tokenizer)
    columns = {"text": text, "text_pair": text_pair, "negative": negative, "score": score}
    found = read_similar(
        files, rows, objective, **columns, score_range=score_range, bad_rows=bad_rows
    )
    labels = found.scores
    if objective == "ranking":
        labels = groups_of(*found.texts[:2])
    elif labels is None:
        labels = np.arange(len(found.texts[0]), dtype=np.int32)
    number, sides = len(labels), len(found.texts)
    texts = [text for side in found.texts for text in side]
    packed = pack_rows(tokenizer, texts, None, sequence_length)
    if not packed.lengths.all():
        raise ValueError(
            f"A text must give a token. Received: {texts[int(packed.lengths.argmin())]!r:.80}"
        )
    tables = RowTables(packed._replace(firsts=None), tokenizer.pad_id)  # there is one segment
    with tf.device("CPU:0"):
        label_R = tf.constant(labels)

    def batch(row_B: Tensor, length: Tensor, _: Tensor, seed: Tensor) -> tuple[Any, Tensor]:
        del seed  # there is nothing to draw
        texts_of_side = [tables.batch(row_B + number * side, length) for side in range(sides)]
        inputs = {
            name: tf.stack([side[name] for side in texts_of_side], axis=1)
            for name in texts_of_side[0]
        }
        return inputs, tf.gather(label_R, row_B)

    longest_R = packed.lengths.reshape(sides, number).max(axis=0)
    pipeline = batching.pipeline(batch, longest_R)
    pipeline.files = files
    pipeline.num_rows, pipeline.num_cut = number, int(packed.cut.sum())
    pipeline.dropped = found.dropped
    return pipeline
