import keras
import numpy as np
import pytest

from keras_lm.layers import Dense, TokenEmbedding
from keras_lm.layers.initializers import TooLargeError, undrawn


def test_inside_undrawn_no_more_numbers_are_made_than_allowed():
    with undrawn(20):
        TokenEmbedding(3, 4).build()
        Dense(2, parts=2).build((None, 4))
        with pytest.raises(TooLargeError):
            TokenEmbedding(1, 1).build()


def test_what_is_built_afterwards_is_drawn_again():
    embedding = TokenEmbedding(30, 40, embeddings_initializer="uniform")
    with undrawn(10_000):
        TokenEmbedding(30, 40).build()
    embedding.build()
    assert 0 < np.std(embedding.embeddings) < 0.05
    assert isinstance(embedding, keras.layers.Layer)
