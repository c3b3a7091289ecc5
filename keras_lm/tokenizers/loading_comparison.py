"""Holds a loaded tokenizer to its tokenizer.json: no setting there is dropped in silence."""

from typing import Any

import tokenizers
from tokenizers import normalizers, pre_tokenizers

from keras_lm.tokenizers.directory import Directory
from keras_lm.tokenizers.tokenizer import Tokenizer

# Texts that tell apart what the files may ask for: case, accents, spaces, Chinese, pairs.
_SAMPLES = (
    "Héllo  WORLD,\x0b it's\n1234.\ufeff",
    " naïve 的日 İ\u0301 unaffable" + "x" * 120,
    "\tit 's. don't",
    "",
)


def compare(files: Directory, loaded: Tokenizer) -> None:
    """Compares ids and texts of samples, where there is a tokenizer.json.

    Raises:
        ValueError: tokenizer.json makes something else.
    """
    path = str(files.path / "tokenizer.json")
    reference = files.engine
    if reference is None:
        return
    reference.no_padding()
    reference.no_truncation()
    if files.family is not None:
        _override(reference, files, loaded)
    reference.add_tokens(list(loaded.host.get_added_tokens_decoder().values()))
    reference.encode_special_tokens = loaded.special_tokens == "text"
    specials = " a ".join(loaded.tokens[id_] for id_ in loaded.special_ids)
    for text in (*_SAMPLES, specials, specials.replace(" a ", "")):
        for pair in (None, "b"):
            ours, theirs = loaded.encode(text, pair), reference.encode(text, pair).ids
            texts = loaded.host.decode(ours), reference.decode(theirs)
            if (ours, texts[0]) != (theirs, texts[1]):
                raise ValueError(
                    "A tokenizer.json must do what BERT's WordPiece or GPT-2's and RoBERTa's "
                    f"byte-level BPE do. Received: {path!r}, which makes {theirs} and then "
                    f"{texts[1]!r} of {text!r} and {pair!r}, not {ours} and {texts[0]!r}"
                )


def _override(reference: tokenizers.Tokenizer, files: Directory, loaded: Tokenizer) -> None:
    """Gives the reference what Transformers' class gives it, whatever tokenizer.json says."""
    spec: dict[str, Any] = files.spec or {}
    host = loaded.host
    if files.kind == "WordPiece":
        reference.normalizer = normalizers.BertNormalizer(
            clean_text=spec["normalizer"]["clean_text"],
            handle_chinese_chars=host.normalizer.handle_chinese_chars,
            strip_accents=host.normalizer.strip_accents,
            lowercase=host.normalizer.lowercase,
        )
    else:
        reference.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=host.pre_tokenizer.add_prefix_space, use_regex=True
        )
    adds_nothing = (spec["post_processor"] or {}).get("type") in (None, "ByteLevel")
    if adds_nothing and files.family != "gpt2":
        reference.post_processor = host.post_processor
