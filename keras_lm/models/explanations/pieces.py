"""A text cut into the pieces that its tokens stand for, and what is between them."""

from collections.abc import Iterable
from typing import NamedTuple

from keras_lm.models.explanations.text_tokens import TextToken


class Piece(NamedTuple):
    """A part of a text.

    Attributes:
        text: as it stands there.
        score: the sum of its tokens' scores; None where no token stands for it.
        tokens: the tokens, as the vocabulary has them.
    """

    text: str
    score: float | None
    tokens: tuple[str, ...] = ()


def pieces(
    text: str, tokens: Iterable[TextToken], scores: Iterable[float], part: int
) -> list[Piece]:
    """Cuts a text; the pieces put together are the text again.

    Tokens that share characters, such as the bytes of an emoji, are one piece.

    Args:
        text: the whole text.
        tokens: of the row that was read.
        scores: one for each.
        part: which text of the row this is.
    """
    found: list[tuple[int, int, float, tuple[str, ...]]] = []
    of_text: list[tuple[int, int, float, tuple[str, ...]]] = [
        (token.start, token.end, float(score), (token.token,))
        for token, score in zip(tokens, scores, strict=True)
        if token.part == part
    ]
    for start, end, score, names in sorted(of_text, key=lambda item: item[:2]):
        if found and start < found[-1][1]:
            before = found.pop()
            start, end = before[0], max(end, before[1])
            score, names = before[2] + score, before[3] + names
        found.append((start, end, score, names))
    cut, place = [], 0
    for start, end, score, names in found:
        if place < start:
            cut.append(Piece(text[place:start], None))
        cut.append(Piece(text[start:end], score, names))
        place = end
    if place < len(text):
        cut.append(Piece(text[place:], None))
    return cut
