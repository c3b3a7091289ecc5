import numpy as np
import pytest
from baselines import Bigrams, NaiveBayes

A, B, C, D = range(4)
TEXT = np.array([A, B, A, B, A, C, B])  # pairs AB 2, AC 1, BA 2, CB 1; D never occurs


@pytest.fixture
def counts():
    return Bigrams(TEXT, vocab_size=4)


def test_the_most_frequent_token_is_the_lowest_of_those_that_tie(counts):
    assert counts.most_frequent == A  # three times, as B


def test_what_follows_most_often_is_told_for_each_left_neighbour(counts):
    np.testing.assert_array_equal(
        counts.likeliest_after(np.array([[A, B], [C, A]])), [[B, A], [B, B]]
    )


def test_what_is_no_answer_is_never_told():
    counts = Bigrams(TEXT, vocab_size=4, never=(A,))
    assert counts.most_frequent == B
    np.testing.assert_array_equal(counts.likeliest_after(np.array([A, B, C])), [B, B, B])


def test_behind_a_token_never_seen_stands_the_most_frequent_one():
    counts = Bigrams(np.array([B, C, B, C, B]), vocab_size=4)
    np.testing.assert_array_equal(counts.likeliest_after(np.array([D])), [B])


def test_behind_the_last_token_of_the_text_stands_the_most_frequent_one():
    counts = Bigrams(np.array([A, A, D]), vocab_size=4)
    np.testing.assert_array_equal(counts.likeliest_after(np.array([D])), [A])


def test_an_unknown_neighbour_says_nothing(counts):
    np.testing.assert_array_equal(counts.likeliest_after(np.array([A, C]), unknown=(A,)), [A, B])


def test_probabilities_mix_pair_token_and_uniform_by_the_weights(counts):
    counts.weights = np.array([0.5, 0.3, 0.2])
    found = counts.probability(np.array([A, A, B]), np.array([B, D, C]))
    expected = [
        0.5 * 2 / 3 + 0.3 * 3 / 7 + 0.2 / 4,
        0.2 / 4,
        0.3 * 1 / 7 + 0.2 / 4,
    ]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("left", [A, B, C, D])
def test_probabilities_of_all_tokens_add_up_to_one(counts, left):
    assert counts.probability(np.full(4, left), np.arange(4)).sum() == pytest.approx(1)


def test_perplexity_is_the_inverse_of_the_geometric_mean(counts):
    counts.weights = np.array([1.0, 0.0, 0.0])
    assert counts.perplexity(np.array([A, B]), np.array([B, A])) == pytest.approx((3 / 2) ** 0.5)


def test_tuning_gives_all_weight_to_the_pairs_where_they_tell_all():
    counts = Bigrams(np.tile([A, B, C, D], 10), vocab_size=4)
    counts.tune(np.array([A, B, C] * 5), np.array([B, C, D] * 5), rounds=500)
    np.testing.assert_allclose(counts.weights, [1, 0, 0], atol=1e-3)


def test_tuning_finds_weights_that_no_others_beat(counts):
    left, right = np.array([A, A, B, C, B, A]), np.array([B, C, A, D, C, B])
    counts.tune(left, right, rounds=2_000)
    best = counts.perplexity(left, right)
    for weights in np.random.default_rng(0).dirichlet(np.ones(3), size=200):
        counts.weights = weights
        assert counts.perplexity(left, right) >= best - 1e-6


def test_naive_bayes_weighs_words_and_pairs_by_class():
    texts = ["good film", "good good film", "not good", "not bad"]
    model = NaiveBayes(texts, ["+", "+", "-", "+"])
    kinds = {"good": (3, 2), "film": (3, 1), "good film": (3, 1), "good good": (2, 1)}
    kinds |= {"not": (2, 2), "not good": (1, 2), "bad": (2, 1), "not bad": (2, 1)}
    assert model.index.keys() == kinds.keys()
    for name, counts in kinds.items():
        found = np.exp(model.log_CF[:, model.index[name]])
        np.testing.assert_allclose(found, [counts[0] / 18, counts[1] / 11])
    assert model.predict(["not good", "good film", "unseen"]) == ["-", "+", "+"]
