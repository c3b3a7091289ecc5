"""Text to batches for masked-LM pre-training: BERT's, with RoBERTa's dynamic masks.

N tokens, R rows, B batch, T length, P masked positions of a row at most.
"""

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data import checks
from keras_lm.data.corpus import encode
from keras_lm.data.documents import Source, Texts, read_documents, spaced
from keras_lm.data.masking import Masking
from keras_lm.data.pipeline import Pipeline
from keras_lm.data.prepared import opened
from keras_lm.data.prepared_pipeline import PreparedPipeline
from keras_lm.data.prepared_rows import PairedRows, SpanRows
from keras_lm.data.row_pipeline import RowPipeline
from keras_lm.data.row_tables import pair_tables, span_tables
from keras_lm.data.rows import assemble, consecutive_rows
from keras_lm.data.sentence_pairs import PairRows, draw_pairs, pair_rows
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any


def masked_lm(
    source: Source | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    texts: Texts | None = None,
    sequence_length: int = 128,
    batch_size: int = 32,
    mask_rate: float = 0.15,
    next_sentence: bool = False,
    masking: str = "token",
    document: str | None = None,
    across_documents: bool = True,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
) -> Pipeline:
    """Batches of `(inputs, labels, weights)` for masked-LM pre-training.

    The text is tokenized once, here. Rows are cut from consecutive text, never inside a word where
    that can be helped; masks and pairs are drawn anew in each epoch. Batch i is a pure function of
    (text, seed, i).

    Without `next_sentence` a row is `[CLS] tokens [SEP]`, filled to the last place; where it
    crosses the end of a document, a `[SEP]` stands there (FULL-SENTENCES of Liu et al. 2019,
    arXiv:1907.11692, section 4.2). With it a row is `[CLS] A [SEP] B [SEP]`: whole lines of one
    document up to `sequence_length`, and in half of the cases B from another document; see
    `keras_lm.data.sentence_pairs`.

    Args:
        source: text files in UTF-8: a path, a glob, or a list of them; `.gz` is read too. Strings
            are always names of files here. Or a finite `tf.data.Dataset` of strings. Or a directory
            that `prepare` wrote, or a `Prepared`: then no text is held in memory.
        tokenizer: has `[CLS]`, `[SEP]`, `[PAD]` and `[MASK]`.
        texts: a list of strings in place of `source`.
        sequence_length: T, at least 3, with `next_sentence` at least 5.
        batch_size: B.
        mask_rate: the share of ordinary tokens that is masked, between 0 and 1.
        next_sentence: whether rows are pairs, with labels for them.
        masking: "token": each token is chosen alone. "whole_word": all pieces of a word are masked
            together. "span": runs of up to ten words, 3.8 on average, as in SpanBERT (Joshi et al.
            2020, arXiv:1907.10529, section 3.1).
        document: "blank_line": a line is a text and an empty line ends a document, as in BERT's own
            data; the default for files. "line": each line of a file, or each string, is a document;
            the lines of a string are its texts; the default for strings. "file": each file is a
            document, or all strings together.
        across_documents: whether a row goes on with the next document. Without it the last row of
            each document is padded. Pairs never cross documents.
        seed: what orders, masks and pairs are drawn from.
        start_step: the step to begin with, counted over all epochs; costs nothing.
        shuffle: whether each epoch has an order of its own.

    Returns:
        A `Pipeline`. Inputs: `token_ids` int32 `(B, T)`, `segment_ids` int32 `(B, T)`,
        `padding_mask` bool `(B, T)`, `masked_positions` int32 `(B, P)`, P = `ceil(mask_rate * T)`.
        Labels int32 `(B, P)` and weights float32 `(B, P)`; with `next_sentence` both are dicts of
        "masked_lm", as before, and "next_sentence" `(B,)`, label 0 = B follows A, 1 = random.

    Raises:
        TypeError: neither or both of `source` and `texts`, or something that cannot be read twice.
        ValueError: an argument out of range, a tokenizer that lacks a token, a file that is not
            UTF-8, no text, or too little for one batch.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    seed = checks.seed(seed)
    start_step = checks.integer("start_step", start_step, 0)
    batch_size = checks.integer("batch_size", batch_size, 1)
    sequence_length = checks.integer("sequence_length", sequence_length, 1)
    num_special = 3 if next_sentence else 2
    capacity = sequence_length - num_special
    least = 2 if next_sentence else 1
    if capacity < least:
        raise ValueError(
            f"sequence_length must leave room for {num_special} special tokens and "
            f"{least} of text. Received: sequence_length={sequence_length}"
        )
    if not 0 < mask_rate < 1:
        raise ValueError(f"mask_rate must lie between 0 and 1. Received: mask_rate={mask_rate}")
    if masking not in ("token", "whole_word", "span"):
        raise ValueError(
            f'masking must be "token", "whole_word" or "span". Received: masking={masking!r}'
        )
    tokenizer = checks.tokenizer(tokenizer, "cls", "sep", "pad", "mask")
    continues = tokenizer.continues_word
    prepared = opened(source, texts, tokenizer, "masked_lm", document)
    documents: Any = None if prepared else spaced(read_documents(source, texts, document))
    mask = Masking(tokenizer, sequence_length, mask_rate, masking)
    special: dict[str, Any] = {
        "sequence_length": sequence_length,
        "cls_id": tokenizer.cls_id,
        "sep_id": tokenizer.sep_id,
        "pad_id": tokenizer.pad_id,
    }

    def masked_rows(rows: dict[str, Tensor], seed: Tensor) -> tuple[dict, Tensor, Tensor]:
        return _masked(mask, rows, seed)

    def masked_pairs(
        pairs: tuple[dict[str, Tensor], Tensor], seed: Tensor
    ) -> tuple[dict[str, Tensor], dict, dict]:
        inputs, labels, weights = _masked(mask, pairs[0], seed)
        return (
            inputs,
            {"masked_lm": labels, "next_sentence": pairs[1]},
            {"masked_lm": weights, "next_sentence": tf.ones_like(pairs[1], tf.float32)},
        )

    def batch_of_rows(row_B: Tensor, seed: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        span = tf.gather(starts, row_B), tf.gather(lengths, row_B)
        return masked_rows(assemble(ids, span, None, **special), seed)

    def batch_of_pairs(row_B: Tensor, seed: Tensor) -> tuple[dict[str, Tensor], dict, dict]:
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2, alg="philox"))
        first, second, label_B = draw_pairs(table, row_B, capacity, seeds[0])
        return masked_pairs((assemble(ids, first, second, **special), label_B), seeds[1])

    end_id = tokenizer.sep_id if across_documents and not next_sentence else None
    if prepared:
        rows_of: Any
        if next_sentence:
            tables = pair_tables(prepared, capacity, continues)
            make = functools.partial(assemble, **special)
            rows_of = PairedRows(prepared, tables, capacity, make)
        else:
            tables = span_tables(prepared, capacity, continues, end_id)
            make = functools.partial(assemble, second=None, **special)
            rows_of = SpanRows(prepared, tables, capacity, end_id is not None, make)
        return PreparedPipeline(
            prepared,
            rows_of,
            masked_pairs if next_sentence else masked_rows,
            batch_size=batch_size,
            seed=seed,
            shuffle=shuffle,
            start_step=start_step,
            token_counts=prepared.token_counts(end_id),
        )
    if next_sentence:
        corpus = encode(documents, tokenizer)
        pairs = pair_rows(corpus, capacity, continues)
        num_rows = len(pairs.start)
    else:
        corpus = encode(documents, tokenizer, end_id=end_id)
        rows = consecutive_rows(corpus, capacity, continues, end_id)
        num_rows = len(rows[0])
    with tf.device("CPU:0"):
        ids = tf.constant(corpus.ids)
        if next_sentence:
            table = PairRows(*map(tf.constant, pairs))
        else:
            starts, lengths = map(tf.constant, rows)
    pipeline = RowPipeline(
        batch_of_pairs if next_sentence else batch_of_rows,
        num_rows=num_rows,
        batch_size=batch_size,
        seed=seed,
        shuffle=shuffle,
        start_step=start_step,
        token_counts=np.bincount(corpus.ids, minlength=tokenizer.vocab_size),
    )
    pipeline.files = source
    return pipeline


def _masked(
    mask: Masking, inputs: dict[str, Tensor], seed: Tensor
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    masked = mask(inputs["token_ids"], inputs["padding_mask"], seed)
    inputs = {**inputs, **{key: masked[key] for key in ("token_ids", "masked_positions")}}
    return inputs, masked["labels"], masked["weights"]
