"""Two replicas on the two logical CPU devices of the test run."""

import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def replicas():
    """One strategy for the whole process: several would share, and break, collective groups."""
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
