"""Directories that nobody would write: refused, or what Transformers makes of them."""

import json
import shutil

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from keras_lm.tokenizers import load

transformers = pytest.importorskip("transformers")

from tokenizer_directories import ids, spec, two_files, write  # noqa: E402  (it needs transformers)

TEXTS = [
    "The Import naïve 的日 statement's",
    " a <mask> b<mask>, [MASK] [SEP]</s>  <s>x\n<|endoftext|> y <pad>",
    "It ' s [ENT] [PAD]! [CLS]? ? ! ENT the [mask]",
]
CLASSES = {
    "uncased": ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizerFast"),
    "cased": ("BertTokenizerFast",),
    "roberta": ("RobertaTokenizer", "BartTokenizerFast"),
    "byte_bpe": ("GPT2Tokenizer",),
}
MODEL_TYPES = {
    "uncased": ("bert", "distilbert", "electra"),
    "cased": ("bert",),
    "roberta": ("roberta", "bart"),
    "byte_bpe": ("gpt2",),
}
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
often = st.sampled_from([True, True, False])
seldom = st.sampled_from([True, False, False, False, False])


@st.composite
def directories(draw):
    """The kind, and the files but for the vocabulary."""
    kind = draw(st.sampled_from(sorted(CLASSES)))
    is_words = kind in ("uncased", "cased")
    names = ["[CLS]", "[MASK]"] if is_words else ["<s>", "<mask>", "</s>", "<|endoftext|>"]
    name = st.sampled_from([*names, "[ENT]", "!"])
    token = name | st.fixed_dictionaries(
        {"content": name, "__type": st.just("AddedToken")},
        optional=dict.fromkeys(("lstrip", "rstrip", "normalized", "special"), seldom),
    )
    generic = ("PreTrainedTokenizerFast", "TokenizersBackend")
    named = {role: token for role in ROLES if draw(seldom)}
    options = {
        "tokenizer_class": st.sampled_from([*CLASSES[kind], *generic]),
        "do_lower_case": st.booleans(),
        "strip_accents": st.booleans(),
        "add_prefix_space": st.booleans(),
        "clean_up_tokenization_spaces": st.booleans(),
        "extra_special_tokens": st.lists(token, max_size=2),
        "additional_special_tokens": st.lists(token, max_size=2),
    }
    files = {}
    if draw(often):
        files["config__json"] = {"model_type": draw(st.sampled_from(MODEL_TYPES[kind]))}
    if draw(often):
        files["tokenizer_config__json"] = draw(st.fixed_dictionaries(named, optional=options))
    if draw(seldom):
        files["special_tokens_map__json"] = draw(st.fixed_dictionaries(named))
    return kind, files, draw(often), draw(seldom), draw(st.none() | st.booleans())


def opened(path):
    """Transformers' tokenizer, or None where it makes none that can be used."""
    try:
        theirs = transformers.AutoTokenizer.from_pretrained(str(path))
        theirs(TEXTS)
    except Exception:
        return None
    return theirs


@pytest.mark.slow
@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(made=directories())
def test_a_directory_is_refused_or_what_transformers_makes_of_it(request, tmp_path, made):
    kind, files, with_spec, with_more, lowercase = made
    tokenizer = request.getfixturevalue(kind)
    shutil.rmtree(tmp_path, ignore_errors=True)
    write(tmp_path, **files)
    if with_spec:
        content = spec(tokenizer, more=["[ENT]"] if with_more else [])
        if content["normalizer"] and lowercase is not None:
            content["normalizer"]["lowercase"] = lowercase
        (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    elif kind in ("uncased", "cased"):
        write(tmp_path, vocab__txt=tokenizer.tokens)
    else:
        write(tmp_path, **two_files(tokenizer))
    theirs = opened(tmp_path)
    try:
        ours = load(tmp_path)
    except ValueError:
        event("refused")
        return
    if theirs is None:
        event("not for Transformers")
        return
    event("compared")
    assert ids(ours) == theirs.get_vocab()
    assert list(ours.special_ids) == sorted(theirs.added_tokens_decoder)
    for text in TEXTS:
        for pair in (None, "b <mask> [SEP]"):
            found = ours.encode(text, pair)
            assert found == theirs(text, pair)["input_ids"]
            assert ours.decode(found) == theirs.decode(found, skip_special_tokens=True)
            assert ours.decode(found, False) == theirs.decode(found)
