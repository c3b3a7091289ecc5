"""What a Python caller of `generate` gives, checked, whatever the model reads; and what comes back.

B rows that are read, C copies of each.
"""

import operator
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm import generation
from keras_lm.models.continuation import Answers, Continuation, Request, Structure, any_of
from keras_lm.models.generation_options import part_options
from keras_lm.models.interface import as_text
from keras_lm.models.speculation import check_room

Tensor = Any


class Batch(NamedTuple):
    """What is to be read.

    Attributes:
        items: list of str, or of lists of int.
        is_text: whether they are str.
        is_single: whether only one was given, not a list of one.
    """

    items: list[Any]
    is_text: bool
    is_single: bool


def as_batch(what: str, given: Any) -> Batch:
    """Reads a text, texts, a list of ids or lists of ids; arrays and tensors too.

    Args:
        what: the argument's name, the plural of what it holds: `"prompts"`.
        given: its value.

    Raises:
        ValueError: it is nothing of that kind, or holds nothing.
    """
    refused = ValueError(
        f"{what} must be a text, texts, a list of ids or lists of ids. "
        f"Received: {type(given).__name__} {given!r:.80}"
    )
    if isinstance(given, (str, bytes)):
        return Batch([as_text(given)], True, True)
    given = given.numpy() if isinstance(given, tf.Tensor) else given
    given = given.tolist() if isinstance(given, np.ndarray) else given
    if isinstance(given, (str, bytes)):  # an array without dimensions
        return Batch([as_text(given)], True, True)
    if not isinstance(given, (list, tuple)):
        raise refused
    items = [item.tolist() if isinstance(item, np.ndarray) else item for item in given]
    if not items:
        raise ValueError(f"{what} must hold at least one {what.removesuffix('s')}. Received: none")
    if all(isinstance(item, (str, bytes)) for item in items):
        return Batch([as_text(item) for item in items], True, False)
    is_single = not any(isinstance(item, (list, tuple)) for item in items)
    rows = [items] if is_single else items
    if not all(isinstance(row, (list, tuple)) and all(map(_is_id, row)) for row in rows):
        raise refused
    return Batch([[int(item) for item in row] for row in rows], False, is_single)


def _is_id(item: Any) -> bool:
    return isinstance(item, (int, np.integer)) and not isinstance(item, bool)


def as_one_text(what: str, given: Any) -> str:
    """Returns a text.

    Raises:
        TypeError: it is none. `what` names it.
    """
    if not isinstance(given, (str, bytes)):
        raise TypeError(f"{what} must be a text. Received: {type(given).__name__} {given!r:.80}")
    return as_text(given)


def as_stops(stop: str | Sequence[str], what: str, is_text: bool) -> list[str]:
    """Returns the texts at which an answer ends.

    Raises:
        ValueError: one is empty or no text, or what is read is ids.
    """
    found = [stop] if isinstance(stop, str) else list(stop or ())
    if not all(isinstance(text, str) and text for text in found):
        raise ValueError(f"stop must be texts that are not empty. Received: stop={stop!r}")
    if found and not is_text:
        raise ValueError(f"stop needs {what} of text. Received: {what} of ids")
    return found


def new_tokens(
    what: str,
    lengths: Sequence[int],
    limit: int,
    *,
    max_length: int | None,
    max_new_tokens: int | Sequence[int] | None,
    default: Sequence[int],
) -> list[int]:
    """Returns how many tokens each row may get.

    Args:
        what: stands before the new tokens: `"prompt"`.
        lengths: tokens of it in each row.
        limit: the model's length.
        max_length: asked for, that of both together.
        max_new_tokens: asked for, instead.
        default: where nothing is asked for; cut to the room there is.

    Raises:
        ValueError: there is no room, both are asked for, or too much is.
    """
    longest = max(lengths)
    if max_length is not None and max_new_tokens is not None:
        raise ValueError(
            f"Only one of max_length, which counts the {what}, and max_new_tokens can be given. "
            f"Received: max_length={max_length}, max_new_tokens={max_new_tokens}"
        )
    if max_length is not None:
        if not longest < operator.index(max_length) <= limit:
            raise ValueError(
                f"max_length counts the {what}: it must be more than the longest {what} and at "
                f"most the model's {limit}. Received: max_length={max_length}, a {what} of "
                f"{longest} tokens"
            )
        return [max_length - length for length in lengths]
    if longest >= limit:
        raise ValueError(
            f"A {what} must leave room in the model's {limit} positions. Received: a {what} of "
            f"{longest} tokens"
        )
    if max_new_tokens is None:
        return [
            min(number, limit - length) for number, length in zip(default, lengths, strict=True)
        ]
    given = np.ravel(max_new_tokens).tolist()
    wanted = given * len(lengths) if len(given) == 1 else given
    if len(wanted) != len(lengths):
        raise ValueError(
            f"max_new_tokens must be one number, or one for each of {len(lengths)} rows. "
            f"Received: {max_new_tokens!r}"
        )
    for length, number in zip(lengths, wanted, strict=True):
        if length + number > limit:
            raise ValueError(
                f"The {what} and new tokens must fit into the model's {limit} positions. Received: "
                f"a {what} of {length} tokens, max_new_tokens={number}"
            )
    return wanted


