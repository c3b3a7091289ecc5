"""A model's encoder and a head: what language models are fine-tuned for."""

from keras_lm.tasks.counterfactual_pairs import counterfactual
from keras_lm.tasks.evaluate_each_epoch import EvaluateEachEpoch
from keras_lm.tasks.evaluating import evaluate
from keras_lm.tasks.question_answering import QuestionAnswering
from keras_lm.tasks.search_index import SearchIndex
from keras_lm.tasks.summarizer import Summarizer
from keras_lm.tasks.task import Task
from keras_lm.tasks.text_classifier import TextClassifier
from keras_lm.tasks.text_embedder import TextEmbedder
from keras_lm.tasks.token_classifier import TokenClassifier
from keras_lm.tasks.translator import Translator

# By the name that `load(..., task=...)` takes.
TASKS = {
    "text_classification": TextClassifier,
    "token_classification": TokenClassifier,
    "question_answering": QuestionAnswering,
    "text_embedding": TextEmbedder,
    "translation": Translator,
    "summarization": Summarizer,
}

__all__ = [
    "TASKS",
    "EvaluateEachEpoch",
    "QuestionAnswering",
    "SearchIndex",
    "Summarizer",
    "Task",
    "TextClassifier",
    "TextEmbedder",
    "TokenClassifier",
    "Translator",
    "counterfactual",
    "evaluate",
]
