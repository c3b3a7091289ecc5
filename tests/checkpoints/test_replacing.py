import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from keras_lm.checkpoints import replacing
from keras_lm.checkpoints.replacing import JOURNAL, finish_interrupted, replace_files

OLD = {"config.json": "old", "a.weights": "old a", "b.weights": "old b"}
NEW = {"config.json": "new", "a.weights": "new a", "c.weights": "new c"}


def files_of(contents):
    return [
        (name, lambda path, text=text: path.write_text(text)) for name, text in contents.items()
    ]


def save(directory, contents):
    replace_files(directory, files_of(contents), stale=lambda name: name.endswith(".weights"))


def held(directory):
    finish_interrupted(directory)
    return {path.name: path.read_text() for path in directory.iterdir() if path.is_file()}


def test_new_files_come_and_stale_ones_go(tmp_path):
    save(tmp_path / "model", OLD)
    (tmp_path / "model" / "README.md").write_text("mine")
    (tmp_path / "model" / "runs").mkdir()
    save(tmp_path / "model", NEW)
    assert held(tmp_path / "model") == {**NEW, "README.md": "mine"}
    assert sorted(os.listdir(tmp_path / "model")) == sorted([*NEW, "README.md", "runs"])


def test_a_writer_that_fails_leaves_the_old_files(tmp_path):
    save(tmp_path, OLD)

    def fail(path):
        path.write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_files(tmp_path, [*files_of(NEW), ("last", fail)])
    assert held(tmp_path) == OLD
    assert sorted(os.listdir(tmp_path)) == sorted(OLD)


def test_at_every_step_a_reader_finds_the_old_files_or_the_new_ones(tmp_path, monkeypatch):
    directory, moments = tmp_path / "model", []
    save(directory, OLD)
    (directory / "README.md").write_text("mine")

    def watch(module, name):
        real = getattr(module, name)

        def step(*args, **kwargs):
            moments.append(tmp_path / f"moment_{len(moments)}")
            shutil_copytree(directory, moments[-1])
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, step)

    shutil_copytree = shutil.copytree
    for module, name in [
        (os, "replace"),
        (os, "fsync"),
        (pathlib.Path, "unlink"),
        (shutil, "rmtree"),
    ]:
        watch(module, name)
    save(directory, NEW)
    monkeypatch.undo()
    found = []
    for moment in moments:
        kept = held(moment)
        assert kept.pop("README.md") == "mine"
        found.append("old" if kept == OLD else "new" if kept == NEW else kept)
    turn = found.index("new")
    assert found == ["old"] * turn + ["new"] * (len(found) - turn)
    assert 4 < turn < len(found) - 4


def test_what_a_dead_process_left_is_cleared_away_by_the_next(tmp_path):
    save(tmp_path, OLD)
    (tmp_path / ".keras_lm-save-dead").mkdir()
    (tmp_path / ".keras_lm-save-dead" / "half").write_text("...")
    assert held(tmp_path) == OLD
    save(tmp_path, NEW)
    assert sorted(os.listdir(tmp_path)) == sorted(NEW)


@pytest.mark.parametrize(
    "journal",
    [
        {"folder": ".keras_lm-save-x", "files": ["../a"], "removed": []},
        {"folder": ".keras_lm-save-x", "files": [], "removed": ["/etc/hosts"]},
        {"folder": ".", "files": ["a"], "removed": []},
        {"folder": ".keras_lm-save-x", "files": [1], "removed": []},
        {"folder": ".keras_lm-save-x"},
        [],
    ],
)
def test_a_journal_reaches_nothing_outside_its_directory(tmp_path, journal):
    (tmp_path / JOURNAL).write_text(json.dumps(journal))
    with pytest.raises(ValueError, match="names files beside it"):
        finish_interrupted(tmp_path)


# The module alone: without TensorFlow a process begins to save after some milliseconds.
SCRIPT = """
import importlib.util, itertools, pathlib
spec = importlib.util.spec_from_file_location("replacing", {module!r})
replacing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(replacing)
def writer(text):
    return lambda path: path.write_text(text)
for i in itertools.count():
    files = [(name, writer(text)) for name, text in {both!r}[i % 2].items()]
    replacing.replace_files(
        pathlib.Path({directory!r}), files, stale=lambda name: name.endswith(".weights")
    )
    print(i, flush=True)
"""


def test_a_process_killed_at_random_moments_leaves_one_of_the_two(tmp_path):
    seen = set()
    save(tmp_path, OLD)
    for i in range(25):
        script = SCRIPT.format(
            module=replacing.__file__,
            both=(OLD, NEW) if i % 2 else (NEW, OLD),
            directory=str(tmp_path),
        )
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.0007 * i)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept = held(tmp_path)
        assert kept in (OLD, NEW)
        seen.add(kept["config.json"])
    assert seen == {"old", "new"}
