"""What a Python caller of `Transformer.generate` gives, checked, and what comes back."""

from collections.abc import Sequence
from typing import Any

from keras_lm.models.generation_request import (
    as_batch,
    as_given,
    as_stops,
    ask,
    decode_before_stop,
    new_tokens,
)
from keras_lm.models.interface import check_ids
from keras_lm.models.text_to_text import LONGER_THAN_SOURCE, TextToText


def generate(
    model: Any,
    generator: TextToText,
    sources: Any,
    *,
    max_length: int | None,
    max_new_tokens: int | Sequence[int] | None,
    num_return_sequences: int,
    stop: str | Sequence[str],
    **options: Any,
) -> Any:
    """Checks the request and calls the graph; see `Transformer.generate`."""
    batch, is_text, is_single = as_batch("sources", sources)
    ends = as_stops(stop, "sources", is_text)
    rows = batch
    if is_text:
        model.require_tokenizer("generate() from text")
        rows = generator.rows.encode(batch)
    check_ids(rows, model.vocab_size, model.max_length)
    if not all(rows):
        raise ValueError("A source of ids must hold at least one. Received: an empty list")
    limits = new_tokens(
        "beginning of a target",
        [len(generator.start_ids)] * len(rows),
        model.max_length,
        max_length=max_length,
        max_new_tokens=max_new_tokens,
        default=[len(row) + LONGER_THAN_SOURCE for row in rows],
    )
    found: list[Any] = ask(
        generator.targets,
        rows,
        limits,
        num_return_sequences=num_return_sequences,
        stop=ends,
        **options,
    )
    if is_text:
        found = decode_before_stop(generator.tokenizer, found, ends)
    return as_given(found, num_return_sequences, is_single)
