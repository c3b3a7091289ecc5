"""Language models for TensorFlow and Keras 3, from raw text to TensorFlow Serving.

Importing this imports neither TensorFlow nor Keras: every public name is found on first use.
"""

import importlib
from typing import TYPE_CHECKING

from keras_lm.backend import require_tensorflow
from keras_lm.version import __version__

if TYPE_CHECKING:
    from keras_lm import data as data
    from keras_lm import generation as generation
    from keras_lm import layers as layers
    from keras_lm import models as models
    from keras_lm import tasks as tasks
    from keras_lm import tokenizers as tokenizers
    from keras_lm import training as training
    from keras_lm.checkpoints.load import load as load
    from keras_lm.checkpoints.lora import load_lora as load_lora
    from keras_lm.checkpoints.save import save as save
    from keras_lm.models.bert import BERT as BERT
    from keras_lm.models.distilbert import DistilBERT as DistilBERT
    from keras_lm.models.electra import ELECTRA as ELECTRA
    from keras_lm.models.electra_pretrainer import ELECTRAPretrainer as ELECTRAPretrainer
    from keras_lm.models.explanations.drawing import draw_explanation as draw_explanation
    from keras_lm.models.gpt import GPT as GPT
    from keras_lm.models.roberta import RoBERTa as RoBERTa
    from keras_lm.models.transformer import Transformer as Transformer
    from keras_lm.serving.exporting import export as export
    from keras_lm.tasks.counterfactual_pairs import counterfactual as counterfactual
    from keras_lm.tasks.evaluating import evaluate as evaluate
    from keras_lm.tasks.question_answering import QuestionAnswering as QuestionAnswering
    from keras_lm.tasks.search_index import SearchIndex as SearchIndex
    from keras_lm.tasks.summarizer import Summarizer as Summarizer
    from keras_lm.tasks.text_classifier import TextClassifier as TextClassifier
    from keras_lm.tasks.text_embedder import TextEmbedder as TextEmbedder
    from keras_lm.tasks.token_classifier import TokenClassifier as TokenClassifier
    from keras_lm.tasks.translator import Translator as Translator

require_tensorflow()

_HOME = {
    "BERT": "models.bert",
    "DistilBERT": "models.distilbert",
    "ELECTRA": "models.electra",
    "ELECTRAPretrainer": "models.electra_pretrainer",
    "GPT": "models.gpt",
    "QuestionAnswering": "tasks.question_answering",
    "RoBERTa": "models.roberta",
    "SearchIndex": "tasks.search_index",
    "Summarizer": "tasks.summarizer",
    "TextClassifier": "tasks.text_classifier",
    "TextEmbedder": "tasks.text_embedder",
    "TokenClassifier": "tasks.token_classifier",
    "Transformer": "models.transformer",
    "Translator": "tasks.translator",
    "counterfactual": "tasks.counterfactual_pairs",
    "draw_explanation": "models.explanations.drawing",
    "evaluate": "tasks.evaluating",
    "export": "serving.exporting",
    "load": "checkpoints.load",
    "load_lora": "checkpoints.lora",
    "save": "checkpoints.save",
}
_FLOORS = ("data", "generation", "layers", "models", "serving", "tasks", "tokenizers", "training")

__all__ = ["__version__", *_HOME, *_FLOORS]


def __getattr__(name: str) -> object:
    if name in _FLOORS:
        return importlib.import_module(f"keras_lm.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'keras_lm' has no attribute {name!r}")
    return getattr(importlib.import_module(f"keras_lm.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
