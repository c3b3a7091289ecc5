"""Texts that end at what a client named."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from keras_lm.serving.server.completions.text import StoppedText

SHORT = st.text("ab\n", max_size=12)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3)


def told(pieces, stops):
    text = StoppedText(stops)
    found = "".join([text.add(piece) for piece in pieces])
    return found + text.rest(), text.is_stopped


@given(SHORT, STOPS, st.sets(st.integers(1, 11)))
def test_what_is_told_does_not_depend_on_where_pieces_end(text, stops, cuts):
    ends = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(ends)]
    found, is_stopped = told(pieces, stops)
    assert (found, is_stopped) == told(list(text), stops)
    assert is_stopped == any(stop in text for stop in stops)
    assert text.startswith(found)
    assert not any(stop in found for stop in stops)
    if not is_stopped:
        assert found == text


@given(SHORT, STOPS)
def test_nothing_is_told_that_a_stop_takes_back(text, stops):
    whole, _ = told([text], stops)
    growing = StoppedText(stops)
    shown = ""
    for character in text:
        shown += growing.add(character)
        assert whole.startswith(shown)
