"""Files with named columns, or parallel files, to pairs of texts; their batches are `seq2seq`'s."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from keras_lm.data.bad_rows import BadRows
from keras_lm.data.bucket_pipeline import BucketPipeline
from keras_lm.data.label_values import text_of
from keras_lm.data.parallel_text import Pair, unchecked_pairs
from keras_lm.data.seq2seq import seq2seq
from keras_lm.data.table_rows import Files, Row, Values, open_rows
from keras_lm.tokenizers.tokenizer import Tokenizer


class TextPairs(NamedTuple):
    """What stands in the rows that were read.

    Attributes:
        pairs: R of them, each with its place.
        dropped: what was wrong with each row that was left out.
    """

    pairs: list[Pair]
    dropped: list[str]


def translation(
    files: Files | tuple[Files, Files] | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    rows: Iterable[Values] | None = None,
    source: str = "source",
    target: str = "target",
    bad_rows: str = "raise",
    **options: Any,
) -> BucketPipeline:
    """Batches of a `Translator`'s pairs; see `keras_lm.data.seq2seq`, which makes them.

    Args:
        files: `.csv`, `.tsv`, `.jsonl`, each also with `.gz`, whose first line names the columns
            (of JSONL each line): a path, a glob or a list of them. Or a tuple of two: parallel
            files, line by line, ("train.en", "train.fr").
        tokenizer: of the model, for both sides.
        rows: dicts in place of files: a list, a `datasets.Dataset`, a finite `tf.data.Dataset`.
        source: the column that is translated.
        target: the column with its translation.
        bad_rows: "raise"; or "drop": rows with an empty text are left out, and listed in `dropped`.
        **options: as of `keras_lm.data.seq2seq`: `tokens_per_batch`, `max_source_length`,
            `max_target_length`, `too_long`, `seed` and so on.

    Returns:
        A `Pipeline` as `seq2seq` gives it, with `dropped`, what was wrong with each row that was
        left out.

    Raises:
        TypeError: neither or both of `files` and `rows`; or see `seq2seq`.
        ValueError: a column is missing or named twice; a row without a text, with its file, line
            and column; or see `seq2seq`.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    return _pairs(files, tokenizer, rows, source, target, bad_rows, options)


def summarization(
    files: Files | tuple[Files, Files] | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    rows: Iterable[Values] | None = None,
    text: str = "text",
    summary: str = "summary",
    bad_rows: str = "raise",
    **options: Any,
) -> BucketPipeline:
    """Batches of a `Summarizer`'s pairs; see `translation`.

    A text that is too long loses its end, where nothing else is said: `too_long="cut"`,
    `max_source_length=512`.

    Args:
        files: as of `translation`.
        tokenizer: see there.
        rows: see there.
        text: the column that is summarized.
        summary: the column with its summary.
        bad_rows: as of `translation`.
        **options: see there.

    Returns:
        As `translation`.

    Raises:
        TypeError: see there.
        ValueError: see there.
        FileNotFoundError: see there.
    """
    options = {"too_long": "cut", "max_source_length": 512, **options}
    return _pairs(files, tokenizer, rows, text, summary, bad_rows, options)


def _pairs(
    files: Files | tuple[Files, Files] | None,
    tokenizer: Tokenizer | None,
    rows: Iterable[Values] | None,
    source: str,
    target: str,
    bad_rows: str,
    options: dict[str, Any],
) -> BucketPipeline:
    read = read_pairs(files, rows, source=source, target=target, bad_rows=bad_rows)
    pipeline = seq2seq(None, tokenizer, pairs=read.pairs, **options)
    pipeline.files = files
    pipeline.num_rows, pipeline.dropped = len(read.pairs), read.dropped
    return pipeline


def read_pairs(
    files: Any,
    rows: Iterable[Values] | None,
    *,
    source: str,
    target: str,
    bad_rows: str = "raise",
) -> TextPairs:
    """Reads pairs; see `translation`."""
    bad = BadRows(bad_rows)
    found: list[Pair] = []
    opened: Iterable[Row]
    if isinstance(files, tuple) and rows is None:
        pairs = unchecked_pairs(files, None)()
        opened = (Row({source: one, target: other}, place) for one, other, place in pairs)
    else:
        opened = open_rows(files, rows, (source, target))
    for row in opened:
        with bad.caught():
            found.append(Pair(text_of(row, source), text_of(row, target), row.place))
    bad.require(found, files)
    return TextPairs(found, bad.dropped)
