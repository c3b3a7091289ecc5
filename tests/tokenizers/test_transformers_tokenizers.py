"""A directory's tokenizer is the one that Transformers makes of it, and the other way about."""

import json
import os

import pytest

from keras_lm.tokenizers import load

transformers = pytest.importorskip("transformers")

from tokenizer_directories import DIRECTORIES, Made  # noqa: E402  (it needs transformers)

TEXTS = [
    "The Import statement's naïve 的日 unaffable.",
    "",
    " a <mask> b<mask>, [MASK] [SEP]</s>  <s>x\n\n<|endoftext|> y <pad>",
    "It ' s, don't [ENT] [PAD]! [CLS]? ? !",
    "\ttabs \u3000and\xa0spaces<unk>",
]
CLASSES = ("BertTokenizer", "RobertaTokenizer", "GPT2Tokenizer")
PAIRS = list(zip(TEXTS, TEXTS[1:] + TEXTS[:1], strict=True))


@pytest.fixture(scope="module")
def made(uncased, cased, byte_bpe, roberta):
    return Made(uncased, cased, byte_bpe, roberta)


@pytest.fixture(scope="module", params=DIRECTORIES)
def directory(request, made, tmp_path_factory):
    path = tmp_path_factory.mktemp("directory")
    DIRECTORIES[request.param](made, path)
    return path


def opened(path):
    return transformers.AutoTokenizer.from_pretrained(str(path))


def assert_same(ours, theirs):
    """The same tokens, special ones, ids of texts and pairs, rows and texts of ids."""
    assert dict(zip(ours.tokens, range(ours.vocab_size), strict=True)) == theirs.get_vocab()
    assert list(ours.special_ids) == sorted(theirs.added_tokens_decoder)
    for text, pair in [*((text, None) for text in TEXTS), *PAIRS]:
        ids = ours.encode(text, pair)
        if pair != "":  # which Transformers takes for none, unlike the library
            assert ids == theirs(text, pair)["input_ids"]
        assert ids == theirs.backend_tokenizer.encode(text, pair).ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
        assert ours.decode(ids, False) == theirs.decode(ids)
    plain = theirs(TEXTS, add_special_tokens=False)["input_ids"]
    assert ours.encode_batch(TEXTS) == plain


def assert_same_roles(ours, theirs):
    roles = ("pad", "unk", "cls", "sep", "mask")
    ids = {role: getattr(theirs, f"{role}_token_id") for role in roles}
    if ids["cls"] is not None or ids["mask"] is not None:
        known = {role: id_ for role, id_ in ids.items() if id_ is not None}
        assert {role: getattr(ours, f"{role}_id") for role in known} == known


def test_a_directory_gives_the_tokenizer_of_transformers(directory):
    ours, theirs = load(directory), opened(directory)
    assert_same(ours, theirs)
    assert_same_roles(ours, theirs)
    if theirs.eos_token_id is not None:
        assert ours.end_id == theirs.eos_token_id


def test_what_was_loaded_is_saved_for_transformers_and_for_us(directory, tmp_path):
    ours = load(directory)
    ours.save(tmp_path)
    assert_same(ours, opened(tmp_path))
    assert load(tmp_path).get_config() == ours.get_config()
    if json.loads((tmp_path / "tokenizer_config.json").read_text())["tokenizer_class"] in CLASSES:
        os.unlink(tmp_path / "tokenizer.json")
        assert_same(load(tmp_path), opened(tmp_path))


@pytest.mark.parametrize("kind", ["uncased", "roberta", "gpt2"])
def test_special_tokens_that_are_text_stay_so_in_transformers(kind, made, tmp_path):
    ours = getattr(made, kind)
    ours.save(tmp_path)
    assert ours.special_tokens == "text"
    assert_same(ours, opened(tmp_path))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("uncased", "DistilBertTokenizer"),
        ("uncased", "ElectraTokenizer"),
        ("roberta", "BartTokenizer"),
    ],
)
def test_a_tokenizer_is_saved_for_the_class_that_was_asked_for(kind, name, made, tmp_path):
    ours = getattr(made, kind)
    ours.save(tmp_path, tokenizer_class=name)
    theirs = opened(tmp_path)
    assert isinstance(theirs, getattr(transformers, name))
    assert_same(ours, theirs)
    assert load(tmp_path, special_tokens="text").get_config() == ours.get_config()


@pytest.mark.parametrize("kind", ["uncased", "roberta"])
def test_rows_are_packed_as_transformers_truncates_and_pads_them(kind, made, tmp_path):
    ours = getattr(made, kind)
    ours.save(tmp_path)
    theirs = opened(tmp_path)
    firsts, seconds = ([pair[place] for pair in PAIRS if all(pair)] for place in (0, 1))
    keywords = {"padding": "max_length", "truncation": "longest_first", "max_length": 17}
    for second in (None, seconds):
        expected = theirs(firsts, second, **keywords)
        ids = [None if texts is None else ours.tokenize(texts) for texts in (firsts, second)]
        packed = ours.pack(*ids, max_length=17)
        assert packed["token_ids"].numpy().tolist() == expected["input_ids"]
        assert packed["padding_mask"].numpy().tolist() == [
            [bool(mask) for mask in row] for row in expected["attention_mask"]
        ]
        assert ("segment_ids" in packed) == ("token_type_ids" in expected) == (kind == "uncased")
        if "segment_ids" in packed:
            assert packed["segment_ids"].numpy().tolist() == expected["token_type_ids"]


def test_the_slow_tokenizer_of_bert_gives_the_same_ids(cased, tmp_path, topics):
    cased.save(tmp_path)
    slow = transformers.BertTokenizerLegacy(str(tmp_path / "vocab.txt"), do_lower_case=False)
    lines = topics.read_text("utf-8").split("\n")[:300]
    assert [cased.encode(line, "A pair.") for line in lines] == [
        slow.encode(line, "A pair.") for line in lines
    ]
