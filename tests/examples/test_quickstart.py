import pathlib
import re
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "quickstart.py"


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.slow
def test_an_empty_file_is_one_line(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    done = run(tmp_path / "empty.txt")
    assert done.returncode == 1
    assert "at least 100,000 characters" in done.stderr.splitlines()[-1]
    assert "Received: 0 in" in done.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def quickstart():
    """The script as a module."""
    import quickstart

    return quickstart


def test_a_missing_file_is_one_line_before_any_training(quickstart, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["quickstart.py", "missing.txt"])
    with pytest.raises(SystemExit) as ended:
        quickstart.main()
    # A text is what Python prints last, and the exit status is 1.
    assert ended.value.code == "quickstart: A text file must exist. Received: 'missing.txt'"
    assert capsys.readouterr() == ("", "")


def paragraphs(count):
    return [" ".join(f"{word}{i}" for word in "abcdefghijkl") for i in range(count)]


def test_a_repeated_text_is_no_more_text(quickstart, tmp_path):
    path = tmp_path / "repeats.txt"
    path.write_text("One and the same paragraph.\n\n" * 10_000)
    with pytest.raises(ValueError, match="Received: 27 in"):
        quickstart.read([str(path)])


def test_a_paragraph_is_one_line_without_rulers(quickstart, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("Title\n*****\n\nOne\n   two.\n\n" + "\n\n".join(paragraphs(3_000)))
    assert quickstart.read([str(path)])[:2] == ["Title", "One two."]


def test_lines_are_paragraphs_where_no_line_is_blank(quickstart, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(paragraphs(3_000)))
    assert quickstart.read([str(path)]) == paragraphs(3_000)


@pytest.fixture(scope="module")
def finished(quickstart, tmp_path_factory):
    """A short run on a part of the reference, into a directory where one version stands."""
    directory = tmp_path_factory.mktemp("quickstart")
    paragraphs = quickstart.read([])
    (directory / "text.txt").write_text("\n\n".join(paragraphs[: len(paragraphs) // 2]))
    (directory / "out" / "quickstart_gpt" / "1").mkdir(parents=True)
    steps = ("--bert-steps", 8, "--gpt-steps", 8)
    return run("text.txt", "--out", "out", *steps, cwd=directory), directory / "out"


@pytest.mark.slow
def test_a_run_exports_both_models_as_the_next_version(finished):
    done, out = finished
    assert done.returncode == 0, done.stderr
    assert (out / "quickstart_bert" / "1" / "saved_model.pb").exists()
    assert (out / "quickstart_gpt" / "2" / "saved_model.pb").exists()


@pytest.mark.slow
def test_a_run_asks_the_exports_without_keras_lm(finished):
    done, _ = finished
    assert "keras_lm was imported by this process: False" in done.stdout
    fill = re.search(r"\[MASK\].*\n((?: +\S+ 0\.\d{3}){5})", done.stdout)
    assert fill, done.stdout
    assert len(re.findall(r"^    greedy  \.\.\.", done.stdout, re.MULTILINE)) == 3
    assert len(re.findall(r"^    log-likelihood -\d", done.stdout, re.MULTILINE)) == 2


@pytest.mark.slow
def test_a_run_ends_with_each_figure_beside_its_baselines(finished):
    done, _ = finished
    table = done.stdout[done.stdout.index("that were held out:") :]
    rows = re.findall(r"^    (\S.*?) +(\d+\.\d+)$", table, re.MULTILINE)
    names = [name for name, _ in rows]
    assert names == [
        "BERT",
        "most frequent token",
        "most frequent behind its left neighbour",
        "GPT",
        "interpolated bigrams",
    ]
    accuracy = [float(figure) for _, figure in rows[:3]]
    assert 0 <= accuracy[0] < 1
    assert 0 < accuracy[1] < accuracy[2] < 1
    assert 10 < float(rows[4][1]) < 4_000
