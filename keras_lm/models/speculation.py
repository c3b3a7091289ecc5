"""Answers by proposals: who may propose, checked, and the decoding by them.

B rows that were read, R rows of answers, K proposals.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_lm import generation

Tensor = Any

DEFAULT_DRAFT_TOKENS = 4


class Proposals(NamedTuple):
    """What is proposed in each pass; fixed when a graph is traced.

    Attributes:
        num_tokens: K.
        draft: the smaller model that proposes; None: prompt lookup.
    """

    num_tokens: int
    draft: Any = None


def as_proposals(given: dict[str, Any], model: Any, num_beams: int) -> Proposals | None:
    """Takes what concerns proposals out of options, and checks it.

    Args:
        given: options by name; those that are taken are removed.
        model: the model that answers.
        num_beams: of a beam search, or 1.

    Raises:
        TypeError: a number that is no int, or a draft model that cannot draft.
        ValueError: a number out of range; both ways at once; beams; an encoder-decoder model; a
            draft model with another vocabulary.
    """
    lookup = _count("prompt_lookup_num_tokens", given.pop("prompt_lookup_num_tokens", 0), 0)
    draft = given.pop("draft_model", None)
    asked = given.pop("num_draft_tokens", None)
    if asked is not None and draft is None:
        raise ValueError(
            f"num_draft_tokens needs a draft_model. Received: num_draft_tokens={asked!r}"
        )
    if draft is None and not lookup:
        return None
    name = "draft_model" if draft is not None else "prompt_lookup_num_tokens"
    if draft is not None and lookup:
        raise ValueError(
            "Either a draft_model or prompt lookup proposes tokens. "
            f"Received: draft_model and prompt_lookup_num_tokens={lookup}"
        )
    if num_beams > 1:
        raise ValueError(
            f"A beam search takes no proposals. Received: {name}, num_beams={num_beams}"
        )
    if not hasattr(model, "steps"):
        raise ValueError(f"{name} is for a GPT. Received: a {type(model).__name__}")
    if draft is None:
        return Proposals(lookup)
    num_tokens = _count("num_draft_tokens", DEFAULT_DRAFT_TOKENS if asked is None else asked, 1)
    _check_draft(draft, model)
    return Proposals(num_tokens, draft)


def check_room(proposals: Proposals | None, lengths: Sequence[int]) -> None:
    """Checks that a draft model can read texts of these lengths.

    Raises:
        ValueError: it has fewer positions.
    """
    if proposals is None or proposals.draft is None:
        return
    limit = proposals.draft.max_length
    if max(lengths) > limit:
        raise ValueError(
            "draft_model must have as many positions as prompt and new tokens together. "
            f"Received: {max(lengths)} tokens, a draft_model of max_length={limit}"
        )


def speculate(
    proposals: Proposals,
    model: Any,
    token_ids: Tensor,
    lengths: Tensor,
    *,
    room: Tensor,
    copies: Callable[[Tensor], Tensor],
    known: Callable[[Tensor], Tensor],
    make_decoder: Callable[[generation.Prompt], generation.Decoder],
) -> generation.Speculation:
    """Reads prompts and continues them by proposals.

    Args:
        proposals: what proposes.
        model: with `prefill` and `steps`.
        token_ids: int32 `(B, T)`, padded on the right.
        lengths: int32 `(B,)`.
        room: N, int32 scalar.
        copies: repeats what there is for each of B rows for the R rows.
        known: cuts logits to what can be written.
        make_decoder: of the R rows, from the prompts of the B rows.
    """
    spare = proposals.num_tokens
    length = tf.shape(token_ids)[1] + room + spare

    def begin(of: Any) -> tuple[Tensor, Any]:
        logits_BV, cache = of.prefill(token_ids, lengths, length, spare)
        return copies(known(logits_BV)), tf.nest.map_structure(copies, cache)

    def read(of: Any, token_ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
        logits_RTV, cache = of.steps(token_ids, cache)
        return known(logits_RTV), cache

    decoder = make_decoder(generation.Prompt(token_ids, lengths))
    logits_RV, cache = begin(model)
    proposer: generation.Proposer
    if proposals.draft is None:
        proposer = lookup = generation.PromptLookup(decoder, spare)
        drafts = lookup.begin()
    else:
        draft = generation.Draft(
            decoder, functools.partial(read, proposals.draft), _take_back, spare
        )
        proposer, drafts = draft, draft.begin(begin(proposals.draft)[1])
    speculator = generation.Speculator(
        decoder, functools.partial(read, model), _take_back, proposer
    )
    return speculator.go_on(speculator.start(logits_RV), cache, drafts)[0]


def _take_back(cache: Any, counts: Tensor, finite: Tensor) -> Any:
    return cache.taken_back(counts, finite)


def _count(name: str, value: Any, lowest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int. Received: {name}={value!r}")
    if value < lowest:
        off = " (0 is off)" if lowest == 0 else ""
        raise ValueError(f"{name} must be at least {lowest}{off}. Received: {name}={value}")
    return value


def _check_draft(draft: Any, model: Any) -> None:
    if not hasattr(draft, "steps") or not hasattr(draft, "prefill"):
        raise TypeError(f"draft_model must be a GPT. Received: a {type(draft).__name__}")
    draft.require_head("draft_model", "causal_lm")
    if draft.vocab_size != model.vocab_size:
        raise ValueError(
            "draft_model must have the vocabulary of the model. "
            f"Received: {draft.vocab_size} tokens, and a model of {model.vocab_size}"
        )
    ours, theirs = model.tokenizer, draft.tokenizer
    if None not in (ours, theirs) and ours is not theirs and ours.tokens != theirs.tokens:
        raise ValueError(
            "draft_model must have the vocabulary of the model. "
            "Received: tokenizers of other tokens"
        )
    if not draft.built:
        draft.build()
