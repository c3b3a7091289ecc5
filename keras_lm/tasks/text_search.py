"""Texts to the texts of an index that are most alike, in one graph.

B batch, T length, N texts of the index, D width of their vectors, k texts that are found.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.models.interface import made_once
from keras_lm.tasks.text_embeddings import TextEmbeddings

Tensor = Any

# The texts are part of the graph, whose file may have 2 GiB.
MOST_BYTES = 2**30


class TextSearch:
    """An index behind its embedder; every vector is compared.

    Args:
        index: a `SearchIndex`.
        tokenizer: of its model.

    Attributes:
        vectors: a variable, float32 `(N, D)`.

    Raises:
        ValueError: the texts are too many for a graph.
    """

    def __init__(self, index: Any, tokenizer: Any) -> None:
        size = sum(len(text.encode("utf-8", "replace")) for text in index.texts)
        if size > MOST_BYTES:
            raise ValueError(
                f"What is exported must have texts of at most {MOST_BYTES:,} bytes; for more "
                f"ask an embedder, and an index beside it. Received: {size:,} bytes"
            )
        self.embeddings = made_once(TextEmbeddings, index.model, tokenizer)
        self.vectors = keras.Variable(index.vectors(), trainable=False, name="vectors")
        self.texts_N = tf.constant([text.encode("utf-8", "replace") for text in index.texts])

    def of_text(self, text: Tensor, top_k: int) -> dict[str, Tensor]:
        """Finds texts.

        Args:
            text: string `(B,)`.
            top_k: k.

        Returns:
            `texts` string `(B, k)`, the most alike first; `scores` float32 `(B, k)`, their cosines;
            `status` int32 `(B,)`, 0 or `CUT`.
        """
        return self._found(self.embeddings.of_text(text), top_k)

    def of_ids(self, token_ids: Tensor, lengths: Tensor, top_k: int) -> dict[str, Tensor]:
        """Finds texts for rows of ids; see `TextRows.read_ids` and `of_text`."""
        return self._found(self.embeddings.of_ids(token_ids, lengths), top_k)

    def _found(self, asked: dict[str, Tensor], top_k: int) -> dict[str, Tensor]:
        unit_BD = tf.math.l2_normalize(asked["embedding"], axis=-1)
        vectors_ND = tf.convert_to_tensor(self.vectors.value)
        cosines_BN = tf.matmul(unit_BD, vectors_ND, transpose_b=True)
        scores_Bk, place_Bk = tf.math.top_k(cosines_BN, top_k)
        return {
            "texts": tf.gather(self.texts_N, place_Bk),
            "scores": scores_Bk,
            "status": asked["status"],
        }
