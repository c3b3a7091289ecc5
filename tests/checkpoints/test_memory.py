"""Anonymous memory of loading and saving BERT-base, in fresh processes."""

import subprocess
import sys

import pytest

# Keeps the highest RssAnon that a thread sees; mapped files are not in it.
WATCH = """
import threading, time
import keras_lm, keras, tensorflow
from keras_lm.checkpoints import load, save
from keras_lm.models import BERT

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))

before, peak, done = anonymous(), [0], []

def watch():
    while not done:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.002)

threading.Thread(target=watch, daemon=True).start()
"""
MAKE = "model = BERT(heads=()); save(model, {directory!r})"
LOAD = "model = load({directory!r})"
HALVE = "model = load({directory!r}); save(model, {directory!r} + '_half', dtype='float16')"
LOAD_HALF = "model = load({directory!r} + '_half')"
LOAD_AND_SAVE = "model = load({directory!r}); save(model, {directory!r} + '_again')"
REPORT = """
done.append(True)
print((peak[0] - before) / (4 * model.count_params()))
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("models") / "bert")
    run(MAKE.format(directory=directory))
    run(HALVE.format(directory=directory))
    return directory


def run(deed):
    script = WATCH + deed + REPORT
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("deed", [LOAD, LOAD_HALF, LOAD_AND_SAVE])
def test_loading_and_saving_take_less_than_a_third_more_than_the_model(directory, deed, capsys):
    times = run(deed.format(directory=directory))
    with capsys.disabled():
        print(f"\n{deed}: {times:.3f} times the model's size")
    assert 1 <= times < 1.3
