"""Learning rates over the steps of a training: a warm-up, then one of four courses.

s is the number of updates made so far, W the length of the warm-up, T that of the training. The
warm-up is linear and its first step is not lost: step s has (s + 1) / W of the peak.
"""

import math
from typing import Any

import keras
import tensorflow as tf

Tensor = Any

# The warm-up where it is given as a share of a training whose length nobody knows.
WARMUP_OF_UNKNOWN_LENGTH = 1_000


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Abstract base: the warm-up, and a length that can be filled in later.

    `LanguageModel.fit` calls `plan` with the length of the training before its first step, unless
    `total_steps` is given. A length that is not known yet is no error: Linear and Cosine then go
    down with the inverse square root, which needs no length.

    Args:
        peak_learning_rate: reached at the end of the warm-up.
        warmup: W as a number of steps (int), or as a share of T (float below 1).
        total_steps: T; None: `plan` says it.
        planned_steps: T as `plan` last said it; so a saved schedule goes on as it was.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        warmup: int | float = 0.1,
        *,
        total_steps: int | None = None,
        planned_steps: int | None = None,
    ) -> None:
        if peak_learning_rate <= 0:
            raise ValueError(f"peak_learning_rate must be positive. Received: {peak_learning_rate}")
        if warmup < 0 or (isinstance(warmup, float) and warmup >= 1):
            raise ValueError(
                "warmup must be a number of steps (int) or a share of the steps (float below 1). "
                f"Received: warmup={warmup!r}"
            )
        if total_steps is not None and total_steps < 1:
            raise ValueError(f"total_steps must be positive. Received: {total_steps}")
        self.peak_learning_rate = float(peak_learning_rate)
        self.warmup = warmup
        self.total_steps = total_steps
        self.planned_steps = planned_steps
        self._variable: Any = None

    def prepare(self) -> None:
        """Creates the variable that holds T, so that `plan` reaches functions already traced.

        To be called where the optimizer's variables are created: in the strategy's scope.
        """
        if self.total_steps is None and self._variable is None:
            self._variable = keras.Variable(
                self.planned_steps or 0,
                dtype="int64",
                trainable=False,
                aggregation="only_first_replica",
                name="planned_steps",
            )

    def plan(self, total_steps: int | None) -> None:
        """Fills the length of the training in; does nothing where `total_steps` was given.

        Args:
            total_steps: T, counted from the optimizer's first step; None: not known.
        """
        if self.total_steps is None:
            self.planned_steps = total_steps
            if self._variable is not None:
                self._variable.assign(total_steps or 0)

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the learning rate of an update.

        Args:
            step: s, int scalar.

        Returns:
            float32 scalar.
        """
        step = tf.cast(step, tf.float32)
        total: Any = self.total_steps
        if total is None:
            total = (self.planned_steps or 0) if self._variable is None else self._variable.value
        total = tf.cast(total, tf.float32)
        warmup = tf.constant(float(self.warmup))
        if isinstance(self.warmup, float):
            unknown = tf.constant(float(WARMUP_OF_UNKNOWN_LENGTH if self.warmup else 0))
            warmup = tf.where(total > 0, tf.round(self.warmup * total), unknown)
        rising = (step + 1) / tf.maximum(warmup, 1)
        after = self._after_warmup(step, warmup, total)
        return self.peak_learning_rate * tf.where(step < warmup, rising, after)

    def _after_warmup(self, step: Tensor, warmup: Tensor, total: Tensor) -> Tensor:
        """Returns the share of the peak at steps from W on; T is 0 where it is not known."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "warmup": self.warmup,
            "total_steps": self.total_steps,
            "planned_steps": self.planned_steps,
        }


def _inverse_square_root(step: Tensor, warmup: Tensor) -> Tensor:
    return tf.sqrt(tf.maximum(warmup, 1) / tf.maximum(step + 1, 1))


class _Decay(Schedule):
    """A course that ends at step T, at a share of the peak.

    Args:
        peak_learning_rate: as in `Schedule`.
        warmup: as in `Schedule`.
        end_share: what is left of the peak at step T and after.
        **kwargs: `total_steps` and `planned_steps`, as in `Schedule`.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        warmup: int | float = 0.1,
        *,
        end_share: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(peak_learning_rate, warmup, **kwargs)
        if not 0 <= end_share <= 1:
            raise ValueError(f"end_share must be in 0 .. 1. Received: end_share={end_share}")
        self.end_share = float(end_share)

    def _after_warmup(self, step: Tensor, warmup: Tensor, total: Tensor) -> Tensor:
        gone = tf.clip_by_value((step - warmup) / tf.maximum(total - warmup, 1), 0, 1)
        known = self.end_share + (1 - self.end_share) * self._left(gone)
        return tf.where(total > 0, known, _inverse_square_root(step, warmup))

    def _left(self, gone: Tensor) -> Tensor:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "end_share": self.end_share}


@keras.saving.register_keras_serializable("keras_lm")
class Linear(_Decay):
    """Warm-up, then a straight line to the end (Devlin et al. 2019, arXiv:1810.04805, A.2).

    peak x (end_share + (1 - end_share) x (T - s) / (T - W)).
    """

    def _left(self, gone: Tensor) -> Tensor:
        return 1 - gone


@keras.saving.register_keras_serializable("keras_lm")
class Cosine(_Decay):
    """Warm-up, then half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5).

    peak x (end_share + (1 - end_share) x (1 + cos(pi x (s - W) / (T - W))) / 2). GPT-3 ends at a
    tenth of the peak (Brown et al. 2020, arXiv:2005.14165, appendix B).
    """

    def _left(self, gone: Tensor) -> Tensor:
        return (1 + tf.cos(math.pi * gone)) / 2


@keras.saving.register_keras_serializable("keras_lm")
class InverseSquareRoot(Schedule):
    """Warm-up, then peak x sqrt(W / (s + 1)) (Vaswani et al. 2017, arXiv:1706.03762, section 5.3).

    `of_paper` gives the paper's own rate.
    """

    @classmethod
    def of_paper(cls, d_model: int, warmup: int = 4_000) -> "InverseSquareRoot":
        """The paper's d_model^-0.5 x min(n^-0.5, n x W^-1.5) for the n-th step, n = s + 1.

        Args:
            d_model: width of the model.
            warmup: W, a number of steps.

        Raises:
            ValueError: a number is not positive, or `warmup` is a share.
        """
        if d_model < 1 or warmup < 1:
            raise ValueError(
                "d_model and warmup must be positive, warmup a number of steps. "
                f"Received: d_model={d_model}, warmup={warmup}"
            )
        return cls(1 / math.sqrt(d_model * warmup), int(warmup))

    def _after_warmup(self, step: Tensor, warmup: Tensor, total: Tensor) -> Tensor:
        return _inverse_square_root(step, warmup)


@keras.saving.register_keras_serializable("keras_lm")
class Constant(Schedule):
    """Warm-up, then the peak for good."""

    def _after_warmup(self, step: Tensor, warmup: Tensor, total: Tensor) -> Tensor:
        return tf.ones_like(step)
