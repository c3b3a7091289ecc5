"""Merging at the same time must give what merging one at a time gives, whatever the vocabulary."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.tokenizers import byte_pair_merges
from keras_lm.tokenizers.byte_bpe import ByteBPE
from keras_lm.tokenizers.byte_pair_merges import MergeLoop


def tokenizer_of(merges):
    """A tokenizer of the merges of small letters, its merge loop and its library engine."""
    made = [first + second for first, second in merges]
    tokens = dict.fromkeys([*"abcdefghijklmnopqrstuvwxyz", *made, "<|endoftext|>"])
    return ByteBPE({token: id_ for id_, token in enumerate(tokens)}, merges)


def random_merges(random, letters, count, *, ordered):
    tokens, merges = list(letters), {}
    while len(merges) < count:
        first, second = random.choice(tokens[-12:] + list(letters), 2).tolist()
        if len(first + second) <= 12 and (first, second) not in merges:
            merges[first, second] = None
            tokens.append(first + second)
    merges = list(merges)
    return merges if ordered else [merges[n] for n in random.permutation(len(merges))]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_random_merges_give_the_ids_of_the_library(seed, ordered):
    random = np.random.default_rng(seed)
    letters = "ab" if seed % 2 else "abcd"
    tokenizer = tokenizer_of(random_merges(random, letters, 40, ordered=ordered))
    words = ["".join(random.choice(list(letters), random.integers(1, 60))) for _ in range(150)]
    words += [letter * n for letter in letters for n in (2, 3, 4, 7, 16, 33)]
    got = tokenizer.tokenize(words).to_list()
    assert got == [tokenizer.encode(word) for word in words]


def test_merges_that_would_do_harm_before_their_time_are_known():
    def verdicts(merges):
        tokenizer = tokenizer_of(merges)
        return byte_pair_merges.harmless(tokenizer._merge_ids, tokenizer.vocab_size).tolist()

    assert verdicts([("a", "b"), ("ab", "c")]) == [True, True]
    assert verdicts([("ab", "c"), ("a", "b")]) == [True, False]
    # Made twice, and the second time after it was used.
    twice = [("a", "b"), ("ab", "c"), ("b", "c"), ("abc", "d"), ("a", "bc")]
    assert verdicts(twice) == [True, True, True, True, False]


def test_a_merge_that_would_do_harm_before_its_time_waits():
    # (a, b) is safe from its neighbours; made at once, its result would take x before w does.
    tokenizer = tokenizer_of([("x", "ab"), ("w", "x"), ("a", "b")])
    word = "wxab"
    assert tokenizer.encode(word) == [tokenizer.id("wx"), tokenizer.id("ab")]
    assert tokenizer.tokenize([word]).to_list() == [tokenizer.encode(word)]


@pytest.fixture
def calls(monkeypatch):
    """How often each step ran, where everything runs eagerly."""
    count = collections.Counter()

    def counted(owner, name):
        step = getattr(owner, name)

        def call(*args):
            count[name] += 1
            return step(*args)

        monkeypatch.setattr(owner, name, call)

    counted(MergeLoop, "_round")
    counted(byte_pair_merges, "_leftmost_least")
    counted(byte_pair_merges, "_alternate")
    return count


def eagerly(tokenizer, words):
    """The ids of words without a function around it, so that each step that runs is counted."""
    return tokenizer._tokenize(tf.constant(words)).to_list()


def test_where_caution_stops_every_merge_the_plain_algorithm_goes_on(calls):
    # Each letter of v w x might be taken by a neighbour that grows, but no such neighbour is there.
    merges = ["s v", "sv w", "q w", "qw x", "p x", "px a", "a b"]
    tokenizer = tokenizer_of([tuple(merge.split()) for merge in merges])
    words = ["vwxab", "vwxabvwxab", "svwxab", "qwxab", "pxab"]
    assert eagerly(tokenizer, words) == [tokenizer.encode(word) for word in words]
    assert calls["_leftmost_least"] > 0


def test_a_run_of_one_letter_is_merged_in_a_logarithm_of_rounds(calls):
    tokenizer = tokenizer_of([("a", "a"), ("aa", "aa"), ("aaaa", "aaaa"), ("aaaaaaaa", "aaaaaaaa")])
    word = "a" * 4_001
    assert eagerly(tokenizer, [word]) == [tokenizer.encode(word)]
    assert calls["_alternate"] > 0
    assert 4 < calls["_round"] <= 8


def test_a_word_of_many_letters_takes_few_rounds(calls):
    random = np.random.default_rng(0)
    letters = "abcdefghij"
    tokenizer = tokenizer_of(random_merges(random, letters, 400, ordered=True))
    word = "".join(random.choice(list(letters), 10_000))
    assert eagerly(tokenizer, [word]) == [tokenizer.encode(word)]
    assert 4 < calls["_round"] <= 60


def test_no_words_and_no_merges_leave_the_symbols_as_they_are():
    loop = MergeLoop(np.zeros((0, 3), np.int64), 3)
    symbols = tf.constant([3] * (2 * loop.margin + 1), tf.int64)
    np.testing.assert_array_equal(loop(symbols), symbols)
    symbols = tf.constant([3] * loop.margin + [0, 1, 3, 2, 3] + [3] * loop.margin, tf.int64)
    np.testing.assert_array_equal(loop(symbols), symbols)
