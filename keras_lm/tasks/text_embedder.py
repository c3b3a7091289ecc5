"""A text to a vector; texts of like meaning to vectors of like direction.

B batch, S texts of a row, T length, D hidden size.
"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lm.data.similar_texts import OBJECTIVES
from keras_lm.layers.inputs import as_inputs
from keras_lm.models.interface import made_once
from keras_lm.tasks.asking import answers
from keras_lm.tasks.embedding_attributions import embedding_attributions
from keras_lm.tasks.keyed_vectors import check_keys, write_word2vec
from keras_lm.tasks.similarity_losses import (
    EmbeddingAccuracy,
    cosine_error,
    cosines,
    ranking_loss,
    triplet_loss,
)
from keras_lm.tasks.task import Task, last_real
from keras_lm.tasks.text_embeddings import TextEmbeddings
from keras_lm.training import LanguageModel

Tensor = Any

POOLINGS = ("mean", "first", "last")


class Embeddings(NamedTuple):
    """What texts are as vectors; of a single text the values alone.

    Attributes:
        vectors: float32 `(N, D)`.
        cut: bool `(N,)`, whether a text was too long and its start alone was read.
    """

    vectors: Any
    cut: Any


@keras.saving.register_keras_serializable("keras_lm")
class TextEmbedder(Task):
    """Makes one vector of the hidden states of a text.

    Source: Reimers and Gurevych 2019, arXiv:1908.10084, section 3.

    Args:
        model: a model of the zoo, whose encoder (GPT: decoder) it shares; heads are left behind.
        pooling: `"mean"` over all tokens, special ones included; the `"first"` token's state; or
            that of the `"last"` one, which is what a decoder has read all of the text with.
        normalize: whether vectors have the length 1, so that their product is their cosine.
        max_length: tokens of a text that are read, special ones included. None: as many as the
            model takes.

    Call arguments:
        inputs: a dict, or `token_ids` alone:
            `token_ids`: int `(B, T)`; or `(B, S, T)`, rows of several texts, as training has them;
            `segment_ids`: int of the same shape; not read by models without segments;
            `padding_mask`: bool of the same shape, True where a token is no padding; left out:
            True.

    Returns:
        float32 `(B, D)`, or `(B, S, D)`.

    `compile` without a loss takes one of three, see there. Labels are what
    `keras_lm.data.similarity` gives.

    Attributes:
        pooling: as given.
        normalize: as given.

    Raises:
        ValueError: a model that a task can't stand on, an unknown pooling, or a `max_length` that
            the model does not have.
    """

    HEADS = ("text_embedding",)

    def __init__(
        self,
        model: LanguageModel,
        *,
        pooling: str = "mean",
        normalize: bool = True,
        max_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {POOLINGS}. Received: pooling={pooling!r}")
        if max_length is not None and not 1 <= max_length <= model.max_length:
            raise ValueError(
                f"max_length must be in 1 .. {model.max_length}, the model's. "
                f"Received: max_length={max_length}"
            )
        super().__init__(model, heads=self.HEADS, **kwargs)
        self.pooling, self.normalize = pooling, normalize
        self.max_length = max_length or model.max_length
        self.objective, self.temperature, self.margin = OBJECTIVES[0], 0.05, 1.0

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        self.build_layers()

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Embeds; see the class."""
        inputs = {name: tf.convert_to_tensor(value) for name, value in as_inputs(inputs).items()}
        shape = tf.shape(inputs["token_ids"])
        several = inputs["token_ids"].shape.rank == 3
        if several:
            inputs = {
                name: tf.reshape(value, [shape[0] * shape[1], shape[2]])
                for name, value in inputs.items()
            }
        vector_BD = self._pooled(self.hidden_states(inputs, training=training), inputs)
        if self.normalize:
            vector_BD = tf.math.l2_normalize(vector_BD, axis=-1)
        if not several:
            return vector_BD
        return tf.reshape(vector_BD, [shape[0], shape[1], self.hidden_size])

    def _pooled(self, hidden_BTD: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        hidden_BTD = tf.cast(hidden_BTD, "float32")
        if self.pooling == "first":
            return hidden_BTD[:, 0]
        real_BT = inputs.get("padding_mask")
        if self.pooling == "last":
            return last_real(hidden_BTD, real_BT)
        if real_BT is None:
            real_BT = tf.ones(tf.shape(hidden_BTD)[:2], "bool")
        real_BT = tf.cast(real_BT, "float32")
        number_B1 = tf.maximum(tf.reduce_sum(real_BT, axis=1, keepdims=True), 1.0)
        return tf.linalg.matvec(hidden_BTD, real_BT / number_B1, transpose_a=True)

    # Training

    @property
    def smooths_labels(self) -> bool:
        """No label is a class that could be smoothed."""
        return False

    def compile(
        self,
        *args: Any,
        objective: str = "ranking",
        temperature: float = 0.05,
        margin: float = 1.0,
        **kwargs: Any,
    ) -> None:
        """Configures the training; see `LanguageModel.compile`. Without `learning_rate`: 5e-5.

        A row is a text and one of like meaning; and, where there is one, a third that is unlike.

        Args:
            *args: see there.
            objective: what is learnt where no `loss` is given:
                `"ranking"`: of all second and third texts of the batch the own second one has the
                highest cosine (multiple negatives ranking, Henderson et al. 2017, arXiv:1705.00652,
                section 4.4). Rows that share a text are not held against each other. The larger
                the batch, the harder; under a strategy, and with `gradient_accumulation_steps`, it
                is the rows of one replica and part;
                `"cosine"`: the cosine of both texts is the row's score, by squared error;
                `"triplet"`: the second text is nearer than the third by `margin`, in Euclidean
                distance (Reimers and Gurevych 2019, arXiv:1908.10084, section 3).
            temperature: of `"ranking"`: what cosines are divided by.
            margin: of `"triplet"`.
            **kwargs: see there.

        Raises:
            ValueError: an unknown objective, a number that is not positive, besides what that one
                says.
        """
        if objective not in OBJECTIVES:
            raise ValueError(
                f"objective must be one of {OBJECTIVES}. Received: objective={objective!r}"
            )
        if not temperature > 0 or not margin > 0:
            raise ValueError(
                "temperature and margin must be positive. "
                f"Received: temperature={temperature}, margin={margin}"
            )
        # The metrics depend on it.
        self.objective, self.temperature, self.margin = objective, temperature, margin
        super().compile(*args, **kwargs)
        self._compile_arguments.values.update(
            objective=objective, temperature=temperature, margin=margin
        )

    def head_loss(
        self, head: str, labels: Tensor, outputs: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the loss of each row and its weight; see `compile`.

        Raises:
            ValueError: the data are for another objective.
        """
        wanted = {"ranking": (2, 3), "cosine": (2,), "triplet": (3,)}[self.objective]
        if outputs.shape.rank != 3 or outputs.shape[1] not in (*wanted, None):
            raise ValueError(
                f"objective={self.objective!r} learns from rows of {' or '.join(map(str, wanted))} "
                f"texts, as data.similarity(objective=...) makes them. Received: {outputs.shape}"
            )
        if self.objective == "ranking":
            return ranking_loss(labels, outputs, weights, self.temperature)
        if self.objective == "cosine":
            return cosine_error(labels, outputs, weights)
        return triplet_loss(labels, outputs, weights, self.margin)

    def head_metrics(self, head: str) -> list[Any]:
        """Returns accuracy: rows whose second text is the nearest; of scores the mean error."""
        if self.objective == "cosine":
            return [_CosineError(name="root_mean_squared_error")]
        return [EmbeddingAccuracy(name="accuracy")]

    # Texts

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Embeds texts; or returns the outputs for data. See `Task.predict`.

        Returns:
            Of texts `Embeddings`: what the export answers. A text that is too long loses its end.
        """
        return super().predict(x, *args, **kwargs)

    def predict_texts(
        self, texts: list[list[Any]], single: bool, *, batch_size: int | None, verbose: Any
    ) -> Embeddings:
        """Embeds texts; see `predict`."""
        if len(texts) > 1:
            raise ValueError("Texts are embedded one by one, not in pairs. Received: pairs")
        tokenizer = self.require_tokenizer("predict() of texts")
        found = answers(
            made_once(TextEmbeddings, self, tokenizer).of_text, texts, batch_size, verbose
        )
        vectors = np.stack([answer["embedding"] for answer in found])
        cut = np.array([answer["status"] != 0 for answer in found])
        return Embeddings(vectors[0], bool(cut[0])) if single else Embeddings(vectors, cut)

    def similarity(
        self, texts: Sequence[str], others: Sequence[str], *, verbose: Any = 0
    ) -> np.ndarray:
        """The cosines of all texts, N, with all others, M: float32 `(N, M)`."""
        sides = [self.predict(list(side), verbose=verbose).vectors for side in (texts, others)]
        first, second = (
            side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12) for side in sides
        )
        return first @ second.T

    def attributions(
        self,
        texts: Any,
        other: Any,
        *,
        steps: int = 50,
        baseline: str | None = None,
        batch_size: int | None = None,
    ) -> Any:
        """Says by how much each token of a text moved its cosine with another text.

        By integrated gradients, see `TextClassifier.attributions`. The other one is not explained:
        ask the other way round for that.

        Args:
            texts: a string, or a list of strings.
            other: what the text is compared with: a string, or a vector `(D,)`; one for all, or a
                list with one for each.
            steps: see `TextClassifier.attributions`.
            baseline: see there.
            batch_size: see there.

        Returns:
            `Attribution`, whose target is the other text, or "vector"; of several texts a list of
            them.

        Raises:
            ValueError: see `TextClassifier.attributions`; or `other` is neither.
        """
        return embedding_attributions(
            self, texts, other, steps=steps, baseline=baseline, batch_size=batch_size
        )

    def save_word2vec(
        self,
        path: str | os.PathLike,
        texts: Sequence[str],
        *,
        keys: Sequence[str] | None = None,
        binary: bool | None = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
    ) -> None:
        """Embeds texts and writes what `gensim.models.KeyedVectors.load_word2vec_format` reads.

        Args:
            path: of the file, which is written whole or not at all.
            texts: N strings.
            keys: what each is called in the file. None: the texts themselves.
            binary: the format. None: by the name, binary for `.bin`.
            batch_size: texts that are read at once. None: 32.
            verbose: 0: no progress bar.

        Raises:
            ValueError: a key is empty, has white space in it, which ends a key in these files, or
                comes twice.
        """
        names = check_keys(texts if keys is None else keys, len(texts))
        vectors = self.predict(list(texts), batch_size=batch_size, verbose=verbose).vectors
        write_word2vec(path, names, vectors, binary)


@keras.saving.register_keras_serializable("keras_lm")
class _CosineError(keras.metrics.RootMeanSquaredError):
    """The root of the mean squared difference of cosines and scores."""

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        super().update_state(y_true, cosines(y_pred), sample_weight)
