import importlib

import pytest

from keras_lm.cli.main import main
from keras_lm.data import causal_lm, prepare, prepare_on_beam
from keras_lm.shards.index import read_index
from keras_lm.tokenizers import WordPiece

beam = pytest.importorskip("apache_beam")

# Beam, not this package.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def tokenizer(numbered):
    return WordPiece(numbered.tokens, end_token="[SEP]")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three files; documents come again in the same and in another file."""
    path = tmp_path_factory.mktemp("corpus")
    for name, numbers in (("a", range(40)), ("b", [7, *range(40, 60), 45]), ("c", range(60, 64))):
        texts = ["\n".join(f"w{10 * i + j} w{j}" for j in range(10)) for i in numbers]
        (path / f"{name}.txt").write_text("\n\n".join(texts), "utf-8")
    return str(path / "*.txt")


def rows(directory, tokenizer):
    pipeline = causal_lm(directory, tokenizer, sequence_length=16, batch_size=1, shuffle=False)
    return [inputs["token_ids"][0].tolist() for inputs, _, _ in pipeline.as_numpy_iterator()]


@pytest.mark.parametrize("drop_duplicates", [False, True])
def test_beam_prepares_the_same_rows_and_statistics(corpus, tokenizer, tmp_path, drop_duplicates):
    options = {"objective": "causal_lm", "shard_size": 700, "drop_duplicates": drop_duplicates}
    prepare(corpus, tokenizer, output=tmp_path / "here", num_processes=1, **options)
    words = ["--runner=DirectRunner"]
    prepare_on_beam(corpus, tokenizer, output=tmp_path / "beam", options=words, **options)
    assert rows(tmp_path / "beam", tokenizer) == rows(tmp_path / "here", tokenizer)
    ours, theirs = read_index(tmp_path / "here"), read_index(tmp_path / "beam")
    assert theirs.statistics == ours.statistics
    assert theirs.statistics["duplicate_documents"] == 2
    assert (theirs.settings, theirs.corpus) == (ours.settings, ours.corpus)
    assert len(theirs.shards) > 4
    # It is whole: nothing is made again, by either of the two.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "beam").glob("*.gz")}
    prepare_on_beam(corpus, tokenizer, output=tmp_path / "beam", options=words, **options)
    prepare(corpus, tokenizer, output=tmp_path / "beam", **options)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "beam").glob("*.gz")}


def test_beam_goes_on_where_it_was_stopped(corpus, tokenizer, tmp_path, monkeypatch):
    options = {"objective": "causal_lm", "shard_size": 700}
    words = ["--runner=DirectRunner"]

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # The package has the function of that name.
        module = importlib.import_module("keras_lm.data.prepare_on_beam")
        patch.setattr(module, "stored_report", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare_on_beam(corpus, tokenizer, output=tmp_path / "x", options=words, **options)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "x").glob("*.gz")}
    assert len(before) > 4
    (damaged := min(before)).write_bytes(b"x")
    prepare_on_beam(corpus, tokenizer, output=tmp_path / "x", options=words, **options)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "x").glob("*.gz")}
    assert {path for path in before if before[path] != after[path]} == {damaged}


def test_beam_refuses_what_prepare_refuses(corpus, tokenizer, numbered, tmp_path):
    output = tmp_path / "x"
    with pytest.raises(FileNotFoundError, match="must exist"):
        prepare_on_beam(str(tmp_path / "none"), tokenizer, output=output)
    with pytest.raises(ValueError, match="document must be"):
        prepare_on_beam(corpus, tokenizer, output=output, document="page")
    with pytest.raises(ValueError, match="without end"):
        prepare_on_beam(corpus, numbered, output=output, objective="causal_lm")
    assert not output.exists()


def test_the_command_runs_on_beam(corpus, tokenizer, tmp_path, capsys):
    tokenizer.save(tmp_path / "tokenizer")
    words = ["prepare", corpus, "--tokenizer", str(tmp_path / "tokenizer")]
    words += ["--output", str(tmp_path / "x"), "--beam=--runner=DirectRunner"]
    assert main(words) == 0
    assert "3 shards for masked_lm" in capsys.readouterr().out
