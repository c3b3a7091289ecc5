"""Show which tokens moved a model's answer, or what it attends to."""

import argparse
import json
import pathlib
from collections.abc import Callable
from typing import Any

_BASELINES = ("pad", "mask", "unk", "zeros")
_OUTPUTS = ("probability", "log_probability", "logit")
_KINDS = (".html", ".png", ".svg")  # As `keras_lm.draw_explanation` has them.
_ATTENTIONS = ("encoder", "decoder", "cross")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", help="what keras_lm.load takes")
    parser.add_argument(
        "texts", metavar="TEXT", nargs="+", help="a text, a question, a prompt or a source"
    )
    parser.add_argument("--text-pair", help="the second text, where there is one TEXT")
    parser.add_argument("--context", help="what questions are asked of")
    parser.add_argument(
        "--at",
        type=int,
        nargs=2,
        metavar=("START", "END"),
        help="the answer in the context, in characters; -1 -1: none; default: the model's",
    )
    parser.add_argument("--other", help="what the texts of a text embedder are compared with")
    parser.add_argument("--out", help=f"a picture, {', '.join(_KINDS)}; default: print JSON")
    parser.add_argument(
        "--target",
        help="the label, what follows a prompt, or what a source becomes; default: the model's",
    )
    parser.add_argument("--steps", type=int, default=50, help="gradients of a text; default: 50")
    parser.add_argument(
        "--baseline",
        choices=_BASELINES,
        help="what the text is compared with; default: pad, or zeros where there is no padding",
    )
    parser.add_argument(
        "--output",
        choices=_OUTPUTS,
        help="default: probability; of what a model writes log_probability",
    )
    parser.add_argument("--attention", action="store_true", help="attention scores in their place")
    parser.add_argument("--layer", type=int, help="of attention; default: all, one by one")
    parser.add_argument("--head", type=int, help="of attention; default: the mean over all")
    parser.add_argument(
        "--of",
        choices=_ATTENTIONS,
        help="which attention of an encoder and a decoder; default: cross, target to source",
    )


def run(options: argparse.Namespace) -> int:
    """Explains; prints an object of JSON for each answer, or the path of the picture."""
    check(options)
    from keras_lm.checkpoints import load  # TensorFlow takes seconds to import.
    from keras_lm.models.explanations.drawing import draw_explanation

    model: Any = load(options.model)
    shown = {}
    if options.attention:
        found = _attention(model, options)
        shown = {"layer": options.layer, "head": options.head}
    else:
        found = _attributions(model, options)
    if options.out is not None:
        print(draw_explanation(found, options.out, **shown))
        return 0
    for item in found:
        said = _attended(item, **shown) if options.attention else _moved(item)
        print(json.dumps({**said, "cut": item.cut}, ensure_ascii=False))
    return 0


def check(options: argparse.Namespace) -> None:
    """Refuses what cannot be, before anything is loaded.

    Raises:
        ValueError: a picture of another kind, options that do not go together, or no place for the
            picture.
        FileNotFoundError: the picture's directory is missing.
    """
    if options.steps < 1:
        raise ValueError(f"--steps must be positive. Received: {options.steps}")
    if options.text_pair is not None and len(options.texts) > 1:
        raise ValueError(f"--text-pair is for one TEXT. Received: {len(options.texts)} texts")
    given = [name for name in _SECONDS if getattr(options, name) is not None]
    seconds = [f"--{name.replace('_', '-')}" for name in given]
    if len(seconds) > 1:
        raise ValueError(f"A model reads one second text. Received: {' and '.join(seconds)}")
    if not options.attention and (options.layer, options.head) != (None, None):
        raise ValueError("--layer and --head are for --attention. Received: none of it")
    if not options.attention and options.of is not None:
        raise ValueError(f"--of is for --attention. Received: --of {options.of} alone")
    if options.out is None:
        return
    out = pathlib.Path(options.out)
    if out.suffix.lower() not in _KINDS:
        raise ValueError(f"--out must end in {', '.join(_KINDS)}. Received: {options.out!r}")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out must lie in a directory. Received: {options.out!r}")


_SECONDS = ("text_pair", "context", "other")
# What is no option of every model.
_OWN = (*_SECONDS, "at", "target", "output", "of")


def _refuse(model: Any, options: argparse.Namespace, *allowed: str) -> None:
    """Refuses options that the model does not have."""
    kind = type(model).__name__
    for name in _OWN:
        if getattr(options, name) is not None and name not in allowed:
            kind = f"--attention of a {kind}" if options.attention else f"a {kind}"
            raise ValueError(
                f"--{name.replace('_', '-')} is not for {kind}. Received: {options.model}"
            )


