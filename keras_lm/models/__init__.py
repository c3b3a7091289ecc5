"""Models, one short file for each. Importing this registers every class with Keras."""

import keras_lm.tokenizers  # noqa: F401 - a model's file holds its tokenizer
from keras_lm.models.bert import BERT
from keras_lm.models.catalog import CATALOG, build
from keras_lm.models.distilbert import DistilBERT
from keras_lm.models.electra import ELECTRA
from keras_lm.models.electra_pretrainer import ELECTRAPretrainer
from keras_lm.models.gpt import GPT
from keras_lm.models.resizing import resize_token_embeddings
from keras_lm.models.roberta import RoBERTa
from keras_lm.models.sizes import abstract
from keras_lm.models.transformer import Transformer

MODELS = ("BERT", "DistilBERT", "ELECTRA", "ELECTRAPretrainer", "GPT", "RoBERTa", "Transformer")

__all__ = [
    "BERT",
    "CATALOG",
    "ELECTRA",
    "GPT",
    "MODELS",
    "DistilBERT",
    "ELECTRAPretrainer",
    "RoBERTa",
    "Transformer",
    "abstract",
    "build",
    "resize_token_embeddings",
]
