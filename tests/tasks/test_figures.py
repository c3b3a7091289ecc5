"""Figures against those of scikit-learn 1.x and SciPy, computed once."""

import math

import numpy as np
import pytest

from keras_lm.tasks.figures import class_figures, label_figures, number_figures, wilson_interval


def digits(text):
    return np.array([int(digit) for digit in text])


def test_accuracy_and_macro_f1_are_those_of_scikit_learn():
    truth = digits("4224224101144024020241112142222224422214")
    found = digits("4324234031144044035244112542202224435314")
    # Class 3 is in the answers alone, class 5 too.
    assert class_figures(truth, found) == {
        "accuracy": pytest.approx(0.675),
        "macro_f1": pytest.approx(0.4797008547008547),
    }


def test_figures_of_several_labels_are_those_of_scikit_learn():
    truth = "1000 0000 0110 0010 1110 0000 0100 1000 1010 0100 1000 0110"
    found = "1010 0010 1110 1010 1010 0100 0000 1000 1100 0100 1100 0110"
    rows = [np.array([digits(row) for row in text.split()]) > 0 for text in (truth, found)]
    assert label_figures(*rows) == {
        "micro_f1": pytest.approx(0.7058823529411765),
        "macro_f1": pytest.approx(0.5265151515151516),
        "exact_match": pytest.approx(0.25),
    }


A = [0, 2, 2, 2, 2.5, 2, 2.5, 0, 2.5, 2.5, 2, 2, 2, 2.5, 2.5]
B = [-0.5, 2.6, 1.7, 1.8, 2.5, 3.2, 3.2, 0.4, 1.9, 1.1, 2.9, 3.0, 1.9, 3.0, 3.3]


def test_correlations_are_those_of_scipy_with_ties():
    found = number_figures(np.array([A]).T, np.array([B]).T)
    assert found["spearman"] == pytest.approx(0.4710473409824523)
    assert found["pearson"] == pytest.approx(0.765476539765353)
    two = number_figures(np.array([A, B]).T, np.array([B, B]).T)
    assert two["spearman"] == pytest.approx((0.4710473409824523 + 1) / 2)


def test_the_error_is_the_root_of_the_mean_square():
    found = number_figures(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [6.0]]))
    assert found["root_mean_squared_error"] == pytest.approx(math.sqrt(3))


def test_a_constant_has_no_correlation():
    found = number_figures(np.array([[1.0], [2.0]]), np.array([[1.0], [1.0]]))
    assert math.isnan(found["spearman"])
    assert math.isnan(found["pearson"])


def test_an_interval_is_wilsons():
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 and 0 of 20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
