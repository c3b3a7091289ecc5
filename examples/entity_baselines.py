"""What finds entities without a neural network: a dictionary, and a conditional random field.

Words in, tags (BIO) out; knows no model.
"""

import collections
import re
from collections.abc import Sequence
from typing import Any

from keras_lm.data.tags import TagScheme

Row = dict[str, list[str]]  # words and their tags


class Dictionary:
    """Names that were seen, the longest one that begins at a word, whatever their case.

    A name is known that is an entity more often in the rows than outside of all; its type is its
    most frequent one.

    Args:
        rows: with `words` and `tags`.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        scheme = TagScheme(sorted({tag for row in rows for tag in row["tags"]}))
        types: dict[tuple[str, ...], collections.Counter] = collections.defaultdict(
            collections.Counter
        )
        for row in rows:
            for kind, first, last in scheme.entities(row["tags"]):
                types[_lowered(row["words"][first : last + 1])][kind] += 1
        self.longest = max(map(len, types), default=0)
        outside: collections.Counter = collections.Counter()
        for row in rows:
            words = _lowered(row["words"])
            for first in range(len(words)):
                for last in range(first + 1, min(first + self.longest, len(words)) + 1):
                    if set(row["tags"][first:last]) == {"O"}:
                        outside[words[first:last]] += 1
        self.types = {
            name: kinds.most_common(1)[0][0]
            for name, kinds in types.items()
            if kinds.total() > outside[name]
        }

    def tags(self, words: Sequence[str]) -> list[str]:
        """The tag of each word."""
        lowered, found = _lowered(words), ["O"] * len(words)
        at = 0
        while at < len(words):
            for end in range(min(at + self.longest, len(words)), at, -1):
                kind = self.types.get(lowered[at:end])
                if kind:
                    found[at:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - at - 1)]
                    at = end
                    break
            else:
                at += 1
        return found


class RandomField:
    """A linear-chain conditional random field over what words look like (Lafferty et al. 2001).

    Features of Finkel et al. 2005, section 4, and of tweets: the word, its beginnings and ends up
    to four letters, its shape, what it is (a link, a user, a tag); but for beginnings and ends the
    same of both neighbours; the words one further; pairs of neighbours. Needs python-crfsuite.

    Args:
        rows: with `words` and `tags`.
        path: where the model is written.
        l1: weight of the absolute values of the parameters.
        l2: weight of their squares.
        iterations: of L-BFGS, at most.
    """

    def __init__(
        self, rows: Sequence[Row], path: Any, l1: float, l2: float, iterations: int = 100
    ) -> None:
        import pycrfsuite  # of this class alone

        trainer = pycrfsuite.Trainer(verbose=False)
        trainer.set_params({"c1": l1, "c2": l2, "max_iterations": iterations})
        for row in rows:
            trainer.append(features(row["words"]), row["tags"])
        trainer.train(str(path))
        self.tagger = pycrfsuite.Tagger()
        self.tagger.open(str(path))

    def tags(self, words: Sequence[str]) -> list[str]:
        """The likeliest tags of the words, as a sequence."""
        return self.tagger.tag(features(words))


def features(words: Sequence[str]) -> list[list[str]]:
    """What is seen of each word and around it."""
    own = [_of_word(word) for word in words]
    lowered = ["<s>", "<s>", *_lowered(words), "</s>", "</s>"]
    found = []
    for at, seen in enumerate(own):
        two_left, left, word, right, two_right = lowered[at : at + 5]
        around = [f"-2:w={two_left}", f"+2:w={two_right}", f"-1,0={left} {word}"]
        around.append(f"0,+1={word} {right}")
        for offset, other in ((-1, at - 1), (1, at + 1)):
            if 0 <= other < len(own):
                around += [f"{offset:+d}:{name}" for name in own[other] if name[0] not in "<>"]
            else:
                around.append(f"{offset:+d}:border")
        found.append(["bias", *seen, *around])
    return found


def _of_word(word: str) -> list[str]:
    low = word.lower()
    shape = re.sub(r"\d", "0", re.sub(r"[^\W\d_a-z]", "A", re.sub(r"[a-z]", "a", word)))
    ends = [mark for n in range(1, 5) for mark in (f"<={low[:n]}", f">={low[-n:]}")]
    kinds = {
        "link": low.startswith("http"),
        "user": word.startswith("@"),
        "tag": word.startswith("#"),
        "title": word.istitle(),
        "upper": word.isupper(),
        "mixed": word[1:] != low[1:] and not word.isupper(),
        "digits": any(char.isdigit() for char in word),
        "mark": not any(char.isalnum() for char in word),
    }
    short = re.sub(r"(.)\1+", r"\1", shape)
    return [
        f"w={low}",
        f"shape={shape[:12]}",
        f"short={short[:12]}",
        *ends,
        *(name for name, is_so in kinds.items() if is_so),
    ]


def _lowered(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word.lower() for word in words)
