"""Which tokens a model attends to: the weights of every layer and head.

They say where numbers flow, not why an answer is what it is (Jain and Wallace 2019,
arXiv:1902.10186); for that see `keras_lm.tasks.attributions`.

B batch, T length, L layers, H heads.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm.models.explanations.html import attention_html, page
from keras_lm.models.explanations.text_tokens import TextToken, token_row
from keras_lm.models.given_texts import as_texts
from keras_lm.models.interface import graph, made_once

Tensor = Any


class AttentionScores(NamedTuple):
    """Of a text, or of a pair.

    Attributes:
        texts: the text, or both of a pair.
        tokens: T times a `TextToken`, special tokens included.
        scores: float32 `(L, H, T, T)`: how much the token of the row attends to that of the column.
            Each row adds up to 1. Of a target that attends to its source: `(L, H, T, S)`.
        cut: whether the text was too long, and its start alone was read.
        attended: S times a `TextToken`, the columns, where they are others. None: they are
            `tokens`.
        kind: which of a model's attentions it is, where it has several.
    """

    texts: tuple[str, ...]
    tokens: tuple[TextToken, ...]
    scores: Any
    cut: bool
    attended: tuple[TextToken, ...] | None = None
    kind: str = ""

    @property
    def columns(self) -> tuple[TextToken, ...]:
        """The tokens that are attended to."""
        return self.tokens if self.attended is None else self.attended

    def _repr_html_(self) -> str:
        """Shows the mean over the heads of each layer in a notebook."""
        return page([attention_html(self)], whole=False)


class ShowsAttention:
    """For models with an encoder or a decoder: what it attends to in texts. To stand first."""

    def attention_scores(self, texts: Any) -> Any:
        """Reads texts and gives the attention weights of every layer and head.

        They are those of an ordinary pass without dropout, which itself never keeps them. Of a
        banded layer (GPT-3) the full matrix is computed here; outside of its band there is 0.
        Of ids: `model.encoder(inputs, return_attention_scores=True)`, of GPT `model.decoder`.

        Args:
            texts: a string, or a pair of them as a tuple; or a list of strings, or of pairs.

        Returns:
            `AttentionScores`; of several texts a list of them. Each takes 4 L H T^2 bytes.

        Raises:
            ValueError: no text, no tokenizer, or a task that reads a text with an encoder and a
                decoder.
        """
        model: Any = self
        if hasattr(model, "encoder") and hasattr(model, "decoder"):
            raise ValueError(
                "attention_scores() is of a model that reads a text with an encoder or a decoder; "
                "of a Transformer that reads it with both, ask its layers with "
                "return_attention_scores=True. "
                f"Received: a {type(model).__name__}"
            )
        read = as_texts(texts)
        if read is None:
            raise ValueError(f"attention_scores() takes texts. Received: {texts!r:.80}")
        tokenizer = model.require_tokenizer("attention_scores()")
        columns, single = read
        asked = made_once(_Attention, model, tokenizer)
        found = [asked(list(text)) for text in zip(*columns, strict=True)]
        return found[0] if single else found


class _Attention:
    """A model's stack behind its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.stack = model.encoder if hasattr(model, "encoder") else model.decoder
        self.tokenizer, self.max_length = tokenizer, model.max_length
        row = tf.TensorSpec([None, None], "int32")
        self.scores = graph(self._scores, row, row)

    def __call__(self, texts: list[Any]) -> AttentionScores:
        row = token_row(self.tokenizer, texts, self.max_length)
        scores_LHTT = self.scores(row.token_ids[None], row.segment_ids[None])[:, 0].numpy()
        return AttentionScores(row.texts, row.tokens, scores_LHTT, row.cut)

    def _scores(self, token_ids: Tensor, segment_ids: Tensor) -> Tensor:
        inputs = {"token_ids": token_ids}
        if has_segments(self.stack):
            inputs["segment_ids"] = segment_ids
        _, scores = self.stack(inputs, return_attention_scores=True, training=False)
        return tf.cast(tf.stack(scores), "float32")


def has_segments(stack: Any) -> bool:
    """Whether an encoder or a decoder tells segments apart."""
    segments = stack.embedding.segments
    return segments is not None and segments.vocab_size > 1
