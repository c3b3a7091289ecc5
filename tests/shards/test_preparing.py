import dataclasses
import fcntl
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_lm.shards import index, workers
from keras_lm.shards.preparing import Part, prepare_parts

ROOT = Path(__file__).parents[2]
NUM_DOCUMENTS, SHARD_SIZE = 300, 200

# Documents come slowly, so that there is a middle of the run in which it can be killed.
RUN = """
import pathlib, pickle, sys, time
sys.path.insert(0, sys.argv[1])
import test_preparing as here
from keras_lm.shards.preparing import Part
def slow():
    for lines in here.documents():
        time.sleep(0.01)
        yield lines
encoding = pickle.loads(bytes.fromhex(sys.argv[3]))
here.run(pathlib.Path(sys.argv[2]), encoding, [Part("x", 9, slow())])
"""


def documents():
    return [[f"w{i}", f"w{i + 1} w{i + 2}"] for i in range(NUM_DOCUMENTS)]


def run(directory, encoding, parts=None, **arguments):
    values = {
        "settings": {"objective": "masked_lm", "vocab_size": 1000},
        "shard_size": SHARD_SIZE,
        "drop_duplicates": False,
        "num_processes": 1,
        "save_tokenizer": lambda path: path.mkdir(exist_ok=True),
        **arguments,
    }
    return prepare_parts(parts or [Part("x", 9, documents())], directory, encoding, **values)


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def whole(numbers, tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    run(directory, numbers)
    return directory


def test_the_index_says_what_the_shards_hold(whole):
    found = index.read_index(whole)
    assert found.statistics["documents"] == NUM_DOCUMENTS
    assert found.statistics["tokens"] == 3 * NUM_DOCUMENTS
    assert sum(shard.tokens for shard in found.shards) == 3 * NUM_DOCUMENTS
    assert {shard.blocks for shard in found.shards} == {1}
    assert len(found.shards) > 10
    index.check_sums(whole, found.shards)
    assert {path.name for path in whole.iterdir()} == {
        "index.json",
        "token_counts.npy",
        "tokenizer",
        *(shard.file for shard in found.shards),
    }


def test_several_processes_write_the_same_bytes_as_one(whole, numbers, tmp_path):
    seen = []
    run(tmp_path, numbers, num_processes=2, report=lambda p: seen.append((p.shards, p.kept)))
    assert contents(tmp_path) == contents(whole)
    assert seen == [(i + 1, 0) for i in range(len(index.read_index(whole).shards))]


def test_a_run_that_was_killed_goes_on_where_it_stopped(whole, numbers, tmp_path):
    encoding = pickle.dumps(numbers).hex()
    killed = subprocess.Popen(
        [sys.executable, "-c", RUN, str(Path(__file__).parent), str(tmp_path), encoding],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    third = tmp_path / "unfinished" / "00002.npz"
    deadline = time.monotonic() + 60
    while not third.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "index.json").exists()
    with pytest.raises(FileNotFoundError, match="has not finished: run it again"):
        index.read_index(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.gz")}
    (tmp_path / ".00009.tfrecord.gz.x").write_bytes(b"half of a sh")

    seen = []
    run(tmp_path, numbers, report=lambda progress: seen.append(progress.kept))
    assert contents(tmp_path) == contents(whole)
    assert 3 <= seen[-1] < len(seen)
    kept = [name for name, t in before.items() if (tmp_path / name).stat().st_mtime_ns == t]
    assert len(kept) == seen[-1]


def test_what_was_damaged_while_nobody_wrote_is_made_again(whole, numbers, tmp_path):
    def stop(progress):
        if progress.shards == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, numbers, report=stop)
    (tmp_path / "00001.tfrecord.gz").write_bytes(b"other")
    (tmp_path / "00002.tfrecord.gz").unlink()
    seen = []
    run(tmp_path, numbers, report=lambda progress: seen.append(progress.kept))
    assert seen[3] == 2
    assert contents(tmp_path) == contents(whole)


def test_a_corpus_that_was_changed_meanwhile_gives_what_it_holds_now(whole, numbers, tmp_path):
    def stop(progress):
        if progress.shards == 20:
            raise KeyboardInterrupt

    longer = [["w1"], *documents(), *documents()]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, numbers, [Part("x", 9, longer)], report=stop)
    run(tmp_path, numbers)
    assert contents(tmp_path) == contents(whole)


