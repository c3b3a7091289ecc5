"""What a Python caller of `Transformer.generate` gives, checked, and what comes back."""

from collections.abc import Iterator, Sequence
from typing import Any

from keras_lm.models.generation_request import (
    as_batch,
    as_given,
    as_one_text,
    as_stops,
    ask,
    decode_before_stop,
    new_tokens,
)
from keras_lm.models.interface import check_ids
from keras_lm.models.streaming import stream_one
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
    return_scores: bool,
    **options: Any,
) -> Any:
    """Checks the request and calls the graph; see `Transformer.generate`."""
    batch, is_text, is_single = as_batch("sources", sources)
    ends = as_stops(stop, "sources", is_text)
    rows = batch
    if is_text:
        model.require_tokenizer("generate() from text")
        rows = generator.rows.encode(batch)
    answers: list[Any] = ask(
        generator,
        rows,
        _limits(model, generator, rows, max_length, max_new_tokens),
        vocab_size=model.vocab_size,
        num_return_sequences=num_return_sequences,
        stop=ends,
        scores=return_scores,
        **options,
    )
    found: list[Any] = [answer.output for answer in answers]
    if is_text:
        found = decode_before_stop(generator.tokenizer, found, ends)
    if return_scores:
        pairs = zip(answers, found, strict=True)
        found = [answer._replace(output=output) for answer, output in pairs]
    return as_given(found, num_return_sequences, is_single)


def stream(
    model: Any,
    generator: TextToText,
    source: str,
    *,
    max_length: int | None,
    max_new_tokens: int | None,
    tokens_per_step: int,
    stop: str | Sequence[str],
    **options: Any,
) -> Iterator[str]:
    """Checks the request and calls the graphs; see `Transformer.stream`."""
    rows = generator.rows.encode([as_one_text("source", source)])
    return stream_one(
        generator,
        rows,
        _limits(model, generator, rows, max_length, max_new_tokens),
        vocab_size=model.vocab_size,
        stop=as_stops(stop, "sources", True),
        tokens_per_step=tokens_per_step,
        continues=False,
        **options,
    )


def _limits(
    model: Any,
    generator: TextToText,
    rows: list[list[int]],
    max_length: int | None,
    max_new_tokens: int | Sequence[int] | None,
) -> list[int]:
    """Checks rows of ids; returns how many tokens each target may get."""
    check_ids(rows, model.vocab_size, model.max_length)
    if not all(rows):
        raise ValueError("A source of ids must hold at least one. Received: an empty list")
    return new_tokens(
        "beginning of a target",
        [len(generator.start_ids)] * len(rows),
        model.max_length,
        max_length=max_length,
        max_new_tokens=max_new_tokens,
        default=[len(row) + LONGER_THAN_SOURCE for row in rows],
    )
