import json
import os
import stat

import pytest
import tokenizers
from tokenizers import models

from keras_lm.tokenizers import ByteBPE, WordPiece, load

TEXTS = ["The Import naïve [SEP] 的", "", "<|endoftext|> x\n y", "[MASK]", "a <mask></s> b"]


def other_byte_bpe(byte_bpe):
    """No default is left."""
    config = byte_bpe.get_config() | {
        "pad_token": "!",
        "unk_token": "?",
        "cls_token": "<",
        "sep_token": ">",
        "mask_token": "_",
        "extra_special_tokens": ["Ġthe"],
        "mask_lstrip": False,
        "add_prefix_space": True,
        "trim_offsets": False,
    }
    return ByteBPE.from_config(config)


@pytest.fixture(params=["wordpiece", "cased", "other wordpiece", "byte_bpe", "roberta", "other"])
def tokenizer(request, uncased, byte_bpe, roberta):
    return {
        "wordpiece": lambda: uncased,
        "cased": lambda: WordPiece([*uncased.tokens, "T", "I"], lowercase=False, chinese=False),
        "other wordpiece": lambda: WordPiece(
            uncased.tokens,
            strip_accents=False,
            pad_token=None,
            mask_token="!",
            end_token="[SEP]",
            extra_special_tokens=["[PAD]", "[MASK]"],
            clean_up_spaces=True,
        ),
        "byte_bpe": lambda: byte_bpe,
        "roberta": lambda: roberta,
        "other": lambda: other_byte_bpe(byte_bpe),
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


def test_files_alone_say_by_their_tokens_whose_they_are(byte_bpe, roberta, tmp_path):
    for tokenizer in (byte_bpe, roberta):
        tokenizer.save(tmp_path)
        os.unlink(tmp_path / "tokenizer.json")
        os.unlink(tmp_path / "tokenizer_config.json")
        assert load(tmp_path, special_tokens="text").get_config() == tokenizer.get_config()


def test_a_kind_that_is_not_supported_is_named(tmp_path):
    engine = tokenizers.Tokenizer(models.Unigram([("a", 0.0)]))
    engine.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"Received: .*tokenizer\.json' with model Unigram"):
        load(tmp_path)


def change(part, **values):
    def apply(spec):
        spec[part] = {**(spec[part] or {}), **values}

    return apply


def add(**values):
    def apply(spec):
        spec["added_tokens"][-1] |= values

    return apply


