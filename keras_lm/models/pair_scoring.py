"""How likely an encoder-decoder model finds targets, given their sources.

B batch, S length of the source, T length of the target, P tokens that a target begins with.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_lm.generation import log_likelihood
from keras_lm.models.interface import as_text, check_ids, graph
from keras_lm.models.limits import CUT
from keras_lm.models.scoring import Scores, as_scores, read_start, score_rows
from keras_lm.models.source_rows import SourceRows

Tensor = Any


class PairScorer:
    """An encoder-decoder model behind its tokenizer; calls may run concurrently."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.start_ids, self.end_id = model.start_ids, model.end_id
        self.rows = SourceRows(tokenizer, model.max_length)
        # The decoder reads what a target begins with and the target, but not its end.
        self.room = model.max_length - len(self.start_ids)
        text, ids = tf.TensorSpec([None], "string"), tf.RaggedTensorSpec([None, None], "int32")
        self.score = graph(self._score, text, text)
        self.score_ids = graph(self._score_ids, ids, ids)

    def _score_ids(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Scores rows of ids.

        Args:
            source: RaggedTensor of int32 `(B, None)`, special tokens included.
            target: RaggedTensor of int32 `(B, None)`, without special tokens.

        Returns:
            float32 `(B,)`, the log-likelihoods, and int32 `(B,)`, the numbers of tokens.
        """
        lengths_B = tf.cast(source.row_lengths(), "int32")
        ends_B = tf.ones_like(lengths_B, "bool")
        return self._of_rows(source.to_tensor(0), lengths_B, target, ends_B)

    def _of_rows(
        self, token_ids: Tensor, lengths: Tensor, target: Tensor, ends: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scores targets; the end token counts where `ends`, bool `(B,)`, is true."""
        text_BT = target.to_tensor(0)
        size_B = tf.cast(target.row_lengths(), "int32")
        start_BP = tf.tile(tf.constant([self.start_ids]), [tf.shape(text_BT)[0], 1])
        logits_BTV = self.model(
            {
                "token_ids": token_ids,
                "padding_mask": tf.sequence_mask(lengths, tf.shape(token_ids)[1]),
                "decoder_token_ids": tf.concat([start_BP, text_BT], 1),
            },
            training=False,
        )
        # What the tokenizer has no text for is never generated, so it takes no probability here.
        logits_BTV = logits_BTV[:, len(self.start_ids) - 1 :, : self.tokenizer.vocab_size]
        label_BT = tf.pad(text_BT, [[0, 0], [0, 1]])
        behind_BT = tf.range(tf.shape(label_BT)[1]) == size_B[:, None]
        label_BT = tf.where(behind_BT, self.end_id, label_BT)
        count_B = size_B + tf.cast(ends, "int32")
        return log_likelihood(logits_BTV, label_BT, count_B), count_B

    def _score(self, text: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Scores texts of any length; of one that is too long the start.

        Args:
            text: string `(B,)`, the sources.
            target: string `(B,)`. Of an empty one the end token counts alone, and of one that was
                cut it does not count.

        Returns:
            The fields of `Scores`, each `(B,)`, and `status` int32 `(B,)`: 0, or `CUT`.
        """
        token_ids, lengths_B, source_cut_B = self.rows.read(text)
        ids, num_characters_B, cut_B = read_start(self.tokenizer, target, self.room)
        likelihood_B, num_tokens_B = self._of_rows(token_ids, lengths_B, ids, ~cut_B)
        scores = as_scores(likelihood_B, num_tokens_B, num_characters_B)
        return {**scores._asdict(), "status": CUT * tf.cast(source_cut_B | cut_B, "int32")}


def score_pairs(
    scorer: PairScorer,
    sources: str | Sequence[str],
    targets: str | Sequence[str],
    batch_size: int,
) -> Scores:
    """Checks the request and calls the graph; see `Transformer.score`."""
    sources, targets = (
        [texts] if isinstance(texts, (str, bytes)) else list(texts) for texts in (sources, targets)
    )
    if not sources or len(sources) != len(targets):
        raise ValueError(
            "There must be one target for each source, and one pair at least. "
            f"Received: {len(sources)} sources, {len(targets)} targets"
        )
    if not all(targets):
        raise ValueError(f"targets must hold texts that are not empty. Received: {targets!r:.80}")
    source_rows, rows = scorer.rows.encode(sources), scorer.tokenizer.encode_batch(targets)
    check_ids(source_rows, scorer.tokenizer.vocab_size, scorer.model.max_length)
    check_ids(rows, scorer.tokenizer.vocab_size, scorer.room)
    characters = [len(as_text(text)) for text in targets]
    return score_rows(
        scorer.score_ids, source_rows, rows, characters=characters, batch_size=batch_size
    )
