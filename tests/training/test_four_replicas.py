"""Four replicas equal one device; in a process of its own, for devices are made at its start."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys; sys.path.insert(0, sys.argv[1])
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)
import test_four_replicas
test_four_replicas.compare()
"""


def compare():
    import numpy as np
    from test_distribution import assert_equal, assert_equal_weights, both_heads, train

    from keras_lm.training import LAMB, AdamW, strategy

    four = strategy()
    assert four.num_replicas_in_sync == 4
    heads = {"heads": ("masked_lm", "next_sentence"), "penalty": 0.1}
    parts = {"gradient_accumulation_steps": 2}
    for number, (optimizer, sizes, compiled) in enumerate(
        (
            (lambda: AdamW(0.01, global_clipnorm=0.1), (8, 8, 8), {}),
            (lambda: AdamW(0.01, clipnorm=0.1, use_ema=True), (16, 16), parts),
            (lambda: LAMB(0.01, clipvalue=0.01), (7, 8, 1), {}),
        )
    ):
        # As losses of steps and epochs; the last of the odd ones leaves three replicas nothing.
        options = {"sizes": sizes, "optimizer": optimizer, **heads}
        one = train(None, both_heads, **options)
        other = train(four, both_heads, compiled=compiled, **options)
        if number < 2:
            assert_equal(one, other)
        else:
            assert_equal_weights(one[0], other[0])
            np.testing.assert_allclose(other[2], one[2], atol=1e-6)
    print("equal")


@pytest.mark.slow
def test_four_replicas_equal_one_device():
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("equal\n")
