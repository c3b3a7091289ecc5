"""Models, one short file for each. Importing this registers every class with Keras."""

import keras_lm.tokenizers  # noqa: F401 - a model's file holds its tokenizer
from keras_lm.models.bert import BERT
from keras_lm.models.gpt import GPT
from keras_lm.models.resizing import resize_token_embeddings
from keras_lm.models.sizes import abstract

MODELS = ("BERT", "GPT")

__all__ = ["BERT", "GPT", "MODELS", "abstract", "resize_token_embeddings"]
