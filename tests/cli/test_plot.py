"""`keras-lm plot`, and what it draws."""

import numpy as np
import pytest

from keras_lm.cli import curves
from keras_lm.cli.main import main

pytest.importorskip("matplotlib")


def a_run(directory, steps=100, epochs=2):
    directory.mkdir(parents=True)
    rows = ["step,epoch,loss,accuracy,learning_rate,tokens"]
    for i in range(1, steps + 1):
        epoch = 1 + (i - 1) * epochs // steps
        rows.append(f"{i},{epoch},{10 / i},{i / steps},{1e-3 * i / steps},64")
    (directory / "steps.csv").write_text("\n".join(rows) + "\n")
    rows = ["epoch,step,loss,accuracy,val_loss,val_accuracy"]
    rows += [f"{e},{steps * e // epochs},3,0.{e},2,0.{e}5" for e in range(1, epochs + 1)]
    (directory / "epochs.csv").write_text("\n".join(rows) + "\n")
    return directory


@pytest.fixture
def drawn(monkeypatch):
    """Panels of the figure that was drawn last: lines by label."""
    from matplotlib.figure import Figure

    found = []
    add = Figure.add_subplot

    def keep(self, *arguments):
        found.append(add(self, *arguments))
        return found[-1]

    monkeypatch.setattr(Figure, "add_subplot", keep)
    return found


def lines(axes):
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_runs_are_drawn_together_with_title_axes_and_legend(tmp_path, capsys, drawn):
    one, two = a_run(tmp_path / "a" / "one"), a_run(tmp_path / "b" / "two", steps=50)
    out = tmp_path / "curves.png"
    assert main(["plot", str(one), str(two), "--out", str(out), "--smooth", "1"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "curves.png"]
    titles = [(panel.get_title(), panel.get_xlabel(), panel.get_ylabel()) for panel in drawn]
    assert titles == [
        ("Loss", "step", "loss"),
        ("Accuracy", "step", "accuracy"),
        ("Learning rate", "step", "learning rate"),
    ]
    legend = [text.get_text() for text in drawn[0].get_legend().get_texts()]
    assert legend == ["a/one", "a/one, validation", "b/two", "b/two, validation"]
    loss = lines(drawn[0])
    np.testing.assert_allclose(loss["a/one"][:, 1], 10 / np.arange(1, 101))
    np.testing.assert_array_equal(loss["b/two, validation"], [[25, 2], [50, 2]])
    accuracy = lines(drawn[1])
    np.testing.assert_allclose(accuracy["a/one"], [[50, 0.1], [100, 0.2]])


def test_tokens_are_added_up_and_curves_are_smoothed(tmp_path, drawn):
    run = curves.read_run(a_run(tmp_path / "run", steps=4))
    curves.draw([run], tmp_path / "out.png", columns=["loss"], x="tokens", smooth=2)
    found = lines(drawn[0])
    np.testing.assert_allclose(found["training"], [[128, 7.5], [192, 25 / 6], [256, 35 / 12]])
    np.testing.assert_array_equal(found["validation"], [[128, 2], [256, 2]])


def test_the_log_of_keras_is_drawn_too(tmp_path, drawn):
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss,val_loss\n0,3.0,2.5\n1,2.0,2.25\n2,1.0")  # still being written
    assert main(["plot", str(log), "--out", str(tmp_path / "out.png"), "--x", "epoch"]) == 0
    np.testing.assert_array_equal(lines(drawn[0])["training"], [[0, 3], [1, 2]])
    np.testing.assert_array_equal(lines(drawn[0])["validation"], [[0, 2.5], [1, 2.25]])


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["missing"], "A run is a directory with steps.csv, or a CSV file. Received: 'missing'"),
        (["."], "A run is a directory with steps.csv, or a CSV file. Received: '.'"),
        (["notes.txt"], "a CSV file with rows and a column step or epoch. Received: notes.txt"),
        (["run", "--columns", "los"], "columns must be out of step, epoch, loss, accuracy"),
        (["run", "--smooth", "0"], "smooth must be a positive number of rows. Received: smooth=0"),
        (["run", "--x", "seconds"], "drawn over seconds has a column seconds. Received: run"),
        (["run", "--out", "no/where.png"], "No such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, words, rule):
    monkeypatch.chdir(tmp_path)
    a_run(tmp_path / "run")
    (tmp_path / "notes.txt").write_text("Dear diary\n")
    assert main(["plot", *words]) == 2
    error = capsys.readouterr().err
    assert rule in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "run"]
