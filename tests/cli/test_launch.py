"""keras-lm launch: several processes, one cluster, one end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from keras_lm.cli import workers
from keras_lm.cli.main import main

SAY = """
import json, os, sys
config = json.loads(os.environ["TF_CONFIG"])
print("I am", config["task"]["index"], "of", len(config["cluster"]["worker"]))
print("in two lines", file=sys.stderr)
"""


def launch(*words, script, capfd):
    status = main(["launch", *words, "--", sys.executable, "-c", script])
    return status, capfd.readouterr()


def test_each_worker_knows_its_place_and_its_lines_have_its_number(capfd):
    status, said = launch("--workers", "2", script=SAY, capfd=capfd)
    assert status == 0
    assert sorted(said.out.splitlines()) == [
        "[0] I am 0 of 2", "[0] in two lines", "[1] I am 1 of 2", "[1] in two lines",
    ]  # fmt: skip


def test_when_one_dies_the_others_end_and_all_are_started_again(tmp_path, capfd):
    script = f"""
import json, os, signal, time
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
with open({str(tmp_path / "addresses")!r}, "a") as file:
    file.write(os.environ["TF_CONFIG"].split('"task"')[0] + "\\n")
attempt = len(open({str(tmp_path / "addresses")!r}).readlines())
if index == 0:
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
os.execvp("sleep", ["sleep", "60"])
"""
    start = time.monotonic()
    words = ("--workers", "2", "--max-restarts", "1", "--grace", "0.5")
    status, said = launch(*words, script=script, capfd=capfd)
    assert status == 128 + signal.SIGKILL
    assert time.monotonic() - start < 10
    assert said.err.count("worker 0 was ended by SIGKILL; the others end too") == 2
    assert said.err.count("worker 1 did not end within 0.5 s and is killed") == 2
    assert said.err.count("starting all workers again (1 of 1)") == 1
    addresses = (tmp_path / "addresses").read_text().splitlines()
    assert len(addresses) == 4
    assert len(set(addresses)) == 2  # each round has ports of its own


def test_sigterm_is_passed_on_and_nothing_is_restarted(tmp_path):
    script = f"""
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()
time.sleep(60)
"""
    command = [sys.executable, "-m", "keras_lm", "launch", "--workers", "2", "--max-restarts", "3"]
    process = subprocess.Popen(
        [*command, "--", sys.executable, "-c", script], stderr=subprocess.PIPE, text=True
    )
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "again" not in said
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends them")
def test_workers_end_with_a_launcher_that_is_killed(tmp_path):
    script = f"""
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path({str(tmp_path)!r}, "saved").touch()))
pathlib.Path({str(tmp_path)!r}, "ready").touch()
time.sleep(60)
"""
    command = [sys.executable, "-m", "keras_lm", "launch", "--workers", "1", "--"]
    process = subprocess.Popen([*command, sys.executable, "-c", script])
    for name in ("ready", "saved"):
        deadline = time.monotonic() + 30
        while not (tmp_path / name).exists():
            assert time.monotonic() < deadline, name
            time.sleep(0.05)
        process.kill()
        process.wait()


def test_ports_are_free_and_gpus_are_shared_out():
    made = workers.environments(2, {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "HOME": "/root"})
    assert [own["CUDA_VISIBLE_DEVICES"] for own in made] == ["0,1", "2,3"]
    clusters = [json.loads(own["TF_CONFIG"])["cluster"] for own in made]
    assert clusters[0] == clusters[1]
    assert len(set(clusters[0]["worker"])) == 2
    odd = workers.environments(2, {"CUDA_VISIBLE_DEVICES": "0,1,2"})
    assert odd[0]["CUDA_VISIBLE_DEVICES"] == "0,1,2"


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["--workers", "0", "--", "true"], "--workers must be at least 1"),
        (["--workers", "2"], "A command must follow"),
        (["--workers", "2", "--max-restarts", "-1", "--", "true"], "--max-restarts must be"),
        (["--workers", "1", "--", "no-such-command"], "no-such-command"),
    ],
)
def test_bad_input_is_said_in_one_line(words, rule, capsys):
    assert main(["launch", *words]) == 2
    assert rule in capsys.readouterr().err


def test_a_cluster_that_is_there_is_left_alone(monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}}')
    assert main(["launch", "--workers", "1", "--", "true"]) == 2
    assert "run the command itself" in capsys.readouterr().err
