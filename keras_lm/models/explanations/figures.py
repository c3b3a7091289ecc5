"""Pictures as PNG and SVG, by matplotlib.

It sets text with the fonts that are installed, from the left to the right: of what they lack, and
of scripts that are written from the right, HTML shows more.

L layers, H heads, T tokens, S tokens that are attended to.
"""

import unicodedata
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_lm.models.explanations.colours import ATTENDED, of_score
from keras_lm.models.explanations.panels import panels
from keras_lm.models.explanations.pieces import Piece, pieces

_WIDTH, _LINE, _SIZE = 9.0, 0.34, 13  # inches, inches, points
_MARGIN = 0.3  # inches
_DPI = 144
# Tried in this order for what matplotlib's own font does not have.
_MORE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "PingFang SC",
    "Arial Unicode MS",
)


def save_figure(figure: Any, path: Any, kind: str) -> None:
    """Writes a figure, and says in one warning which characters no font had.

    Args:
        figure: matplotlib's.
        path: where to.
        kind: "png" or "svg".
    """
    import matplotlib

    with warnings.catch_warnings(record=True) as caught, matplotlib.rc_context(_settings()):
        warnings.simplefilter("always")
        figure.savefig(path, format=kind, dpi=_DPI)
    lacking = []
    for warning in caught:
        text = str(warning.message)
        if "missing from font" in text:
            lacking.append(text.split(" missing")[0].removeprefix("Glyph ").strip())
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if lacking:
        shown = ", ".join(dict.fromkeys(lacking))
        warnings.warn(
            f"No font that is installed has these characters; a .html shows them: {shown:.300}",
            stacklevel=3,
        )


def _settings() -> Any:
    from matplotlib import font_manager

    known = set(font_manager.get_font_names())
    fonts = ["DejaVu Sans", *(name for name in _MORE_FONTS if name in known)]
    return {"font.family": fonts, "svg.hashsalt": "keras_lm"}


def attribution_figure(every: Sequence[Any]) -> Any:
    """Text whose colours say what spoke for the answer, and what against it.

    Args:
        every: `Attribution`s, one below the other.

    Returns:
        matplotlib's Figure.

    Raises:
        ImportError: matplotlib is missing.
    """
    figure_class = _figure_class()
    import matplotlib

    with matplotlib.rc_context(_settings()):
        measure, measure_bold = _Measure(figure_class), _Measure(figure_class, "bold")
        lines: list[list[tuple[float, str, Any]]] = []
        bold: set[int] = set()
        for found in every:
            head = _wrapped([Piece(found.target, None)], 0.0, measure_bold)
            bold.update(range(len(lines), len(lines) + len(head)))
            lines += [*head, [(0.0, found.said, None)]]
            cut = [
                pieces(text, found.tokens, found.scores, part)
                for part, text in enumerate(found.texts)
            ]
            every_score = [abs(p.score) for part in cut for p in part if p.score is not None]
            largest = max(every_score, default=0.0)
            for part in cut:
                lines += _wrapped(part, largest, measure)
            lines.append([])
        height = 2 * _MARGIN + _LINE * max(1, len(lines) - 1)
        figure = figure_class((_WIDTH, height))
        for number, line in enumerate(lines):
            y = 1 - (_MARGIN + _LINE * (number + 0.7)) / height
            for x, text, colour in line:
                box = None
                if colour is not None:
                    box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
                figure.text(
                    (_MARGIN + x) / _WIDTH,
                    y,
                    text,
                    size=_SIZE,
                    weight="bold" if number in bold else "normal",
                    bbox=box,
                    parse_math=False,
                )
    return figure


def _wrapped(
    part: Sequence[Piece], largest: float, measure: "_Measure"
) -> list[list[tuple[float, str, Any]]]:
    """Lines of pieces: where each begins, in inches, its text and its colour or None."""
    room = _WIDTH - 2 * _MARGIN
    lines: list[list[tuple[float, str, Any]]] = [[]]
    x = 0.0
    for text, score, _ in part:
        colour = None
        if score is not None:
            colour = tuple(value / 255 for value in of_score(score, largest))
        for i, row in enumerate(text.split("\n")):
            if i:
                lines.append([])
                x = 0.0
            for word in _words(row, keep=score is not None):
                width = measure(word)
                if x + width > room and x > 0:
                    lines.append([])
                    x = 0.0
                if word.strip():
                    lines[-1].append((x, word, colour))
                    x += width
                elif x > 0:
                    x += width
    return lines


def _words(text: str, keep: bool) -> list[str]:
    """Text that has no token is broken anywhere: it may be the whole rest of a long one."""
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Zs") else c for c in text)
    if keep or not text.strip():
        return [text] if text else []
    words = text.split(" ")
    return [
        part for i, word in enumerate(words) for part in ((" ", word) if i else (word,)) if part
    ]


class _Measure:
    """How wide texts are, in inches."""

    def __init__(self, figure_class: Any, weight: str = "normal") -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self.figure = figure_class((_WIDTH, 1), dpi=_DPI)
        self.renderer = FigureCanvasAgg(self.figure).get_renderer()
        self.text = self.figure.text(0, 0, "", size=_SIZE, weight=weight, parse_math=False)
        self.space = self._width("a a") - self._width("aa")

    def __call__(self, text: str) -> float:
        return self._width(text) if text.strip() else self.space * len(text)

    def _width(self, text: str) -> float:
        self.text.set_text(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `save_figure` says what is missing.
            return self.text.get_window_extent(self.renderer).width / _DPI


def attention_figure(found: Any, layer: int | None = None, head: int | None = None) -> Any:
    """Heat maps: a row for each token that attends, a column for each that is attended to.

    Args:
        found: an `AttentionScores`.
        layer: which one; from the end below 0. None: one map for each.
        head: which one. None: the mean over all.

    Returns:
        matplotlib's Figure.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: there is no such layer or head.
    """
    shown = panels(found.scores, layer, head, found.kind)
    figure_class = _figure_class()
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap

    colour: Any = tuple(value / 255 for value in ATTENDED)
    colours = LinearSegmentedColormap.from_list("attended", ["white", colour])
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    rows, columns = ([token.token for token in x] for x in (found.tokens, found.columns))
    width, height = (max(3.0, min(12.0, 1.0 + 0.22 * len(x))) for x in (columns, rows))
    with matplotlib.rc_context(_settings()):
        figure = figure_class((width * across, height * down), layout="constrained")
        for place, (title, weight_TS) in enumerate(shown, 1):
            axes = figure.add_subplot(down, across, place)
            axes.imshow(weight_TS, cmap=colours, vmin=0.0, vmax=float(np.max(weight_TS)))
            axes.set_title(title, size=9)
            axes.xaxis.tick_top()
            size = max(2, min(8, 200 // max(1, len(rows), len(columns))))
            axes.set_xticks(range(len(columns)), columns, rotation=90, size=size, parse_math=False)
            axes.set_yticks(range(len(rows)), rows, size=size, parse_math=False)
    return figure


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            'Pictures in .png and .svg need matplotlib: pip install "keras_lm[plot]"; '
            "a .html needs nothing"
        ) from None
    return Figure
