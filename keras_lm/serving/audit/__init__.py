"""What is inside of a SavedModel, anybody's, and what of it a server should know."""

from keras_lm.serving.audit.findings import Finding
from keras_lm.serving.audit.inspection import Inspection, inspect

__all__ = ["Finding", "Inspection", "inspect"]
