"""Explanations to a picture in a file."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from keras_lm.models.explanations.attention_scores import AttentionScores
from keras_lm.models.explanations.attribution import Attribution
from keras_lm.models.explanations.figures import attention_figure, attribution_figure, save_figure
from keras_lm.models.explanations.html import attention_html, attribution_html, page
from keras_lm.models.explanations.pair_attention import PairAttention

KINDS = (".html", ".png", ".svg")


def draw_explanation(
    found: Any,
    path: str | os.PathLike,
    *,
    layer: int | None = None,
    head: int | None = None,
) -> pathlib.Path:
    """Writes coloured text, or heat maps of attention, as HTML, PNG or SVG.

    HTML is one file that needs nothing else, and shows every script. In a PNG or an SVG, which
    matplotlib draws, there are the characters of the fonts that are installed.

    Args:
        found: what `attributions` or `attention_scores` gave; in HTML and of attributions a list of
            them, too. Of an encoder-decoder model HTML shows all three attentions; in a PNG or an
            SVG there is one of them, such as `found.cross`.
        path: the file; the end of its name says what it becomes. Its directory must be there.
        layer: of attention: which one; from the end below 0. None: all, one by one.
        head: of attention: which one. None: the mean over all.

    Returns:
        The path.

    Raises:
        ImportError: matplotlib is needed, and missing.
        TypeError: `found` is something else.
        ValueError: a name that ends otherwise; no such layer or head; several heat maps for one
            PNG or SVG.
    """
    path = pathlib.Path(path)
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise ValueError(f"A picture is a file {', '.join(KINDS)}. Received: {os.fspath(path)!r}")
    every = found
    if isinstance(found, Attribution | AttentionScores | PairAttention):
        every = [found]
    if isinstance(every, Sequence) and any(isinstance(item, PairAttention) for item in every):
        every = [
            part for item in every for part in (item if isinstance(item, PairAttention) else [item])
        ]
    one_kind = isinstance(every, Sequence) and any(
        every and all(isinstance(item, wanted) for item in every)
        for wanted in (Attribution, AttentionScores)
    )
    if not one_kind:
        raise TypeError(
            "draw_explanation takes what attributions() or attention_scores() gave. "
            f"Received: {found!r:.80}"
        )
    is_attention = isinstance(every[0], AttentionScores)
    if not is_attention and (layer, head) != (None, None):
        raise ValueError(f"layer and head are of attention. Received: layer={layer}, head={head}")
    beside = path.with_name(f".{path.name}.part")
    try:
        if kind == ".html":
            if is_attention:
                sections = [attention_html(item, layer, head) for item in every]
            else:
                sections = [attribution_html(item) for item in every]
            beside.write_text(page(sections, title=path.stem), "utf-8")
        else:
            if is_attention and len(every) > 1:
                raise ValueError(
                    f"A {kind} shows one attention of one text, such as .cross of a source and its "
                    f"target; a .html shows several. Received: {len(every)}"
                )
            figure = (
                attention_figure(every[0], layer, head)
                if is_attention
                else attribution_figure(every)
            )
            save_figure(figure, beside, kind[1:])
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path
