"""How likely a causal model finds texts.

B batch, T length.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.generation import log_likelihood
from keras_lm.models.interface import as_text, check_ids, graph
from keras_lm.models.limits import BYTES_PER_TOKEN, CUT

Tensor = Any

# Of each token so many alternatives are told.
_TOP = 5


class Scores(NamedTuple):
    """One value for each text.

    Attributes:
        log_likelihood: float32 `(B,)`, natural logarithm of the text's probability.
        num_tokens: int32 `(B,)`, how many tokens that is the sum of.
        num_characters: int32 `(B,)`.
        perplexity: float32 `(B,)`, per token.
        perplexity_per_character: float32 `(B,)`; comparable between tokenizers.
    """

    log_likelihood: Any
    num_tokens: Any
    num_characters: Any
    perplexity: Any
    perplexity_per_character: Any


def as_scores(likelihood_B: Tensor, num_tokens_B: Tensor, num_characters_B: Tensor) -> Scores:
    """Adds the perplexities; what has no tokens has the perplexity 1."""

    def perplexity(count_B: Tensor) -> Tensor:
        return tf.exp(-likelihood_B / tf.cast(tf.maximum(count_B, 1), "float32"))

    return Scores(
        likelihood_B,
        num_tokens_B,
        num_characters_B,
        perplexity(num_tokens_B),
        perplexity(num_characters_B),
    )


class TextScorer:
    """A causal model behind its tokenizer; writes no variable, so calls may run concurrently."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.score = graph(self._score, tf.TensorSpec([None], "string"))
        self.score_ids = graph(self._score_ids, tf.RaggedTensorSpec([None, None], "int32"))
        self.score_tokens = graph(
            self._score_tokens, tf.TensorSpec([None, None], "int32"), tf.TensorSpec([None], "int32")
        )

    def _score_ids(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Scores rows of ids, each behind an end token.

        Args:
            ids: RaggedTensor of int32 `(B, None)`, rows of at most the model's `max_length`.

        Returns:
            float32 `(B,)`, the log-likelihoods, and int32 `(B,)`, the numbers of tokens.
        """
        labels_BT = ids.to_tensor(0)
        lengths_B = tf.cast(ids.row_lengths(), "int32")
        before_B1 = tf.fill([tf.shape(labels_BT)[0], 1], self.tokenizer.end_id)
        inputs_BT = tf.concat([before_B1, labels_BT], axis=1)[:, :-1]
        logits_BTV = self._logits(inputs_BT)
        return log_likelihood(logits_BTV, labels_BT, lengths_B), lengths_B

    def _logits(self, token_ids: Tensor) -> Tensor:
        """Gives float `(B, T, V)`, V those of the tokenizer."""
        logits_BTV = self.model(token_ids, training=False)
        if isinstance(logits_BTV, dict):
            logits_BTV = logits_BTV["causal_lm"]
        # What the tokenizer has no text for is never generated, so it takes no probability here.
        return logits_BTV[..., : self.tokenizer.vocab_size]

    def _score_tokens(self, token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Scores each token behind those before it; of rows that are too long the start.

        Ids outside the vocabulary are read as the end token.

        Args:
            token_ids: int32 `(B, T)`, padded on the right.
            lengths: int32 `(B,)`.

        Returns:
            `log_probs` float32 `(B, X)`, X being T or, if that is less, the model's length: of each
            token, 0 of the first, which stands behind nothing, and behind a row's last; `tokens`
            string `(B, X)`, their bytes; `top_log_probs` float32 and `top_tokens` string
            `(B, X, 5)`, what would have been likeliest in the place of each; `count` int32 `(B,)`,
            how many tokens were read; `status` int32 `(B,)`: 0, or `CUT`.
        """
        width = tf.minimum(tf.shape(token_ids)[1], self.model.max_length)
        count_B = tf.clip_by_value(lengths, 0, width)
        real_BX = tf.sequence_mask(count_B, width)
        ids_BX = token_ids[:, :width]
        inside_BX = real_BX & (ids_BX >= 0) & (ids_BX < self.tokenizer.vocab_size)
        ids_BX = tf.where(inside_BX, ids_BX, self.tokenizer.end_id)
        # One token more, so that there is something to read in rows of no width.
        padded = tf.pad(ids_BX, [[0, 0], [0, 2]], constant_values=self.tokenizer.end_id)
        read = tf.maximum(width, 1)
        logits_BXV = tf.cast(self._logits(padded[:, :read]), tf.float32)
        next_BX = padded[:, 1 : read + 1]
        sum_BX = tf.reduce_logsumexp(logits_BXV, -1)
        known_BX = real_BX & (tf.range(width) > 0)[None]

        def behind(x: Tensor) -> Tensor:
            """Moves what was found at each place to the token that stands behind it."""
            return tf.concat([tf.zeros_like(x[:, :1]), x[:, :-1]], 1)[:, :width]

        value_BX = behind(tf.gather(logits_BXV, next_BX, batch_dims=2) - sum_BX)
        size = min(_TOP, self.tokenizer.vocab_size)
        top_BXk, top_id_BXk = tf.math.top_k(logits_BXV, size)
        top_BXk, top_id_BXk = behind(top_BXk - sum_BX[..., None]), behind(top_id_BXk)
        piece_V = self.tokenizer.token_bytes
        return {
            "log_probs": tf.where(known_BX, value_BX, 0.0),
            "tokens": tf.where(real_BX, tf.gather(piece_V, ids_BX), ""),
            "top_log_probs": tf.where(known_BX[..., None], top_BXk, 0.0),
            "top_tokens": tf.where(known_BX[..., None], tf.gather(piece_V, top_id_BXk), ""),
            "count": count_B,
            "status": CUT * tf.cast(lengths > width, "int32"),
        }

    def _score(self, text: Tensor) -> dict[str, Tensor]:
        """Scores texts of any length; of one that is too long the start.

        Args:
            text: string `(B,)`.

        Returns:
            The fields of `Scores`, each `(B,)`, and `status` int32 `(B,)`: 0, or `CUT`. An empty
            text has no tokens, the log-likelihood 0 and the perplexities 1.
        """
        ids, num_characters_B, cut_B = read_start(self.tokenizer, text, self.model.max_length)
        likelihood_B, num_tokens_B = self._score_ids(ids)
        scores = as_scores(likelihood_B, num_tokens_B, num_characters_B)
        return {**scores._asdict(), "status": CUT * tf.cast(cut_B, "int32")}


def read_start(
    tokenizer: Any, text: Tensor, max_tokens: int
) -> tuple[tf.RaggedTensor, Tensor, Tensor]:
    """Reads texts of any length; of one that is too long the start.

    Args:
        tokenizer: of the texts.
        text: string `(B,)`.
        max_tokens: so many are read at most.

    Returns:
        Their ids, RaggedTensor of int32 `(B, None)`; int32 `(B,)`, the characters that were read;
        bool `(B,)`, whether that is not all.
    """
    limit = BYTES_PER_TOKEN * max_tokens
    start_B = tf.strings.substr(text, 0, limit)
    ids = tokenizer.tokenize(start_B)
    cut_B = (tf.strings.length(text) > limit) | (ids.row_lengths() > max_tokens)
    ids = ids[:, :max_tokens]
    read_B = tf.where(cut_B, tokenizer.detokenize(ids), start_B)
    # Transcoded first: in what is no UTF-8 a character is what it is read as.
    readable_B = tf.strings.unicode_transcode(read_B, "UTF-8", "UTF-8")
    return ids, tf.strings.length(readable_B, unit="UTF8_CHAR"), cut_B


def score_rows(
    score: Callable[..., tuple[Tensor, Tensor]],
    *columns: list[list[int]],
    characters: list[int],
    batch_size: int,
) -> Scores:
    """Scores rows in batches of about one length, so that little is padded.

    Args:
        score: takes a RaggedTensor of each column; returns the rows' log-likelihoods and numbers of
            tokens.
        *columns: rows of ids; the last column says how long a row is.
        characters: of each row.
        batch_size: rows that are read at once.

    Raises:
        ValueError: `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be positive. Received: {batch_size}")
    order = np.argsort([len(row) for row in columns[-1]], kind="stable")
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    found = [
        score(
            *(
                tf.ragged.constant([rows[i] for i in batch], "int32", ragged_rank=1)
                for rows in columns
            )
        )
        for batch in batches
    ]
    back = np.argsort(order)  # into the order that they were given in
    likelihood, num_tokens = (tf.concat(parts, 0) for parts in zip(*found, strict=True))
    scores = as_scores(
        tf.gather(likelihood, back), tf.gather(num_tokens, back), tf.constant(characters)
    )
    return Scores(*(values.numpy() for values in scores))


def score_texts(model: Any, scorer: TextScorer, texts: list[str], batch_size: int) -> Scores:
    """Checks the request and calls the graph; see `GPT.score`."""
    if not texts or not all(texts):
        raise ValueError(f"texts must hold texts that are not empty. Received: {texts!r:.80}")
    rows = scorer.tokenizer.encode_batch(texts)
    check_ids(rows, scorer.tokenizer.vocab_size, model.max_length)
    characters = [len(as_text(text)) for text in texts]
    return score_rows(scorer.score_ids, rows, characters=characters, batch_size=batch_size)
