from functools import cache
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_lm.generation import (
    OPTION_DTYPES,
    Options,
    pick_tokens,
    sampling,
    uniforms,
    validate_options,
)
from keras_lm.generation.sampling import (
    draw_weighted,
    kept_weights,
    log_probability,
    pick_and_weigh,
)

INF = float("inf")


def filtered(logits, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
    """What the sampler should draw from, in float64; and how clear its edges are."""
    logits = np.asarray(logits, np.float64) / temperature
    weight = np.exp(logits - logits.max())
    far_enough = weight >= min_p
    clearance = np.abs(np.log(np.maximum(weight, 1e-300) / min_p)).min() if min_p else INF
    if top_k:
        weight[logits < np.sort(logits)[::-1][min(top_k, len(logits)) - 1]] = 0
    weight /= weight.sum()
    likelier = np.array([weight[logits > logit].sum() for logit in logits])
    kept = np.where(far_enough & ((likelier < top_p) | (top_p == 1)), weight, 0)
    if top_p < 1:
        clearance = min(clearance, np.abs(likelier - top_p).min())
    return kept / kept.sum(), clearance


def rows(options, count):
    return Options(*(tf.repeat(value, count) for value in options))


@cache
def traced(vocab_size, first_look, block):
    """`pick_tokens` with other bounds: a small vocabulary takes all the ways of a large one."""
    signature = (
        tf.TensorSpec([None, vocab_size]),
        tf.TensorSpec([None]),
        Options(*(tf.TensorSpec([None], dtype) for dtype in OPTION_DTYPES)),
    )
    other = {"_FIRST_LOOK": first_look, "_BLOCK": block, "_SORTED_BELOW": 0}
    with mock.patch.multiple(sampling, **other):
        return tf.function(pick_tokens, input_signature=signature).get_concrete_function()


def check_intervals(pick, logits, expected, options, margin):
    """Every token is drawn from just after the start to just before the end of its interval."""
    end = np.cumsum(expected)
    start = end - expected
    ids = np.flatnonzero(expected > 4 * margin)
    uniform = np.concatenate([start[ids] + margin, (start + end)[ids] / 2, end[ids] - margin])
    logits = tf.repeat(tf.constant(logits, tf.float32)[None], len(uniform), 0)
    drawn = pick(logits, tf.constant(uniform, tf.float32), rows(options, len(uniform)))
    np.testing.assert_array_equal(drawn, np.tile(ids, 3))


logit = st.one_of(
    st.integers(-8, 8).map(lambda n: n / 2),
    # TensorFlow's kernels take subnormal numbers for 0.
    st.floats(-4, 4, width=32, allow_subnormal=False),
    st.just(-INF),
)


@pytest.mark.parametrize("first_look", [1, 3, 256])
@given(
    logits=st.lists(logit, min_size=9, max_size=9).filter(lambda x: max(x) > -INF),
    temperature=st.floats(1, 2, width=32),
    top_k=st.integers(0, 12).filter(lambda k: k != 1),
    top_p=st.one_of(st.just(1.0), st.floats(0.015625, 1, width=32)),
    min_p=st.one_of(st.just(0.0), st.floats(2**-10, 1, width=32).filter(lambda p: p < 1)),
)
@settings(max_examples=60, deadline=None)
def test_the_filters_keep_what_a_plain_reference_keeps(
    first_look, logits, temperature, top_k, top_p, min_p
):
    asked = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    expected, clearance = filtered(logits, **asked)
    assume(clearance > 1e-6)
    options = validate_options(1, max_new_tokens=1, **asked)
    check_intervals(traced(9, first_look, 4), logits, expected, options, margin=2e-6)


@pytest.mark.parametrize("sorted_below", [0, 2**11])
def test_the_weights_of_all_tokens_are_those_of_a_plain_reference(sorted_below):
    rng = np.random.default_rng(0)
    logits = np.round(rng.normal(size=(12, 9)) * 4) / 2  # with ties
    logits[3, 4:] = -INF
    asked = {
        "temperature": [1.0, 1.7, 1.0] * 4,
        "top_k": [0, 0, 3, 4, 20, 0] * 2,
        "top_p": [1.0, 0.7, 1.0, 0.9] * 3,
        "min_p": [0.0, 0.0, 0.1, 0.0, 0.3, 0.0] * 2,
    }
    with mock.patch.object(sampling, "_SORTED_BELOW", sorted_below):
        got = kept_weights(tf.constant(logits), validate_options(12, max_new_tokens=1, **asked))
    for row in range(12):
        expected, _ = filtered(logits[row], **{name: x[row] for name, x in asked.items()})
        np.testing.assert_allclose(got[row] / tf.reduce_sum(got[row]), expected, atol=1e-6)


def test_a_row_that_does_not_draw_weighs_one_token():
    logits = np.float32([[1, 3, 3, 2], [1, 3, 2, 3], [-INF] * 4, [0, INF, 0, 0]])
    asked = {"temperature": [0.0, 2.0, 1.0, 1.0], "top_k": [0, 1, 0, 3]}
    got = kept_weights(tf.constant(logits), validate_options(4, max_new_tokens=1, **asked))
    np.testing.assert_array_equal(got > 0, np.eye(4)[[1, 1, 0, 1]])


def test_a_token_is_drawn_by_its_share():
    shares = tf.constant([[1e-9, 0.0, 3e-9, 4e-9]] * 5)
    uniform = tf.constant([0.0, 0.12, 0.13, 0.49, 0.99])
    np.testing.assert_array_equal(draw_weighted(shares, uniform), [0, 0, 2, 2, 3])


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"top_k": 40},
        {"top_k": 700},
        {"top_p": 0.2},
        {"top_p": 0.9},
        {"top_k": 700, "top_p": 0.9},
        {"min_p": 0.2},
        {"min_p": 0.01},
        {"top_p": 0.9, "min_p": 0.2},
        {"top_k": 700, "top_p": 0.9, "min_p": 0.05},
        {"top_k": 700, "min_p": 0.3},
    ],
)
@pytest.mark.parametrize("scale", [0.5, 2.5])
def test_a_large_vocabulary_is_drawn_from_as_the_reference_says(asked, scale):
    logits = np.float32(np.random.default_rng(1).normal(size=1_003) * scale)
    logits[500:520] = logits[100]  # ties
    options = validate_options(1, max_new_tokens=1, temperature=1, **asked)
    expected, clearance = filtered(logits, **asked)
    assert clearance > 1e-6
    check_intervals(traced(1_003, 256, 256), logits, expected, options, margin=1e-6)


