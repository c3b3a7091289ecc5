"""What a client asks for in OpenAI's words, checked, and in the words of an export's options."""

import dataclasses
import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from keras_lm.serving.server.completions.errors import ApiError

Prompt = bytes | list[int]

MOST_CHOICES = 128
MOST_STOPS = 4
MOST_LOGPROBS = 5
_DEFAULT_TOKENS = 16
_SMALLEST = 1e-6  # a temperature; below it counts as 0
_INT32, _INT64 = 2**31 - 1, 2**63 - 1

# Fields, and what an export calls them: the smallest value, the largest, and what is meant where
# there is none. Those behind the first four are not OpenAI's own; others who serve its interface
# have them.
_NUMBERS = {
    "temperature": ("temperature", 0.0, 2.0, 1.0),
    "top_p": ("top_p", 0.0, 1.0, 1.0),
    "presence_penalty": ("presence_penalty", -2.0, 2.0, 0.0),
    "frequency_penalty": ("frequency_penalty", -2.0, 2.0, 0.0),
    "min_p": ("min_p", 0.0, 1.0, 0.0),
    "repetition_penalty": ("repetition_penalty", 0.0, 1e6, 1.0),
}
_WHOLE = {"top_k": ("top_k", 0, _INT32, 0), "min_tokens": ("min_new_tokens", 0, _INT32, 0)}
# What may stand there so long as it asks for nothing.
_UNSUPPORTED = {"suffix": (None, ""), "logit_bias": (None, {}), "best_of": (None,)}
_OTHERS = {
    "model",
    "prompt",
    "max_tokens",
    "n",
    "stop",
    "seed",
    "logprobs",
    "echo",
    "stream",
    "stream_options",
    "user",
}


@dataclasses.dataclass(frozen=True)
class CompletionRequest:
    """What a completion is asked for.

    Attributes:
        model: its name, as it was asked for.
        prompts: texts or ids.
        max_tokens: of each answer.
        n: answers to each prompt.
        options: of the signature `prefill`, but for the seed and the tokens.
        seed: of the first answer to each prompt.
        stop: texts at which answers end.
        logprobs: how many alternatives are told of each token. None: nothing is.
        echo: whether the prompt stands before each answer.
        stream: whether it is told piece by piece.
        include_usage: whether a stream ends with how many tokens there were.
    """

    model: str
    prompts: list[Prompt]
    max_tokens: int
    n: int
    options: dict[str, float]
    seed: int
    stop: list[str]
    logprobs: int | None
    echo: bool
    stream: bool
    include_usage: bool

    def options_of(self, choice: int) -> dict[str, float]:
        """What a row of the engine asks for.

        Args:
            choice: the number of the answer among those to its prompt. Answers to one prompt have
                seeds one behind the other.
        """
        seed = (self.seed + choice + 2**63) % 2**64 - 2**63
        # Where only the prompt is asked for, one token is made and not told.
        return {**self.options, "seed": seed, "max_new_tokens": max(self.max_tokens, 1)}


