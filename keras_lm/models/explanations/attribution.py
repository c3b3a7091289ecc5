"""What moved an answer, token by token. `keras_lm.models.explanations.attributing` computes it."""

from typing import Any, NamedTuple

from keras_lm.models.explanations.html import attribution_html, page
from keras_lm.models.explanations.text_tokens import TextToken


class Attribution(NamedTuple):
    """What moved one answer to one text, or pair.

    Attributes:
        texts: the text, or both of a pair.
        tokens: T times a `TextToken`, special tokens included.
        scores: float32 `(T,)`: above 0 the token speaks for the target, below against it. Those of
            special tokens that were added are 0.
        target: what is explained: the name of a label, the text of an answer or of what follows, or
            what the text is compared with.
        output: what the model says of the target.
        baseline_output: what it says of the baseline.
        error: the sum of `scores`, less `output - baseline_output`: 0 but for the steps. Where it
            is no small part of that difference, ask for more steps.
        cut: whether the text was too long, and its start alone was read.
        measure: what `output` is: its "probability", the "log_probability" (natural logarithm), the
            "logit", a "number" of a regression, or a "cosine".
    """

    texts: tuple[str, ...]
    tokens: tuple[TextToken, ...]
    scores: Any
    target: str
    output: float
    baseline_output: float
    error: float
    cut: bool
    measure: str = "probability"

    @property
    def said(self) -> str:
        """What the model says of the target and of the baseline, in words."""
        name = self.measure.replace("_", "-")
        return f"{name} {self.output:.4f}, baseline {self.baseline_output:.4f}"

    def _repr_html_(self) -> str:
        """Shows it in a notebook."""
        return page([attribution_html(self)], whole=False)
