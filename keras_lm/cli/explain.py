"""Show which tokens moved a model's answer, or what it attends to."""

import argparse
import json
import pathlib
from typing import Any

_BASELINES, _OUTPUTS = ("pad", "mask", "unk", "zeros"), ("probability", "logit")
_KINDS = (".html", ".png", ".svg")  # As `keras_lm.draw_explanation` has them.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", help="what keras_lm.load takes; but for --attention a classifier")
    parser.add_argument("texts", metavar="TEXT", nargs="+")
    parser.add_argument("--text-pair", help="the second text, where there is one TEXT")
    parser.add_argument("--out", help=f"a picture, {', '.join(_KINDS)}; default: print JSON")
    parser.add_argument("--target", help="the label to explain; default: the likeliest")
    parser.add_argument("--steps", type=int, default=50, help="gradients of a text; default: 50")
    parser.add_argument(
        "--baseline",
        choices=_BASELINES,
        help="what the text is compared with; default: pad, or zeros where there is no padding",
    )
    parser.add_argument("--output", choices=_OUTPUTS, default="probability")
    parser.add_argument("--attention", action="store_true", help="attention scores in their place")
    parser.add_argument("--layer", type=int, help="of attention; default: all, one by one")
    parser.add_argument("--head", type=int, help="of attention; default: the mean over all")


def run(options: argparse.Namespace) -> int:
    """Explains; prints an object of JSON for each answer, or the path of the picture."""
    check(options)
    from keras_lm.checkpoints import load  # TensorFlow takes seconds to import.
    from keras_lm.models.explanations.drawing import draw_explanation

    model: Any = load(options.model)
    texts: list[Any] = options.texts
    if options.text_pair is not None:
        texts = [(texts[0], options.text_pair)]
    shown = {}
    if options.attention:
        if not hasattr(model, "attention_scores"):
            raise ValueError(
                "--attention is of an encoder or a decoder alone. "
                f"Received: {options.model}, a {type(model).__name__}"
            )
        found = model.attention_scores(texts)
        shown = {"layer": options.layer, "head": options.head}
    else:
        found = _attributions(model, texts, options)
    if options.out is not None:
        print(draw_explanation(found, options.out, **shown))
        return 0
    from keras_lm.models.explanations.panels import panels

    for item in found:
        if options.attention:
            maps = panels(item.scores, **shown)
            said = {name: weight_TT.round(6).tolist() for name, weight_TT in maps}
            values = {"attention": said, "tokens": [token._asdict() for token in item.tokens]}
        else:
            tokens = [
                {**token._asdict(), "score": round(float(score), 6)}
                for token, score in zip(item.tokens, item.scores, strict=True)
            ]
            values = {
                "target": item.target,
                "output": item.output,
                "baseline_output": item.baseline_output,
                "error": item.error,
                "tokens": tokens,
            }
        names = ("text", "text_pair")
        read = dict(zip(names, item.texts, strict=False))
        print(json.dumps({**read, **values, "cut": item.cut}, ensure_ascii=False))
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
    if not options.attention and (options.layer, options.head) != (None, None):
        raise ValueError("--layer and --head are for --attention. Received: none of it")
    if options.attention and options.target is not None:
        raise ValueError("--target is not for --attention. Received: both")
    if options.out is None:
        return
    out = pathlib.Path(options.out)
    if out.suffix.lower() not in _KINDS:
        raise ValueError(f"--out must end in {', '.join(_KINDS)}. Received: {options.out!r}")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out must lie in a directory. Received: {options.out!r}")


def _attributions(model: Any, texts: list[Any], options: argparse.Namespace) -> list[Any]:
    """Of a text classifier its answers; of a token classifier each entity that it finds."""
    from keras_lm.tasks import TextClassifier, TokenClassifier

    how = {"steps": options.steps, "baseline": options.baseline, "output": options.output}
    if isinstance(model, TextClassifier):
        target = None if options.target is None else [options.target] * len(texts)
        return model.attributions(texts, target, **how)
    if not isinstance(model, TokenClassifier):
        raise ValueError(
            "The model must be a text classifier or a token classifier; of others there is "
            f"--attention. Received: {options.model}, a {type(model).__name__}"
        )
    entities = model.predict(texts, verbose=0).entities
    places = [(text, one.start) for text, all_ in zip(texts, entities, strict=True) for one in all_]
    if not places:
        raise ValueError(f"There must be an entity to explain. Received: none in {texts!r:.200}")
    asked = [text for text, _ in places]
    target = None if options.target is None else [options.target] * len(asked)
    return model.attributions(asked, [start for _, start in places], target, **how)
