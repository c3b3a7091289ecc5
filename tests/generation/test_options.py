import numpy as np
import pytest
import tensorflow as tf

from keras_lm.generation import Status, clamp_options, validate_options


def test_single_values_spread_over_the_rows_and_lists_keep_theirs():
    options = validate_options(3, max_new_tokens=5, temperature=[0, 0.5, 2], top_k=4, seed=2**40)
    np.testing.assert_array_equal(options.temperature, np.float32([0, 0.5, 2]))
    np.testing.assert_array_equal(options.top_k, [4, 4, 4])
    np.testing.assert_array_equal(options.top_p, np.float32([1, 1, 1]))
    np.testing.assert_array_equal(options.seed, [2**40] * 3)
    np.testing.assert_array_equal(options.max_new_tokens, [5, 5, 5])
    dtypes = [value.dtype for value in options]
    assert dtypes == [tf.float32, tf.int32, tf.float32, tf.int64, tf.int32]


def test_without_a_temperature_only_rows_that_filter_draw():
    options = validate_options(3, max_new_tokens=1, top_k=[0, 5, 0], top_p=[1.0, 1.0, 0.5])
    np.testing.assert_array_equal(options.temperature, [0, 1, 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", 2**31),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", 1e300),
        ("top_k", -1),
        ("top_k", [3, -7]),
        ("top_p", 0),
        ("top_p", 1.01),
        ("top_p", float("nan")),
        ("seed", 2**63),
        ("top_k", [1, 2, 3]),
        ("temperature", [[0.5, 0.5]]),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_was_received(name, value):
    with pytest.raises(ValueError, match=name) as error:
        validate_options(2, **{"max_new_tokens": 1, name: value})
    assert f"Received: {value!r}" in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("top_k", 1.5), ("top_k", True), ("seed", "7"), ("temperature", "hot"), ("top_p", True)],
)
def test_a_value_of_another_kind_is_refused_with_what_was_received(name, value):
    with pytest.raises(TypeError, match=name) as error:
        validate_options(2, **{"max_new_tokens": 1, name: value})
    assert f"Received: {value!r}" in str(error.value)


NAN, INF = float("nan"), float("inf")
TINY = np.finfo(np.float32).tiny
HUGE = np.finfo(np.float32).max


@pytest.mark.parametrize(
    ("asked", "given", "status"),
    [
        # temperature, top_k, top_p, max_new_tokens
        ((0.7, 50, 0.9, 8), (0.7, 50, 0.9, 8), Status.AS_ASKED),
        ((0.0, 0, 1.0, 1), (0.0, 0, 1.0, 1), Status.AS_ASKED),
        ((NAN, 0, 1.0, 8), (0.0, 0, 1.0, 8), Status.TEMPERATURE),
        ((-1.0, 0, 1.0, 8), (0.0, 0, 1.0, 8), Status.TEMPERATURE),
        ((INF, 0, 1.0, 8), (HUGE, 0, 1.0, 8), Status.TEMPERATURE),
        ((1.0, -3, 1.0, 8), (1.0, 0, 1.0, 8), Status.TOP_K),
        ((1.0, 0, 0.0, 8), (1.0, 0, TINY, 8), Status.TOP_P),
        ((1.0, 0, -INF, 8), (1.0, 0, TINY, 8), Status.TOP_P),
        ((1.0, 0, 1.5, 8), (1.0, 0, 1.0, 8), Status.TOP_P),
        ((1.0, 0, NAN, 8), (1.0, 0, 1.0, 8), Status.TOP_P),
        ((1.0, 0, 1.0, 0), (1.0, 0, 1.0, 1), Status.MAX_NEW_TOKENS),
        ((1.0, 0, 1.0, 2**40), (1.0, 0, 1.0, 10), Status.MAX_NEW_TOKENS),
        (
            (NAN, -1, NAN, -1),
            (0.0, 0, 1.0, 1),
            Status.TEMPERATURE | Status.TOP_K | Status.TOP_P | Status.MAX_NEW_TOKENS,
        ),
    ],
)
def test_clamping_changes_what_is_out_of_range_and_says_so(asked, given, status):
    temperature, top_k, top_p, max_new = asked
    options, bits = tf.function(clamp_options)(
        tf.constant([temperature]),
        tf.constant([top_k]),
        tf.constant([top_p]),
        tf.constant([3]),
        tf.constant([max_new], tf.int64),
        limit=10,
    )
    assert Status(int(bits[0])) == status
    changed = [options.temperature, options.top_k, options.top_p, options.max_new_tokens]
    np.testing.assert_array_equal(np.float32([value[0] for value in changed]), np.float32(given))


def test_each_row_has_its_own_limit():
    ones = tf.ones(2)
    zeros = tf.zeros(2, tf.int32)
    options, bits = clamp_options(ones, zeros, ones, zeros, tf.constant([9, 9]), limit=[4, 20])
    np.testing.assert_array_equal(options.max_new_tokens, [4, 9])
    np.testing.assert_array_equal(bits, [int(Status.MAX_NEW_TOKENS), 0])
