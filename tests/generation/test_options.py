import numpy as np
import pytest
import tensorflow as tf

from keras_lm.generation import (
    OPTION_DTYPES,
    Options,
    Status,
    clamp_options,
    greedy_options,
    validate_options,
)


def test_single_values_spread_over_the_rows_and_lists_keep_theirs():
    options = validate_options(3, max_new_tokens=5, temperature=[0, 0.5, 2], top_k=4, seed=2**40)
    np.testing.assert_array_equal(options.temperature, np.float32([0, 0.5, 2]))
    np.testing.assert_array_equal(options.top_k, [4, 4, 4])
    np.testing.assert_array_equal(options.top_p, np.float32([1, 1, 1]))
    np.testing.assert_array_equal(options.seed, [2**40] * 3)
    np.testing.assert_array_equal(options.max_new_tokens, [5, 5, 5])
    dtypes = [value.dtype for value in options]
    assert dtypes == [tf.as_dtype(dtype) for dtype in OPTION_DTYPES]


def test_what_is_not_asked_for_is_off():
    for one, other in zip(
        validate_options(2, max_new_tokens=5), greedy_options(tf.constant([5, 5])), strict=True
    ):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_without_a_temperature_only_rows_that_filter_draw():
    options = validate_options(
        4,
        max_new_tokens=1,
        top_k=[0, 5, 0, 0],
        top_p=[1.0, 1.0, 0.5, 1.0],
        min_p=[0.0, 0.0, 0.0, 0.1],
    )
    np.testing.assert_array_equal(options.temperature, [0, 1, 1, 1])


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
        ("min_p", -0.1),
        ("min_p", 1.5),
        ("repetition_penalty", 0),
        ("repetition_penalty", float("inf")),
        ("presence_penalty", float("nan")),
        ("frequency_penalty", [0.5, float("-inf")]),
        ("min_new_tokens", -1),
        ("min_new_tokens", [0, 2]),
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


CLAMPED = [
    ("temperature", 0.7, 0.7, Status.AS_ASKED),
    ("temperature", NAN, 0.0, Status.TEMPERATURE),
    ("temperature", -1.0, 0.0, Status.TEMPERATURE),
    ("temperature", INF, HUGE, Status.TEMPERATURE),
    ("top_k", 50, 50, Status.AS_ASKED),
    ("top_k", -3, 0, Status.TOP_K),
    ("top_k", 2**40, 2**31 - 1, Status.AS_ASKED),
    ("top_p", 0.9, 0.9, Status.AS_ASKED),
    ("top_p", 0.0, TINY, Status.TOP_P),
    ("top_p", -INF, TINY, Status.TOP_P),
    ("top_p", 1.5, 1.0, Status.TOP_P),
    ("top_p", NAN, 1.0, Status.TOP_P),
    ("max_new_tokens", 8, 8, Status.AS_ASKED),
    ("max_new_tokens", 0, 1, Status.MAX_NEW_TOKENS),
    ("max_new_tokens", 2**40, 10, Status.MAX_NEW_TOKENS),
    ("min_p", 0.1, 0.1, Status.AS_ASKED),
    ("min_p", -0.1, 0.0, Status.MIN_P),
    ("min_p", NAN, 0.0, Status.MIN_P),
    ("min_p", 1.5, 1.0, Status.MIN_P),
    ("repetition_penalty", 1.2, 1.2, Status.AS_ASKED),
    ("repetition_penalty", 0.0, 1.0, Status.REPETITION_PENALTY),
    ("repetition_penalty", NAN, 1.0, Status.REPETITION_PENALTY),
    ("repetition_penalty", INF, HUGE, Status.REPETITION_PENALTY),
    ("presence_penalty", -1.5, -1.5, Status.AS_ASKED),
    ("presence_penalty", NAN, 0.0, Status.PRESENCE_PENALTY),
    ("presence_penalty", -INF, -HUGE, Status.PRESENCE_PENALTY),
    ("frequency_penalty", 0.5, 0.5, Status.AS_ASKED),
    ("frequency_penalty", NAN, 0.0, Status.FREQUENCY_PENALTY),
    ("frequency_penalty", INF, HUGE, Status.FREQUENCY_PENALTY),
    ("min_new_tokens", 8, 8, Status.AS_ASKED),
    ("min_new_tokens", -1, 0, Status.MIN_NEW_TOKENS),
    ("min_new_tokens", 9, 8, Status.MIN_NEW_TOKENS),
]


@pytest.fixture(scope="module")
def clamp():
    """Every row asks for something else; one trace for ids of 64 bits and of 32."""
    return tf.function(clamp_options)


def asked_for(rows):
    """Options of rows that each ask for one thing, and for 8 tokens."""
    values = {name: [] for name in Options._fields}
    for name, value in rows:
        for field, off in zip(Options._fields, greedy_options(tf.constant([8])), strict=True):
            values[field].append(value if field == name else off[0].numpy())
    wide = {"int32": "int64", "int64": "int64", "float32": "float32"}
    dtypes = OPTION_DTYPES._asdict()
    return Options(**{name: tf.constant(v, wide[dtypes[name]]) for name, v in values.items()})


def test_clamping_changes_what_is_out_of_range_and_says_so(clamp):
    given, bits = clamp(asked_for([row[:2] for row in CLAMPED]), limit=10)
    for row, (name, asked, expected, status) in enumerate(CLAMPED):
        what = f"{name}={asked}"
        assert Status(int(bits[row])) == status, what
        got = getattr(given, name)[row].numpy()
        np.testing.assert_array_equal(got, np.asarray(expected, got.dtype), err_msg=what)
    assert [value.dtype for value in given] == [tf.as_dtype(dtype) for dtype in OPTION_DTYPES]


def test_a_row_may_be_out_of_range_in_several_options(clamp):
    asked = asked_for([("temperature", NAN)])._replace(
        top_k=tf.constant([-1], tf.int64), frequency_penalty=tf.constant([NAN])
    )
    _, bits = clamp(asked, limit=10)
    assert bits[0] == Status.TEMPERATURE | Status.TOP_K | Status.FREQUENCY_PENALTY


def test_each_row_has_its_own_limit():
    options, bits = clamp_options(greedy_options(tf.constant([9, 9])), limit=[4, 20])
    np.testing.assert_array_equal(options.max_new_tokens, [4, 9])
    np.testing.assert_array_equal(bits, [int(Status.MAX_NEW_TOKENS), 0])
