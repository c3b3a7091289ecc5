"""Answers piece by piece, whole characters only."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.models.continuation import Continuation, Request, Structure
from keras_lm.models.generation_request import as_request, as_tensors

Tensor = Any

# Characters at the end of a text that what follows may still change: WordPiece tidies up spaces
# before marks and English contractions, at most as in " n ' t".
UNSETTLED = 8


def growing_ids(
    continuation: Continuation,
    structure: Structure,
    inputs: tuple[Tensor, Tensor],
    request: Request,
    tokens_per_step: int,
) -> Iterator[list[int]]:
    """Generates the answer to one row, a few tokens in each call of a graph.

    Args:
        continuation: what answers.
        structure: of one beam.
        inputs: int32 `(1, T)`, ids, and int32 `(1,)`, how many they are.
        request: for one row and one copy.
        tokens_per_step: how many tokens a call adds at most. The first gives one.

    Yields:
        All new ids so far, without an end token.
    """
    start, go_on = continuation.stream_graphs_of(structure)
    decoding, cache, prompt = start(*inputs, request)
    more = tf.constant(tokens_per_step)
    while True:
        found = decoding.found
        yield found.token_ids[0, : found.lengths[0]].numpy().tolist()
        if np.all(found.reasons > 0):
            return
        decoding, cache = go_on(decoding, cache, prompt, request, more)


def settled(text: str, stops: list[str], tidies: bool) -> int:
    """Tells how much of a text that goes on can be shown.

    Args:
        text: of all tokens so far.
        stops: texts at which it ends. What may be the beginning of one is not shown yet.
        tidies: whether spaces are tidied up.

    Returns:
        A number of characters.
    """
    # The end of what is no whole character yet: at most three of its bytes.
    shown = len(text.rstrip("\ufffd")) if text.endswith("\ufffd") else len(text)
    shown = max(shown, len(text) - 3)
    if tidies:
        shown = min(shown, max(len(text) - UNSETTLED, 0))
    # Not of the whole text: behind what is settled anything may come, the rest of a stop too.
    longest = max(map(len, stops), default=1)
    for place in range(max(shown - longest + 1, 0), shown):
        if any(stop.startswith(text[place:shown]) for stop in stops):
            return place
    return shown


def settled_text(
    pieces: Iterator[list[int]], tokenizer: Any, stops: list[str], *, continues: bool
) -> Iterator[str]:
    """Decodes a growing list of ids, and gives what is new and settled.

    Args:
        pieces: all ids so far, again and again.
        tokenizer: decodes them.
        stops: texts at which the text ends; they are not part of it.
        continues: whether a text stands before it.

    Yields:
        str, not empty.
    """
    given, text = 0, ""
    tidies = getattr(tokenizer, "clean_up_spaces", False)
    for ids in pieces:
        text = tokenizer.decode(ids, continues=continues)
        # A stop that is not complete yet may begin before one that is.
        shown = settled(text, stops, tidies)
        text = text[: min([text.find(stop) for stop in stops if stop in text], default=len(text))]
        shown = min(shown, len(text))
        if shown > given:
            yield text[given:shown]
            given = shown
    if len(text) > given:
        yield text[given:]


def stream_one(
    continuation: Continuation,
    rows: list[list[int]],
    max_new_tokens: list[int],
    *,
    vocab_size: int,
    stop: list[str],
    tokens_per_step: int,
    continues: bool,
    **options: Any,
) -> Iterator[str]:
    """Checks the request at once, and answers it piece by piece.

    Args:
        continuation: what answers; it has a tokenizer.
        rows: one list of at least one id.
        max_new_tokens: of it.
        vocab_size: the model's.
        stop: texts at which the answer ends.
        tokens_per_step: see `growing_ids`.
        continues: whether a text stands before the answer.
        **options: `keras_lm.models.generation_options.GenerationOptions`.

    Returns:
        Pieces of text.

    Raises:
        TypeError: an option of another kind.
        ValueError: an option out of range, or beams.
    """
    if isinstance(tokens_per_step, bool) or not isinstance(tokens_per_step, int):
        raise TypeError(f"tokens_per_step must be an int. Received: {tokens_per_step!r}")
    if tokens_per_step < 1:
        raise ValueError(f"tokens_per_step must be positive. Received: {tokens_per_step}")
    structure, request = as_request(
        continuation,
        rows,
        max_new_tokens,
        vocab_size=vocab_size,
        num_return_sequences=1,
        stop=stop,
        scores=False,
        **options,
    )
    if structure.proposals is not None:
        raise ValueError(
            "A stream takes no proposals: use generate(). "
            "Received: draft_model or prompt_lookup_num_tokens"
        )
    if structure.num_beams > 1:
        raise ValueError(
            "A beam search has nothing to give before its end: use generate(). "
            f"Received: num_beams={structure.num_beams}"
        )
    pieces = growing_ids(continuation, structure, as_tensors(rows), request, tokens_per_step)
    return settled_text(pieces, continuation.tokenizer, stop, continues=continues)
