"""The base model, optimizers, schedules."""

from keras_lm.training.language_model import LanguageModel

__all__ = ["LanguageModel"]
