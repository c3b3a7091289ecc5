"""Directories of tokenizers, as Transformers writes them and as they stand on hubs."""

import json
from typing import NamedTuple

import transformers as t
from tokenizers import AddedToken

from keras_lm.tokenizers import ByteBPE, WordPiece

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MASK = {"content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False}


class Made(NamedTuple):
    """Trained tokenizers, whose vocabularies fill the directories."""

    uncased: WordPiece
    cased: WordPiece
    gpt2: ByteBPE
    roberta: ByteBPE


def write(path, **files):
    """Writes objects as JSON and lists as lines, by name, with __ for the point."""
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        is_lines = isinstance(content, list)
        text = "".join(f"{line}\n" for line in content) if is_lines else json.dumps(content)
        (path / name.replace("__", ".")).write_text(text, "utf-8")


def ids(tokenizer):
    return {token: id_ for id_, token in enumerate(tokenizer.tokens)}


def two_files(tokenizer):
    lines = ["#version: 0.2", *(" ".join(merge) for merge in tokenizer.merges)]
    return {"vocab__json": ids(tokenizer), "merges__txt": lines}


def spec(tokenizer, *, old=False, more=()):
    """tokenizer.json; old ones name no type and have merges as strings."""
    spec = json.loads(tokenizer.host.to_str())
    model, added = spec["model"], spec["added_tokens"]
    for number, token in enumerate(more):
        added.append(added[0] | {"id": tokenizer.vocab_size + number, "content": token})
    if old:
        del model["type"]
        if "merges" in model:
            model["merges"] = [" ".join(merge) for merge in model["merges"]]
    return spec


def normalized(spec):
    """Added tokens that are normalized, as Transformers 4 wrote them for GPT-2."""
    for token in spec["added_tokens"]:
        token["normalized"] = True
    return spec


def template(spec):
    """RoBERTa's rows as a template."""
    cls, sep = ({"SpecialToken": {"id": token, "type_id": 0}} for token in ("<s>", "</s>"))
    a, b = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    spec["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [cls, a, sep],
        "pair": [cls, a, sep, sep, b, sep],
        "special_tokens": {
            token: {"id": token, "ids": [id_], "tokens": [token]}
            for token, id_ in (("<s>", 0), ("</s>", 2))
        },
    }
    return spec


def byte_bpe(kind, tokenizer, **settings):
    return kind(vocab=ids(tokenizer), merges=list(tokenizer.merges), **settings)


def saved(tokenizer, path, **files):
    tokenizer.save_pretrained(path)
    write(path, **files)


def strip():
    return AddedToken("<mask>", lstrip=True, special=True)


DIRECTORIES = {
    "bert saved": lambda made, path: saved(t.BertTokenizer(vocab=ids(made.uncased)), path),
    "bert saved, cased": lambda made, path: saved(
        t.BertTokenizer(vocab=ids(made.cased), do_lower_case=False),
        path,
        config__json={"model_type": "bert"},
    ),
    "bert saved, other settings": lambda made, path: saved(
        t.BertTokenizer(
            vocab=ids(made.uncased),
            strip_accents=False,
            tokenize_chinese_chars=False,
            clean_up_tokenization_spaces=True,
        ),
        path,
    ),
    "bert saved, another mask and more tokens": lambda made, path: saved(
        t.BertTokenizer(
            vocab=ids(made.uncased), mask_token="!", extra_special_tokens=["[MASK]", "?"]
        ),
        path,
    ),
    "bert saved without a class": lambda made, path: saved(
        t.PreTrainedTokenizerFast(
            tokenizer_object=WordPiece(
                made.cased.tokens, False, max_word_length=7, special_tokens="parse"
            ).host,
            pad_token="[PAD]",
            mask_token="[MASK]",
        ),
        path,
    ),
    "bert, vocab.txt": lambda made, path: write(
        path, config__json={"model_type": "bert"}, vocab__txt=made.uncased.tokens
    ),
    "bert, vocab.txt, cased, and a map": lambda made, path: write(
        path,
        config__json={"model_type": "bert"},
        tokenizer_config__json={"do_lower_case": False, "model_max_length": 512},
        special_tokens_map__json={
            "unk_token": "[UNK]",
            "additional_special_tokens": ["!"],
            "mask_token": {"content": "[MASK]", "lstrip": False, "normalized": False},
        },
        vocab__txt=made.cased.tokens,
    ),
    "bert, vocab.txt, and a token more, as of Transformers 4": lambda made, path: write(
        path,
        tokenizer_config__json={
            "do_lower_case": True,
            "tokenizer_class": "BertTokenizerFast",
            "additional_special_tokens": ["[ENT]"],
            "added_tokens_decoder": {
                id_: {"content": token, "special": True, "normalized": False}
                for id_, token in [*enumerate(SPECIAL), (made.uncased.vocab_size, "[ENT]")]
            },
        },
        vocab__txt=made.uncased.tokens,
    ),
    "bert, vocab.txt, and a token more in a file": lambda made, path: write(
        path,
        config__json={"model_type": "bert"},
        tokenizer_config__json={"additional_special_tokens": ["[ENT]"]},
        added_tokens__json={"[ENT]": made.uncased.vocab_size},
        vocab__txt=made.uncased.tokens,
    ),
    "bert, a tokenizer.json that is overridden": lambda made, path: write(
        path,
        config__json={"model_type": "bert"},
        tokenizer_config__json={"do_lower_case": False},
        tokenizer__json=spec(made.uncased, old=True),
    ),
    "bert, a tokenizer.json with a token more": lambda made, path: write(
        path,
        config__json={"model_type": "bert"},
        tokenizer_config__json={"do_lower_case": False},
        tokenizer__json=spec(made.cased, more=["[ENT]"]),
    ),
    "bert, a tokenizer.json alone": lambda made, path: write(
        path, tokenizer__json=spec(made.cased, old=True)
    ),
    "distilbert saved": lambda made, path: saved(
        t.DistilBertTokenizer(vocab=ids(made.uncased)),
        path,
        config__json={"model_type": "distilbert"},
    ),
    "distilbert, vocab.txt": lambda made, path: write(
        path, config__json={"model_type": "distilbert"}, vocab__txt=made.uncased.tokens
    ),
    "electra, vocab.txt": lambda made, path: write(
        path,
        config__json={"model_type": "electra"},
        tokenizer_config__json={"do_lower_case": True},
        vocab__txt=made.uncased.tokens,
    ),
    "a chinese gpt2": lambda made, path: write(
        path,
        config__json={"model_type": "gpt2", "tokenizer_class": "BertTokenizer"},
        tokenizer_config__json={"do_lower_case": False},
        vocab__txt=made.cased.tokens,
    ),
    "roberta saved": lambda made, path: saved(byte_bpe(t.RobertaTokenizer, made.roberta), path),
    "roberta saved, the mask strips": lambda made, path: saved(
        byte_bpe(t.RobertaTokenizer, made.roberta, mask_token=strip()),
        path,
        config__json={"model_type": "roberta"},
    ),
    "roberta saved, prefix space": lambda made, path: saved(
        byte_bpe(
            t.RobertaTokenizer,
            made.roberta,
            add_prefix_space=True,
            trim_offsets=False,
            mask_token=strip(),
        ),
        path,
    ),
    "roberta, two files": lambda made, path: write(
        path, config__json={"model_type": "roberta"}, **two_files(made.roberta)
    ),
    "roberta, two files and a map": lambda made, path: write(
        path,
        config__json={"model_type": "roberta"},
        special_tokens_map__json={"mask_token": {**MASK, "normalized": True}},
        **two_files(made.roberta),
    ),
    "roberta, an old tokenizer.json": lambda made, path: write(
        path,
        config__json={"model_type": "roberta"},
        tokenizer__json=spec(made.roberta, old=True),
    ),
    "roberta, a tokenizer.json that adds nothing": lambda made, path: write(
        path,
        config__json={"model_type": "roberta"},
        tokenizer__json=spec(made.roberta) | {"post_processor": None},
    ),
    "roberta, a tokenizer.json alone": lambda made, path: write(
        path, tokenizer__json=template(normalized(spec(made.roberta)))
    ),
    "bart saved": lambda made, path: saved(
        byte_bpe(t.BartTokenizer, made.roberta, mask_token=strip()),
        path,
        config__json={"model_type": "bart"},
    ),
    "bart, two files": lambda made, path: write(
        path, config__json={"model_type": "bart"}, **two_files(made.roberta)
    ),
    "gpt2 saved": lambda made, path: saved(byte_bpe(t.GPT2Tokenizer, made.gpt2), path),
    "gpt2, two files": lambda made, path: write(
        path, config__json={"model_type": "gpt2"}, **two_files(made.gpt2)
    ),
    "gpt2, two files, prefix space": lambda made, path: write(
        path,
        tokenizer_config__json={"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True},
        **two_files(made.gpt2),
    ),
    "gpt2, an old tokenizer.json and a token to pad": lambda made, path: write(
        path,
        config__json={"model_type": "gpt2"},
        tokenizer_config__json={"pad_token": "[PAD]"},
        tokenizer__json=normalized(spec(made.gpt2, old=True, more=["[PAD]"])),
    ),
}
