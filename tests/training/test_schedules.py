import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.training import AdamW, Constant, Cosine, InverseSquareRoot, Linear
from keras_lm.training.schedules import WARMUP_OF_UNKNOWN_LENGTH

PEAK, W, TOTAL = 0.5, 4, 20


def formula(after):
    return [PEAK * ((s + 1) / W if s < W else after(s)) for s in range(TOTAL + 3)]


COURSES = {
    "linear": (
        Linear(PEAK, W, total_steps=TOTAL),
        lambda s: max(0.0, (TOTAL - s) / (TOTAL - W)),
    ),
    "linear to a tenth": (
        Linear(PEAK, W, total_steps=TOTAL, end_share=0.1),
        lambda s: 0.1 + 0.9 * max(0.0, (TOTAL - s) / (TOTAL - W)),
    ),
    "cosine": (
        Cosine(PEAK, W, total_steps=TOTAL),
        lambda s: (1 + math.cos(math.pi * min(1.0, (s - W) / (TOTAL - W)))) / 2,
    ),
    "warm-up as a share": (
        Linear(PEAK, W / TOTAL, total_steps=TOTAL),
        lambda s: max(0.0, (TOTAL - s) / (TOTAL - W)),
    ),
    "inverse square root": (InverseSquareRoot(PEAK, W), lambda s: math.sqrt(W / (s + 1))),
    "linear of unknown length": (Linear(PEAK, W), lambda s: math.sqrt(W / (s + 1))),
    "cosine of unknown length": (Cosine(PEAK, W), lambda s: math.sqrt(W / (s + 1))),
    "constant": (Constant(PEAK, W), lambda s: 1.0),
}


@pytest.mark.parametrize(("schedule", "after"), COURSES.values(), ids=COURSES)
def test_the_course_is_the_formula(schedule, after):
    rates = [schedule(tf.constant(s)).numpy() for s in range(TOTAL + 3)]
    np.testing.assert_allclose(rates, formula(after), rtol=1e-6, atol=1e-8)


def test_the_transformers_own_schedule_is_the_papers():
    d, w = 512, 4000
    schedule = InverseSquareRoot.of_paper(d)
    for step in (1, 100, 4000, 4001, 100_000):
        paper = d**-0.5 * min(step**-0.5, step * w**-1.5)
        assert schedule(step - 1).numpy() == pytest.approx(paper, rel=1e-5)


def test_a_share_of_an_unknown_length_has_a_warm_up_of_its_own():
    schedule = Linear(PEAK, 0.1)
    assert schedule(0).numpy() == pytest.approx(PEAK / WARMUP_OF_UNKNOWN_LENGTH)
    assert schedule(WARMUP_OF_UNKNOWN_LENGTH - 1).numpy() == pytest.approx(PEAK)


def test_no_warm_up_starts_at_the_peak():
    for warmup in (0, 0.0):
        assert Linear(PEAK, warmup, total_steps=TOTAL)(0).numpy() == pytest.approx(PEAK)
        assert Linear(PEAK, warmup)(0).numpy() == pytest.approx(PEAK)


def test_a_plan_reaches_a_function_that_was_traced_before_it():
    schedule = Linear(PEAK, W)
    schedule.prepare()
    rate = tf.function(schedule)
    step = tf.constant(10)
    assert rate(step).numpy() == pytest.approx(PEAK * math.sqrt(W / 11))
    schedule.plan(TOTAL)
    assert rate(step).numpy() == pytest.approx(PEAK * 10 / 16)
    schedule.plan(None)
    assert rate(step).numpy() == pytest.approx(PEAK * math.sqrt(W / 11))


def test_a_plan_does_not_change_a_length_that_was_given():
    schedule = Linear(PEAK, W, total_steps=TOTAL)
    schedule.prepare()
    schedule.plan(1000)
    assert schedule(10).numpy() == pytest.approx(PEAK * 10 / 16)


def test_an_optimizers_config_carries_the_plan():
    optimizer = AdamW(Cosine(PEAK, W, end_share=0.1))
    optimizer.learning_rate  # noqa: B018  a schedule is called, not kept
    config = optimizer.get_config()
    config["learning_rate"]["config"]["planned_steps"] = TOTAL
    restored = AdamW.from_config(config).get_config()["learning_rate"]
    schedule = keras.saving.deserialize_keras_object(restored)
    assert schedule.get_config() == {
        "peak_learning_rate": PEAK,
        "warmup": W,
        "total_steps": None,
        "planned_steps": TOTAL,
        "end_share": 0.1,
    }
    assert schedule(TOTAL).numpy() == pytest.approx(0.1 * PEAK)


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Linear(0.0), "peak_learning_rate must be positive"),
        (lambda: Linear(1.0, 1.0), "warmup must be"),
        (lambda: Linear(1.0, -1), "warmup must be"),
        (lambda: Linear(1.0, total_steps=0), "total_steps must be positive"),
        (lambda: Cosine(1.0, end_share=1.5), "end_share must be"),
        (lambda: InverseSquareRoot.of_paper(512, 0.1), "warmup a number of steps"),
        (lambda: InverseSquareRoot.of_paper(0), "d_model and warmup must be positive"),
    ],
)
def test_a_number_out_of_range_raises(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()
