"""Keras must run on TensorFlow: said once, before Keras fails to import something else."""

import json
import os
import sys
from pathlib import Path


def configured_backend() -> str:
    """Names the backend that Keras has, or will have once it is imported.

    Keras takes the environment variable `KERAS_BACKEND` before `keras.json`.
    """
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "config"):
        return keras.config.backend()
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return json.loads((home / "keras.json").read_text(encoding="utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


def require_tensorflow() -> None:
    """Raises unless Keras runs, or will run, on TensorFlow.

    Raises:
        ImportError: another backend is set.
    """
    backend = configured_backend()
    if backend != "tensorflow":
        raise ImportError(
            "keras_lm runs on the TensorFlow backend of Keras alone. Set KERAS_BACKEND=tensorflow "
            f"before Keras is imported. Received: {backend!r}"
        )
