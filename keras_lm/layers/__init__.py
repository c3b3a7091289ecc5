"""Keras layers that the models are made of; each serializes and works by itself."""

from keras_lm.layers.attention import KVCache, MultiHeadAttention
from keras_lm.layers.block import TransformerBlock
from keras_lm.layers.dense import Dense
from keras_lm.layers.embedding import TokenEmbedding
from keras_lm.layers.masked_lm_head import MaskedLMHead
from keras_lm.layers.positions import PositionalEncoding

__all__ = [
    "Dense",
    "KVCache",
    "MaskedLMHead",
    "MultiHeadAttention",
    "PositionalEncoding",
    "TokenEmbedding",
    "TransformerBlock",
]
