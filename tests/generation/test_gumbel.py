import numpy as np
import pytest
import tensorflow as tf

from keras_lm.generation import draw_tokens, row_keys

IDS = np.array([[5, 2, 7, 1], [3, 9, 4, 0], [5, 2, 7, 1]])
REAL = np.array([[True] * 4, [True, True, True, False], [True] * 4])


def test_tokens_are_drawn_as_often_as_they_are_likely():
    probability_V = np.array([0.5, 0.3, 0.15, 0.05, 0.0])
    with np.errstate(divide="ignore"):
        logits = np.broadcast_to(np.log(probability_V), (100, 400, 5)).astype("float32")
    keys = row_keys([1, 2], np.arange(100)[:, None], np.ones((100, 1), "bool"))
    drawn = draw_tokens(logits, keys).numpy()
    share_V = np.bincount(drawn.ravel(), minlength=5) / drawn.size
    # Four standard deviations of 40,000 draws.
    np.testing.assert_allclose(share_V, probability_V, atol=4 * 0.5 / 200)
    assert share_V[4] == 0
    # Neighbours are independent: both are token 0 in a quarter of the cases.
    both = (drawn[:, :-1] == 0) & (drawn[:, 1:] == 0)
    assert both.mean() == pytest.approx(0.25, abs=0.012)


def test_what_a_row_draws_depends_on_its_key_and_logits_alone():
    logits = tf.random.stateless_normal((3, 6, 50), [1, 2])
    keys = row_keys([1, 2], IDS, REAL)
    together = draw_tokens(logits, keys)
    for row in range(3):
        alone = draw_tokens(logits[row : row + 1], keys[row : row + 1])
        np.testing.assert_array_equal(alone[0], together[row])


def test_no_gradient_flows_through_a_draw():
    logits = tf.Variable(tf.zeros((1, 2, 5)))
    with tf.GradientTape() as tape:
        found = tf.cast(draw_tokens(logits, row_keys([1, 2], IDS[:1], REAL[:1])), "float32")
    assert tape.gradient(found, logits) is None


def test_keys_differ_by_contents_order_seed_and_step():
    keys = row_keys([1, 2], IDS, REAL).numpy()
    assert keys.min() >= 0
    assert keys.max() < 2**32
    turned = row_keys([1, 2], IDS[:, ::-1], REAL).numpy()
    other_seed, other_step = (row_keys(seed, IDS, REAL).numpy() for seed in ([2, 2], [1, 3]))
    rows = [keys[0], keys[1], turned[0], other_seed[0], other_step[0]]
    assert len({tuple(row) for row in rows}) == len(rows)
    np.testing.assert_array_equal(keys[0], keys[2])


def test_padding_and_the_rows_beside_it_do_not_change_a_key():
    keys = row_keys([1, 2], IDS, REAL)
    np.testing.assert_array_equal(row_keys([1, 2], IDS[1:2, :3], REAL[1:2, :3])[0], keys[1])


def test_any_two_integers_are_a_seed():
    for dtype in ("int32", "int64", "uint32"):
        np.testing.assert_array_equal(
            row_keys(tf.constant([7, 2], dtype), IDS, REAL), row_keys([7, 2], IDS, REAL)
        )
    assert np.abs(row_keys([-7, 2], IDS, REAL)).min() >= 0
