"""Decoding: ids in, ids out."""

from keras_lm.generation.gumbel import draw_tokens, row_keys
from keras_lm.generation.loop import Generated, Reason, generate
from keras_lm.generation.options import Options, Status, clamp_options, validate_options
from keras_lm.generation.sampling import pick_tokens
from keras_lm.generation.score import log_likelihood
from keras_lm.generation.threefry import threefry2x32, uniforms

__all__ = [
    "Generated",
    "Options",
    "Reason",
    "Status",
    "clamp_options",
    "draw_tokens",
    "generate",
    "log_likelihood",
    "pick_tokens",
    "row_keys",
    "threefry2x32",
    "uniforms",
    "validate_options",
]
