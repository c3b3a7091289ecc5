"""One short file for each model."""
