"""Parts of a collection of texts that share nothing: what is trained on, and what is measured on.

The part of a text is a hash of it, so that a text stays in its part when others are added, and
texts that are alike are in one part.
"""

import hashlib
import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

# A word, or a single Chinese character.
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")


class Split(NamedTuple):
    """What went where.

    Attributes:
        parts: by name the items of each part, in the order that they came in.
        left_out: items of all parts but the first, which shared a run of words with it.
    """

    parts: dict[str, list[Any]]
    left_out: list[Any]


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; of Chinese the characters."""
    return _WORD.findall(text.lower())


def normalized(text: str) -> str:
    """A text without what duplicates differ in: case, punctuation, white space."""
    return " ".join(words_of(text)) or text.strip()


def share(text: str) -> float:
    """A number in [0, 1) that belongs to the text."""
    return (
        int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4]) / 2**32
    )


def split_by_hash(
    items: Sequence[Any],
    shares: Mapping[str, float],
    *,
    text: str | Callable[[Any], str] = "text",
    shared_words: int | None = 8,
    key: Callable[[str], str] = normalized,
) -> Split:
    """Divides texts, or rows with texts, without a leak from the first part into the others.

    Texts of the same key are in the same part. From all parts but the first, texts are left out
    that share a run of words with it: they were seen.

    Args:
        items: strings, or dicts such as `read_rows` gives.
        shares: by name how much goes into each part; they add up to 1. The first is the one that is
            trained on.
        text: of dicts the column of the text, or what makes a text of an item.
        shared_words: how many words in a row are too many to share with the first part. None: any
            number may be shared.
        key: the form of a text that is hashed. None: duplicates but for case, punctuation and white
            space have the same one.

    Raises:
        ValueError: shares that do not add up to 1, `shared_words` below 1, or an item without a
            text.
    """
    if not shares or min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1):
        raise ValueError(f"shares must add up to 1. Received: shares={dict(shares)}")
    if shared_words is not None and shared_words < 1:
        raise ValueError(f"shared_words must be positive. Received: {shared_words}")

    def text_of(item: Any) -> str:
        found = item
        if callable(text):
            found = text(item)
        elif isinstance(item, Mapping):
            found = item.get(text)
        if not isinstance(found, str):
            raise ValueError(
                f"Every item must be a string, or have one by text={text!r}. "
                f"Received: {item!r:.200}"
            )
        return found

    parts: dict[str, list[Any]] = {name: [] for name in shares}
    # The first part has the upper end: so the others stay what they are when it grows.
    first, *others = shares
    for item in items:
        at, name = share(key(text_of(item))), first
        for other in reversed(others):
            if at < shares[other]:
                name = other
                break
            at -= shares[other]
        parts[name].append(item)
    if shared_words is None:
        return Split(parts, [])

    def runs(item: Any) -> set[Hashable]:
        words = words_of(text_of(item))
        return {
            hash(tuple(words[i : i + shared_words])) for i in range(len(words) - shared_words + 1)
        }

    unseen = {run for name in others for item in parts[name] for run in runs(item)}
    seen = {run for item in parts[first] for run in runs(item) & unseen}
    left_out = []
    for name in others:
        left_out += [item for item in parts[name] if runs(item) & seen]
        parts[name] = [item for item in parts[name] if not runs(item) & seen]
    return Split(parts, left_out)
