"""One import of TensorFlow for the whole run, two logical CPU devices, seeded."""

import contextlib
import gc
import os
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import pytest
import tensorflow as tf

# What is imported stays: to look through it for cycles again and again took a tenth of the run.
gc.disable()

# Two replicas on a machine without accelerators. It must precede the first operation.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def pytest_collection_finish():
    """Leaves what is imported by now out of all later collections, and collects less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keeps a file's tests in one process, and all of serving, whose exports take a minute."""
    from xdist.scheduler import LoadFileScheduling

    class BySharedFixtures(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "tests/serving" if file.startswith("tests/serving/") else file

    return BySharedFixtures(config, log)


_FOLDER = pytest.StashKey()


@pytest.fixture(autouse=True)
def seeded(request):
    """Every test draws the same random numbers, whatever ran before it.

    But not those of TensorFlow's own state, which nothing here draws. `tf.random.set_seed` throws
    away all kernels and graphs that have run, and the first run of a graph is the one that costs.
    It is done where another folder begins, so that they do not fill the memory.
    """
    stash, folder = request.config.stash, request.path.parent
    begins = stash.get(_FOLDER, None) != folder
    stash[_FOLDER] = folder
    with contextlib.nullcontext() if begins else mock.patch.object(tf.random, "set_seed"):
        keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def topics(tmp_path_factory):
    """A file of real English that every CPython carries (PSF licence), a paragraph a line."""
    from pydoc_data.topics import topics

    path = tmp_path_factory.mktemp("text") / "topics.txt"
    path.write_text("\n".join(topics[key] for key in sorted(topics)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def replicas():
    """Two replicas on the two logical CPU devices."""
    from keras_lm.training import strategy

    return strategy("mirrored")
