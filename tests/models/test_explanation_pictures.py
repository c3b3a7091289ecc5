"""Coloured text and heat maps, as HTML, PNG and SVG."""

import html.parser
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from keras_lm import draw_explanation
from keras_lm.models.explanations.attention_scores import AttentionScores
from keras_lm.models.explanations.attribution import Attribution
from keras_lm.models.explanations.colours import of_score
from keras_lm.models.explanations.pair_attention import PairAttention
from keras_lm.models.explanations.pieces import Piece, pieces
from keras_lm.models.explanations.text_tokens import TextToken

pytest.importorskip("matplotlib")
ADDED = TextToken("[CLS]", "[CLS]", -1, -1, -1)


def of(text, *spans, part=0):
    return [TextToken(text[a:b], text[a:b], a, b, part) for a, b in spans]


def attribution(text, spans, scores, cut=False):
    tokens = (ADDED, *of(text, *spans))
    return Attribution((text,), tokens, np.array([0.0, *scores]), "good", 0.9, 0.5, 1e-5, cut)


FOUND = attribution("a <b> bad 电影", [(0, 1), (3, 4), (6, 9), (10, 11)], [0.1, 0.5, -0.25, 0.05])
HEBREW = attribution("סרט טוב", [(0, 3), (4, 7)], [0.0, 0.4])
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), (2, 4, 3))
ATTENTION = AttentionScores(("a b",), (ADDED, *of("a b", (0, 1), (2, 3))), WEIGHTS, False)


def test_a_text_is_the_pieces_of_its_tokens_and_what_is_between_them():
    assert pieces("a <b> bad 电影", FOUND.tokens, FOUND.scores, 0) == [
        Piece("a", 0.1, ("a",)),
        Piece(" <", None),
        Piece("b", 0.5, ("b",)),
        Piece("> ", None),
        Piece("bad", -0.25, ("bad",)),
        Piece(" ", None),
        Piece("电", 0.05, ("电",)),
        Piece("影", None),
    ]
    # Bytes of one character are one piece.
    tokens = of("x🙂", (0, 1), (1, 2), (1, 2))
    assert pieces("x🙂", tokens, [1.0, 0.25, 0.5], 0)[1] == Piece("🙂", 0.75, ("🙂", "🙂"))


class _Text(html.parser.HTMLParser):
    """What a browser shows in the paragraphs of texts, and the colours of its spans."""

    def __init__(self, page):
        super().__init__()
        self.shown, self.colours, self.inside, self.links = [], {}, False, []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [v for k, v in attributes if k in ("src", "href")]
        if tag == "p":
            self.inside = values.get("class") == "text"
            if self.inside:
                assert values["dir"] == "auto"
                self.shown.append("")
        self.colour = values.get("style", "").removeprefix("background:") if tag == "span" else ""

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "p"
        self.colour = ""

    def handle_data(self, data):
        if self.inside:
            self.shown[-1] += data
            if self.colour:
                self.colours[data] = self.colour


def test_html_shows_each_text_as_it_is_and_needs_nothing_else(tmp_path):
    path = draw_explanation([FOUND, HEBREW], tmp_path / "a.html")
    page = path.read_text("utf-8")
    text = _Text(page)
    assert text.shown == ["a <b> bad 电影", "סרט טוב"]
    strongest = "#{:02x}{:02x}{:02x}"
    assert text.colours["b"] == strongest.format(*of_score(1, 1)) == text.colours["טוב"]
    assert text.colours["bad"] == strongest.format(*of_score(-0.5, 1))
    assert text.colours["סרט"] == "#ffffff"
    assert not text.links
    assert not re.search(r"<script|@import|url\(", page)
    assert "add up to 0.4000, +1.0e-05 off" in page
    assert [item.name for item in tmp_path.iterdir()] == ["a.html"]
    assert "<!DOCTYPE" not in FOUND._repr_html_()
    assert "too long" in FOUND._replace(cut=True)._repr_html_()


def test_heat_maps_have_a_cell_for_each_pair_of_tokens(tmp_path):
    page = draw_explanation(ATTENTION, tmp_path / "a.html").read_text("utf-8")
    maps = re.findall(r"<svg.*?</svg>", page)
    assert len(maps) == 2
    for layer, text in enumerate(maps):
        cells = [node for node in ElementTree.fromstring(text) if node.tag.endswith("rect")]
        says = [cell[0].text for cell in cells]
        means = WEIGHTS[layer].mean(axis=0).ravel()
        assert [float(x.split(": ")[1]) for x in says] == pytest.approx(means, abs=6e-4)
    one = draw_explanation(ATTENTION, tmp_path / "b.html", layer=-1, head=2).read_text("utf-8")
    assert "layer 1, head 2" in one
    assert f"[CLS] to b: {WEIGHTS[1, 2, 0, 2]:.3f}" in one
    assert "layer 0" in ATTENTION._repr_html_()


