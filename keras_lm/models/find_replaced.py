"""Texts to the probability of each of their tokens that it was replaced, in one graph.

`find_replaced` of a model calls it from Python; the export traces the same functions.

B batch, T length.
"""

from typing import Any

import tensorflow as tf

from keras_lm.models.interface import graph, made_once
from keras_lm.models.limits import CUT
from keras_lm.models.reading import encode_rows, padded, read_ids, read_text, token_texts

Tensor = Any


class FindsReplaced:
    """For models with a replaced-token head: which tokens do not belong. To stand first."""

    def find_replaced(self, texts: str | list[str]) -> Any:
        """Says of each token of a text how likely it was replaced.

        Args:
            texts: a text, or several. Special tokens in them are text, unless the tokenizer parses
                them.

        Returns:
            For each text a list of pairs (token, probability), without the special tokens that a
            row gets. For a single text its list alone.

        Raises:
            ValueError: no tokenizer; no replaced-token head; a text longer than `max_length`.
        """
        model: Any = self
        model.require_head("find_replaced()", "replaced_token")
        tokenizer = model.require_tokenizer("find_replaced()")
        finder = made_once(ReplacedFinder, model, tokenizer)
        _, rows = encode_rows(tokenizer, texts, model.max_length)
        found = finder.find_in_ids(*padded(tokenizer, rows))
        answers = [
            # Without [CLS] and [SEP].
            [
                (token.decode(), float(score))
                for token, score in zip(tokens[1 : count - 1], scores[1 : count - 1], strict=True)
            ]
            for tokens, scores, count in zip(
                *(found[name].numpy() for name in ("tokens", "scores", "count")), strict=True
            )
        ]
        return answers[0] if isinstance(texts, (str, bytes)) else answers


class ReplacedFinder:
    """A discriminator behind its tokenizer; writes no variable, so calls may run concurrently.

    Args:
        model: a `LanguageModel` with a replaced-token head, its `max_length` and `call`.
        tokenizer: has `[CLS]`, `[SEP]` and `[UNK]`.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.tokens_V = tf.constant(token_texts(tokenizer))
        row = tf.TensorSpec([None], "int32")
        self.find_in_text = graph(self._find_in_text, tf.TensorSpec([None], "string"))
        self.find_in_ids = graph(self._find_in_ids, tf.TensorSpec([None, None], "int32"), row)

    def _find_in_text(self, text: Tensor) -> dict[str, Tensor]:
        """Judges the tokens of texts, without the special tokens that a row gets.

        Args:
            text: string `(B,)`.

        Returns:
            `tokens` string `(B, T)`; `scores` float32 `(B, T)`, the probability of each that it was
            replaced; `count` int32 `(B,)`, the tokens of each row: what stands behind them is
            padding, "" and -1; `status` int32 `(B,)`, 0 or `CUT`.
        """
        token_ids, real_BT, cut_B = read_text(self.tokenizer, text, self.model.max_length)
        score_BT = self._scores(token_ids, real_BT)
        # A token of the text has another one behind it, at least [SEP], and [CLS] before it.
        return self._answer(token_ids[:, 1:-1], real_BT[:, 2:], score_BT[:, 1:-1], cut_B)

    def _find_in_ids(self, token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Judges every token of rows of ids.

        Args:
            token_ids: int32 `(B, T)`, padded on the right, special tokens included; ids outside the
                vocabulary are read as the unknown token.
            lengths: int32 `(B,)`, of each row without its padding.

        Returns:
            As `find_in_text`, for all ids that were read.
        """
        token_ids, real_BT, cut_B = read_ids(
            self.tokenizer, token_ids, lengths, self.model.max_length
        )
        return self._answer(token_ids, real_BT, self._scores(token_ids, real_BT), cut_B)

    def _scores(self, token_ids: Tensor, real_BT: Tensor) -> Tensor:
        logits_BT = self.model({"token_ids": token_ids, "padding_mask": real_BT}, training=False)
        if isinstance(logits_BT, dict):
            logits_BT = logits_BT["replaced_token"]
        return tf.sigmoid(logits_BT)

    def _answer(
        self, token_ids: Tensor, real_BT: Tensor, score_BT: Tensor, cut_B: Tensor
    ) -> dict[str, Tensor]:
        return {
            "tokens": tf.where(real_BT, tf.gather(self.tokens_V, token_ids), ""),
            "scores": tf.where(real_BT, score_BT, -1.0),
            "count": tf.reduce_sum(tf.cast(real_BT, "int32"), axis=1),
            "status": CUT * tf.cast(cut_B, "int32"),
        }