@pytest.mark.parametrize("drop", [False, True])
def test_duplicates_are_counted_and_left_out_if_asked(numbers, tmp_path, drop):
    parts = [
        Part("x", 1, [["w1", "w2"], ["w3"], ["w1", "w2"]]),
        Part("y", 1, [["w3"], ["w1 w2"], ["w3"]]),
    ]
    statistics = run(tmp_path, numbers, parts, drop_duplicates=drop).statistics
    assert statistics["duplicate_documents"] == 3
    assert statistics["documents"] == (3 if drop else 6)


def test_a_directory_that_is_whole_is_checked_and_left_alone(whole, numbers):
    before = contents(whole)
    assert run(whole, numbers, num_processes=2) == index.read_index(whole)
    assert contents(whole) == before


def test_a_damaged_shard_is_named(whole, numbers, tmp_path):
    run(tmp_path, numbers)
    path = tmp_path / "00003.tfrecord.gz"
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"as it was written, SHA-256 .*00003\.tfrecord\.gz"):
        run(tmp_path, numbers)
    path.write_bytes(data[:-1])
    shards = index.read_index(tmp_path).shards
    with pytest.raises(ValueError, match=rf"written, {len(data)} bytes\. .*00003\.tfrecord\.gz"):
        index.check_sizes(tmp_path, shards)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"all its shards\. .*00003\.tfrecord\.gz"):
        index.check_sizes(tmp_path, shards)


def test_other_settings_or_another_corpus_are_refused(whole, numbers, tmp_path):
    other = {"settings": {"objective": "causal_lm", "vocab_size": 1000}}
    with pytest.raises(ValueError, match=r"same objective .*'masked_lm', and now .*'causal_lm'"):
        run(whole, numbers, **other)
    with pytest.raises(ValueError, match=r"same corpus as what it holds"):
        run(whole, numbers, [Part("y", 9, documents())])

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, numbers, report=stop)
    with pytest.raises(ValueError, match=r"same objective"):
        run(tmp_path, numbers, **other)


def test_outputs_that_cannot_be_written_are_refused(numbers, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"new directory, an empty one.*holds 'file'"):
        run(tmp_path, numbers)
    with pytest.raises(OSError, match=r"output must be a directory that can be written"):
        run(tmp_path / "file", numbers)
    (tmp_path / "new" / "unfinished").mkdir(parents=True)
    with open(tmp_path / "new" / "unfinished" / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match=r"one process at a time.*which another one"):
            run(tmp_path / "new", numbers)


def test_a_corpus_without_a_token_is_refused(numbers, tmp_path):
    with pytest.raises(ValueError, match=r"at least one token\. Received: an empty corpus"):
        run(tmp_path / "new", numbers, [Part("x", 1, [["  "]])])
    assert not list((tmp_path / "new").iterdir())


def test_an_error_in_a_worker_and_its_death_reach_the_caller(numbers, tmp_path):
    (tmp_path / "unfinished").mkdir()
    with workers.Workers(1, tmp_path, dataclasses.replace(numbers, tokenizer="no JSON")) as pool:
        with pytest.raises(Exception, match="expected"):
            pool.write("00000", [["w1"]])
        pool._processes[0].kill()
        with pytest.raises(
            OSError, match=r"must live until .* ended with status -9 at shard 00001"
        ):
            pool.write("00001", [["w1"]])


def test_an_index_of_something_else_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"with an index\.json\. .*which has none"):
        index.read_index(tmp_path)
    for content in ("[", "[]", "{}", '{"version": 1}'):
        (tmp_path / "index.json").write_text(content)
        with pytest.raises(ValueError, match="what keras-lm prepare wrote"):
            index.read_index(tmp_path)
    (tmp_path / "index.json").write_text('{"version": 2}')
    with pytest.raises(ValueError, match=r"of version 1\. .*of version 2"):
        index.read_index(tmp_path)
