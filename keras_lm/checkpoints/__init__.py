"""Files to models."""

from keras_lm.checkpoints.load import load

__all__ = ["load"]
