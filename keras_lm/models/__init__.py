"""Models, one short file for each. Importing this registers every class with Keras."""

from keras_lm.models.bert import BERT
from keras_lm.models.gpt import GPT
from keras_lm.models.sizes import abstract

__all__ = ["BERT", "GPT", "abstract"]
