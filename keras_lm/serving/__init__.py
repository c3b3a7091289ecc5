"""From a model to a SavedModel that takes strings."""
