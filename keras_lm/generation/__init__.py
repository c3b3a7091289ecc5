"""Decoding: ids in, ids out."""

from keras_lm.generation.beam_options import (
    BEAM_OPTION_DTYPES,
    BeamOptions,
    EarlyStopping,
    clamp_beam_options,
    default_beam_options,
    validate_beam_options,
)
from keras_lm.generation.beam_search import Beams, beam_search, gather_rows, repeat_rows
from keras_lm.generation.gumbel import draw_tokens, row_keys
from keras_lm.generation.loop import Decoder, Decoding, Generated, Reason, generate
from keras_lm.generation.options import (
    OPTION_DTYPES,
    Options,
    Status,
    clamp_options,
    greedy_options,
    validate_options,
)
from keras_lm.generation.processing import Prompt, processor
from keras_lm.generation.proposals import Draft, PromptLookup, Proposal, Proposer
from keras_lm.generation.rules import Rules
from keras_lm.generation.sampling import pick_tokens
from keras_lm.generation.score import log_likelihood
from keras_lm.generation.segments import SEGMENT
from keras_lm.generation.speculative import Speculation, Speculator
from keras_lm.generation.threefry import threefry2x32, uniforms

__all__ = [
    "BEAM_OPTION_DTYPES",
    "OPTION_DTYPES",
    "SEGMENT",
    "BeamOptions",
    "Beams",
    "Decoder",
    "Decoding",
    "Draft",
    "EarlyStopping",
    "Generated",
    "Options",
    "Prompt",
    "PromptLookup",
    "Proposal",
    "Proposer",
    "Reason",
    "Rules",
    "Speculation",
    "Speculator",
    "Status",
    "beam_search",
    "clamp_beam_options",
    "clamp_options",
    "default_beam_options",
    "draw_tokens",
    "gather_rows",
    "generate",
    "greedy_options",
    "log_likelihood",
    "pick_tokens",
    "processor",
    "repeat_rows",
    "row_keys",
    "threefry2x32",
    "uniforms",
    "validate_beam_options",
    "validate_options",
]