def rewrite(path, name, apply):
    content = json.loads((path / name).read_text("utf-8"))
    apply(content)
    (path / name).write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize(
    ("kind", "apply", "message"),
    [
        ("uncased", change("normalizer", clean_text=False), "which makes"),
        ("uncased", change("decoder", cleanup=False), "which makes"),
        ("uncased", change("pre_tokenizer", type="Whitespace"), "pre-tokenizer Whitespace"),
        ("uncased", change("model", max_input_chars_per_word=9), "must be 100.*with 9"),
        ("uncased", change("model", continuing_subword_prefix="@@"), "must be '##'.*with '@@'"),
        ("uncased", add(normalized=True), r"not normalized.*Received: \[MASK\]"),
        ("uncased", add(lstrip=True), r"not strip.*Received: \[MASK\]"),
        ("byte_bpe", change("model", ignore_merges=True), "Received: {'ignore_merges': True}"),
        ("byte_bpe", change("model", dropout=0.5), "Received: {'dropout': 0.5}"),
        ("byte_bpe", change("pre_tokenizer", use_regex=False), "Received: {'use_regex': False}"),
        ("roberta", change("post_processor", cls=["<mask>", 599]), "which makes"),
        ("roberta", add(rstrip=True), "not strip.*Received: <mask>"),
        ("roberta", add(single_word=True), "not single_word.*Received: <mask>"),
        ("roberta", add(special=False, content="<s", id=600), "must be special.*Received: <s"),
    ],
)
def test_a_setting_that_is_not_supported_is_not_dropped_in_silence(
    request, tmp_path, kind, apply, message
):
    request.getfixturevalue(kind).save(tmp_path)
    rewrite(tmp_path, "tokenizer.json", apply)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "apply"),
    [
        ("uncased", "do_lower_case", change("normalizer", lowercase=False)),
        ("uncased", "strip_accents", change("normalizer", strip_accents=True)),
        ("uncased", "tokenize_chinese_chars", change("normalizer", handle_chinese_chars=False)),
        ("roberta", "add_prefix_space", change("pre_tokenizer", add_prefix_space=True)),
    ],
)
def test_tokenizer_config_overrides_tokenizer_json_and_must_where_transformers_would(
    request, tmp_path, kind, name, apply
):
    tokenizer = request.getfixturevalue(kind)
    tokenizer.save(tmp_path)
    rewrite(tmp_path, "tokenizer.json", apply)
    assert load(tmp_path, special_tokens="text").get_config() == tokenizer.get_config()
    rewrite(tmp_path, "tokenizer_config.json", lambda config: config.pop(name))
    with pytest.raises(ValueError, match=f"tokenizer_config.json must say {name}"):
        load(tmp_path)
    rewrite(tmp_path, "tokenizer_config.json", lambda config: config.pop("tokenizer_class"))
    assert load(tmp_path, special_tokens="text").get_config() != tokenizer.get_config()


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("uncased", {"tokenizer_class": "XLNetTokenizer"}, "Received: .*'XLNetTokenizer'"),
        ("uncased", {"tokenizer_class": "GPT2Tokenizer"}, "files of a BPE.*a WordPiece"),
        ("uncased", {"do_basic_tokenize": False}, "must be True.*do_basic_tokenize=False"),
        ("uncased", {"never_split": ["a"]}, r"never_split=\['a'\]"),
        ("uncased", {"cls_token": None}, "without cls_token"),
        ("uncased", {"sep_token": "[NONE]"}, r"Received: 1500 tokens without \[NONE\]"),
        ("uncased", {"extra_special_tokens": [""]}, "something in it.*with ''"),
        ("uncased", {"mask_token": 3}, "must be a string.*with 3"),
        ("roberta", {"errors": "strict"}, "errors='strict'"),
        ("roberta", {"truncation_side": "left"}, "must be right.*truncation_side='left'"),
        ("roberta", {"extra_special_tokens": {"image": "<img>"}}, "without <img>"),
        ("byte_bpe", {"add_bos_token": True}, "add_bos_token needs a tokenizer.json"),
        (
            "uncased",
            {"bos_token": {"content": "!", "rstrip": True}, "extra_special_tokens": ["!"]},
            "looked for in one way.*rstrip=True",
        ),
    ],
)
@pytest.mark.parametrize("with_tokenizer_json", [True, False])
def test_a_setting_of_the_configuration_that_is_not_supported_is_named(
    request, tmp_path, kind, config, message, with_tokenizer_json
):
    request.getfixturevalue(kind).save(tmp_path)
    rewrite(tmp_path, "tokenizer_config.json", lambda content: content.update(config))
    if not with_tokenizer_json:
        os.unlink(tmp_path / "tokenizer.json")
    elif "add_bos_token" in config:  # there it says where
        load(tmp_path)
        return
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_a_cased_vocabulary_that_transformers_would_lower_must_say_so(cased, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(cased.tokens), "utf-8")
    assert not load(tmp_path).lowercase
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="must say do_lower_case"):
        load(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert not load(tmp_path).lowercase


@pytest.mark.parametrize(
    ("config", "end"),
    [
        ({"model_type": "bert", "eos_token_id": 4}, None),
        ({"model_type": "gpt2"}, "[SEP]"),
        ({"model_type": "gpt2", "eos_token_id": 50_256}, "[SEP]"),
        ({"model_type": "gpt2", "eos_token_id": 2}, "[CLS]"),
        ({"model_type": "other", "architectures": ["OtherForCausalLM"]}, "[SEP]"),
    ],
)
def test_a_wordpiece_of_a_causal_model_has_an_end(uncased, config, end, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(uncased.tokens), "utf-8")
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load(tmp_path)
    assert loaded.end_id == (None if end is None else loaded.id(end))
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": "[MASK]"}')
    assert load(tmp_path).end_id == loaded.mask_id


def test_added_tokens_that_overlap_and_are_of_two_sorts_are_refused(roberta, tmp_path):
    roberta.save(tmp_path)

    def apply(spec):
        spec["added_tokens"].append({**spec["added_tokens"][0], "id": 600, "content": "s><"})
        spec["added_tokens"][0]["normalized"] = True

    rewrite(tmp_path, "tokenizer.json", apply)
    with pytest.raises(ValueError, match="must not overlap"):
        load(tmp_path)


def test_a_tokenizer_json_alone_has_the_roles_of_its_added_tokens(uncased, byte_bpe, tmp_path):
    uncased.save(tmp_path)
    os.unlink(tmp_path / "tokenizer_config.json")
    rewrite(tmp_path, "tokenizer.json", lambda spec: spec["added_tokens"].pop())
    loaded = load(tmp_path)
    assert loaded.mask_id is None
    assert loaded.special_ids == (0, 1, 2, 3)
    byte_bpe.save(tmp_path)
    os.unlink(tmp_path / "tokenizer_config.json")
    rewrite(tmp_path, "tokenizer.json", lambda spec: spec["added_tokens"].clear())
    with pytest.raises(ValueError, match=r"must have an eos_token.*among none"):
        load(tmp_path)


def test_a_role_that_is_not_what_a_row_gets_is_refused(roberta, tmp_path):
    roberta.save(tmp_path)
    change = {"tokenizer_class": "PreTrainedTokenizerFast", "cls_token": "<mask>"}
    rewrite(tmp_path, "tokenizer_config.json", lambda config: config.update(change))
    with pytest.raises(ValueError, match=r"must be the one .* adds to a row, <s>.*'<mask>'"):
        load(tmp_path)


def test_the_type_of_a_model_must_fit_its_files_but_for_gpt2_over_words(uncased, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(uncased.tokens), "utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(ValueError, match="roberta must have the files of a BPE"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert load(tmp_path).tokens == uncased.tokens


def test_an_added_token_that_is_a_word_is_refused(uncased, tmp_path):
    uncased.save(tmp_path)
    rewrite(
        tmp_path,
        "tokenizer.json",
        lambda spec: spec["added_tokens"].append(
            {**spec["added_tokens"][0], "id": uncased.vocab_size, "content": "ENTITY"}
        ),
    )
    with pytest.raises(ValueError, match=r"must not be a word.*with ENTITY"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "config.json"])
@pytest.mark.parametrize(("content", "rule"), [("{", "must be JSON"), ("[1]", "one object")])
def test_a_broken_file_is_named(uncased, tmp_path, name, content, rule):
    uncased.save(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{rule}.*Received: .*/{name}"):
        load(tmp_path)


def test_a_tokenizer_json_that_the_library_refuses_is_named(uncased, tmp_path):
    uncased.save(tmp_path)
    rewrite(tmp_path, "tokenizer.json", change("model", vocab=3))
    with pytest.raises(ValueError, match=r"of the tokenizers library.*Received: .*tokenizer\.json"):
        load(tmp_path)


def test_a_class_that_would_read_the_files_otherwise_is_refused(uncased, byte_bpe, tmp_path):
    with pytest.raises(ValueError, match=r"one of GPT2Tokenizer .*'BertTokenizer'"):
        byte_bpe.save(tmp_path / "new", tokenizer_class="BertTokenizer")
    short = WordPiece(uncased.tokens, max_word_length=9)
    with pytest.raises(ValueError, match=r"one of PreTrainedTokenizerFast .*'BertTokenizer'"):
        short.save(tmp_path / "new", tokenizer_class="BertTokenizer")
    assert not (tmp_path / "new").exists()


def test_added_tokens_that_are_not_supported_are_named(uncased, tmp_path):
    uncased.save(tmp_path)
    engine = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    engine.add_tokens(["[ENTITY]"])  # not special
    engine.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"Added tokens.*Received: \[ENTITY\]"):
        load(tmp_path)


def test_a_directory_that_is_missing_or_has_no_tokenizer_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must exist.*nowhere"):
        load(tmp_path / "nowhere")
    (tmp_path / "weights.h5").touch()
    with pytest.raises(FileNotFoundError, match=r"must have tokenizer\.json.*'weights\.h5'"):
        load(tmp_path)
