"""Texts with `[MASK]` in them to what should stand there, in one graph.

`BERT.fill_mask` calls it from Python; the export traces the same functions.

B batch, T length, P masks of the row that has most, k fillings, V vocabulary.
"""

import operator
from typing import Any

import tensorflow as tf

from keras_lm.models.interface import check_ids, graph
from keras_lm.models.limits import BYTES_PER_TOKEN, CUT, NO_MASK

Tensor = Any


class MaskFiller:
    """A masked LM behind its tokenizer; writes no variable, so calls may run concurrently.

    Args:
        model: a `LanguageModel` with a masked-LM head, its `max_length` and `call`.
        tokenizer: a WordPiece tokenizer; a literal `[MASK]` in a text is parsed, whatever the
            tokenizer's own `special_tokens`.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = parsing(tokenizer)
        self.max_length = model.max_length
        self.tokens_V = tf.constant(self.tokenizer.tokens)
        row, number = tf.TensorSpec([None], "int32"), tf.TensorSpec([], "int32")
        self.fill_text = graph(self._fill_text, tf.TensorSpec([None], "string"), number)
        self.fill_ids = graph(self._fill_ids, tf.TensorSpec([None, None], "int32"), row, number)

    def _fill_text(self, text: Tensor, top_k: Tensor) -> dict[str, Tensor]:
        """Fills the masks of texts.

        Args:
            text: string `(B,)`.
            top_k: k, int32 scalar.

        Returns:
            `tokens` string `(B, P, k)`, likeliest first, `scores` float32 `(B, P, k)`, their
            probabilities; `count` int32 `(B,)`, the masks of each row: what stands behind them is
            padding, "" and -1; `status` int32 `(B,)`, 0 or a sum of `CUT` and `NO_MASK`.
        """
        limit = BYTES_PER_TOKEN * self.max_length
        cut_B = tf.strings.length(text) > limit
        ids = self.tokenizer.tokenize(tf.strings.substr(text, 0, limit))
        # Two places are for [CLS] and [SEP].
        cut_B |= ids.row_lengths() > self.max_length - 2
        longest = tf.cast(tf.reduce_max(tf.concat([ids.row_lengths(), [0]], 0)), "int32")
        packed = self.tokenizer.pack(ids, max_length=self.max_length)
        width = tf.minimum(longest + 2, self.max_length)
        return self._fill(
            packed["token_ids"][:, :width], packed["padding_mask"][:, :width], cut_B, top_k
        )

    def _fill_ids(self, token_ids: Tensor, lengths: Tensor, top_k: Tensor) -> dict[str, Tensor]:
        """Fills the masks of rows of ids, special tokens included.

        Args:
            token_ids: int32 `(B, T)`, padded on the right; ids outside the vocabulary are read as
                the unknown token.
            lengths: int32 `(B,)`, of each row without its padding.
            top_k: k, int32 scalar.

        Returns:
            As `fill_text`.
        """
        cut_B = lengths > self.max_length
        token_ids = token_ids[:, : self.max_length]
        inside = (token_ids >= 0) & (token_ids < self.tokenizer.vocab_size)
        token_ids = tf.where(inside, token_ids, self.tokenizer.unk_id)
        real_BT = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
        return self._fill(token_ids, real_BT, cut_B, top_k)

    def _fill(
        self, token_ids: Tensor, real_BT: Tensor, cut_B: Tensor, top_k: Tensor
    ) -> dict[str, Tensor]:
        mask_BT = (token_ids == self.tokenizer.mask_id) & real_BT
        count_B = tf.reduce_sum(tf.cast(mask_BT, "int32"), axis=1)
        # Stable: the places of the masks come first, in their order.
        order_BT = tf.argsort(tf.cast(~mask_BT, "int32"), axis=1, stable=True)
        positions_BP = order_BT[:, : tf.reduce_max(tf.concat([count_B, [0]], 0))]
        logits_BPV = self.model(
            {"token_ids": token_ids, "padding_mask": real_BT, "masked_positions": positions_BP},
            training=False,
        )
        if isinstance(logits_BPV, dict):
            logits_BPV = logits_BPV["masked_lm"]
        # The model's vocabulary may be larger than the tokenizer's: those rows have no name.
        logits_BPV = logits_BPV[..., : self.tokenizer.vocab_size]
        scores_BPk, ids_BPk = tf.math.top_k(tf.nn.softmax(logits_BPV), top_k)
        real_BP1 = tf.sequence_mask(count_B, tf.shape(positions_BP)[1])[:, :, None]
        return {
            "tokens": tf.where(real_BP1, tf.gather(self.tokens_V, ids_BPk), ""),
            "scores": tf.where(real_BP1, scores_BPk, -1.0),
            "count": count_B,
            "status": CUT * tf.cast(cut_B, "int32") + NO_MASK * tf.cast(count_B == 0, "int32"),
        }


def parsing(tokenizer: Any) -> Any:
    """Returns a tokenizer that reads a literal `[MASK]` in a text as the token."""
    if tokenizer.special_tokens == "parse":
        return tokenizer
    return type(tokenizer).from_config({**tokenizer.get_config(), "special_tokens": "parse"})


def fill_mask(model: Any, filler: MaskFiller, texts: str | list[str], top_k: int) -> Any:
    """Checks the request and calls the graph; see `BERT.fill_mask`."""
    tokenizer = filler.tokenizer
    top_k = operator.index(top_k)
    if not 1 <= top_k <= tokenizer.vocab_size:
        raise ValueError(
            f"top_k must be in 1 .. {tokenizer.vocab_size}, the vocabulary. Received: {top_k}"
        )
    is_single = isinstance(texts, (str, bytes))
    batch = [texts] if is_single else list(texts)
    if not batch:
        raise ValueError("texts must hold at least one text. Received: none")
    rows = [tokenizer.encode(text) for text in batch]
    check_ids(rows, tokenizer.vocab_size, model.max_length)
    for text, row in zip(batch, rows, strict=True):
        if tokenizer.mask_id not in row:
            raise ValueError(
                f"A text must hold {tokenizer.tokens[tokenizer.mask_id]} where it is to be filled. "
                f"Received: {text[:80]!r}"
            )
    ids = tf.ragged.constant(rows, "int32", ragged_rank=1)
    lengths = tf.cast(ids.row_lengths(), "int32")
    found = filler.fill_ids(ids.to_tensor(tokenizer.pad_id), lengths, tf.constant(top_k))
    answers = [
        [
            [(token.decode(), float(score)) for token, score in zip(*mask, strict=True)]
            for mask in zip(tokens[:count], scores[:count], strict=True)
        ]
        for tokens, scores, count in zip(
            *(found[name].numpy() for name in ("tokens", "scores", "count")), strict=True
        )
    ]
    return answers[0] if is_single else answers
