"""Reads a tokenizer from the files that Hugging Face's libraries write."""

import json
import os
import pathlib
from typing import Any

import tokenizers

from keras_lm.tokenizers.byte_bpe import ByteBPE
from keras_lm.tokenizers.tokenizer import Tokenizer
from keras_lm.tokenizers.wordpiece import SPECIAL_TOKENS, WordPiece

# Texts that tell apart what the files may ask for: case, accents, spaces, Chinese, pairs.
_SAMPLES = ("Héllo  WORLD,\x0b it's\n1234.\ufeff", " naïve 的日 İ\u0301 unaffable" + "x" * 120, "")
_END_TOKEN = "<|endoftext|>"
# Settings of the library's BPE that GPT-2 does not have.
_NO_BPE = (
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)


def load(directory: str | os.PathLike, *, special_tokens: str = "parse") -> Tokenizer:
    """The tokenizer of a directory: tokenizer.json, else vocab.txt, else vocab.json and merges.txt.

    Args:
        directory: where the files are.
        special_tokens: "parse": a literal "[SEP]" in a text is the special token. "text": it is
            text.

    Raises:
        FileNotFoundError: a directory that does not exist, or has none of these files.
        ValueError: a kind of tokenizer, or a setting of it, that is not supported.
    """
    directory = pathlib.Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"A tokenizer's directory must exist. Received: {str(directory)!r}")
    config = _json(directory / "tokenizer_config.json")
    if (directory / "tokenizer.json").is_file():
        return _from_tokenizer_json(directory / "tokenizer.json", config, special_tokens)
    if (directory / "vocab.txt").is_file():
        return _from_vocab_txt(directory / "vocab.txt", config, special_tokens)
    if (directory / "vocab.json").is_file() and (directory / "merges.txt").is_file():
        return ByteBPE(
            directory / "vocab.json",
            directory / "merges.txt",
            special_tokens=special_tokens,
            end_token=_named(config, "eos_token") or _END_TOKEN,
        )
    raise FileNotFoundError(
        "A tokenizer's directory must have tokenizer.json, vocab.txt, or vocab.json and merges.txt."
        f" Received: {str(directory)!r} with {sorted(os.listdir(directory))}"
    )


def _json(path: pathlib.Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _named(config: dict[str, Any], role: str) -> str | None:
    token = config.get(role)
    return token["content"] if isinstance(token, dict) else token


def _from_vocab_txt(path: pathlib.Path, config: dict[str, Any], special_tokens: str) -> WordPiece:
    lowercase = config.get("do_lower_case")
    if lowercase is None:
        # Google's directories do not say. An uncased vocabulary has no capital outside of `[...]`.
        with path.open(encoding="utf-8", newline="\n") as file:
            lowercase = not any("A" <= line.removeprefix("##")[0] <= "Z" for line in file)
    return WordPiece(
        path,
        bool(lowercase),
        special_tokens=special_tokens,
        strip_accents=config.get("strip_accents"),
        chinese=config.get("tokenize_chinese_chars", True),
    )


def _from_tokenizer_json(
    path: pathlib.Path, config: dict[str, Any], special_tokens: str
) -> Tokenizer:
    spec = _json(path)
    model = spec.get("model") or {}
    kind = model.get("type", "a model without a type")
    parts = {part: (spec.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer")}
    if (kind, *parts.values()) == ("WordPiece", "BertNormalizer", "BertPreTokenizer"):
        loaded: Tokenizer = _wordpiece(spec, special_tokens)
    elif (kind, *parts.values()) == ("BPE", None, "ByteLevel"):
        loaded = _byte_bpe(spec, config, special_tokens)
    else:
        raise ValueError(
            "A tokenizer.json must hold BERT's WordPiece or GPT-2's byte-level BPE. Received: "
            f"{str(path)!r} with model {kind}, normalizer {parts['normalizer']}, pre-tokenizer "
            f"{parts['pre_tokenizer']}"
        )
    _compare(path, loaded)
    return loaded


def _wordpiece(spec: dict[str, Any], special_tokens: str) -> WordPiece:
    model, normalizer = spec["model"], spec["normalizer"]
    _refuse_added_tokens(spec, SPECIAL_TOKENS)
    return WordPiece(
        _in_order(model["vocab"]),
        normalizer["lowercase"],
        special_tokens=special_tokens,
        strip_accents=normalizer.get("strip_accents"),
        chinese=normalizer["handle_chinese_chars"],
        max_word_length=model["max_input_chars_per_word"],
        continuing_prefix=model["continuing_subword_prefix"],
    )


def _byte_bpe(spec: dict[str, Any], config: dict[str, Any], special_tokens: str) -> ByteBPE:
    model = spec["model"]
    added = {token["content"]: token["id"] for token in spec.get("added_tokens", [])}
    settings = {name: model.get(name) for name in _NO_BPE if model.get(name)}
    if settings:
        raise ValueError(f"Byte-level BPE must be GPT-2's. Received: {settings}")
    only = next(iter(added)) if len(added) == 1 else _END_TOKEN
    end_token = _named(config, "eos_token") or only
    _refuse_added_tokens(spec, (end_token,))
    return ByteBPE(
        {**model["vocab"], **added},
        model["merges"],
        special_tokens=special_tokens,
        end_token=end_token,
    )


def _in_order(vocab: dict[str, int]) -> list[str]:
    tokens = sorted(vocab, key=vocab.__getitem__)
    if [vocab[token] for token in tokens] != list(range(len(tokens))):
        raise ValueError(
            "The ids of a vocabulary must be 0 .. V-1, each once. "
            f"Received: {len(tokens)} tokens, ids up to {max(vocab.values(), default=-1)}"
        )
    return tokens


def _refuse_added_tokens(spec: dict[str, Any], known: tuple[str, ...]) -> None:
    added = [token["content"] for token in spec.get("added_tokens", [])]
    unknown = [token for token in added if token not in known]
    if unknown:
        raise ValueError(
            f"Added tokens other than {', '.join(known)} are not supported. "
            f"Received: {', '.join(unknown[:10])}"
        )


def _compare(path: pathlib.Path, loaded: Tokenizer) -> None:
    """Holds what was made to what the file says: no setting is dropped in silence."""
    reference = tokenizers.Tokenizer.from_file(str(path))
    reference.no_padding()
    reference.no_truncation()
    reference.encode_special_tokens = loaded.special_tokens == "text"
    for text in (*_SAMPLES, " a ".join(loaded.tokens[id_] for id_ in loaded.special_ids)):
        for pair in (None, "b"):
            ours, theirs = loaded.encode(text, pair), reference.encode(text, pair).ids
            texts = loaded.decode(ours), reference.decode(theirs)
            if (ours, texts[0]) != (theirs, texts[1]):
                raise ValueError(
                    "A tokenizer.json must do what BERT's WordPiece or GPT-2's byte-level BPE does."
                    f" Received: {str(path)!r}, which makes {theirs} and then {texts[1]!r} of "
                    f"{text!r} and {pair!r}, not {ours} and {texts[0]!r}"
                )
