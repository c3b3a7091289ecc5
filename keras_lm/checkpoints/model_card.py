"""README.md beside a model: what it is, its data, its scores, its limits.

After Mitchell et al. 2019, "Model Cards for Model Reporting", arXiv:1810.03993, section 4; the head
of the file is what the Hugging Face hub reads. It says what is known here, and of the rest that it
is not known: where texts come from, and whom a wrong answer harms, is for who publishes the model.

The last line holds a hash of what is above it. A file whose hash is right was changed by nobody,
and is written anew when a model is saved; any other README.md is somebody's own and stays.
"""

import hashlib
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import keras

from keras_lm.tasks import TASKS, Task
from keras_lm.training import LanguageModel
from keras_lm.training.provenance import COUNTED, Provenance, Scores, Training
from keras_lm.version import __version__

CARD = "README.md"
# As the hub names what a model is for, by our tasks and heads.
_HUB = {
    "text_classification": "text-classification",
    "token_classification": "token-classification",
    "text_embedding": "sentence-similarity",
    "question_answering": "question-answering",
    "translation": "translation",
    "summarization": "summarization",
    "masked_lm": "fill-mask",
    "causal_lm": "text-generation",
}
_USES = {
    "text_classification": 'model.predict(["..."])',
    "token_classification": 'model.predict(["..."])',
    "text_embedding": 'model.predict(["..."])',
    "question_answering": 'model.predict(question="...", context="...")',
    "translation": 'model.predict(["..."])',
    "summarization": 'model.predict(["..."])',
    "masked_lm": 'model.fill_mask("...")',
    "causal_lm": 'model.generate("...")',
    "seq2seq": 'model.generate("...")',
}
_SIZES = (
    "hidden_size",
    "num_layers",
    "num_attention_heads",
    "num_hidden_units",
    "vocab_size",
    "max_length",
)
_SHOWN_LABELS = 50
_MARK = re.compile(r"\n<!-- keras_lm wrote this, and writes it anew until .*: (\w+) -->\n?\Z")


def model_card(model: Any) -> str:
    """Gives the text of the card, with its last line.

    Args:
        model: a built model.
    """
    text = "\n".join([*_head(model), *data_and_scores(model), *_limits(model)]) + "\n"
    rule = "somebody changes it"
    return f"{text}\n<!-- keras_lm wrote this, and writes it anew until {rule}: {_hash(text)} -->\n"


def may_be_replaced(path: pathlib.Path) -> bool:
    """Says whether a card may be written there: there is none, or one that nobody has changed."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return True
    except (UnicodeDecodeError, OSError):
        return False
    mark = _MARK.search(text)
    return mark is not None and mark[1] == _hash(text[: mark.start()])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kind_of(model: Any) -> str:
    """The name of a task, or of a model's first head; "" where there is neither."""
    named = [name for name, kind in TASKS.items() if type(model) is kind]
    return [*named, *getattr(model, "heads", ()), ""][0]


def _head(model: Any) -> Iterator[str]:
    head = _kind_of(model)
    beneath = model.backbone.model if isinstance(model, Task) else type(model)
    yield from ("---", "library_name: keras")
    yield f"pipeline_tag: {_HUB.get(head, 'feature-extraction')}"
    yield from ("---", "")
    on = f" on {beneath.__name__}" if isinstance(model, Task) else ""
    yield from (f"# {type(model).__name__}{on}", "")
    yield from (what_it_is(model), "")
    own = model.backbone.arguments if isinstance(model, Task) else model.constructor_arguments
    sizes = [(name, own[name]) for name in _SIZES if isinstance(own.get(name), int)]
    if sizes:
        yield ", ".join(f"{name} {value:,}" for name, value in sizes) + "."
    labels = getattr(model, "labels", None)
    if labels:
        shown = ", ".join(f"`{name}`" for name in labels[:_SHOWN_LABELS])
        more = f" and {len(labels) - _SHOWN_LABELS} more" if len(labels) > _SHOWN_LABELS else ""
        yield f"{len(labels)} labels, class 0 first: {shown}{more}."
    yield from ("", "```python", "import keras_lm", "", 'model = keras_lm.load("DIRECTORY")')
    if head in _USES:
        yield _USES[head]
    yield from ("```", "")


