import gzip
import json

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data import read_rows
from keras_lm.data.table_rows import open_rows

ROWS = [
    {"text": 'He said "no", then left.', "label": "bad"},
    {"text": "two\nlines", "label": "good"},
    {"text": "Füße 漢字 🎉", "label": "good"},
]
CSV = 'text,label\n"He said ""no"", then left.",bad\r\n"two\nlines",good\n\nFüße 漢字 🎉,good\n'
TSV = 'text\tlabel\n"a quote\tbad\nFüße\t\n'


def write(path, content):
    path.write_bytes(content.encode())
    return path


def test_csv_is_read_with_its_quotes_and_line_ends(tmp_path):
    assert read_rows(write(tmp_path / "a.csv", "\ufeff" + CSV)) == ROWS
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    assert read_rows([tmp_path / "a.csv.gz"]) == ROWS


def test_tsv_has_no_quotes(tmp_path):
    rows = [{"text": '"a quote', "label": "bad"}, {"text": "Füße", "label": ""}]
    assert read_rows(write(tmp_path / "a.tsv", TSV)) == rows


def test_jsonl_keeps_numbers_and_lists(tmp_path):
    rows = [{"text": "x\u2028y", "label": 1}, {"text": "y", "label": ["a", "b"]}]
    lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert read_rows(write(tmp_path / "a.jsonl", lines)) == rows


def test_a_cell_may_be_long(tmp_path):
    text = "x" * 300_000
    assert read_rows(write(tmp_path / "a.csv", f"text\n{text}\n")) == [{"text": text}]


def test_the_files_of_a_glob_are_read_in_order(tmp_path):
    for name in "ba":
        write(tmp_path / f"{name}.csv", f"text\n{name}\n")
    assert [row["text"] for row in read_rows(str(tmp_path / "*.csv"))] == ["a", "b"]


def test_a_place_is_the_line_where_a_row_begins(tmp_path):
    path = write(tmp_path / "a.csv", CSV)
    lines = [row.place.split()[1] for row in open_rows(path, None)]
    assert lines == ["2", "3", "6"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\na,b\n", r"'label2' missing in .*a\.csv, whose columns are \['text'"),
        ("a.csv", "text,label2,label2\na,b,c\n", r"'label2' twice in .*a\.csv"),
        ("a.csv", "", "'label2' missing"),
        ("a.csv", "label2,b\n1,2\n1,2,3\n", r"3 cells for 2 columns in line 3 of .*a\.csv"),
        ("a.csv", 'label2,b\n1,"2\n', r"unexpected end of data in line 2 of .*a\.csv"),
        ("a.csv", 'label2,b\n1,"2"3\n', r"in line 2 of .*a\.csv"),
        ("a.csv", "label2,b\r1,2\r", r"a carriage return alone in line 1 of .*a\.csv"),
        ("a.tsv", "label2\tb\n1\n", r"1 cells for 2 columns in line 2 of .*a\.tsv"),
        ("a.jsonl", '{"label2": 1}\n{"label2": 1', r"in line 2 of .*a\.jsonl"),
        ("a.jsonl", '{"label2": 1, "label2": 2}', r"'label2' twice in line 1 of .*a\.jsonl"),
        ("a.jsonl", "[1]", r"'\[1\]' in line 1 of .*a\.jsonl"),
        ("a.txt", "text", r"one of \.csv, \.tsv, \.jsonl\. Received: .*a\.txt"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(name, content, message, tmp_path):
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message):
        list(open_rows(path, None, ("label2",)))


def test_rows_are_dicts_of_a_list_or_a_dataset():
    rows = [{"text": b"F\xc3\xbc\xc3\x9fe", "label": np.int64(3), "x": np.array([1, 2])}]
    (row,) = open_rows(None, rows)
    assert (row.values["text"], row.values["label"], row.place) == ("Füße", 3, "rows[0]")
    assert type(row.values["label"]) is int
    dataset = tf.data.Dataset.from_tensor_slices({"text": ["a", "b"], "label": [1, 0]})
    found = [row.values for row in open_rows(None, dataset)]
    assert found == [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    # As tfds has questions.
    answers = {"text": [["ä", "b"]], "answer_start": [[0, 3]]}
    dataset = tf.data.Dataset.from_tensor_slices({"question": ["q"], "answers": answers})
    (row,) = open_rows(None, dataset)
    assert row.values == {
        "question": "q",
        "answers": {"text": ["ä", "b"], "answer_start": [0, 3]},
    }
    with pytest.raises(ValueError, match="no batches"):
        open_rows(None, dataset.batch(1).batch(1))


@pytest.mark.parametrize(
    ("files", "rows", "error", "message"),
    [
        (None, None, TypeError, "Received: neither"),
        ("a.csv", [], TypeError, "Received: both"),
        (3, None, TypeError, "Received: int"),
        (None, iter([]), TypeError, "can be read again"),
        (None, {"text": "a"}, TypeError, "Received: dict"),
        (None, ["a"], TypeError, "Received: 'a' at 0"),
        (None, tf.data.Dataset.range(3), ValueError, "dicts of single values"),
        (None, tf.data.Dataset.from_tensors({"a": 1}).repeat(), ValueError, "have an end"),
    ],
)
def test_other_sources_are_refused(files, rows, error, message):
    with pytest.raises(error, match=message):
        list(open_rows(files, rows))
