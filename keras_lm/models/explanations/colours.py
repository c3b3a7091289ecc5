"""The colours of scores, which people who tell red from green badly tell apart, too."""

FOR, AGAINST = (33, 102, 172), (178, 24, 43)  # blue, red
ATTENDED = (33, 102, 172)
_STRONGEST = 0.7  # so that black letters stay readable

Colour = tuple[int, int, int]


def of_score(score: float, largest: float) -> Colour:
    """Blue for what is above 0, red for what is below, white for 0.

    Args:
        score: what is coloured.
        largest: the absolute value that gets the strongest colour; 0: everything is white.
    """
    share = 0.0 if largest <= 0 else min(1.0, abs(score) / largest)
    return _blend(FOR if score > 0 else AGAINST, _STRONGEST * share)


def of_attention(weight: float, largest: float) -> Colour:
    """White for 0, blue for the largest weight."""
    return _blend(ATTENDED, 0.0 if largest <= 0 else min(1.0, weight / largest))


def _blend(colour: Colour, share: float) -> Colour:
    red, green, blue = (round(255 + (part - 255) * share) for part in colour)
    return red, green, blue
