"""The base of tasks that make a text of a text: translations, summaries.

N texts.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from keras_lm.layers import TokenHead
from keras_lm.layers.building import build_once
from keras_lm.models import Transformer
from keras_lm.models.gives_targets import GivesTargets
from keras_lm.models.interface import made_once
from keras_lm.models.limits import CUT
from keras_lm.tasks.asking import answers
from keras_lm.tasks.task import Backbone, Task
from keras_lm.tasks.text_targets import TextTargets


class Targets(NamedTuple):
    """What texts became; of a single text the values alone.

    Attributes:
        texts: N strings.
        cut: bool `(N,)`, whether a text was too long and its start alone was read.
    """

    texts: Any
    cut: Any


class TargetTask(GivesTargets, Task):
    """Abstract base of `Translator` and `Summarizer`.

    It shares encoder, decoder, token table and output of the `Transformer` that it is given, and
    brings how texts are decoded: `predict`, `keras_lm.evaluate` and the export decode in one way.
    `generate`, `stream` and `score` are those of the `Transformer`.

    Args:
        model: a `Transformer` that knows what a target begins with: it has a tokenizer, or was told
            `decoder_start_ids`.
        num_beams: of the beam search. 1: the likeliest token each time.
        length_penalty: of the beam search, see `keras_lm.generation.BeamOptions`.
        max_new_tokens: tokens of a target at most. None: 50 more than the text has.
        min_new_tokens: tokens of a target at least, where there is room.
        no_repeat_ngram_size: so many tokens in a row come once in a target. 0: no such rule.
        **kwargs: what Keras takes: `name` and `trainable`; `dtype` is the model's.

    Attributes:
        ANSWER: what the export calls a target.
        DECODING: names of the arguments that say how to decode.

    Raises:
        ValueError: a model of another kind, or a number out of range.
    """

    HEADS = ("seq2seq",)
    SAMPLED_HEADS = ("seq2seq",)
    TRAINS_HEAD: ClassVar[bool] = False  # It is the token table.
    ANSWER: ClassVar[str] = "target"
    DECODING: ClassVar[tuple[str, ...]] = (
        "num_beams",
        "length_penalty",
        "max_new_tokens",
        "min_new_tokens",
        "no_repeat_ngram_size",
    )

    def __init__(
        self,
        model: Transformer,
        *,
        num_beams: int = 4,
        length_penalty: float = 1.0,
        max_new_tokens: int | None = None,
        min_new_tokens: int = 0,
        no_repeat_ngram_size: int = 0,
        **kwargs: Any,
    ) -> None:
        if type(model) is not Transformer:
            raise ValueError(
                f"A {type(self).__name__} stands on a Transformer. "
                f"Received: a {type(model).__name__}"
            )
        super().__init__(model, heads=self.HEADS, **kwargs)
        room, vocab_size = model.max_length - len(model.start_ids), model.vocab_size or 0
        limits: dict[str, tuple[int, int, int]] = {
            "num_beams": (num_beams, 1, vocab_size),
            "max_new_tokens": (room if max_new_tokens is None else max_new_tokens, 1, room),
            "min_new_tokens": (min_new_tokens, 0, room),
            "no_repeat_ngram_size": (no_repeat_ngram_size, 0, room),
        }
        for name, (value, least, most) in limits.items():
            if not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} must be in {least} .. {most}. Received: {name}={value!r}")
        if not np.isfinite(length_penalty):
            raise ValueError(
                f"length_penalty must be a finite number. Received: {length_penalty!r}"
            )
        self.num_beams, self.length_penalty = num_beams, length_penalty
        self.max_new_tokens, self.min_new_tokens = max_new_tokens, min_new_tokens
        self.no_repeat_ngram_size = no_repeat_ngram_size
        kind, arguments = self.backbone
        self.record(model=Backbone(kind, {**arguments, "end_id": model.end_id}))
        self.tokens = model.tokens
        self.seq2seq: Any = getattr(model, "seq2seq", None) or TokenHead(
            vocab_size, arguments["logits_bias"], name="seq2seq", dtype=self.dtype_policy
        )

    @property
    def start_ids(self) -> list[int]:  # type: ignore[override]
        """The ids that a target begins with."""
        return list(self.backbone.arguments["decoder_start_ids"])

    @property
    def end_id(self) -> int | None:  # type: ignore[override]
        """The id that ends a target; None: there is none."""
        return self.backbone.arguments["end_id"]

    @property
    def decoding(self) -> dict[str, Any]:
        """How texts are decoded, by the names of the constructor's arguments."""
        return {name: getattr(self, name) for name in self.DECODING}

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, from the sizes alone."""
        build_once(self.tokens)
        self.build_layers(self.seq2seq)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains the model; see `LanguageModel.fit`.

        Raises:
            ValueError: the targets of `keras_lm.data` begin with other ids than the model's, which
                would never be read; besides what that one says.
        """
        begun = getattr(x, "start_ids", None)
        if begun is not None and list(begun) != self.start_ids:
            raise ValueError(
                "Targets must begin with what the model begins them with: make the data with "
                f"decoder_start={self.start_ids}. Received: data whose targets begin with {begun}"
            )
        return super().fit(x, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Answers texts; or returns the outputs for data. See `Task.predict`.

        Returns:
            Of texts `Targets`: what the export answers. A text that is too long loses its end.
        """
        return super().predict(x, *args, **kwargs)

    def predict_texts(
        self, texts: list[list[Any]], single: bool, *, batch_size: int | None, verbose: Any
    ) -> Targets:
        """Answers texts; see `predict`."""
        if len(texts) > 1:
            raise ValueError(
                f"A {type(self).__name__} reads single texts. Received: pairs, {texts[0][0]!r:.80}"
            )
        found = answers(self.asked(), texts, batch_size, verbose)
        targets = [answer[self.ANSWER].decode("utf-8", "replace") for answer in found]
        cut = np.array([cut_of(answer) for answer in found])
        return Targets(targets[0], bool(cut[0])) if single else Targets(targets, cut)

    def write(self, sources: list[str]) -> list[str]:
        """Gives what `predict` answers to each source."""
        return self.predict(sources, verbose=0).texts

    def asked(self) -> Callable[..., Any]:
        """Returns the graph that answers texts.

        Raises:
            ValueError: there is no tokenizer.
        """
        tokenizer = self.require_tokenizer("predict() of texts")
        return made_once(TextTargets, self, tokenizer).of_text


def cut_of(answer: dict[str, Any]) -> bool:
    """Says whether a text was too long, of what `TextTargets` answers."""
    return bool(int(answer["status"]) & CUT)
