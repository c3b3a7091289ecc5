"""Files to models and back."""

from keras_lm.checkpoints.load import load
from keras_lm.checkpoints.save import save

__all__ = ["load", "save"]