def what_it_is(model: LanguageModel) -> str:
    """A line: where it comes from, its parameters, its dtype."""
    policy = keras.dtype_policies.get(model.dtype_policy).name
    of = f"{model.count_params():,} parameters, {policy}, keras_lm {__version__}."
    source = model.provenance.source
    if source is None:
        return of
    begun = "Fine-tuned from" if model.provenance.trainings else "Loaded from"
    return f"{begun} `{source}`; {of}"


def data_and_scores(model: Any) -> Iterator[str]:
    """Lines of two sections: what was trained on, and how good it was found to be."""
    provenance: Provenance = getattr(model, "provenance", Provenance())
    yield from ("## Data", "")
    for training in provenance.trainings:
        yield from _trained(training)
    if provenance.source is not None:
        yield f"- What `{provenance.source}` had learnt from before is not known here."
    elif not provenance.trainings:
        yield "- Not known: it was not trained by `fit`, or elsewhere."
    yield from ("", "## Scores", "")
    if not provenance.scores:
        yield from ("Not known: since its last training nobody evaluated it.", "")
    trained_on = {training.data for training in provenance.trainings} - {None}
    for scores in provenance.scores:
        yield from _scored(scores)
        if scores.data in trained_on:
            yield from ("It was trained on this file: of other texts they will be lower.", "")


def _trained(training: Training) -> Iterator[str]:
    told = [] if training.rows is None else [f"{training.rows:,} rows"]
    order = list(COUNTED.values())
    counts = sorted(training.counts.items(), key=lambda item: [*order, item[0]].index(item[0]))
    told += [f"{value:,} {name}" for name, value in counts]
    data = "data without a name" if training.data is None else f"`{training.data}`"
    line = ", ".join([f"- Training: {data}", *told])
    epochs = "broken off" if training.epochs is None else f"{training.epochs} epochs"
    yield f"{line}. {training.model}, {epochs}."
    # A file of JSON has names in the order of the alphabet; a card says them in one order always.
    settings = sorted(training.settings.items())
    given = [f"{name} {value}" for name, value in settings if value is not None]
    if given:
        yield f"  Settings: {', '.join(given)}."


def _scored(scores: Scores) -> Iterator[str]:
    data = "data without a name" if scores.data is None else f"`{scores.data}`"
    yield from (f"Of {data}:", "", "| | |", "|---|---|")
    for name, value in sorted(scores.figures.items()):
        if isinstance(value, dict | list):
            continue
        shown = "no number" if value is None else value
        yield f"| {name} | {f'{value:.4f}' if isinstance(value, float) else shown} |"
    yield ""
    if scores.note is not None:
        yield from (scores.note, "")


def _limits(model: Any) -> Iterator[str]:
    yield from ("## Limits", "", *limits(model))


def limits(model: Any) -> Iterator[str]:
    """Lines of what it must not be trusted with."""
    head = _kind_of(model)
    length = getattr(model, "max_length", None)
    if length is not None:
        ends = "its beginning" if head == "causal_lm" else "its end"
        yield f"- It reads {length} tokens of a text at most; what is longer loses {ends}."
    if head == "text_classification" and model.problem == "single_label":
        yield "- Each text gets one of the labels, one of another kind or language too."
    if head in ("translation", "summarization", "causal_lm", "seq2seq"):
        yield "- What it writes can be fluent and wrong, and can say what is in no text."
    yield "- Scores are of texts like those of their data; of other texts nothing was measured."
    provenance: Provenance = getattr(model, "provenance", Provenance())
    if not any("rate_low" in scores.figures for scores in provenance.scores):
        yield "- Nobody looked for differences between groups of people, as far as is known here."
