"""Exact match and F1 against the definition of SQuAD's scripts."""

import pytest

from keras_lm.tasks.answer_figures import (
    answer_f1,
    answer_figures,
    best_threshold,
    exact_match,
    normalized_answer,
)

# Answer, right answer, exact match, F1 of 1.1, F1 of 2.0. Those of 2.0 are what the copy of its
# script in Transformers 4.57 gives; torchmetrics 1.9 gives the same. Where both have no word, the
# script of 1.1 counts no word in common, and so 0.
CASES = [
    ("The cat.", "cat", 1, 1, 1),
    ("a an the", "", 1, 0, 1),
    ("an", "the", 1, 0, 1),
    ("", "cat", 0, 0, 0),
    ("the", "cat", 0, 0, 0),
    ("cat cat", "cat", 0, 2 / 3, 2 / 3),
    ("cat", "cat cat cat", 0, 0.5, 0.5),
    ("U.S.", "us", 1, 1, 1),
    ("co-operate", "cooperate", 1, 1, 1),
    ("theatre", "atre", 0, 0, 0),
    ("A-team", "team", 0, 0, 0),
    ("«cat»", "cat", 0, 0, 0),
    ("1,000", "1000", 1, 1, 1),
    ("in the  house\tof\ncards", "house of cards", 0, 6 / 7, 6 / 7),
    ("İstanbul", "i\u0307stanbul", 1, 1, 1),
    ("b a c", "c b", 0, 1, 1),
]


@pytest.mark.parametrize(("found", "truth", "exact", "one", "two"), CASES)
def test_an_answer_counts_as_the_scripts_count_it(found, truth, exact, one, two):
    assert exact_match(found, truth) == bool(exact)
    assert answer_f1(found, truth, empty_is_right=False) == pytest.approx(one)
    assert answer_f1(found, truth, empty_is_right=True) == pytest.approx(two)


def test_the_best_of_several_right_answers_counts():
    found = answer_figures(["the cat", "dogs"], [["a dog", "Cat!"], ["dogs bark", "one"]])
    assert found == {"exact_match": 0.5, "f1": pytest.approx((1 + 2 / 3) / 2)}


def test_no_answer_is_an_answer_of_its_own():
    found = answer_figures(["", "cat", "", "x"], [[], [], ["cat"], ["x", "the"]])
    assert found == {
        "exact_match": 0.5,
        "f1": 0.5,
        "exact_match_with_answer": 0.5,
        "f1_with_answer": 0.5,
        "exact_match_without": 0.5,
        "f1_without": 0.5,
    }
    # A right answer of articles alone does not count in 2.0, and does in 1.1.
    assert answer_figures(["", "x"], [["the"], []])["exact_match"] == 0.5
    assert answer_figures(["", "x"], [["the"], ["x"]])["exact_match"] == 1
    assert answer_figures(["", "x"], [["the"], ["x"]])["f1"] == 0.5


def test_the_best_threshold_is_found():
    best, truth = ["a1", "b", "c", "d"], [["a1"], [], ["c"], ["x"]]
    assert best_threshold(best, truth, [-3, 2, 1, 5]) == {"best_f1": 0.75, "best_threshold": 1}
    assert best_threshold(best, truth, [1, 1, 1, 1])["best_f1"] == 0.5
    none = best_threshold(["a"], [[]], [-9])
    assert none == {"best_f1": 1, "best_threshold": -10}


def test_normalizing_removes_articles_as_words_alone():
    assert normalized_answer("The theory, an ANT; a") == "theory ant"
    assert normalized_answer("a.an") == "aan"  # punctuation goes first
