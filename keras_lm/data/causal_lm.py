"""Text to batches for causal-LM training: packed rows without padding.

N tokens, R rows, B batch, T length.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data import checks
from keras_lm.data.corpus import encode
from keras_lm.data.documents import Source, Texts, read_documents
from keras_lm.data.pipeline import Pipeline
from keras_lm.data.prepared import opened
from keras_lm.data.prepared_pipeline import PreparedPipeline
from keras_lm.data.prepared_rows import StreamRows
from keras_lm.data.row_pipeline import RowPipeline
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any


def causal_lm(
    source: Source | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    texts: Texts | None = None,
    sequence_length: int = 128,
    batch_size: int = 32,
    document_ids: bool = False,
    document: str | None = None,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
) -> Pipeline:
    """Batches of `(inputs, labels, weights)` for causal-LM training.

    Documents, their lines joined by newlines, without blank lines at their edges, are tokenized
    once, here, and stand one behind the other, each closed by the tokenizer's end token (packing as
    in Brown et al. 2020, arXiv:2005.14165, appendix B). Row r takes `sequence_length + 1` tokens
    from place `r * sequence_length` on, so every token is an input once and a label once in an
    epoch. Left out are the tokens behind the last full row, and the rows behind the last full batch
    (others in each epoch when rows are shuffled). Batch i is a pure function of (text, seed, i).

    Args:
        source: text files in UTF-8: a path, a glob, or a list of them; `.gz` is read too. Strings
            are always names of files here. Or a finite `tf.data.Dataset` of strings. Or a directory
            that `prepare` wrote, or a `Prepared`: then no text is held in memory.
        tokenizer: has an end token.
        texts: a list of strings in place of `source`.
        sequence_length: T.
        batch_size: B.
        document_ids: whether inputs say which tokens belong to one document. The label behind an
            end token, which is the first token of another document, then has weight 0: nothing that
            the model may see tells it.
        document: "blank_line": an empty line ends a document; the default for files. "line": each
            line of a file, or each string, is a document; the default for strings. "file": each
            file is a document, or all strings together.
        seed: what the orders of the epochs are drawn from.
        start_step: the step to begin with, counted over all epochs; costs nothing.
        shuffle: whether each epoch has an order of its own.

    Returns:
        A `Pipeline`. Inputs: `token_ids` int32 `(B, T)`; if asked `document_ids` int32 `(B, T)`,
        from 0 in each row, one more behind each end token. Labels: the next tokens, int32 `(B, T)`.
        Weights: 1, float32 `(B, T)`.

    Raises:
        TypeError: neither or both of `source` and `texts`, or something that cannot be read twice.
        ValueError: an argument out of range, a tokenizer without an end token, a file that is not
            UTF-8, no text, or too little for one batch.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    seed = checks.seed(seed)
    start_step = checks.integer("start_step", start_step, 0)
    batch_size = checks.integer("batch_size", batch_size, 1)
    sequence_length = checks.integer("sequence_length", sequence_length, 1)
    tokenizer = checks.tokenizer(tokenizer, "end")
    end_id: Any = tokenizer.end_id
    prepared = opened(source, texts, tokenizer, "causal_lm", document)

    def shifted(token_BT: Tensor, seed: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        del seed  # there is nothing to draw
        inputs, label_BT = {"token_ids": token_BT[:, :-1]}, token_BT[:, 1:]
        weight_BT = tf.ones_like(label_BT, tf.float32)
        if document_ids:
            end_BT = tf.cast(token_BT[:, :-1] == end_id, tf.int32)
            inputs["document_ids"] = tf.cumsum(end_BT, -1, exclusive=True)
            weight_BT -= tf.cast(end_BT, tf.float32)
        return inputs, label_BT, weight_BT

    if prepared:
        return PreparedPipeline(
            prepared,
            StreamRows(prepared, sequence_length),
            shifted,
            batch_size=batch_size,
            seed=seed,
            shuffle=shuffle,
            start_step=start_step,
            token_counts=prepared.token_counts(end_id),
        )
    documents = read_documents(source, texts, document, keep_blank_lines=True)
    whole = (["\n".join(lines)] for lines in documents)
    corpus = encode(whole, tokenizer, end_id=end_id)
    with tf.device("CPU:0"):
        ids = tf.constant(corpus.ids)

    def batch(row_B: Tensor, seed: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        place_BT = row_B[:, None] * sequence_length + tf.range(sequence_length + 1, dtype=tf.int64)
        return shifted(tf.cast(tf.gather(ids, place_BT), tf.int32), seed)

    pipeline = RowPipeline(
        batch,
        num_rows=(len(ids) - 1) // sequence_length,
        batch_size=batch_size,
        seed=seed,
        shuffle=shuffle,
        start_step=start_step,
        token_counts=np.bincount(corpus.ids, minlength=tokenizer.vocab_size),
    )
    pipeline.files = source
    return pipeline
