"""What `generate` and `stream` of every model take by name."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np

from keras_lm import generation
from keras_lm.models.continuation import Structure
from keras_lm.models.speculation import as_proposals


class GenerationOptions(TypedDict, total=False):
    """Options by name. Those that may be lists have a value for each row then.

    Attributes:
        temperature: divides the logits; 0 is greedy. Not given, or None: 1 where something else
            asks for draws, else 0.
        top_k: draws from the `top_k` likeliest tokens; 0: from all (Fan et al. 2018,
            arXiv:1805.04833).
        top_p: draws from the likeliest tokens that together hold this probability (Holtzman et al.
            2020, arXiv:1904.09751); 1 is off.
        seed: of the draws. Not given, or None: another for each row at each call.
        min_p: draws from the tokens at least this many times as likely as the likeliest (Nguyen et
            al. 2024, arXiv:2407.01082); 0 is off.
        repetition_penalty: makes every token of prompt and answer less likely where above 1 (Keskar
            et al. 2019, arXiv:1909.05858, section 4.1).
        presence_penalty: is subtracted once from the logits of what was written already.
        frequency_penalty: is subtracted from them as often as it was written.
        min_new_tokens: so many tokens come before an end token.
        no_repeat_ngram_size: so many tokens in a row are written only once; 0 is off. This and what
            follows, up to `num_beams`, is fixed in a graph: another value traces another.
        bad_words: texts or lists of ids that are not written. A text is tokenized as it stands: a
            byte-level vocabulary has other tokens for a word behind a space.
        suppressed_ids: ids that are not written.
        forced_first_id: id that an answer begins with.
        forced_last_ids: ids one of which ends an answer that has got as long as it may.
        num_beams: above 1: a beam search for the likeliest answers. It does not draw.
        length_penalty: of a beam search: above 0 favours long answers; 1 if not given.
        early_stopping: of a beam search, see `keras_lm.generation.EarlyStopping`.
        prompt_lookup_num_tokens: so many tokens at most are proposed in each pass of the model,
            which followed the newest ones where these stood before (Saxena 2023, "Prompt lookup
            decoding"); 0 is off. The answers stay the same. This and what follows is for `generate`
            of a `GPT`, and fixed in a graph.
        draft_model: a smaller `GPT` of the same vocabulary that proposes tokens (Leviathan et al.
            2023, arXiv:2211.17192). Answers that are not drawn stay the same; draws have the same
            distribution.
        num_draft_tokens: how many it proposes in each pass of the model; 4 if not given.
    """

    temperature: float | Sequence[float] | None
    top_k: int | Sequence[int]
    top_p: float | Sequence[float]
    seed: int | Sequence[int] | None
    min_p: float | Sequence[float]
    repetition_penalty: float | Sequence[float]
    presence_penalty: float | Sequence[float]
    frequency_penalty: float | Sequence[float]
    min_new_tokens: int | Sequence[int]
    no_repeat_ngram_size: int
    bad_words: Sequence[str | Sequence[int]]
    suppressed_ids: Sequence[int]
    forced_first_id: int | None
    forced_last_ids: Sequence[int]
    num_beams: int
    length_penalty: float | Sequence[float]
    early_stopping: bool | str | Sequence[bool | str]
    prompt_lookup_num_tokens: int
    draft_model: Any
    num_draft_tokens: int


class Parted(NamedTuple):
    """Options by where they go."""

    structure: Structure
    of_rows: dict[str, Any]
    of_beams: dict[str, Any]


_RULES = ("no_repeat_ngram_size", "suppressed_ids", "forced_first_id", "forced_last_ids")
_BEAMS = ("length_penalty", "early_stopping")
# What asks for draws, and the value that does not.
_DRAWS = {"temperature": 0, "top_k": 0, "top_p": 1, "min_p": 0}


def part_options(
    options: Mapping[str, Any],
    *,
    model: Any,
    vocab_size: int,
    num_return_sequences: int,
    tokenizer: Any,
) -> Parted:
    """Checks what concerns more than one option, and parts them.

    Args:
        options: `GenerationOptions`; one that is None was not given.
        model: that answers.
        vocab_size: of what it can write.
        num_return_sequences: answers to each row.
        tokenizer: for bad words that are texts, or None.

    Raises:
        TypeError: an option of another name or kind.
        ValueError: an id outside the vocabulary; more answers than beams; an option of beam search
            without beams, or one to draw with together with them; proposals that cannot be.
    """
    known = list(GenerationOptions.__annotations__)
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(f"Options are {', '.join(known)}. Received: {', '.join(unknown)}")
    given = {name: value for name, value in options.items() if value is not None}
    num_beams = _beams(given.pop("num_beams", 1), vocab_size)
    of_beams = {name: given.pop(name) for name in _BEAMS if name in given}
    proposals = as_proposals(given, model, num_beams)
    rules = {name: given.pop(name) for name in _RULES if name in given}
    words = given.pop("bad_words", ())
    if isinstance(words, str):
        raise TypeError(f"bad_words must be a list. Received: bad_words={words!r}")
    found = generation.Rules(bad_words=[_as_ids(word, tokenizer) for word in words], **rules)
    found.check_vocabulary(vocab_size)
    if num_beams == 1 and of_beams:
        raise ValueError(
            f"{' and '.join(of_beams)} are for a beam search: num_beams above 1. "
            f"Received: num_beams={num_beams}"
        )
    if num_beams > 1:
        drawn = [
            name for name, off in _DRAWS.items() if np.any(np.asarray(given.get(name, off)) != off)
        ]
        if drawn:
            raise ValueError(
                f"A beam search does not draw. Received: num_beams={num_beams}, {', '.join(drawn)}"
            )
        if num_return_sequences > num_beams:
            raise ValueError(
                "num_return_sequences must be at most num_beams. Received: "
                f"num_return_sequences={num_return_sequences}, num_beams={num_beams}"
            )
    return Parted(Structure(num_beams, found, proposals), given, of_beams)


def _beams(num_beams: Any, vocab_size: int) -> int:
    if isinstance(num_beams, bool) or not isinstance(num_beams, int):
        raise TypeError(f"num_beams must be an int. Received: num_beams={num_beams!r}")
    if not 1 <= num_beams <= vocab_size:
        raise ValueError(
            f"num_beams must be in 1 .. {vocab_size}, the vocabulary. Received: {num_beams}"
        )
    return num_beams


def _as_ids(word: Any, tokenizer: Any) -> Any:
    if not isinstance(word, str):
        return word
    if tokenizer is None:
        raise ValueError(f"A bad word that is a text needs a tokenizer. Received: {word!r}")
    return tokenizer.encode_batch([word])[0]
