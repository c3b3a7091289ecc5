"""Pairs of texts to batches for an encoder and a decoder, by length.

R pairs, B batch, S length of the source rows, T length of the target rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.data import checks
from keras_lm.data.bucket_pipeline import BucketPipeline
from keras_lm.data.buckets import divide
from keras_lm.data.decoder_rows import decoder_batch
from keras_lm.data.decoder_start import closing_id, start_ids
from keras_lm.data.encoded_pairs import Form, Side, encode_pairs
from keras_lm.data.parallel_text import Pair, PairSource, open_pairs
from keras_lm.data.rows import padded
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any


def seq2seq(
    source: PairSource | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    pairs: Sequence[tuple[str, str] | Pair] | None = None,
    target_tokenizer: Tokenizer | None = None,
    tokens_per_batch: int = 4096,
    max_source_length: int = 128,
    max_target_length: int = 128,
    too_long: str = "drop",
    decoder_start: str | Sequence[str | int] | None = None,
    num_buckets: int = 16,
    batch_multiple: int = 1,
    drop_remainder: bool = True,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
) -> BucketPipeline:
    """Batches of `(inputs, labels, weights)` of pairs, for an encoder and a decoder.

    Texts are tokenized once, here. A source row is what the tokenizer packs: `[CLS] a [SEP]`,
    `<s> a </s>`, or the text and the end token where it has no other. The decoder reads
    `decoder_start` and the target; its labels are the tokens that come next, the end token last.

    Pairs of about the same two lengths share a batch. A batch has as many pairs as its longer rows
    allow, `tokens_per_batch` tokens on either side, padding included (Vaswani et al. 2017,
    arXiv:1706.03762, section 5.1: about 25,000 on either side). So there are as many shapes as
    buckets, and they are known beforehand: see `buckets` of the result.

    Each pair comes once in an epoch at most. Left out are pairs that are too long, and the pairs
    that do not fill the last batch of their bucket, others in each epoch when pairs are shuffled.
    Batch i is a pure function of (text, seed, i).

    Args:
        source: parallel files, line by line: a tuple of two, `("train.en", "train.fr")`, each a
            path, a glob or a list of paths. Or files of two columns with a tab between them, with
            no header and no quotes: a path, a glob, or a list of them. UTF-8; `.gz` is read too.
        tokenizer: has a separator or an end token.
        pairs: a list of (source, target) strings in place of `source`.
        target_tokenizer: of the targets. None: `tokenizer`.
        tokens_per_batch: tokens of a batch at most, on either side.
        max_source_length: S at most, special tokens included.
        max_target_length: T at most, special tokens included.
        too_long: "drop": pairs with a longer text are left out. "cut": the text loses its end.
        decoder_start: the token that the decoder begins with, or several, or their ids
            (`model.start_ids`); what stands behind the first is a label, too. None: the token that
            ends the target, as in fairseq. BART's own rows have `("</s>", "<s>")`.
        num_buckets: number of different shapes at most.
        batch_multiple: every batch has a multiple of so many pairs: the number of replicas, where
            all of them shall get equally many.
        drop_remainder: whether pairs that do not fill a batch are left out. Otherwise they make a
            smaller one, for evaluation: but for `batch_multiple` nothing is left out then.
        seed: what the orders of the epochs are drawn from.
        start_step: the step to begin with, counted over all epochs; costs nothing.
        shuffle: whether each epoch has an order of its own. Without it, the shortest pairs come
            first.

    Returns:
        A `Pipeline`, with `buckets`, with `start_ids`, what the decoder begins with, and with
        `num_too_long`, the number of pairs that were left out or cut, and `too_long`, their places,
        such as "row 3 of a.tsv". Inputs: `token_ids` int32
        `(B, S)`, `padding_mask` bool `(B, S)`, `decoder_token_ids` int32 `(B, T)`,
        `decoder_padding_mask` bool `(B, T)`. Labels: int32 `(B, T)`. Weights: float32 `(B, T)`, 0
        on padding.

    Raises:
        TypeError: neither or both of `source` and `pairs`, or something that cannot be read twice.
        ValueError: an argument out of range, a tokenizer that lacks a token, parallel files of
            different length, a row that has not two columns, an empty text, a file that is not
            UTF-8, no pair that fits, or too few for one batch.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    seed = checks.seed(seed)
    start_step = checks.integer("start_step", start_step, 0)
    tokens_per_batch = checks.integer("tokens_per_batch", tokens_per_batch, 1)
    num_buckets = checks.integer("num_buckets", num_buckets, 1)
    batch_multiple = checks.integer("batch_multiple", batch_multiple, 1)
    if too_long not in ("drop", "cut"):
        raise ValueError(f'too_long must be "drop" or "cut". Received: too_long={too_long!r}')
    tokenizer = checks.tokenizer(tokenizer)
    target_tokenizer = tokenizer if target_tokenizer is None else checks.tokenizer(target_tokenizer)
    lengths = {
        "max_source_length": checks.integer("max_source_length", max_source_length, 1),
        "max_target_length": checks.integer("max_target_length", max_target_length, 1),
    }
    forms = (
        Form(
            tokenizer,
            [] if tokenizer.cls_id is None else [tokenizer.cls_id],
            [closing_id(tokenizer, "sep")],
            max_source_length,
        ),
        # The decoder reads all but the last token of a row, and predicts all but the first.
        Form(
            target_tokenizer,
            start_ids(decoder_start, target_tokenizer),
            [closing_id(target_tokenizer)],
            max_target_length + 1,
        ),
    )
    for (name, length), form in zip(lengths.items(), forms, strict=True):
        if form.max_length <= len(form.before) + len(form.behind):
            raise ValueError(
                f"{name} must leave room for special tokens and one of text. "
                f"Received: {name}={length}"
            )
    read = open_pairs(source, pairs)
    *sides, places = encode_pairs(read(), *forms, cut=too_long == "cut")
    buckets = divide(
        sides[0].lengths,
        sides[1].lengths - 1,
        tokens_per_batch=tokens_per_batch,
        batch_multiple=batch_multiple,
        num_buckets=num_buckets,
    )
    pads = [form.tokenizer.pad_id or 0 for form in forms]
    with tf.device("CPU:0"):
        tables = [Side(*map(tf.constant, side)) for side in sides]

    def batch(
        row_B: Tensor, source_length: Tensor, target_length: Tensor, seed: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        del seed  # there is nothing to draw
        spans = [(tf.gather(s.starts, row_B), tf.gather(s.lengths, row_B)) for s in tables]
        return decoder_batch(
            padded(tables[0].ids, *spans[0], source_length, pads[0]),
            padded(tables[1].ids, *spans[1], target_length + 1, pads[1]),
            pads[1],
        )

    pipeline = BucketPipeline(
        batch,
        buckets=buckets,
        seed=seed,
        shuffle=shuffle,
        drop_remainder=drop_remainder,
        batch_multiple=batch_multiple,
        start_step=start_step,
        token_counts=np.bincount(sides[1].ids, minlength=target_tokenizer.vocab_size),
    )
    pipeline.too_long, pipeline.num_too_long = places, len(places)
    pipeline.start_ids = forms[1].before
    return pipeline
