import pytest

from keras_lm.training.csv_table import CsvTable


def write(path, *rows):
    table = CsvTable(path, "step")
    for row in rows:
        table.write(row)


def test_rows_from_the_resumed_step_on_are_cut(tmp_path):
    path = tmp_path / "runs" / "steps.csv"
    write(path, *({"step": n, "loss": n / 8} for n in range(1, 5)))
    write(path, {"step": 3, "loss": 9.0}, {"step": 4, "loss": 10.0})
    assert path.read_text() == "step,loss\n1,0.125\n2,0.25\n3,9\n4,10\n"
    assert [file.name for file in path.parent.iterdir()] == ["steps.csv"]


def test_a_line_that_was_not_finished_is_cut(tmp_path):
    path = tmp_path / "steps.csv"
    for broken in ("2,0.5,", "2,0.", "2"):
        path.write_text(f"step,loss,rate\n1,0.5,0.25\n{broken}")
        write(path, {"step": 2, "loss": 0.75, "rate": 0.5})
        assert path.read_text() == "step,loss,rate\n1,0.5,0.25\n2,0.75,0.5\n", broken


def test_new_columns_are_empty_in_old_rows(tmp_path):
    path = tmp_path / "steps.csv"
    write(path, {"step": 1, "loss": 0.5})
    write(path, {"step": 2, "norm": 2.0}, {"step": 3, "loss": 0.25, "rate": float("nan")})
    assert path.read_text() == "step,loss,norm,rate\n1,0.5,,\n2,,2,\n3,0.25,,\n"


def test_another_file_is_not_touched(tmp_path):
    path = tmp_path / "steps.csv"
    path.write_text("name,age\nAnn,3\n")
    with pytest.raises(ValueError, match=r'whose first column is "step".*name,age'):
        CsvTable(path, "step")
    assert path.read_text() == "name,age\nAnn,3\n"
