import numpy as np

from keras_lm.models.replacement import detection_labels, replaced

IDS = np.array([[2, 4, 5, 6, 3], [2, 7, 8, 3, 0]], "int32")
REAL = np.array([[True] * 5, [True] * 4 + [False]])
POSITIONS = np.array([[1, 3, 0], [2, 0, 0]], "int32")
DRAWN = np.array([[40, 60, 99], [80, 99, 98]], "int32")


def test_drawn_tokens_stand_at_their_positions_and_never_at_the_first():
    found = replaced(IDS, POSITIONS, DRAWN)
    np.testing.assert_array_equal(found, [[2, 40, 5, 60, 3], [2, 7, 80, 3, 0]])
    assert found.dtype == "int32"


def test_a_token_that_stood_there_was_not_replaced():
    labels = np.array([[40, 61, 0], [81, 0, 0]])
    weights = np.array([[1, 1, 0], [1, 0, 0]], "float32")
    found, counts = detection_labels(REAL, POSITIONS, DRAWN, labels, weights)
    np.testing.assert_array_equal(found, [[0, 0, 0, 1, 0], [0, 0, 1, 0, 0]])
    np.testing.assert_array_equal(counts, REAL.astype("float32"))


def test_where_nobody_knows_what_stood_there_nothing_counts():
    labels = np.array([[40, -100, 0], [81, 0, 0]])
    weights = np.array([[1, 0, 0], [1, 0, 0]], "float32")
    found, counts = detection_labels(REAL, POSITIONS, DRAWN, labels, weights)
    np.testing.assert_array_equal(found, [[0, 0, 0, 0, 0], [0, 0, 1, 0, 0]])
    np.testing.assert_array_equal(counts, [[1, 1, 1, 0, 1], [1, 1, 1, 1, 0]])


def test_weights_may_be_left_out_or_given_by_row():
    labels = np.array([[40, 61, 0], [81, 0, 0]])
    found, _ = detection_labels(REAL, POSITIONS, DRAWN, labels, None)
    np.testing.assert_array_equal(found, [[0, 0, 0, 1, 0], [0, 0, 1, 0, 0]])
    found, counts = detection_labels(REAL, POSITIONS, DRAWN, labels, np.array([1.0, 0.0]))
    np.testing.assert_array_equal(found, [[0, 0, 0, 1, 0], [0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(counts, [[1, 1, 1, 1, 1], [1, 1, 0, 1, 0]])
