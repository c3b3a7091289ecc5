"""The base model, strategies, optimizers, schedules, monitors, checkpoints and their means."""

from keras_lm.training.average_checkpoints import average_checkpoints
from keras_lm.training.checkpoints import Checkpoints
from keras_lm.training.distillation import Distillation
from keras_lm.training.language_model import LanguageModel
from keras_lm.training.metrics import Perplexity
from keras_lm.training.monitor import Monitor
from keras_lm.training.optimizers import LAMB, AdamW, LossScaleOptimizer
from keras_lm.training.sampled_softmax import SampledSoftmax
from keras_lm.training.schedules import Constant, Cosine, InverseSquareRoot, Linear, Schedule
from keras_lm.training.strategies import strategy

__all__ = [
    "LAMB",
    "AdamW",
    "Checkpoints",
    "Constant",
    "Cosine",
    "Distillation",
    "InverseSquareRoot",
    "LanguageModel",
    "Linear",
    "LossScaleOptimizer",
    "Monitor",
    "Perplexity",
    "SampledSoftmax",
    "Schedule",
    "average_checkpoints",
    "strategy",
]
