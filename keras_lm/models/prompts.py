"""What a Python caller of `generate` gives, checked, and what comes back to it."""

import operator
import re
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm import generation
from keras_lm.models.interface import as_text, check_ids
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
    temperature: float | Sequence[float] | None,
    seed: int | Sequence[int] | None,
    **options: Any,
) -> Any:
    """Checks the request and calls the graph; see `GPT.generate`."""
    batch, is_text, is_single = _as_batch(prompts)
    ends = _stops(stop, is_text)
    tokenizer = model.require_tokenizer("generate() from text") if is_text else model.tokenizer
    rows = tokenizer.encode_batch(batch) if is_text else batch
    check_ids(rows, model.vocab_size, model.max_length)
    n = operator.index(num_return_sequences)
    if n < 1:
        raise ValueError(f"num_return_sequences must be positive. Received: {n}")
    beginning = model.require_tokenizer("An empty prompt").end_id if not all(rows) else None
    read = [row or [beginning] for row in rows]
    lengths = np.array([len(row) for row in read], "int32")
    new_tokens = _new_tokens(lengths, model.max_length, max_length, max_new_tokens)
    if n > 1 and temperature is None:
        temperature = 1.0
    if seed is None:
        seed = [secrets.randbits(63) for _ in rows]
    asked = generation.validate_options(
        len(rows), max_new_tokens=new_tokens, temperature=temperature, seed=seed, **options
    )
    found = generator.continue_ids(
        tf.repeat(tf.ragged.constant(read, "int32", ragged_rank=1).to_tensor(0), n, axis=0),
        tf.repeat(lengths, n),
        generation.Options(*(tf.repeat(option, n) for option in asked)),
        tf.tile(tf.range(n), [len(rows)]),
        # Punctuation that Python escapes is escaped the same in TensorFlow's regular expressions.
        tf.constant("|".join(map(re.escape, ends))),
    )
    new = [
        row[:count].tolist()
        for row, count in zip(found.token_ids.numpy(), found.lengths.numpy(), strict=True)
    ]
    before = [prompt for prompt in (batch if is_text else rows) for _ in range(n)]
    if is_text:
        new = [_before_stop(tokenizer.decode(ids), ends) for ids in new]
    whole = [prompt + rest for prompt, rest in zip(before, new, strict=True)]
    if n > 1:
        whole = [whole[i : i + n] for i in range(0, len(whole), n)]
    return whole[0] if is_single else whole


def _as_batch(prompts: Any) -> tuple[list[Any], bool, bool]:
    """Returns a list of prompts, whether they are text, and whether only one was given.

    Texts come back as str, rows of ids as lists of int.
    """
    refused = ValueError(
        "prompts must be a text, texts, a list of ids or lists of ids. "
        f"Received: {type(prompts).__name__} {prompts!r:.80}"
    )
    if isinstance(prompts, (str, bytes)):
        return [as_text(prompts)], True, True
    prompts = prompts.numpy() if isinstance(prompts, tf.Tensor) else prompts
    prompts = prompts.tolist() if isinstance(prompts, np.ndarray) else prompts
    if isinstance(prompts, (str, bytes)):  # an array without dimensions
        return [as_text(prompts)], True, True
    if not isinstance(prompts, (list, tuple)):
        raise refused
    batch = [item.tolist() if isinstance(item, np.ndarray) else item for item in prompts]
    if not batch:
        raise ValueError("prompts must hold at least one prompt. Received: none")
    if all(isinstance(item, (str, bytes)) for item in batch):
        return [as_text(item) for item in batch], True, False
    is_single = not any(isinstance(item, (list, tuple)) for item in batch)
    rows = [batch] if is_single else batch
    if not all(isinstance(row, (list, tuple)) and all(map(_is_id, row)) for row in rows):
        raise refused
    return [[int(item) for item in row] for row in rows], False, is_single


def _is_id(item: Any) -> bool:
    return isinstance(item, (int, np.integer)) and not isinstance(item, bool)


def _stops(stop: str | Sequence[str], is_text: bool) -> list[str]:
    found = [stop] if isinstance(stop, str) else list(stop or ())
    if not all(isinstance(text, str) and text for text in found):
        raise ValueError(f"stop must be texts that are not empty. Received: stop={stop!r}")
    if found and not is_text:
        raise ValueError("stop needs prompts of text. Received: prompts of ids")
    return found


def _new_tokens(
    lengths: np.ndarray,
    limit: int,
    max_length: int | None,
    max_new_tokens: int | Sequence[int] | None,
) -> list[int]:
    """Returns how many tokens each prompt may get; `limit` is the model's length."""
    longest = int(lengths.max())
    if max_length is not None and max_new_tokens is not None:
        raise ValueError(
            "Only one of max_length, which counts the prompt, and max_new_tokens can be given. "
            f"Received: max_length={max_length}, max_new_tokens={max_new_tokens}"
        )
    if max_length is not None:
        if not longest < operator.index(max_length) <= limit:
            raise ValueError(
                "max_length counts the prompt: it must be more than the longest prompt and at most "
                f"the model's {limit}. Received: max_length={max_length}, a prompt of {longest} "
                "tokens"
            )
        return [max_length - int(length) for length in lengths]
    if longest >= limit:
        raise ValueError(
            f"A prompt must leave room in the model's {limit} positions. Received: a prompt of "
            f"{longest} tokens"
        )
    if max_new_tokens is None:
        return [min(DEFAULT_NEW_TOKENS, limit - int(length)) for length in lengths]
    given = np.ravel(max_new_tokens).tolist()
    wanted = given * len(lengths) if len(given) == 1 else given
    if len(wanted) != len(lengths):
        raise ValueError(
            f"max_new_tokens must be one number, or one for each of {len(lengths)} prompts. "
            f"Received: {max_new_tokens!r}"
        )
    for length, number in zip(lengths.tolist(), wanted, strict=True):
        if length + number > limit:
            raise ValueError(
                f"Prompt and new tokens must fit into the model's {limit} positions. Received: a "
                f"prompt of {length} tokens, max_new_tokens={number}"
            )
    return wanted


def _before_stop(text: str, stop: list[str]) -> str:
    return text[: min([text.find(end) for end in stop if end in text], default=len(text))]