def test_targets_are_rows_and_sources_columns(tmp_path):
    wide = np.random.default_rng(1).dirichlet(np.ones(3), (1, 2, 2))
    rows = tuple(of("x y", (0, 1), (2, 3), part=1))
    cross = AttentionScores(
        ("a b", "x y"), rows, wide, False, attended=ATTENTION.tokens, kind="cross"
    )
    found = PairAttention(ATTENTION._replace(kind="encoder"), ATTENTION, cross)
    page = draw_explanation(found, tmp_path / "a.html").read_text("utf-8")
    assert re.findall(r"(?:\w+, )?layer \d", page) == [
        "encoder, layer 0",
        "encoder, layer 1",
        "layer 0",
        "layer 1",
        "cross, layer 0",
    ]
    assert f"y to b: {wide[0].mean(axis=0)[1, 2]:.3f}" in page
    assert found._repr_html_().count("<svg") == 5
    many = draw_explanation([found, found], tmp_path / "b.html").read_text("utf-8")
    assert many.count("<section>") == 6
    pytest.importorskip("matplotlib.image")
    assert draw_explanation(cross, tmp_path / "c.svg").exists()
    with pytest.raises(ValueError, match=r"such as \.cross.*Received: 3"):
        draw_explanation(found, tmp_path / "d.png")


def test_png_and_svg_are_drawn_and_say_what_no_font_has(tmp_path):
    pixels = pytest.importorskip("matplotlib.image")
    latin = attribution("a $b_1$ bad " + "word " * 40, [(0, 1), (2, 7)], [0.1, -0.5])
    image = pixels.imread(draw_explanation(latin, tmp_path / "a.png"))[..., :3]
    for score in (0.2, -1):
        colour = np.array(of_score(score, 1)) / 255
        assert (np.abs(image - colour).max(axis=-1) < 0.01).sum() > 50
    maps = pixels.imread(draw_explanation(ATTENTION, tmp_path / "b.png", head=0))
    assert maps.shape[1] > maps.shape[0] > 300
    drawn = draw_explanation(ATTENTION, tmp_path / "c.svg", layer=0).read_text("utf-8")
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    long = latin._replace(target="many words " * 40)
    wide = pixels.imread(draw_explanation(long, tmp_path / "e.png"))
    assert wide.shape[1] == image.shape[1]
    assert wide.shape[0] > image.shape[0] + 100  # The target takes several lines.
    (tmp_path / "e.png").unlink()
    unknown = attribution("\ue123 x", [(2, 3)], [0.3])
    with pytest.warns(UserWarning, match=r"a \.html shows them: 57635"):
        draw_explanation(unknown, tmp_path / "d.png")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.png", "b.png", "c.svg", "d.png"]


def test_what_cannot_be_drawn_leaves_the_old_picture(tmp_path):
    path = draw_explanation(FOUND, tmp_path / "a.html")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"layer must be in 0 \.\. 1.*Received: layer=2"):
        draw_explanation(ATTENTION, path, layer=2)
    many = tuple(of("a" * 201, *((i, i + 1) for i in range(201))))
    wide = AttentionScores(("a" * 201,), many, np.zeros((1, 1, 201, 201)), False)
    with pytest.raises(ValueError, match=r"200 tokens at most.*Received: 201 tokens"):
        draw_explanation(wide, path)
    assert path.read_bytes() == before
    for found, name, options, error, message in (
        (FOUND, "a.gif", {}, ValueError, r"\.html, \.png, \.svg\. Received"),
        (FOUND, "a.html", {"layer": 0}, ValueError, "are of attention. Received: layer=0"),
        ([ATTENTION, ATTENTION], "a.png", {}, ValueError, "of one text.*Received: 2"),
        ([], "a.html", {}, TypeError, r"Received: \[\]"),
        ([FOUND, ATTENTION], "a.html", {}, TypeError, "takes what attributions"),
    ):
        with pytest.raises(error, match=message):
            draw_explanation(found, tmp_path / name, **options)
    assert [item.name for item in tmp_path.iterdir()] == ["a.html"]
