"""Text to batches for an encoder that reads noised text and a decoder that restores it: BART's.

N tokens, R rows, B batch, S length of the source rows, T length of the target rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data import checks, infilling
from keras_lm.data.corpus import encode
from keras_lm.data.decoder_rows import decoder_batch
from keras_lm.data.decoder_start import closing_id, start_ids
from keras_lm.data.documents import Source, Texts, read_documents, spaced
from keras_lm.data.draws import split
from keras_lm.data.pipeline import Pipeline
from keras_lm.data.prepared import opened
from keras_lm.data.prepared_pipeline import PreparedPipeline
from keras_lm.data.prepared_rows import SpanRows
from keras_lm.data.row_pipeline import RowPipeline
from keras_lm.data.row_tables import span_tables
from keras_lm.data.rows import consecutive_rows, framed, padded
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any


def denoising(
    source: Source | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    texts: Texts | None = None,
    sequence_length: int = 128,
    batch_size: int = 32,
    mask_rate: float = 0.3,
    poisson_lambda: float = 3.0,
    permute_sentences: bool = True,
    sentence_ends: str = ".!?。！？",
    decoder_start: str | Sequence[str] | None = None,
    document: str | None = None,
    across_documents: bool = True,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
) -> Pipeline:
    """Batches of `(inputs, labels, weights)` for BART's pre-training (Lewis et al. 2020).

    The text is tokenized once, here. Rows are cut from consecutive text, never inside a word where
    that can be helped; the noise is drawn anew in each epoch. Batch i is a pure function of (text,
    seed, i).

    The decoder restores the row; the encoder reads it noised: its sentences in another order, and
    spans of words replaced by one `[MASK]` each, the lengths drawn from a Poisson distribution; a
    span of length 0 puts a `[MASK]` between two words (arXiv:1910.13461, section 2.2: text
    infilling and sentence permutation).

    Args:
        source: text files in UTF-8: a path, a glob, or a list of them; `.gz` is read too. Strings
            are always names of files here. Or a finite `tf.data.Dataset` of strings. Or a directory
            that `prepare` wrote, or a `Prepared`: then no text is held in memory.
        tokenizer: has a mask token, and a separator or an end token.
        texts: a list of strings in place of `source`.
        sequence_length: S, special tokens included.
        batch_size: B.
        mask_rate: the share of the words that is masked, at least 0, less than 1.
        poisson_lambda: the mean length of a span, in words.
        permute_sentences: whether the sentences of a document are put into another order.
        sentence_ends: characters. A token of nothing else ends a sentence; BART's own data count
            full stops alone.
        decoder_start: as in `seq2seq`; BART's own rows have `("</s>", "<s>")`.
        document: what ends a document, as in `masked_lm`.
        across_documents: whether a row goes on with the next document behind a separator, which is
            masked as a word is. Without it the last row of each document is padded.
        seed: what orders and noise are drawn from.
        start_step: the step to begin with, counted over all epochs; costs nothing.
        shuffle: whether each epoch has an order of its own.

    Returns:
        A `Pipeline`. Inputs: `token_ids` int32 `(B, S)`, `padding_mask` bool `(B, S)`,
        `decoder_token_ids` int32 `(B, T)`, `decoder_padding_mask` bool `(B, T)`, where T is as many
        as S without special tokens, and the start tokens. Labels: int32 `(B, T)`, the tokens that
        come next, the end token last. Weights: float32 `(B, T)`, 0 on padding.

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
    if not 0 <= mask_rate < 1:
        raise ValueError(
            f"mask_rate must be at least 0 and less than 1. Received: mask_rate={mask_rate}"
        )
    if not 0 < poisson_lambda < sequence_length:
        raise ValueError(
            "poisson_lambda must be positive and less than sequence_length. "
            f"Received: poisson_lambda={poisson_lambda}, sequence_length={sequence_length}"
        )
    tokenizer = checks.tokenizer(tokenizer, "pad", "mask")
    separator_id = closing_id(tokenizer, "sep")
    before = [] if tokenizer.cls_id is None else [tokenizer.cls_id]
    start = start_ids(decoder_start, tokenizer)
    end_id = closing_id(tokenizer)
    pad_id: Any = tokenizer.pad_id
    mask_id: Any = tokenizer.mask_id
    capacity = sequence_length - len(before) - 1
    if capacity < 1:
        raise ValueError(
            "sequence_length must leave room for special tokens and one of text. "
            f"Received: sequence_length={sequence_length}"
        )
    ends = _sentence_ends(tokenizer, sentence_ends) if permute_sentences else None
    prepared = opened(source, texts, tokenizer, "masked_lm", document)
    documents: Any = None if prepared else read_documents(source, texts, document)
    continues = tokenizer.continues_word
    infill = infilling.Infilling(capacity, mask_rate, poisson_lambda, mask_id, continues)
    between = separator_id if across_documents else None

    def cut(ids: Tensor, span: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return padded(ids, *span, capacity, pad_id)

    def noised_rows(
        rows: tuple[Tensor, Tensor], seed: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        seed_order, seed_masks = split(seed, 2)
        text_BC, real_BC = rows
        noised_BC = text_BC
        if ends is not None:
            noised_BC = infilling.permute_sentences(
                noised_BC, real_BC, ends, separator_id, seed_order
            )
        noised = infill(noised_BC, real_BC, seed_masks)
        return decoder_batch(
            framed(*noised, before, separator_id, pad_id),
            framed(text_BC, real_BC, start, end_id, pad_id),
            pad_id,
        )

    if prepared:
        tables = span_tables(prepared, capacity, continues, between)
        return PreparedPipeline(
            prepared,
            SpanRows(prepared, tables, capacity, across_documents, cut),
            noised_rows,
            batch_size=batch_size,
            seed=seed,
            shuffle=shuffle,
            start_step=start_step,
            token_counts=prepared.token_counts(between),
        )
    corpus = encode(spaced(documents), tokenizer, end_id=between)
    rows = consecutive_rows(corpus, capacity, continues, between)
    with tf.device("CPU:0"):
        ids = tf.constant(corpus.ids)
        starts, lengths = map(tf.constant, rows)

    def batch(row_B: Tensor, seed: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        return noised_rows(cut(ids, (tf.gather(starts, row_B), tf.gather(lengths, row_B))), seed)

    return RowPipeline(
        batch,
        num_rows=len(starts),
        batch_size=batch_size,
        seed=seed,
        shuffle=shuffle,
        start_step=start_step,
        token_counts=np.bincount(corpus.ids, minlength=tokenizer.vocab_size),
    )


def _sentence_ends(tokenizer: Tokenizer, characters: str) -> Tensor:
    """Which tokens are made of these characters alone, whitespace apart: bool `(V,)`.

    Raises:
        ValueError: none is.
    """
    texts = [tokenizer.decode([id_]).strip() for id_ in range(tokenizer.vocab_size)]
    ends = [bool(text) and set(text) <= set(characters) for text in texts]
    if not any(ends):
        raise ValueError(
            "permute_sentences=True needs a token that ends a sentence; see sentence_ends. "
            f"Received: {tokenizer.vocab_size} tokens, none of them of {characters!r} alone"
        )
    return tf.constant(np.array(ends))
