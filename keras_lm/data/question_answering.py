"""Questions on texts to batches for a `QuestionAnswering`.

B batch, T length.
"""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from keras_lm.data import checks
from keras_lm.data.batching import Batching
from keras_lm.data.bucket_pipeline import BucketPipeline
from keras_lm.data.packed_rows import RowTables
from keras_lm.data.question_windows import LONGEST_QUESTION, STRIDE, question_rows, row_shape
from keras_lm.data.questions import read_questions
from keras_lm.data.table_rows import Files, Values
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any


def question_answering(
    files: Files | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    rows: Iterable[Values] | None = None,
    batch_size: int,
    sequence_length: int = 384,
    stride: int = STRIDE,
    max_question_length: int = LONGEST_QUESTION,
    bad_rows: str = "raise",
    num_buckets: int = 8,
    batch_multiple: int = 1,
    drop_remainder: bool = False,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
) -> BucketPipeline:
    """Batches of `(inputs, labels)` of questions and parts of their contexts.

    A context that is longer than a row becomes several rows, windows that overlap; where the answer
    is not in a window, or there is none, its place is 0. Each different text is tokenized once,
    here. Everything is read and checked before that. Rows of about the same length share a batch.

    Args:
        files: `.json` as SQuAD's, 1.1 and 2.0; `.jsonl` with `question`, `context` and `answers` (a
            list of objects with `text` and `answer_start`) in each line; `.gz` too. A path, a glob
            or a list of them.
        tokenizer: of the model; with a separator token.
        rows: dicts in place of files, as in JSONL, or as a `datasets.Dataset` of SQuAD has them.
        batch_size: B.
        sequence_length: T at most, special tokens included; not above the model's `max_length`.
        stride: tokens from the beginning of a window to that of the next.
        max_question_length: tokens of a question at most; longer ones lose their end.
        bad_rows: `"raise"`; or `"drop"`: questions that cannot be learnt from are left out. What is
            no file of questions at all always raises.
        num_buckets: see `keras_lm.data.classification`, and so the arguments below.
        batch_multiple: see there.
        drop_remainder: see there.
        seed: see there.
        start_step: see there.
        shuffle: see there.

    Returns:
        A `Pipeline`, with `buckets`, `num_rows` (windows), `num_questions`, `num_cut` (windows
        whose question lost its end) and `dropped` (what was wrong with each question that was left
        out). Inputs: `token_ids` int32 `(B, T)`, `padding_mask` bool `(B, T)`, of WordPiece
        `segment_ids` int32 `(B, T)`. Labels: a dict of `start` and `end`, int32 `(B,)`.

    Raises:
        TypeError: neither or both of `files` and `rows`, or something that cannot be read twice.
        ValueError: an argument out of range; a file that cannot be read; an empty text, an answer
            that is not in its context where it says, is within a character or fits into no window,
            or no answer without `is_impossible`: with the question's id and place.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    batching = Batching(
        batch_size, num_buckets, batch_multiple, drop_remainder, seed, start_step, shuffle
    ).checked()
    sequence_length = checks.integer("sequence_length", sequence_length, 1)
    stride = checks.integer("stride", stride, 1)
    max_question_length = checks.integer("max_question_length", max_question_length, 1)
    tokenizer = checks.tokenizer(tokenizer)
    shape = row_shape(tokenizer, sequence_length, max_question_length)
    questions, dropped = read_questions(files, rows, bad_rows)
    found = question_rows(questions, tokenizer, shape, stride, bad_rows)
    tables = RowTables(found.rows, tokenizer.pad_id)
    with tf.device("CPU:0"):
        start_W, end_W = tf.constant(found.starts), tf.constant(found.ends)

    def batch(row_B: Tensor, length: Tensor, _: Tensor, seed: Tensor) -> tuple[Any, Any]:
        del seed  # there is nothing to draw
        labels = {"start": tf.gather(start_W, row_B), "end": tf.gather(end_W, row_B)}
        return tables.batch(row_B, length), labels

    pipeline = batching.pipeline(batch, found.rows.lengths)
    pipeline.files = files
    pipeline.num_rows, pipeline.num_cut = len(found.starts), int(found.rows.cut.sum())
    pipeline.dropped = [*dropped, *found.dropped]
    pipeline.num_questions = len(questions) - len(found.dropped)
    return pipeline