def test_samples_follow_the_filtered_distribution():
    count = 20_000
    logits = np.float32(np.random.default_rng(0).normal(size=50))
    asked = {"temperature": 0.8, "top_k": 30, "top_p": 0.9}
    options = validate_options(count, max_new_tokens=1, seed=range(count), **asked)
    drawn = pick_tokens(np.tile(logits, (count, 1)), uniforms(options.seed, 1)[:, 0], options)
    expected, _ = filtered(logits, **asked)
    seen = np.bincount(drawn, minlength=50)
    kept = expected > 0
    assert seen[~kept].sum() == 0
    statistic = np.sum((seen - count * expected)[kept] ** 2 / (count * expected[kept]))
    freedom = kept.sum() - 1
    # The 0.999 quantile of chi-square, after Wilson and Hilferty.
    assert statistic < freedom * (1 - 2 / (9 * freedom) + 3.09 * np.sqrt(2 / (9 * freedom))) ** 3


@pytest.mark.parametrize(
    "asked",
    [{"temperature": 0}, {"top_k": 1}, {"temperature": 1e-9}, {"temperature": 0, "min_p": 0.5}],
)
def test_greedy_rows_take_the_first_of_the_likeliest_tokens(asked):
    logits = tf.constant([[0.0, 3.0, 3.0, 1.0]] * 2)
    options = validate_options(2, max_new_tokens=1, **asked)
    np.testing.assert_array_equal(pick_tokens(logits, tf.constant([0.0, 0.999]), options), [1, 1])


