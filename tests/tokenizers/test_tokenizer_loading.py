import json
import os
import stat

import pytest
import tokenizers
from tokenizers import models

from keras_lm.tokenizers import WordPiece, load

TEXTS = ["The Import naïve [SEP] 的", "", "<|endoftext|> x\n y", "[MASK]"]


@pytest.fixture(params=["wordpiece", "cased", "byte_bpe"])
def tokenizer(request, uncased, byte_bpe):
    return {
        "wordpiece": lambda: uncased,
        "cased": lambda: WordPiece([*uncased.tokens, "T", "I"], lowercase=False, chinese=False),
        "byte_bpe": lambda: byte_bpe,
    }[request.param]()


@pytest.mark.parametrize("special_tokens", ["text", "parse"])
@pytest.mark.parametrize("with_tokenizer_json", [True, False])
def test_what_was_saved_is_loaded(tokenizer, tmp_path, special_tokens, with_tokenizer_json):
    tokenizer.save(tmp_path / "new")
    if not with_tokenizer_json:
        os.unlink(tmp_path / "new" / "tokenizer.json")
    loaded = load(tmp_path / "new", special_tokens=special_tokens)
    assert loaded.get_config() == {**tokenizer.get_config(), "special_tokens": special_tokens}
    if special_tokens == "text":
        assert [loaded.encode(text, text) for text in TEXTS] == [
            tokenizer.encode(text, text) for text in TEXTS
        ]


def test_the_library_reads_what_was_saved(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    engine = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    loaded = load(tmp_path)
    assert [loaded.encode(text) for text in TEXTS] == [engine.encode(text).ids for text in TEXTS]


def test_loading_parses_special_tokens_unless_told_otherwise(uncased, tmp_path):
    uncased.save(tmp_path)
    assert load(tmp_path).encode("[MASK]", add_special_tokens=False) == [uncased.mask_id]


def test_files_are_readable_by_others_and_nothing_else_is_left(uncased, tmp_path):
    uncased.save(tmp_path)
    uncased.save(tmp_path)
    names = {"tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    assert set(os.listdir(tmp_path)) == names
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o644 for name in names)


def test_a_file_that_cannot_be_written_leaves_the_old_one(uncased, tmp_path, monkeypatch):
    uncased.save(tmp_path)
    before = (tmp_path / "vocab.txt").read_text()

    def full(*_):
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        WordPiece(uncased.tokens[:500]).save(tmp_path)
    assert (tmp_path / "vocab.txt").read_text() == before
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize(("word", "lowercase"), [("low", True), ("Low", False), ("##Low", False)])
def test_a_vocabulary_alone_says_by_its_capitals_whether_it_is_cased(tmp_path, word, lowercase):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "", word]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))
    assert load(tmp_path).lowercase is lowercase


def test_a_kind_that_is_not_supported_is_named(tmp_path):
    engine = tokenizers.Tokenizer(models.Unigram([("a", 0.0)]))
    engine.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"Received: .*tokenizer\.json' with model Unigram"):
        load(tmp_path)


def change(part, **values):
    def apply(spec):
        spec[part] = {**(spec[part] or {}), **values}

    return apply


@pytest.mark.parametrize(
    ("kind", "apply", "message"),
    [
        ("uncased", change("normalizer", clean_text=False), "which makes"),
        ("uncased", change("decoder", cleanup=False), "which makes"),
        ("uncased", change("pre_tokenizer", type="Whitespace"), "pre-tokenizer Whitespace"),
        ("byte_bpe", change("pre_tokenizer", add_prefix_space=True), "which makes"),
        ("byte_bpe", change("model", ignore_merges=True), "Received: {'ignore_merges': True}"),
        ("byte_bpe", change("model", dropout=0.5), "Received: {'dropout': 0.5}"),
    ],
)
def test_a_setting_that_is_not_supported_is_not_dropped_in_silence(
    request, tmp_path, kind, apply, message
):
    request.getfixturevalue(kind).save(tmp_path)
    spec = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    apply(spec)
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec), "utf-8")
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_added_tokens_that_are_not_supported_are_named(uncased, tmp_path):
    uncased.save(tmp_path)
    engine = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    engine.add_tokens(["[ENTITY]"])
    engine.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"Added tokens.*Received: \[ENTITY\]"):
        load(tmp_path)


def test_a_directory_that_is_missing_or_has_no_tokenizer_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must exist.*nowhere"):
        load(tmp_path / "nowhere")
    (tmp_path / "weights.h5").touch()
    with pytest.raises(FileNotFoundError, match=r"must have tokenizer\.json.*'weights\.h5'"):
        load(tmp_path)
