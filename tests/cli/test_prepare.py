import pytest

from keras_lm.cli.main import main
from keras_lm.data import Prepared, causal_lm
from keras_lm.tokenizers import train_byte_bpe


@pytest.fixture(scope="module")
def tokenizer(topics, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer = train_byte_bpe(topics, 400)
    tokenizer.save(path)
    return path, tokenizer


def test_prepare_writes_what_a_pipeline_reads_and_says_what_it_counted(
    topics, tokenizer, tmp_path, capsys
):
    path, model_tokenizer = tokenizer
    words = ["prepare", str(topics), "--tokenizer", str(path), "--output", str(tmp_path / "out")]
    words += ["--processes", "2", "--shard-size", "100000", "--drop-duplicates"]
    assert main(words) == 0
    printed = capsys.readouterr()
    prepared = Prepared(tmp_path / "out", verify=True)
    assert f"{len(prepared.index.shards)} shards for causal_lm" in printed.out
    assert f"{prepared.statistics['tokens']:,} tokens" in printed.out
    assert f"{prepared.statistics['duplicate_documents']:,} duplicate documents" in printed.out
    assert prepared.statistics["duplicate_documents"] > 0
    assert "file 1 of 1, 1 shards" in printed.err
    pipeline = causal_lm(tmp_path / "out", model_tokenizer, sequence_length=64, batch_size=8)
    assert next(iter(pipeline))[1].shape == (8, 64)
    assert main(words) == 0
    assert "was whole, and its checksums are right" in capsys.readouterr().err


def test_prepare_says_in_one_line_what_it_cannot_do(topics, tokenizer, tmp_path, capsys):
    path, _ = tokenizer
    rest = ["--tokenizer", str(path), "--output", str(tmp_path / "out")]
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "bytes.txt").write_bytes(b"a \xff")
    for corpus, message in (
        ("missing.txt", "A text file must exist"),
        ("empty.txt", "at least one token"),
        ("bytes.txt", "must be UTF-8"),
    ):
        assert main(["prepare", str(tmp_path / corpus), *rest]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert main(["prepare", str(topics), "--tokenizer", str(tmp_path), *rest[2:]]) == 2
    assert "empty.txt" not in capsys.readouterr().out
