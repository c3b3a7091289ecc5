import gzip

import pytest
import tensorflow as tf

from keras_lm.data.documents import read_documents

TEXT = "one\ntwo\n\n \n\nthree\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, [["one", "two"], ["three"]]),
        ("blank_line", [["one", "two"], ["three"]]),
        ("line", [["one"], ["two"], ["three"]]),
        ("file", [["one", "two", "three"]]),
    ],
)
def test_a_file_is_divided_as_asked(document, expected, path):
    assert list(read_documents(path, None, document)) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, [["one", "two"], ["three"], ["four"]]),
        ("line", [["one", "two"], ["three"], ["four"]]),
        ("blank_line", [["one", "two"], ["three", "four"]]),
        ("file", [["one", "two", "three", "four"]]),
    ],
)
def test_strings_are_divided_as_asked(document, expected):
    texts = ["one\ntwo\n", "", "three", "four"]
    if document == "blank_line":
        texts[0] = "one\ntwo"
    assert list(read_documents(None, texts, document)) == expected


def test_blank_lines_inside_of_a_document_can_stay(path):
    documents = read_documents(path, None, "file", keep_blank_lines=True)
    assert list(documents) == [["one", "two", "", " ", "", "three"]]


def test_the_end_of_a_file_ends_a_document(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name, encoding="utf-8")
    assert list(read_documents(str(tmp_path / "*.txt"), None)) == [["a"], ["b"]]


def test_compressed_files_are_read(tmp_path):
    path = tmp_path / "a.txt.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(TEXT)
    assert list(read_documents([path], None)) == [["one", "two"], ["three"]]


@pytest.mark.parametrize("batched", [False, True])
def test_a_dataset_of_strings_is_read(batched):
    dataset = tf.data.Dataset.from_tensor_slices(["one", "two\nthree", "vier ä"])
    if batched:
        dataset = dataset.batch(2)
    assert list(read_documents(dataset, None)) == [["one"], ["two", "three"], ["vier ä"]]


@pytest.mark.parametrize(
    ("source", "texts", "error", "message"),
    [
        (None, None, TypeError, "source .files. or texts .strings.. Received: neither"),
        ("a.txt", ["text"], TypeError, "Received: both"),
        ((line for line in "ab"), None, TypeError, "iterator.*Received: generator"),
        (None, (line for line in "ab"), TypeError, "iterator.*Received: generator"),
        (None, "one text", TypeError, "list of strings.*Received: str"),
        (None, ["text", 3], TypeError, "Received: int at 1"),
        (7, None, TypeError, "source must be a path.*Received: int"),
        (tf.data.Dataset.range(3), None, TypeError, "must hold strings.*int64"),
        (tf.data.Dataset.from_tensors("a").repeat(), None, ValueError, "infinite"),
        ("no/such/file.txt", None, FileNotFoundError, "no/such/file.txt"),
        ("no/such/*.txt", None, FileNotFoundError, r"no/such/\*.txt"),
    ],
)
def test_a_source_that_cannot_be_read_raises_before_it_is_read(source, texts, error, message):
    with pytest.raises(error, match=message):
        read_documents(source, texts)


def test_text_given_as_a_source_raises_with_the_way_out():
    with pytest.raises(FileNotFoundError) as caught:
        read_documents(["It was a dark and stormy night."], None)
    assert "texts=" in caught.value.__notes__[0]


def test_an_unknown_kind_of_document_raises(path):
    with pytest.raises(ValueError, match=r'"line" or "file"\..*paragraph'):
        read_documents(path, None, "paragraph")


def test_a_file_that_is_not_utf_8_raises_with_its_name_and_the_offset(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"good\nna\xefve\n")
    with pytest.raises(ValueError, match=r"latin\.txt.*\b7\b"):
        list(read_documents(path, None))


def test_a_string_of_a_dataset_that_is_not_utf_8_raises_with_its_place():
    dataset = tf.data.Dataset.from_tensor_slices([b"good", b"na\xefve"])
    with pytest.raises(ValueError, match="string 1 of the Dataset, byte 2"):
        list(read_documents(dataset, None))
