"""Tags of words and what they say together: `B-PER I-PER` is one person.

Three schemes, told apart by the names of the tags:

- with prefixes, where each tag is `O` or begins with `B- I- E- L- S- U-` (IOB, BIO, BIOES, BILOU);
- plain tags with an `O`: neighbours of one tag belong together;
- plain tags without an `O`, such as parts of speech: each word is for itself.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

OUTSIDE = "O"
_PREFIXED = re.compile(r"([BIELSU])-(.+)")


class Tag(NamedTuple):
    """What a tag says of its word.

    Attributes:
        type: of the entity; "" outside of one.
        opens: whether an entity begins here in any case.
        closes: whether it ends here in any case.
    """

    type: str
    opens: bool
    closes: bool


class TagScheme:
    """The scheme of a set of tags.

    Args:
        labels: names of the tags.

    Attributes:
        tags: name to `Tag`.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        found = {name: _PREFIXED.fullmatch(name) for name in labels}
        prefixed = all(match or name == OUTSIDE for name, match in found.items())
        alone = OUTSIDE not in labels
        self.tags: dict[str, Tag] = {}
        for name, match in found.items():
            if prefixed and match:
                self.tags[name] = Tag(match[2], match[1] in "BSU", match[1] in "ELSU")
            else:
                self.tags[name] = Tag("" if name == OUTSIDE else name, alone, alone)
        self.has_prefixes = prefixed

    @property
    def for_entities(self) -> bool:
        """Whether there is an outside of entities; otherwise each word has a type."""
        return self.has_prefixes or OUTSIDE in self.tags

    def entities(self, tags: Sequence[str]) -> list[tuple[str, int, int]]:
        """The entities of a sentence: type, first word, last word.

        As conlleval reads them, and seqeval by default: one that begins with `I-` is one, too.

        Args:
            tags: of the words. A name that is no tag is outside.
        """
        found: list[tuple[str, int, int]] = []
        before = Tag("", False, False)
        for place, name in enumerate(tags):
            tag = self.tags.get(name, Tag("", False, False))
            if tag.type and (tag.opens or before.closes or before.type != tag.type):
                found.append((tag.type, place, place))
            elif tag.type:
                found[-1] = (*found[-1][:2], place)
            before = tag
        return found

    def inside(self, name: str) -> str | None:
        """The tag of the later parts of a word that has this one, None where there is none."""
        tag = self.tags[name]
        if not self.has_prefixes or not tag.type:
            return name
        within = f"I-{tag.type}"
        return within if name[0] in "BI" and within in self.tags else None
