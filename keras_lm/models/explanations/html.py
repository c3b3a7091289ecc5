"""Pictures as HTML that needs nothing else: no script, no font, no address.

The browser sets the text, so that it reads every script, from whichever side it is written.

L layers, H heads, T tokens, S tokens that are attended to.
"""

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_lm.models.explanations.colours import Colour, of_attention, of_score
from keras_lm.models.explanations.panels import panels
from keras_lm.models.explanations.pieces import Piece, pieces

MOST_TOKENS = 200  # of a heat map: each cell is an element
_CELL, _LETTER = 18, 7.5  # pixels
_STYLE = """
.keras-lm { font: 16px/1.9 system-ui, sans-serif; color: #111; background: #fff; padding: 1em;
  max-width: 60em; color-scheme: light; }
.keras-lm p.text { white-space: pre-wrap; margin: .5em 0; }
.keras-lm p.text span { border-radius: 2px; }
.keras-lm .rest { color: #888; }
.keras-lm .note { color: #555; font-size: 13px; line-height: 1.4; }
.keras-lm td, .keras-lm th { padding: 0 .7em; text-align: start; font-weight: normal; }
.keras-lm td.number { text-align: end; font-variant-numeric: tabular-nums; }
.keras-lm figure { display: inline-block; margin: .5em 1em .5em 0; vertical-align: top; }
"""


def page(sections: Iterable[str], *, whole: bool = True, title: str = "Explanation") -> str:
    """Puts sections together.

    Args:
        sections: HTML of `attribution_html` and `attention_html`.
        whole: whether it is a file of its own, or a part of a page.
        title: of the file.
    """
    body = f'<style>{_STYLE}</style>\n<div class="keras-lm">\n' + "\n".join(sections) + "\n</div>\n"
    if not whole:
        return body
    head = f'<meta charset="utf-8">\n<title>{html.escape(title)}</title>'
    return f"<!DOCTYPE html>\n<html>\n<head>\n{head}\n</head>\n<body>\n{body}</body>\n</html>\n"


def attribution_html(found: Any) -> str:
    """Text whose colours say what spoke for the answer, and what against it; and a table.

    Args:
        found: an `Attribution`.
    """
    cut = [pieces(text, found.tokens, found.scores, part) for part, text in enumerate(found.texts)]
    largest = max((abs(p.score) for part in cut for p in part if p.score is not None), default=0.0)
    lines = [
        f"<section><p><bdi><b>{html.escape(found.target)}</b></bdi> {html.escape(found.said)}</p>"
    ]
    for part in cut:
        lines.append(f'<p class="text" dir="auto">{_coloured(part, largest)}</p>')
    strongest = f"{largest:.4f}"
    lines.append(
        f'<p class="note">{_swatch(of_score(1, 1))} speaks for it, {_swatch(of_score(-1, 1))} '
        f"against it; the strongest colour is {strongest}. The scores add up to "
        f"{float(np.sum(found.scores)):.4f}, {found.error:+.1e} off the difference."
        f"{_said_if_cut(found.cut)}</p>"
    )
    rows = "".join(
        f"<tr><td><bdi>{html.escape(token.token)}</bdi></td>"
        f'<td class="number">{float(score):+.4f}</td></tr>'
        for token, score in zip(found.tokens, found.scores, strict=True)
    )
    lines.append(
        f'<details class="note"><summary>Tokens</summary><table>{rows}</table></details></section>'
    )
    return "\n".join(lines)


def _coloured(part: Sequence[Piece], largest: float) -> str:
    read = [i for i, piece in enumerate(part) if piece.score is not None]
    first, last = (read[0], read[-1]) if read else (len(part), -1)
    marked = []
    for i, (text, score, tokens) in enumerate(part):
        shown = html.escape(text)
        if score is not None:
            says = html.escape(f"{' '.join(tokens)}: {score:+.4f}")
            colour = _css(of_score(score, largest))
            marked.append(f'<span style="background:{colour}" title="{says}">{shown}</span>')
        elif not first <= i <= last and text.strip():
            marked.append(f'<span class="rest" title="not in the explained row">{shown}</span>')
        else:
            marked.append(shown)
    return "".join(marked)


def attention_html(found: Any, layer: int | None = None, head: int | None = None) -> str:
    """Heat maps: a row for each token that attends, a column for each that is attended to.

    Args:
        found: an `AttentionScores`.
        layer: which one; from the end below 0. None: one map for each.
        head: which one. None: the mean over all.

    Raises:
        ValueError: there is no such layer or head; or there are more than `MOST_TOKENS` tokens.
    """
    count = max(len(found.tokens), len(found.columns))
    if count > MOST_TOKENS:
        raise ValueError(
            f"A heat map in HTML has {MOST_TOKENS} tokens at most; a .png has any number. "
            f"Received: {count} tokens"
        )
    rows, columns = ([token.token for token in x] for x in (found.tokens, found.columns))
    figures = [
        f"<figure><figcaption>{title}</figcaption>{_heat_map(rows, columns, weight_TS)}</figure>"
        for title, weight_TS in panels(found.scores, layer, head, found.kind)
    ]
    note = (
        '<p class="note">Each row is a token that attends, and adds up to 1. The strongest colour '
        f"is the largest weight of its map.{_said_if_cut(found.cut)}</p>"
    )
    return "<section>" + "\n".join([*figures, note]) + "</section>"


def _heat_map(rows: Sequence[str], columns: Sequence[str], weight_TS: Any) -> str:
    largest = float(np.max(weight_TS))
    left, top = (round(min(22, max(map(len, names))) * _LETTER) + 12 for names in (rows, columns))
    width, height = left + _CELL * len(columns), top + _CELL * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="12" '
        'role="img">'
    ]
    for i, name in enumerate(rows):
        middle = top + _CELL * i + _CELL * 0.7
        parts.append(
            f'<text x="{left - 5}" y="{middle:.1f}" text-anchor="end">{_label(name)}</text>'
        )
    for j, name in enumerate(columns):
        middle = left + _CELL * j + _CELL * 0.7
        parts.append(
            f'<text transform="translate({middle:.1f} {top - 5}) rotate(-90)">{_label(name)}</text>'
        )
    for i, row in enumerate(weight_TS):
        for j, weight in enumerate(row):
            x, y = left + _CELL * j, top + _CELL * i
            says = html.escape(f"{rows[i]} to {columns[j]}: {weight:.3f}")
            colour = _css(of_attention(float(weight), largest))
            parts.append(
                f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" fill="{colour}" '
                f'stroke="#ddd" stroke-width=".5"><title>{says}</title></rect>'
            )
    return "".join([*parts, "</svg>"])


def _label(name: str) -> str:
    return html.escape(name if len(name) <= 22 else f"{name[:21]}…")


def _css(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _swatch(colour: Colour) -> str:
    return f'<span style="background:{_css(colour)}">&emsp;</span>'


def _said_if_cut(cut: bool) -> str:
    return " The text was too long: its start alone was read." if cut else ""
