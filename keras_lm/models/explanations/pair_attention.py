"""What an encoder-decoder model attends to: in a source, in a target, and from the target to it.

B batch, S length of the source, T length of what the decoder reads, L layers, H heads.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.models.explanations.attention_scores import AttentionScores
from keras_lm.models.explanations.attributing import each, single_texts
from keras_lm.models.explanations.html import attention_html, page
from keras_lm.models.explanations.source_attributions import targets_of
from keras_lm.models.explanations.text_tokens import TextToken, token_row, tokens_of
from keras_lm.models.interface import graph, made_once
from keras_lm.models.reading import token_texts
from keras_lm.models.source_rows import SourceRows

Tensor = Any


class PairAttention(NamedTuple):
    """Of a source and its target.

    Attributes:
        encoder: `AttentionScores` of the source's tokens among themselves.
        decoder: of the tokens that the decoder reads, which begin with those that a target begins
            with and end with the target's last one: each attends to itself and to those before it.
        cross: of those tokens, the rows, to the source's, the columns.
    """

    encoder: AttentionScores
    decoder: AttentionScores
    cross: AttentionScores

    def _repr_html_(self) -> str:
        """Shows the mean over the heads of each layer in a notebook."""
        return page([attention_html(found) for found in self], whole=False)


def pair_attention(
    model: Any, sources: Any, target: Any, write: Callable[[list[Any]], list[str]]
) -> Any:
    """Gives attention weights; see `GivesTargets.attention_scores`.

    Args:
        model: see there.
        sources: see there.
        target: see there.
        write: sources to what the model writes.
    """
    texts, single = single_texts("sources", sources, "attention_scores()")
    tokenizer = model.require_tokenizer("attention_scores()")
    pairs = targets_of(model, texts, each("target", target, len(texts), single), write)
    asked = made_once(_PairAttention, model, tokenizer)
    found = [asked(text, *pair) for text, pair in zip(texts, pairs, strict=True)]
    return found[0] if single else found


class _PairAttention:
    """An encoder-decoder model behind its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.start_ids = model.start_ids
        self.pack = SourceRows(tokenizer, model.max_length).pack
        row = tf.TensorSpec([None, None], "int32")
        self.scores = graph(self._scores, row, row)

    def __call__(self, source: Any, target: str, ids: list[int]) -> PairAttention:
        row = token_row(self.tokenizer, [source], self.model.max_length, pack=self.pack)
        read = np.array([[*self.start_ids, *ids]], "int32")
        scores = self.scores(row.token_ids[None], read)
        encoder, decoder, cross = (values[:, 0].numpy() for values in scores)
        names = token_texts(self.tokenizer)
        # An id that the tokenizer lacks may begin a target.
        known = [names[id_] if id_ < len(names) else str(id_) for id_ in self.start_ids]
        begins = [TextToken(name, name, -1, -1, -1) for name in known]
        whole = len(target.encode())
        written = [token for _, token in tokens_of(self.tokenizer, target, 0, whole)]
        second = [token._replace(part=1) for token in written]
        return PairAttention(
            AttentionScores(row.texts, row.tokens, encoder, row.cut, kind="encoder"),
            AttentionScores((target,), (*begins, *written), decoder, False, kind="decoder"),
            AttentionScores(
                (*row.texts, target), (*begins, *second), cross, row.cut, row.tokens, "cross"
            ),
        )

    def _scores(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        memory, encoder = self.model.encoder(source, return_attention_scores=True, training=False)
        _, decoder, cross = self.model.decoder(
            target,
            memory,
            return_attention_scores=True,
            return_cross_attention_scores=True,
            training=False,
        )
        encoder, decoder, cross = (tf.stack(scores) for scores in (encoder, decoder, cross))
        return tuple(tf.cast(scores, "float32") for scores in (encoder, decoder, cross))
