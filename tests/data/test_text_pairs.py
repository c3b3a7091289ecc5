"""Named columns and parallel files to the pairs of a translator or a summarizer."""

import json

import numpy as np
import pytest

from keras_lm import data
from keras_lm.data.text_pairs import read_pairs
from keras_lm.tokenizers import WordPiece

PAIRS = [("a b", "b a"), ("c", "c c"), ("a c b", "b c a"), ("b b", "b")]


@pytest.fixture(scope="module")
def letters():
    return WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abc"])


def first(pipeline):
    return [np.asarray(x) for x in (*next(iter(pipeline))[0].values(),)]


def test_every_kind_of_file_gives_the_batches_of_the_pairs(letters, tmp_path):
    lines = [f"{i}\t{a}\t{b}" for i, (a, b) in enumerate(PAIRS)]
    (tmp_path / "a.tsv").write_text("\n".join(["id\ten\tfr", *lines]), "utf-8")
    lines = [f'{b},"{a}"' for a, b in PAIRS]
    (tmp_path / "a.csv").write_text("\n".join(["fr,en", *lines]), "utf-8")
    (tmp_path / "a.jsonl").write_text(
        "\n".join(json.dumps({"en": a, "fr": b}) for a, b in PAIRS), "utf-8"
    )
    for side, name in enumerate(("a.en", "a.fr")):
        (tmp_path / name).write_text("\n".join(pair[side] for pair in PAIRS), "utf-8")
    options = {"tokens_per_batch": 20, "num_buckets": 1}
    expected = first(data.seq2seq(pairs=PAIRS, tokenizer=letters, **options))
    columns = {"source": "en", "target": "fr"}
    found = [
        data.translation(tmp_path / name, letters, **columns, **options)
        for name in ("a.tsv", "a.csv", "a.jsonl")
    ]
    found.append(data.translation((tmp_path / "a.en", tmp_path / "a.fr"), letters, **options))
    rows = [{"en": a, "fr": b} for a, b in PAIRS]
    found.append(data.translation(rows=rows, tokenizer=letters, **columns, **options))
    for pipeline in found:
        for one, other in zip(first(pipeline), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_long_text_of_a_summary_loses_its_end(letters):
    rows = [{"text": "a " * 40, "summary": "b"}, {"text": "b", "summary": "c"}] * 4
    options = {"tokens_per_batch": 64, "max_source_length": 8, "num_buckets": 1}
    pipeline = data.summarization(rows=rows, tokenizer=letters, **options)
    assert pipeline.num_too_long == 4
    assert first(pipeline)[0].shape[1] == 8


def test_pairs_that_are_too_long_are_listed_with_their_places(letters, tmp_path):
    lines = ["source\ttarget", "a\tb", "a " * 9 + "\tb", "b\ta"]
    (tmp_path / "a.tsv").write_text("\n".join(lines), "utf-8")
    options = {"max_source_length": 8, "drop_remainder": False}
    pipeline = data.translation(tmp_path / "a.tsv", letters, **options)
    assert pipeline.too_long == [f"line 3 of {tmp_path / 'a.tsv'}"]
    (tmp_path / "a.tsv").write_text("source\ttarget\na\tb\n\ufffd\tb\n", "utf-8")
    with pytest.raises(ValueError, match=r"a source without one in line 3 of .*a.tsv"):
        data.translation(tmp_path / "a.tsv", letters, **options)


def test_bad_rows_are_named_or_counted(letters, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("source\ttarget\na\tb\n \tb\nc\t\n", "utf-8")
    with pytest.raises(ValueError, match=r"'source'.*line 3 of .*a.tsv"):
        data.translation(path, letters)
    found = read_pairs(path, None, source="source", target="target", bad_rows="drop")
    assert found.pairs == [("a", "b", f"line 2 of {path}")]
    assert ["line 3" in found.dropped[0], "line 4" in found.dropped[1]] == [True, True]
    with pytest.raises(ValueError, match=r"'summary' missing in .*a.tsv"):
        data.summarization(path, letters, text="source")
    with pytest.raises(ValueError, match='bad_rows must be "raise" or "drop"'):
        data.translation(path, letters, bad_rows="skip")
    rows = [{"source": "", "target": "a"}]
    with pytest.raises(ValueError, match=r"1 bad; the first: .*'source'"):
        data.translation(rows=rows, tokenizer=letters, bad_rows="drop")
    (tmp_path / "a.en").write_text("a\n\u200b\nc\n", "utf-8")
    (tmp_path / "a.fr").write_text("b\nb\n\n", "utf-8")
    files = (tmp_path / "a.en", tmp_path / "a.fr")
    with pytest.raises(ValueError, match=r"'\\u200b' in column 'source', row 2 of .*a.en and"):
        data.translation(files, letters)
    found = read_pairs(files, None, source="source", target="target", bad_rows="drop")
    assert ([pair[:2] for pair in found.pairs], len(found.dropped)) == ([("a", "b")], 2)
    with pytest.raises(TypeError, match="Give either files or rows"):
        data.translation(None, letters)