class Answer(NamedTuple):
    """What a model answered to a row, with scores.

    Attributes:
        output: what `generate` returns where no scores are asked for: str, or list of int.
        score: of a beam search the score that it ranks by, see `keras_lm.generation.Beams`; else
            the log-probability of the new tokens, an end token included.
        token_ids: the new tokens, a list of int, without an end token.
        log_probs: list of float, the log-probability of each of them, and of the end token behind
            them if there was one, in the softmax of the model's own logits.
        passes: how often the model ran until the row had ended, the pass that read it included; one
            for each new token, or less with proposals. This and what follows is not counted, and 0,
            in a beam search.
        proposed: how many tokens were proposed by a draft model or prompt lookup.
        accepted: how many of them were accepted.
    """

    output: Any
    score: float
    token_ids: list[int]
    log_probs: list[float]
    passes: int = 0
    proposed: int = 0
    accepted: int = 0


def ask(
    continuation: Continuation,
    rows: list[list[int]],
    max_new_tokens: list[int],
    *,
    vocab_size: int,
    num_return_sequences: int,
    stop: list[str],
    scores: bool = False,
    **options: Any,
) -> list[Answer]:
    """Checks the options and calls the graph.

    Args:
        continuation: what answers.
        rows: B lists of at least one id.
        max_new_tokens: of each row.
        vocab_size: the model's.
        num_return_sequences: C.
        stop: texts at which an answer ends.
        scores: whether scores are wanted; they are 0 if not.
        **options: `keras_lm.models.generation_options.GenerationOptions`.

    Returns:
        B x C answers, those of one row together; their output is the new ids.
    """
    structure, request = as_request(
        continuation,
        rows,
        max_new_tokens,
        vocab_size=vocab_size,
        num_return_sequences=num_return_sequences,
        stop=stop,
        scores=scores,
        **options,
    )
    found = continuation.graph_of(structure)(*as_tensors(rows), request)
    answers = []
    for row in zip(*(x.numpy() for x in found), strict=True):
        of = Answers(*row)
        new = of.token_ids[: of.lengths].tolist()
        scored = of.lengths + (of.reasons == generation.Reason.END_TOKEN)
        counted = (int(of.passes), int(of.proposed), int(of.accepted))
        log_probs = of.log_probs[:scored].tolist()
        answers.append(Answer(new, float(of.scores), new, log_probs, *counted))
    return answers


def as_request(
    continuation: Continuation,
    rows: list[list[int]],
    max_new_tokens: list[int],
    *,
    vocab_size: int,
    num_return_sequences: int,
    stop: list[str],
    scores: bool,
    seed: int | Sequence[int] | None = None,
    **options: Any,
) -> tuple[Structure, Request]:
    """Checks what `ask` is asked for.

    Returns:
        What is fixed in the graph, and what it is called with.
    """
    copies = operator.index(num_return_sequences)
    if copies < 1:
        raise ValueError(f"num_return_sequences must be positive. Received: {copies}")
    tokenizer = continuation.tokenizer
    parted = part_options(
        options,
        model=continuation.model,
        # What has no text can't be written.
        vocab_size=vocab_size if tokenizer is None else tokenizer.vocab_size,
        num_return_sequences=copies,
        tokenizer=tokenizer,
    )
    lengths = [len(row) + new for row, new in zip(rows, max_new_tokens, strict=True)]
    check_room(parted.structure.proposals, lengths)
    of_rows = parted.of_rows
    if copies > 1 and parted.structure.num_beams == 1:
        of_rows = {"temperature": 1.0, **of_rows}
    if seed is None:
        seed = [secrets.randbits(63) for _ in rows]
    request = Request(
        options=generation.validate_options(
            len(rows), max_new_tokens=max_new_tokens, seed=seed, **of_rows
        ),
        beams=generation.validate_beam_options(len(rows), **parted.of_beams),
        copies=tf.constant(copies),
        stop=tf.constant(any_of(stop)),
        scores=tf.constant(bool(scores)),
    )
    return parted.structure, request


def as_tensors(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Pads rows on the right: int32 `(B, T)` and the length of each, int32 `(B,)`."""
    ids = tf.ragged.constant(rows, "int32", ragged_rank=1).to_tensor(0)
    return ids, tf.constant([len(row) for row in rows])


def decode_before_stop(
    tokenizer: Any, rows: list[list[int]], stop: list[str], before: list[str] | None = None
) -> list[str]:
    """Gives the texts of rows of ids, without what begins with a text of `stop`.

    Where a text stands before them, the first word brings its space, if the tokenizer leaves spaces
    out.
    """
    continues = [False] * len(rows) if before is None else map(bool, before)
    texts = [
        tokenizer.decode(row, continues=goes_on)
        for row, goes_on in zip(rows, continues, strict=True)
    ]
    return [
        text[: min([text.find(end) for end in stop if end in text], default=len(text))]
        for text in texts
    ]


def as_given(answers: list[Any], num_return_sequences: int, is_single: bool) -> Any:
    """Puts B x C answers into the structure that was asked in: a list for each row if C > 1."""
    n = num_return_sequences
    if n > 1:
        answers = [answers[i : i + n] for i in range(0, len(answers), n)]
    return answers[0] if is_single else answers
