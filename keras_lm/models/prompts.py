"""What a Python caller of `GPT.generate` gives, checked, and what comes back."""

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
from keras_lm.models.text_generation import TextGenerator

DEFAULT_NEW_TOKENS = 50


def generate(
    model: Any,
    generator: TextGenerator,
    prompts: Any,
    *,
    max_length: int | None,
    max_new_tokens: int | Sequence[int] | None,
    num_return_sequences: int,
    stop: str | Sequence[str],
    return_scores: bool,
    **options: Any,
) -> Any:
    """Checks the request and calls the graph; see `GPT.generate`."""
    batch, is_text, is_single = as_batch("prompts", prompts)
    ends = as_stops(stop, "prompts", is_text)
    tokenizer = model.require_tokenizer("generate() from text") if is_text else model.tokenizer
    rows = tokenizer.encode_batch(batch) if is_text else batch
    read, limits = _read(model, rows, max_length, max_new_tokens)
    answers = ask(
        generator,
        read,
        limits,
        vocab_size=model.vocab_size,
        num_return_sequences=num_return_sequences,
        stop=ends,
        scores=return_scores,
        **options,
    )
    new: list[Any] = [answer.output for answer in answers]
    before = [
        prompt for prompt in (batch if is_text else rows) for _ in range(num_return_sequences)
    ]
    if is_text:
        new = decode_before_stop(tokenizer, new, ends, before)
    whole = [prompt + rest for prompt, rest in zip(before, new, strict=True)]
    if return_scores:
        pairs = zip(answers, whole, strict=True)
        whole = [answer._replace(output=output) for answer, output in pairs]
    return as_given(whole, num_return_sequences, is_single)


def stream(
    model: Any,
    generator: TextGenerator,
    prompt: str,
    *,
    max_length: int | None,
    max_new_tokens: int | None,
    tokens_per_step: int,
    stop: str | Sequence[str],
    **options: Any,
) -> Iterator[str]:
    """Checks the request and calls the graphs; see `GPT.stream`."""
    text = as_one_text("prompt", prompt)
    read, limits = _read(
        model, generator.tokenizer.encode_batch([text]), max_length, max_new_tokens
    )
    return stream_one(
        generator,
        read,
        limits,
        vocab_size=model.vocab_size,
        stop=as_stops(stop, "prompts", True),
        tokens_per_step=tokens_per_step,
        continues=bool(text),
        **options,
    )


def _read(
    model: Any,
    rows: list[list[int]],
    max_length: int | None,
    max_new_tokens: int | Sequence[int] | None,
) -> tuple[list[list[int]], list[int]]:
    """Checks rows of ids; returns what is read, and how many tokens each may get."""
    check_ids(rows, model.vocab_size, model.max_length)
    beginning: Any = None if all(rows) else model.require_tokenizer("An empty prompt").end_id
    read = [row or [beginning] for row in rows]
    limits = new_tokens(
        "prompt",
        [len(row) for row in read],
        model.max_length,
        max_length=max_length,
        max_new_tokens=max_new_tokens,
        default=[DEFAULT_NEW_TOKENS] * len(read),
    )
    return read, limits
