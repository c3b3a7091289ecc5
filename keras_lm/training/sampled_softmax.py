"""Cross-entropy over a sample of the classes, for training with large vocabularies.

Source: Jean et al. 2015, arXiv:1412.2007, section 3; the correction of the logits is that of
TensorFlow's `tf.nn.sampled_softmax_loss`. Differs from there in that each class is drawn or not
with a chance of its own, by itself, so that the correction is exact.

N tokens, D width of a hidden state, V classes, K samples.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lm.training.losses import weighed

Tensor = Any

_POWER = 0.75
_NEVER = -1e30  # the logit of what shall not count; finite, so that its gradient is 0


@keras.saving.register_keras_serializable("keras_lm")
class SampledSoftmax:
    """Samples ids, and says what a token costs by them.

    A label is to be told from the ids that were sampled, every logit less the logarithm of the
    chance that its id had. The model that does so best is the one that does best by the whole
    softmax; rare ids are drawn rarely, and count for the others when they are.

    Args:
        num_samples: K, at most V; V itself gives the whole softmax. A step has so many samples at
            most, by four standard deviations fewer on average.
        distribution: how often each id occurs, V numbers: it is drawn by the power 3/4 of that and
            one (Mikolov et al. 2013, arXiv:1310.4546, section 2.2). Or "uniform", or "log_uniform":
            id i as log((i + 2) / (i + 1)), for ids that are sorted by frequency. None: counted in
            the pipeline that the model is first fitted to (`token_counts`).
        seed: of the samples; each step has samples of its own.

    Raises:
        ValueError: a number is out of range, or the distribution is unknown.
    """

    def __init__(
        self,
        num_samples: int,
        distribution: str | Sequence[float] | np.ndarray | None = None,
        *,
        seed: int = 0,
    ) -> None:
        if num_samples < 1:
            raise ValueError(f"num_samples must be positive. Received: num_samples={num_samples}")
        if isinstance(distribution, str) and distribution not in ("uniform", "log_uniform"):
            raise ValueError(
                'distribution must be "uniform", "log_uniform" or a number for each id. '
                f"Received: distribution={distribution!r}"
            )
        self.num_samples, self.seed = num_samples, seed
        self.distribution: Any = distribution
        if distribution is not None and not isinstance(distribution, str):
            self.distribution = counts = np.asarray(distribution, np.float64)
            if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any():
                raise ValueError(
                    "distribution must have one number for each id, none of them negative. "
                    f"Received: an array of shape {counts.shape}"
                )

    def check(self, vocab_size: int | None) -> None:
        """Raises ValueError where the sampler does not fit a vocabulary."""
        ids = len(self.distribution) if isinstance(self.distribution, np.ndarray) else vocab_size
        if vocab_size is None or self.num_samples > vocab_size or ids != vocab_size:
            raise ValueError(
                "A sampled softmax takes vocab_size samples at most, and a distribution over as "
                f"many ids. Received: num_samples={self.num_samples}, a distribution over {ids} "
                f"ids, vocab_size={vocab_size}"
            )

    def count(self, data: Any, vocab_size: int) -> None:
        """Takes the distribution from a pipeline, where none was given.

        Args:
            data: what the model is fitted to.
            vocab_size: of the model; tokenizers may have fewer tokens.

        Raises:
            ValueError: the data do not know how often each id occurs.
        """
        if self.distribution is not None:
            return
        counts = getattr(data, "token_counts", None)
        if counts is None:
            raise ValueError(
                "A sampled softmax must know how often each id occurs: fit a pipeline of "
                "keras_lm.data, or give SampledSoftmax a distribution. "
                f"Received: a {type(data).__name__}, distribution=None"
            )
        self.distribution = np.pad(counts.astype(np.float64), (0, vocab_size - len(counts)))

    def sample(self, vocab_size: int, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draws ids.

        Id i of share p arrives after an exponential time of mean 1 / p; those that arrive before
        some fixed time are taken, which each does with the chance 1 - exp(-p x time).

        Args:
            vocab_size: V.
            step: int scalar; each has samples of its own.

        Returns:
            The ids, int32 `(K,)`; which of them were drawn, bool `(K,)`; and the logarithm of the
            chance of each id, float32 `(V,)`.
        """
        if self.num_samples == vocab_size:
            return tf.range(vocab_size), tf.fill([vocab_size], True), tf.zeros([vocab_size])
        share_V = self._shares(vocab_size)
        time = _time_of(share_V, self.num_samples)
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64)])
        draw_V = tf.random.stateless_uniform([vocab_size], seed, alg="philox")
        arrival_V = -tf.math.log1p(-draw_V) / share_V.astype(np.float32)
        soonest_K, ids_K = tf.math.top_k(-arrival_V, self.num_samples)
        log_chance_V = np.log(-np.expm1(-share_V * time)).astype(np.float32)
        return ids_K, soonest_K > -time, tf.constant(log_chance_V)

    def _shares(self, vocab_size: int) -> np.ndarray:
        if isinstance(self.distribution, np.ndarray):
            counts = (self.distribution + 1) ** _POWER
        elif self.distribution == "uniform":
            counts = np.ones(vocab_size)
        elif self.distribution == "log_uniform":
            counts = np.log1p(1 / np.arange(1, vocab_size + 1))
        else:
            raise ValueError("count or a distribution must come first. Received: neither")
        return counts / counts.sum()

    def cross_entropy(
        self,
        labels: Tensor,
        hidden: Tensor,
        table: Tensor,
        bias: Tensor,
        weights: Tensor,
        step: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Returns what each token costs and its weight.

        The value is an estimate of the whole softmax's: the sum over all classes is that of the
        label, which is exact, and of the samples, each divided by its chance. The gradient is that
        of telling the label from the samples; that of the estimate would not vanish for the best
        model.

        Args:
            labels: int `(B, T)`. Where the weight is 0 it may be any number.
            hidden: float `(B, T, D)`.
            table: float `(V, D)`; logits are the products with it, and the bias.
            bias: float `(V,)`, or None.
            weights: float `(B, T)`, or `(B,)` for whole rows; None: every label counts one.
            step: int scalar.

        Returns:
            Both float32 `(B, T)`.
        """
        labels, weight = weighed(tf.convert_to_tensor(labels), weights)
        label_N, hidden_ND = tf.reshape(labels, [-1]), tf.reshape(hidden, [-1, hidden.shape[-1]])
        table = tf.convert_to_tensor(table)
        ids_K, drawn_K, log_chance_V = self.sample(table.shape[0], step)

        def rows(ids: Tensor) -> Tensor:
            return tf.cast(tf.gather(table, ids), hidden_ND.dtype)

        own_N = tf.cast(tf.reduce_sum(rows(label_N) * hidden_ND, -1), tf.float32)
        logit_NK = tf.cast(tf.matmul(hidden_ND, rows(ids_K), transpose_b=True), tf.float32)
        shift_K = -tf.gather(log_chance_V, ids_K)
        if bias is not None:
            bias = tf.cast(tf.convert_to_tensor(bias), tf.float32)
            own_N += tf.gather(bias, label_N)
            shift_K += tf.gather(bias, ids_K)
        # The label is there already, whether it was drawn or not.
        counts_NK = drawn_K & (label_N[:, None] != ids_K)
        others_N = tf.reduce_logsumexp(tf.where(counts_NK, logit_NK + shift_K, _NEVER), -1)
        whole_N = tf.math.softplus(others_N - own_N)  # log(exp(own) + exp(others)) - own
        choice_N = tf.math.softplus(others_N - own_N + tf.gather(log_chance_V, label_N))
        loss_N = choice_N + tf.stop_gradient(whole_N - choice_N)
        return tf.reshape(loss_N, tf.shape(labels)), weight

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        distribution = self.distribution
        if isinstance(distribution, np.ndarray):
            distribution = distribution.tolist()
        return {
            "num_samples": self.num_samples,
            "distribution": distribution,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SampledSoftmax":
        """Returns `cls(**config)`."""
        return cls(**config)


def _time_of(share: np.ndarray, num_samples: int) -> float:
    """The time before which so many ids have arrived, but for four standard deviations."""
    low, high = 0.0, 1.0
    while _most(share, high) < num_samples:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _most(share, middle) < num_samples else (low, middle)
    return low


def _most(share: np.ndarray, time: float) -> float:
    chance = -np.expm1(-share * time)
    return chance.sum() + 4 * np.sqrt((chance * (1 - chance)).sum())
