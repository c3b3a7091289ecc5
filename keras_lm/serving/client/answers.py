"""What the typed calls of a client answer: one of these for each text.

`status` is 0 where a text was answered as asked; its bits say what was cut or brought into range,
see `keras_lm.models.limits` and `keras_lm.generation.Status`.
"""

from typing import NamedTuple


class Classification(NamedTuple):
    """The class of a text.

    Attributes:
        labels: those that it has, the likeliest first: one, or of several labels those of at least
            0.5.
        scores: the probability of each class, by name, in the model's order.
        status: bits.
    """

    labels: tuple[str, ...]
    scores: dict[str, float]
    status: int

    @property
    def label(self) -> str | None:
        """The likeliest one; None where there is none."""
        return self.labels[0] if self.labels else None


class Entity(NamedTuple):
    """A piece of a text, `text[start:end]`, its type and the probability of that."""

    text: str
    type: str
    start: int
    end: int
    score: float


class Filling(NamedTuple):
    """A token that may stand for a mask, and its probability."""

    token: str
    score: float


class Answer(NamedTuple):
    """A piece of a context, `context[start:end]`; "" where the context has no answer."""

    answer: str
    score: float
    start: int
    end: int
    status: int


class Completion(NamedTuple):
    """What a model wrote.

    Attributes:
        completion: what is new; of an encoder and a decoder the whole answer.
        num_tokens: how many are new.
        score: the sum of their log-probabilities, where the export says it; else None.
        status: bits.
    """

    completion: str
    num_tokens: int
    score: float | None
    status: int


class Score(NamedTuple):
    """How likely a text is, see `keras_lm.models.scoring.Scores`."""

    log_likelihood: float
    num_tokens: int
    num_characters: int
    perplexity: float
    perplexity_per_character: float
    status: int
