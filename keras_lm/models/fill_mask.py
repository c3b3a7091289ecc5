"""Texts with masks in them to what should stand there, in one graph.

`fill_mask` of a model calls it from Python; the export traces the same functions.

B batch, T length, P masks of the row that has most, k fillings, V vocabulary.
"""

import operator
from typing import Any

import tensorflow as tf

from keras_lm.models.interface import graph, made_once
from keras_lm.models.limits import CUT, NO_MASK
from keras_lm.models.reading import encode_rows, padded, read_ids, read_text, token_texts

Tensor = Any


class FillsMasks:
    """For models with a masked-LM head: what stands at the masks of a text. To stand first."""

    def fill_mask(self, texts: str | list[str], top_k: int = 5) -> Any:
        """Fills each mask of a text.

        Args:
            texts: a text, or several; the tokenizer's mask token, such as a literal `[MASK]` or
                `<mask>`, marks what is to be filled.
            top_k: number of fillings for each mask, likeliest first.

        Returns:
            For each text a list with an entry for each mask: a list of `top_k` pairs (token,
            probability). For a single text its list alone. Tokens of byte-level BPE are given as
            text: " the", and U+FFFD for a token that is a part of a character.

        Raises:
            ValueError: no tokenizer; no masked-LM head; `top_k` outside 1 .. vocabulary; a text
                without a mask, empty, or longer than `max_length`.
        """
        model: Any = self
        model.require_head("fill_mask()", "masked_lm")
        tokenizer = model.require_tokenizer("fill_mask()")
        return _fill_mask(model, made_once(MaskFiller, model, tokenizer), texts, top_k)


class MaskFiller:
    """A masked LM behind its tokenizer; writes no variable, so calls may run concurrently.

    Args:
        model: a `LanguageModel` with a masked-LM head, its `max_length` and `call`.
        tokenizer: has a mask; its literal in a text is parsed, whatever the tokenizer's own
            `special_tokens`.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = parsing(tokenizer)
        self.tokens_V = tf.constant(token_texts(self.tokenizer))
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
        return self._fill(*read_text(self.tokenizer, text, self.model.max_length), top_k)

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
        return self._fill(
            *read_ids(self.tokenizer, token_ids, lengths, self.model.max_length), top_k
        )

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
    """Returns a tokenizer that reads the literal of a special token in a text as the token."""
    if tokenizer.special_tokens == "parse":
        return tokenizer
    return type(tokenizer).from_config({**tokenizer.get_config(), "special_tokens": "parse"})


def _fill_mask(model: Any, filler: MaskFiller, texts: str | list[str], top_k: int) -> Any:
    tokenizer = filler.tokenizer
    top_k = operator.index(top_k)
    if not 1 <= top_k <= tokenizer.vocab_size:
        raise ValueError(
            f"top_k must be in 1 .. {tokenizer.vocab_size}, the vocabulary. Received: {top_k}"
        )
    batch, rows = encode_rows(tokenizer, texts, model.max_length)
    for text, row in zip(batch, rows, strict=True):
        if tokenizer.mask_id not in row:
            raise ValueError(
                f"A text must hold {tokenizer.tokens[tokenizer.mask_id]} where it is to be filled. "
                f"Received: {text[:80]!r}"
            )
    found = filler.fill_ids(*padded(tokenizer, rows), tf.constant(top_k))
    answers = [
        [
            [(token.decode(), float(score)) for token, score in zip(*mask, strict=True)]
            for mask in zip(tokens[:count], scores[:count], strict=True)
        ]
        for tokens, scores, count in zip(
            *(found[name].numpy() for name in ("tokens", "scores", "count")), strict=True
        )
    ]
    return answers[0] if isinstance(texts, (str, bytes)) else answers
