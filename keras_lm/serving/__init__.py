"""From a model to a SavedModel that takes strings and gives answers."""

from keras_lm.serving.export import export

__all__ = ["export"]