def completion_request(document: Mapping[str, Any], model: str | None = None) -> CompletionRequest:
    """Reads the body of a request.

    Args:
        document: the body.
        model: its name where the path says it.

    Raises:
        ApiError: a field is unknown, not supported or out of range.
    """
    known = {*_NUMBERS, *_WHOLE, *_UNSUPPORTED, *_OTHERS}
    for name in document:
        if name not in known:
            raise ApiError(
                f"Unrecognized request argument supplied: {name:.100}", name[:100], "unknown_field"
            )
    n = whole(document, "n", 1, MOST_CHOICES, 1)
    for name, nothing in _UNSUPPORTED.items():
        value = document.get(name)
        if value not in nothing and not (name == "best_of" and value == n):
            raise ApiError(f"{name} is not supported", name, "unsupported_parameter")
    options = {
        told: _number(document, name, least, most, default)
        for name, (told, least, most, default) in _NUMBERS.items()
    }
    for name, (told, least, most, default) in _WHOLE.items():
        options[told] = whole(document, name, least, most, default)
    if options["temperature"] < _SMALLEST:
        options["temperature"] = 0.0
    for name in ("top_p", "repetition_penalty"):
        if options[name] == 0:
            raise _out_of_range(name, "above 0", 0)
    echo = truth(document, "echo")
    logprobs = document.get("logprobs")
    if logprobs is not None:
        logprobs = whole(document, "logprobs", 0, MOST_LOGPROBS, 0)
    max_tokens = whole(document, "max_tokens", 0, _INT32, _DEFAULT_TOKENS)
    if max_tokens == 0 and not echo:
        raise _out_of_range("max_tokens", "at least 1, or at least 0 with echo", 0)
    if options["min_new_tokens"] > max_tokens:
        raise _out_of_range("min_tokens", "at most max_tokens", options["min_new_tokens"])
    stream_options = document.get("stream_options") or {}
    if not isinstance(stream_options, dict) or set(stream_options) - {"include_usage"}:
        raise ApiError("stream_options must be an object with include_usage", "stream_options")
    if document.get("seed") is None:
        seed = secrets.randbelow(2**62)
    else:
        seed = whole(document, "seed", -_INT64 - 1, _INT64, 0)
    return CompletionRequest(
        model=model_name(document, model),
        prompts=_prompts(document.get("prompt")),
        max_tokens=max_tokens,
        n=n,
        options=options,
        seed=seed,
        stop=_stops(document.get("stop")),
        logprobs=logprobs,
        echo=echo,
        stream=truth(document, "stream"),
        include_usage=truth(stream_options, "include_usage"),
    )


def model_name(document: Mapping[str, Any], of_path: str | None = None) -> str:
    """The model that is asked.

    Args:
        document: a request.
        of_path: its name where the path says it.
    """
    name = of_path if of_path is not None else document.get("model")
    if not isinstance(name, str) or not name:
        raise ApiError("you must provide a model parameter", "model", "missing_required_parameter")
    return name


def whole(document: Mapping[str, Any], name: str, least: int, most: int, default: int) -> int:
    """A whole number of a request.

    Raises:
        ApiError: it is something else, or out of range.
    """
    value = document.get(name)
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(name, "an integer", value)
    if not least <= value <= most:
        raise _out_of_range(name, f"in {least} .. {most}", value)
    return value


def truth(document: Mapping[str, Any], name: str) -> bool:
    """A field of a request that is true or false; false where there is none."""
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong_type(name, "a boolean", value)
    return bool(value)


def texts_or_ids(value: Any, name: str) -> list[Prompt]:
    """A text, texts, ids or lists of ids.

    Raises:
        ApiError: it is something else, or empty.
    """
    rule = "a string, strings, an array of tokens or an array of arrays of tokens"
    if isinstance(value, str) or (isinstance(value, list) and value and all(map(_is_id, value))):
        value = [value]
    if not isinstance(value, list) or not value:
        raise _wrong_type(name, rule, value)
    found: list[Prompt] = []
    for one in value:
        if isinstance(one, str):
            found.append(one.encode("utf-8", "replace"))
        elif isinstance(one, list) and one and all(map(_is_id, one)):
            found.append(one)
        else:
            raise _wrong_type(name, rule, value)
    return found


def _prompts(value: Any) -> list[Prompt]:
    # Without a prompt a new document begins.
    return [b""] if value is None else texts_or_ids(value, "prompt")


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _INT32


def _number(
    document: Mapping[str, Any], name: str, least: float, most: float, default: float
) -> float:
    value = document.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong_type(name, "a number", value)
    # Compared as it came: an integer may be larger than any float.
    if not least <= value <= most or not math.isfinite(value):
        raise _out_of_range(name, f"in {least:g} .. {most:g}", value)
    return float(value)


def _stops(value: Any) -> list[str]:
    stops: Sequence[Any] = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise _wrong_type("stop", "a string or strings", value)
    if len(stops) > MOST_STOPS:
        raise _out_of_range("stop", f"at most {MOST_STOPS} strings", len(stops))
    if not all(stops):
        raise _out_of_range("stop", "strings that are not empty", "an empty one")
    return stops


def _wrong_type(name: str, rule: str, value: Any) -> ApiError:
    return ApiError(f"{name} must be {rule}. Received: {value!r:.100}", name, "invalid_type")


def _out_of_range(name: str, rule: str, value: Any) -> ApiError:
    return ApiError(f"{name} must be {rule}. Received: {value!r:.100}", name, "invalid_value")
