"""Keras layers that the models are made of; each serializes and works by itself."""

from keras_lm.layers.attention import MultiHeadAttention
from keras_lm.layers.block import TransformerBlock
from keras_lm.layers.cache import KVCache, StartCache
from keras_lm.layers.decoder import DecoderCache, TransformerDecoder
from keras_lm.layers.dense import Dense
from keras_lm.layers.dropout import Dropout
from keras_lm.layers.embedding import TokenEmbedding
from keras_lm.layers.encoder import TransformerEncoder
from keras_lm.layers.masked_lm_head import MaskedLMHead
from keras_lm.layers.positions import PositionalEncoding
from keras_lm.layers.replaced_token_head import ReplacedTokenHead
from keras_lm.layers.text_embedding import TextEmbedding
from keras_lm.layers.token_head import TokenHead

__all__ = [
    "DecoderCache",
    "Dense",
    "Dropout",
    "KVCache",
    "MaskedLMHead",
    "MultiHeadAttention",
    "PositionalEncoding",
    "ReplacedTokenHead",
    "StartCache",
    "TextEmbedding",
    "TokenEmbedding",
    "TokenHead",
    "TransformerBlock",
    "TransformerDecoder",
    "TransformerEncoder",
]