def _attention(model: Any, options: argparse.Namespace) -> list[Any]:
    from keras_lm.models.gives_targets import GivesTargets

    if isinstance(model, GivesTargets):
        _refuse(model, options, "target", "of")
        found = model.attention_scores(options.texts, _of_each(options.target, options))
        return [getattr(item, options.of or "cross") for item in found]
    if not hasattr(model, "attention_scores"):
        raise ValueError(
            "--attention is of an encoder, a decoder or both. "
            f"Received: {options.model}, a {type(model).__name__}"
        )
    _refuse(model, options, "text_pair", "context")
    return model.attention_scores(_pairs(options.texts, options.text_pair or options.context))


def _attributions(model: Any, options: argparse.Namespace) -> list[Any]:
    """Explains what the model answers, as its kind is asked."""
    from keras_lm.models import GPT
    from keras_lm.models.gives_targets import GivesTargets
    from keras_lm.tasks import QuestionAnswering, TextClassifier, TextEmbedder, TokenClassifier

    how = {"steps": options.steps, "baseline": options.baseline}
    if options.output is not None:
        how["output"] = options.output
    kinds: list[tuple[Any, Callable[..., list[Any]]]] = [
        (TextClassifier, _classes),
        (TokenClassifier, _entities),
        (QuestionAnswering, _answers),
        (TextEmbedder, _cosines),
        ((GPT, GivesTargets), _written),
    ]
    for kind, explain in kinds:
        if isinstance(model, kind):
            return explain(model, options, how)
    raise ValueError(
        "The model must be fine-tuned, or write texts; of others there is --attention. "
        f"Received: {options.model}, a {type(model).__name__}"
    )


def _of_each(value: Any, options: argparse.Namespace) -> list[Any] | None:
    return None if value is None else [value] * len(options.texts)


def _pairs(texts: list[str], second: str | None) -> list[Any]:
    return texts if second is None else [(text, second) for text in texts]


def _classes(model: Any, options: argparse.Namespace, how: dict[str, Any]) -> list[Any]:
    _refuse(model, options, "text_pair", "target", "output")
    texts = _pairs(options.texts, options.text_pair)
    return model.attributions(texts, _of_each(options.target, options), **how)


def _entities(model: Any, options: argparse.Namespace, how: dict[str, Any]) -> list[Any]:
    """Of a token classifier each entity that it finds."""
    _refuse(model, options, "target", "output")
    texts = options.texts
    entities = model.predict(texts, verbose=0).entities
    places = [(text, one.start) for text, all_ in zip(texts, entities, strict=True) for one in all_]
    if not places:
        raise ValueError(f"There must be an entity to explain. Received: none in {texts!r:.200}")
    asked = [text for text, _ in places]
    target = None if options.target is None else [options.target] * len(asked)
    return model.attributions(asked, [start for _, start in places], target, **how)


def _answers(model: Any, options: argparse.Namespace, how: dict[str, Any]) -> list[Any]:
    _refuse(model, options, "context", "at", "output")
    if options.context is None:
        raise ValueError("A question is asked of a --context. Received: none")
    at = None if options.at is None else tuple(options.at)
    pairs = _pairs(options.texts, options.context)
    return model.attributions(pairs, _of_each(at, options), **how)


def _cosines(model: Any, options: argparse.Namespace, how: dict[str, Any]) -> list[Any]:
    _refuse(model, options, "other")
    if options.other is None:
        raise ValueError("A text embedder compares with an --other text. Received: none")
    return model.attributions(options.texts, options.other, **how)


def _written(model: Any, options: argparse.Namespace, how: dict[str, Any]) -> list[Any]:
    _refuse(model, options, "target", "output")
    return model.attributions(options.texts, _of_each(options.target, options), **how)


def _texts_of(item: Any) -> dict[str, str]:
    return dict(zip(("text", "text_pair"), item.texts, strict=False))


def _moved(item: Any) -> dict[str, Any]:
    """An `Attribution` as what JSON can hold."""
    tokens = [
        {**token._asdict(), "score": round(float(score), 6)}
        for token, score in zip(item.tokens, item.scores, strict=True)
    ]
    names = ("target", "measure", "output", "baseline_output", "error")
    return {**_texts_of(item), **{name: getattr(item, name) for name in names}, "tokens": tokens}


def _attended(item: Any, layer: int | None, head: int | None) -> dict[str, Any]:
    """An `AttentionScores` likewise."""
    from keras_lm.models.explanations.panels import panels

    maps = panels(item.scores, layer, head, item.kind)
    said = {
        **_texts_of(item),
        "attention": {name: weight_TS.round(6).tolist() for name, weight_TS in maps},
        "tokens": [token._asdict() for token in item.tokens],
    }
    if item.attended is not None:
        said["attended"] = [token._asdict() for token in item.attended]
    return said
