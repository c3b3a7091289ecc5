import pytest

from keras_lm.training import progress_line
from keras_lm.training.progress_line import ProgressLine


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = [100.0]
    monkeypatch.setattr(progress_line.time, "monotonic", lambda: now[0])
    return now


def run(line, clock):
    for batch in range(1, 5):
        clock[0] += 10
        line.update(1, batch, {"loss": 2.0, "pace": "12 tokens/s"})


def test_a_log_gets_a_line_every_so_often(clock, capsys):
    run(ProgressLine(epochs=3, steps=8, every=15), clock)
    # The first step counts for nothing: it is traced. 20 s for 2 steps, 12 - 3 + 8 steps left.
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 2/3  25%|█████               | 2/8, loss 2.0000, 12 tokens/s, 02:20 left",
        "Epoch 2/3  50%|██████████          | 4/8, loss 2.0000, 12 tokens/s, 02:00 left",
    ]


def test_a_terminal_gets_one_line_that_is_redrawn(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress_line.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    line = ProgressLine(epochs=3, steps=8, every=15)
    run(line, clock)
    line.end_epoch(1, {"loss": 1.5})
    drawn = capsys.readouterr().out
    assert drawn.count("\n") == 1
    assert drawn.count("\r") == 5
    assert max(map(len, drawn.rstrip("\n").split("\r"))) == 59
    assert drawn.split("\r")[-1].rstrip() == "Epoch 2/3: loss 1.5000"


def test_an_epoch_of_unknown_length_shows_what_is_done(clock, capsys):
    run(ProgressLine(epochs=1, steps=None, every=5), clock)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Epoch 2/1: 4 steps, loss 2.0000, 12 tokens/s"
    )
