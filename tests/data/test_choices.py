import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data.choices import choose_spans

B, T = 400, 60


def choose(word, maskable, budget, seed=0):
    """Which tokens `(B, T)` are chosen, and the number of each one's span, -1 for none."""
    word, maskable = np.broadcast_to(word, (B, T)), np.broadcast_to(maskable, (B, T))
    chosen, span = choose_spans(
        tf.constant(word, tf.int32),
        tf.constant(maskable),
        tf.constant([budget] * B),
        tf.constant([seed, 0], tf.int64),
        num_spans=budget,
    )
    return chosen.numpy(), np.where(chosen, span, -1)


@pytest.fixture(scope="module")
def tokens():
    """Rows of words of one token each, without special tokens: spans of a budget of 20."""
    return choose(np.arange(T), np.ones(T, bool), 20)


@pytest.fixture(scope="module")
def pieces():
    """Rows of words of one to three pieces, and of special tokens, with their spans."""
    rng = np.random.default_rng(0)
    special = rng.random((B, T)) < 0.08
    begins = (rng.random((B, T)) < 0.6) | special
    begins[:, 1:] |= special[:, :-1]
    begins[:, 0] = True
    word = np.cumsum(begins, 1) - 1
    return word, ~special, *choose(word, ~special, 15)


def test_the_first_span_has_the_lengths_that_the_paper_says(tokens):
    _, span = tokens
    length = (span == 0).sum(1)
    start = np.argmax(span == 0, 1)
    length = length[start <= T - 10]  # behind, the row cuts it
    share = 0.2 * 0.8 ** np.arange(10)
    expected = len(length) * share / share.sum()
    count = np.bincount(length, minlength=11)[1:]
    assert count.sum() == len(length)
    assert ((count - expected) ** 2 / expected).sum() < 27.9  # chi-square of 9 degrees, 0.1 %


def test_the_first_span_begins_at_each_word_with_equal_chance(tokens):
    start = np.argmax(tokens[1] == 0, 1)
    count = np.bincount(start // 6, minlength=10)
    assert ((count - B / 10) ** 2 / (B / 10)).sum() < 27.9


def test_spans_fill_the_budget_where_words_are_tokens(tokens):
    chosen, span = tokens
    np.testing.assert_array_equal(chosen.sum(1), 20)
    assert 4 < span.max(1).mean() + 1 < 8  # 20 / 3.8, and what the last ones lack


def test_a_span_is_a_run_of_words_with_earlier_spans_in_between_at_most(pieces):
    word, maskable, _, span = pieces
    for row in range(B):
        for number in range(span[row].max() + 1):
            inside = np.flatnonzero(span[row] == number)
            between = slice(inside[0], inside[-1] + 1)
            assert maskable[row, between].all()
            assert ((span[row, between] <= number) & (span[row, between] >= 0)).all()
            assert len(set(word[row, between])) <= 10


def test_spans_take_whole_words_until_none_goes_in(pieces):
    word, maskable, chosen, _ = pieces
    for row in range(B):
        size = np.bincount(word[row][maskable[row]], minlength=T)
        taken = np.bincount(word[row][chosen[row]], minlength=T)
        np.testing.assert_array_equal(taken[taken > 0], size[taken > 0])
        room = 15 - taken.sum()
        assert room >= 0
        assert size[(size > 0) & (taken == 0)].min() > room


def test_a_row_without_words_has_no_span():
    chosen, _ = choose(np.arange(T), np.zeros(T, bool), 5)
    assert not chosen.any()


def test_words_that_are_all_too_long_are_masked_as_far_as_the_budget_goes():
    chosen, _ = choose(np.arange(T) // 6, np.ones(T, bool), 4)
    for row in chosen:
        (places,) = np.nonzero(row)
        np.testing.assert_array_equal(places, places[0] + np.arange(4))
        assert places[0] % 6 == 0
    assert len(set(np.argmax(chosen, 1))) == 10, "any of the words"
