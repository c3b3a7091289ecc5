"""Loss and metrics of a model's heads, as `compile` without a loss takes them."""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_lm.training.losses import (
    global_mean,
    over_replicas,
    replica_context,
    same_on_replicas,
    share_of_rows,
    token_cross_entropy,
    weighed,
    yes_no_cross_entropy,
)
from keras_lm.training.metrics import Perplexity
from keras_lm.training.sampled_softmax import SampledSoftmax

Tensor = Any

# Heads whose labels are yes or no: a smoothed label would be another one.
_YES_NO = ("next_sentence", "replaced_token")
# Heads that predict every token of a text.
_TEXT = ("causal_lm", "seq2seq")


class HeadLosses:
    """For models: the mean over the labels of the global batch, head by head, added up.

    To stand before `keras.Model`. Takes `heads` and what `compile` was asked for from the model.

    Attributes:
        LOSS_WEIGHTS: factors of heads' losses where `compile` is given none; 1 for all others.
        SAMPLED_HEADS: the heads that can be trained with a sampled softmax. For these the class has
            `head_table`, and its `call` takes `logits`: False gives, in the place of their logits,
            the hidden states that the table is multiplied by.
    """

    LOSS_WEIGHTS: ClassVar[dict[str, float]] = {}
    SAMPLED_HEADS: ClassVar[tuple[str, ...]] = ()

    heads: tuple[str, ...]
    _compile_arguments: Any

    @property
    def label_smoothing(self) -> float:
        """The share of each label that is spread over all classes, as `compile` was told."""
        arguments = self._compile_arguments
        return 0.0 if arguments is None else arguments.values["label_smoothing"]

    @property
    def sampled_softmax(self) -> SampledSoftmax | None:
        """What stands for the softmax in training, as `compile` was told."""
        arguments = self._compile_arguments
        return None if arguments is None else arguments.values["sampled_softmax"]

    @property
    def _default_loss(self) -> bool:
        return (
            self._compile_arguments is not None and self._compile_arguments.values["loss"] is None
        )

    def head_loss(
        self, head: str, labels: Tensor, outputs: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the loss of each label and its weight; for a subclass to change.

        Args:
            head: name of the head.
            labels: int, `(B, P)` for masked_lm, `(B,)` for next_sentence, `(B, T)` for causal_lm,
                seq2seq and replaced_token.
            outputs: the head's logits; for replaced_token `(B, T)`.
            weights: the labels' sample weights, or None.

        Returns:
            Both float32 of the labels' shape. The weight is what `losses.weighed` makes of the
            labels and their weights.
        """
        if head == "replaced_token":
            return yes_no_cross_entropy(labels, outputs, weights)
        smoothing = 0.0 if head in _YES_NO else self.label_smoothing
        return token_cross_entropy(labels, outputs, weights, label_smoothing=smoothing)

    def head_weights(self, head: str, inputs: Any, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns the weights of a head's labels for loss and metrics; for a subclass to change.

        Args:
            head: name of the head.
            inputs: what the model was called with.
            labels: the head's labels.
            weights: the sample weights given, or None.

        Returns:
            Weights that `head_loss` takes, or None.
        """
        return weights

    def head_metrics(self, head: str) -> list[Any]:
        """Returns a head's metrics where `compile` was given none; for a subclass to change."""
        if head == "replaced_token":
            return [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)]
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        return [*metrics, Perplexity()] if head in _TEXT else metrics

    def head_table(self, head: str) -> tuple[Tensor, Tensor]:
        """Returns the table `(V, D)` that a head multiplies by, and its bias `(V,)` or None.

        Args:
            head: one of `SAMPLED_HEADS`.
        """
        raise NotImplementedError

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Returns this replica's part of the loss of the global batch.

        Args:
            x: inputs.
            y: labels, in the structure of the outputs.
            y_pred: outputs: the logits of one head, or a dict by head.
            sample_weight: weights of the labels, in the structure of the outputs, or None.
            training: not used.

        Returns:
            float32 scalar. Under a strategy the replicas' values are equal and add up to the loss;
            the gradients of the replicas add up to its gradient.
        """
        if not self._default_loss:
            return same_on_replicas(
                self._keras_loss(x, y, y_pred, sample_weight, self._share_of_rows(y))
            )
        return self._global_loss(self.head_loss, x, y, y_pred, sample_weight)

    def sampled_loss(self, x: Any, y: Any, outputs: Any, sample_weight: Any = None) -> Tensor:
        """Returns the same for a step of training with a sampled softmax.

        Args:
            x: as in `compute_loss`.
            y: as in `compute_loss`.
            outputs: of the model called with `logits=False`.
            sample_weight: as in `compute_loss`.
        """
        return self._global_loss(self._sampled_head_loss, x, y, outputs, sample_weight)

    def loss_counts(self, x: Any, y: Any, sample_weight: Any) -> Tensor:
        """Returns what the loss of each head is divided by, before there are outputs.

        Args:
            x: as in `compute_loss`.
            y: as in `compute_loss`.
            sample_weight: as in `compute_loss`.

        Returns:
            float32 `(number of heads,)`: the weights of the labels of all replicas. For a loss of
            Keras, which divides by itself, `(1,)`: what `losses.share_of_rows` says.
        """
        if not self._default_loss:
            return self._share_of_rows(y)[None]
        y, _, sample_weight = self.per_head(x, y, None, sample_weight)
        labels = self._by_head(y, "labels")
        given = self._by_head(sample_weight, "sample weights", optional=True)
        counts = []
        for head in self.heads:
            weight = self.head_weights(head, x, labels[head], given.get(head))
            _, weight = weighed(tf.convert_to_tensor(labels[head]), weight)
            counts.append(tf.reduce_sum(weight))
        return over_replicas(tf.stack(counts))

    def loss_of_part(
        self, x: Any, y: Any, outputs: Any, sample_weight: Any, counts: Tensor, share: Tensor
    ) -> Tensor:
        """Returns the loss of some rows of this replica's batch, as a part of the whole.

        Args:
            x: as in `compute_loss`, of the part; and so the next three.
            y: see there.
            outputs: see there; with a sampled softmax see `sampled_loss`.
            sample_weight: see there.
            counts: of `loss_counts` for the whole batch.
            share: the part's share of this replica's rows, float32 scalar.

        Returns:
            float32 scalar. Over all parts and replicas it adds up to the loss of the global batch.
        """
        if not self._default_loss:
            return share * self._keras_loss(x, y, outputs, sample_weight, counts[0])
        sampled = self.sampled_softmax is not None
        head_loss = self._sampled_head_loss if sampled else self.head_loss
        sums, _ = self._sums(head_loss, x, y, outputs, sample_weight)
        number = tf.distribute.get_strategy().num_replicas_in_sync
        means = [
            factor * tf.math.divide_no_nan(own, count)
            for factor, own, count in zip(
                self._factors(), sums, tf.unstack(counts, len(sums)), strict=True
            )
        ]
        return tf.add_n([*means, self._extra_loss() * share / number])

    def _keras_loss(self, x: Any, y: Any, outputs: Any, sample_weight: Any, rows: Tensor) -> Tensor:
        """Keras's mean over the rows here, as part of the mean over all; of `_share_of_rows`."""
        y, outputs, sample_weight = self.per_head(x, y, outputs, sample_weight)
        loss = super().compute_loss(x, y, outputs, sample_weight)  # type: ignore[misc]
        if replica_context() is None:
            return tf.cast(loss, tf.float32)
        extra = self._extra_loss() / tf.distribute.get_strategy().num_replicas_in_sync
        return rows * (tf.cast(loss, tf.float32) - extra) + extra

    def _share_of_rows(self, y: Any) -> Tensor:
        arguments = self._compile_arguments
        losses = [] if arguments is None else keras.tree.flatten(arguments.values["loss"])
        if any(getattr(loss, "reduction", None) == "sum" for loss in losses):
            return tf.ones(())  # sums of replicas are the sum, however many rows each has
        return share_of_rows(y)

    def per_head(self, x: Any, y: Any, outputs: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Returns labels, outputs and weights by head, from the data's; for a subclass to change.

        Args:
            x: as in `compute_loss`.
            y: as in `compute_loss`.
            outputs: as in `compute_loss`; None before there are any: then only the weights count.
            sample_weight: as in `compute_loss`.
        """
        return y, outputs, sample_weight

    def _sampled_head_loss(
        self, head: str, labels: Tensor, outputs: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        if head not in self.SAMPLED_HEADS or self.sampled_softmax is None:
            return self.head_loss(head, labels, outputs, weights)
        table, bias = self.head_table(head)
        step = self.optimizer.iterations  # type: ignore[attr-defined]
        return self.sampled_softmax.cross_entropy(labels, outputs, table, bias, weights, step)

    def _global_loss(
        self, head_loss: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any
    ) -> Tensor:
        sums, counts = self._sums(head_loss, x, y, y_pred, sample_weight)
        return global_mean(sums, counts, self._factors(), self._extra_loss())

    def _sums(
        self, head_loss: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Gives for each head the weighted sum of the losses and that of the weights."""
        y, y_pred, sample_weight = self.per_head(x, y, y_pred, sample_weight)
        labels = self._by_head(y, "labels")
        outputs = self._by_head(y_pred, "outputs")
        weights = self._by_head(sample_weight, "sample weights", optional=True)
        sums, counts = [], []
        for head in self.heads:
            weight = self.head_weights(head, x, labels[head], weights.get(head))
            loss, weight = head_loss(head, labels[head], outputs[head], weight)
            sums.append(tf.reduce_sum(loss * weight))
            counts.append(tf.reduce_sum(weight))
        return sums, counts

    def _factors(self) -> list[float]:
        given = self._compile_arguments.values["loss_weights"] or {}
        factors = {**self.LOSS_WEIGHTS, **given}
        return [factors.get(head, 1.0) for head in self.heads]

    def _extra_loss(self) -> Tensor:
        losses = self.losses  # type: ignore[attr-defined]  # of add_loss and regularizers
        return tf.add_n([tf.zeros(()), *(tf.cast(loss, tf.float32) for loss in losses)])

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns the metrics so far, after this batch; arguments as in `compute_loss`."""
        y, y_pred, sample_weight = self.per_head(x, y, y_pred, sample_weight)
        if self._default_loss:
            labels = self._by_head(y, "labels")
            given = self._by_head(sample_weight, "sample weights", optional=True)
            weights = {
                head: self.head_weights(head, x, labels[head], given.get(head))
                for head in self.heads
            }
            y = self._as_output(labels)
            if any(weight is not None for weight in weights.values()):
                for head, weight in weights.items():
                    if weight is None:
                        weights[head] = tf.ones_like(labels[head], tf.float32)
                sample_weight = self._as_output(weights)
        return super().compute_metrics(x, y, y_pred, sample_weight)  # type: ignore[misc]

    def _by_head(self, values: Any, what: str, optional: bool = False) -> dict[str, Any]:
        if values is None and optional:
            return {}
        if not isinstance(values, dict) and len(self.heads) == 1 and values is not None:
            return {self.heads[0]: values}
        names = set(values) if isinstance(values, dict) else set()
        if names == set(self.heads) or (optional and names and names < set(self.heads)):
            return dict(values)
        got = sorted(names) if isinstance(values, dict) else type(values).__name__
        rule = "a tensor" if len(self.heads) == 1 else f"a dict with the keys {self.heads}"
        raise ValueError(f"The {what} of this model are {rule}. Received: {got}")

    def _as_output(self, values: dict[str, Any]) -> Any:
        return values[self.heads[0]] if len(self.heads) == 1 else values
