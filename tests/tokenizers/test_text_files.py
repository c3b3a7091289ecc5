import gzip
import pathlib

import pytest

from keras_lm.tokenizers import read_lines, resolve


@pytest.fixture
def files(tmp_path):
    for name, text in {"b.txt": "three", "a.txt": "one\n\ntwo\r\n", "deep/c.txt": "four"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def test_a_line_ends_at_a_line_feed_and_nowhere_else(tmp_path):
    (tmp_path / "x.txt").write_bytes("\ufeffa\u2028b\x0cc\x85d\re\r\n\n\ufefff".encode())
    lines = list(read_lines(tmp_path / "x.txt"))
    assert lines == ["a\u2028b\x0cc\x85d\re", "", "\ufefff"]


def test_globs_are_sorted_and_lists_keep_their_order(files):
    assert [path.name for path in resolve(files / "*.txt")] == ["a.txt", "b.txt"]
    assert [path.name for path in resolve([files / "b.txt", str(files / "a.*")])] == [
        "b.txt",
        "a.txt",
    ]
    assert len(resolve(files / "**" / "*.txt")) == 3
    assert list(read_lines([files / "b.txt", files / "a.txt"])) == ["three", "one", "", "two"]


def test_a_name_with_brackets_that_exists_is_no_glob(tmp_path):
    (tmp_path / "a[1].txt").write_text("x")
    assert resolve(tmp_path / "a[1].txt") == [tmp_path / "a[1].txt"]


def test_compressed_files_are_read(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress("é\nb\n".encode()))
    assert list(read_lines(tmp_path / "x.gz")) == ["é", "b"]


# Named: in the bytes is the time, and every process that runs a part of the tests must call it the
# same.
@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"some text\n" * 99)[:-20]],
    ids=["no gzip", "cut short"],
)
def test_a_broken_compressed_file_is_named(tmp_path, content):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"whole and compressed.*x\.gz"):
        list(read_lines(tmp_path / "x.gz"))


def test_bytes_that_are_not_utf8_are_named_with_file_and_offset(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"good\nbad: \xff\n")
    with pytest.raises(ValueError, match=r"UTF-8.*x\.txt', where byte 10 is 0xff"):
        list(read_lines(tmp_path / "x.txt"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_told_as_such(tmp_path, encoding):
    (tmp_path / "x.txt").write_bytes("text\n".encode(encoding))
    with pytest.raises(ValueError, match=r"must be UTF-8.*x\.txt', which is UTF-16"):
        list(read_lines(tmp_path / "x.txt"))
    (tmp_path / "x.txt").write_bytes(b"a\0 NUL is a character\n")
    assert list(read_lines(tmp_path / "x.txt")) == ["a\0 NUL is a character"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing.txt", FileNotFoundError, r"must exist.*missing\.txt"),
        ("*.csv", FileNotFoundError, r"must match a file.*\*\.csv"),
        ("deep", ValueError, "must be a file.*deep"),
    ],
)
def test_a_source_without_files_is_refused_before_anything_is_read(files, name, error, message):
    with pytest.raises(error, match=message):
        read_lines([files / "a.txt", files / name])


def test_no_source_at_all_is_refused():
    with pytest.raises(ValueError, match=r"At least one.*Received: \[\]"):
        resolve([])


def test_paths_come_back_as_paths(files):
    assert all(isinstance(path, pathlib.Path) for path in resolve(str(files / "a.txt")))