def test_a_token_does_not_depend_on_the_other_rows():
    # Rows that take every way through the sampler, together and alone.
    kinds = [
        {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
        {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
        {"temperature": 1.0, "top_k": 20, "top_p": 1.0, "min_p": 0.0},
        {"temperature": 1.5, "top_k": 600, "top_p": 0.95, "min_p": 0.0},
        {"temperature": 0.3, "top_k": 0, "top_p": 0.5, "min_p": 0.0},
        {"temperature": 1.0, "top_k": 0, "top_p": 0.97, "min_p": 0.0},
        {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.2},
        {"temperature": 1.2, "top_k": 0, "top_p": 0.97, "min_p": 0.02},
    ]
    repeats = 50
    count = repeats * len(kinds)
    asked = {name: [kind[name] for kind in kinds] * repeats for name in kinds[0]}
    options = validate_options(count, max_new_tokens=1, seed=range(count), **asked)
    logits = tf.random.stateless_normal((count, 1_000), (0, 0))
    uniform = uniforms(options.seed, 1)[:, 0]
    pick = tf.function(pick_tokens, reduce_retracing=True)
    together = pick(logits, uniform, options).numpy()
    assert len(set(together)) > 100
    for first, kind in enumerate(kinds):
        some = slice(first, count, len(kinds))
        same_kind = pick(logits[some], uniform[some], Options(*(value[some] for value in options)))
        np.testing.assert_array_equal(same_kind, together[some], err_msg=str(kind))
    for row in range(2 * len(kinds)):
        one = slice(row, row + 1)
        alone = pick(logits[one], uniform[one], Options(*(value[one] for value in options)))
        assert alone[0] == together[row]


@pytest.mark.parametrize(
    ("logits", "asked", "allowed"),
    [
        ([1e38, -1e38, 3e38, 0.0], {"temperature": 1e-3}, {2}),
        ([1.0, INF, 0.0, 2.0], {"temperature": 1.0}, {1}),
        ([-INF, -INF, 5.0, -INF], {"temperature": 1e38}, {2}),
        ([-INF, -INF, 5.0, 5.0], {"temperature": 3e38, "top_k": 4}, {2, 3}),
        ([-INF] * 4, {"temperature": 1.0, "top_p": 0.5}, {0}),
        ([0.0, 1.0, 0.5, 0.9], {"temperature": 1.0, "top_p": 1e-37}, {1}),
        ([0.0, 1.0, 0.5, 0.9], {"temperature": 1e-5}, {1}),
        ([-1e-3, -3.0, -2.0, -1e-3], {"temperature": 1.0, "top_k": 2}, {0, 3}),
    ],
)
@pytest.mark.parametrize("first_look", [1, 256])
def test_extreme_logits_give_an_allowed_token(logits, asked, allowed, first_look):
    uniform = tf.constant([0.0, 0.3, 0.6, 1 - 2.0**-24])
    options = validate_options(4, max_new_tokens=1, **asked)
    drawn = traced(4, first_look, 4)(tf.constant([logits] * 4), uniform, options)
    assert set(drawn.numpy()) == allowed


@pytest.mark.parametrize("asked", [{}, {"top_k": 2}, {"top_p": 0.9}])
@pytest.mark.parametrize("first_look", [1, 256])
def test_a_row_of_nan_gets_some_token_and_leaves_the_others_alone(asked, first_look):
    nan = float("nan")
    good = [[0.0, 1.0, 2.0, -1.0]]
    pick = traced(4, first_look, 4)
    uniform = tf.constant([0.7, 0.7, 0.7])
    options = validate_options(3, max_new_tokens=1, temperature=1, **asked)
    bad = pick(tf.constant([[nan] * 4, *good, [0.0, nan, 1.0, 2.0]]), uniform, options).numpy()
    fine = pick(tf.constant(good * 3), uniform, options).numpy()
    assert bad[1] == fine[1]
    assert set(bad) <= set(range(4))


@pytest.mark.parametrize(
    "asked",
    [
        {"temperature": 0.7},
        {"temperature": 1.3, "top_k": 4},
        {"temperature": 0.8, "top_p": 0.8},
        {"temperature": 1.5, "top_k": 7, "top_p": 0.9, "min_p": 0.1},
        {"temperature": 2.0, "min_p": 0.3},
    ],
)
@pytest.mark.parametrize("first_look", [1, 256])
def test_the_weight_of_what_was_drawn_from_gives_the_probability_of_the_draw(asked, first_look):
    count = 40
    logits = np.float32(np.random.default_rng(3).normal(size=9))
    options = validate_options(count, max_new_tokens=1, **asked)
    many = np.tile(logits, (count, 1))
    with mock.patch.multiple(sampling, _FIRST_LOOK=first_look, _BLOCK=4):
        token_ids, weight = pick_and_weigh(many, uniforms(tf.range(count), 1)[:, 0], options)
    got = log_probability(tf.constant(many), token_ids, weight, options)
    expected, _ = filtered(logits, **asked)
    np.testing.assert_allclose(got, np.log(expected[token_ids.numpy()]), atol=1e-5)


def test_what_is_taken_without_drawing_has_the_probability_of_its_logits_or_1():
    logits = tf.constant([[1.0, 2.0, 0.0]] * 2)
    options = validate_options(2, max_new_tokens=1, temperature=[0.0, 0.5], top_k=1)
    token_ids, weight = pick_and_weigh(logits, tf.zeros(2), options)
    got = log_probability(logits, token_ids, weight, options)
    np.testing.assert_allclose(got, [2 - np.log(np.exp([1, 2, 0]).sum()), 0], atol=1e-6)


def test_compiled_it_draws_the_same():
    count = 24
    asked = {"top_k": [0, 5, 300] * 8, "top_p": [1.0, 1.0, 0.9, 0.5] * 6}
    options = validate_options(count, max_new_tokens=1, temperature=1, seed=range(count), **asked)
    logits = tf.random.stateless_normal((count, 700), (1, 1))
    uniform = uniforms(options.seed, 1)[:, 0]
    compiled = tf.function(pick_tokens, jit_compile=True)(logits, uniform, options)
    np.testing.assert_array_equal(compiled, pick_tokens(logits, uniform, options))


def test_a_vocabulary_of_unknown_size_is_refused():
    @tf.function(input_signature=[tf.TensorSpec([None, None])])
    def pick(logits):
        return pick_tokens(logits, tf.zeros(2), validate_options(2, max_new_tokens=1))

    with pytest.raises(ValueError, match="known size"):
        pick.get_concrete_function()
