"""What a Python caller of `GPT.generate` gives, checked, and what comes back."""

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
    **options: Any,
) -> Any:
    """Checks the request and calls the graph; see `GPT.generate`."""
    batch, is_text, is_single = as_batch("prompts", prompts)
    ends = as_stops(stop, "prompts", is_text)
    tokenizer = model.require_tokenizer("generate() from text") if is_text else model.tokenizer
    rows = tokenizer.encode_batch(batch) if is_text else batch
    check_ids(rows, model.vocab_size, model.max_length)
    beginning = model.require_tokenizer("An empty prompt").end_id if not all(rows) else None
    read = [row or [beginning] for row in rows]
    limits = new_tokens(
        "prompt",
        [len(row) for row in read],
        model.max_length,
        max_length=max_length,
        max_new_tokens=max_new_tokens,
        default=[DEFAULT_NEW_TOKENS] * len(read),
    )
    new: list[Any] = ask(
        generator.continue_ids,
        read,
        limits,
        num_return_sequences=num_return_sequences,
        stop=ends,
        **options,
    )
    before = [
        prompt for prompt in (batch if is_text else rows) for _ in range(num_return_sequences)
    ]
    if is_text:
        new = decode_before_stop(tokenizer, new, ends, before)
    whole = [prompt + rest for prompt, rest in zip(before, new, strict=True)]
    return as_given(whole, num_return_sequences, is_single)
