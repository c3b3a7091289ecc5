"""The files of a directory to a `WordPiece`."""

from typing import Any

from tokenizers import pre_tokenizers

from keras_lm.tokenizers.directory import Directory
from keras_lm.tokenizers.directory_tokens import check_tokens
from keras_lm.tokenizers.wordpiece import (
    MAX_WORD_LENGTH,
    PREFIX,
    SPECIAL_TOKENS,
    WordPiece,
    read_vocabulary,
)


def wordpiece(files: Directory, special_tokens: str) -> WordPiece:
    """Makes the tokenizer; see `load`.

    Raises:
        ValueError: see `load`.
    """
    model: dict[str, Any] = {}
    normalizer: dict[str, Any] = {}
    if files.spec is None:
        vocab = read_vocabulary(files.path / "vocab.txt")
        lowercase = _lowercase(files, vocab)
    else:
        model, normalizer = files.spec["model"], files.spec["normalizer"]
        vocab = model["vocab"]
        lowercase = files.setting("do_lower_case", True, normalizer["lowercase"])
    tokens = files.in_order(vocab)
    check_tokens(files.path, files.tokens, normalizes=True, strips=None)
    _refuse_words(files, vocab)
    roles: dict[str, Any] = {
        f"{role}_token": files.role(f"{role}_token", token)
        for role, token in zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL_TOKENS, strict=True)
    }
    without = [name for name in ("unk_token", "cls_token", "sep_token") if roles[name] is None]
    if without:
        raise ValueError(
            "A WordPiece must have an unk_token, a cls_token and a sep_token. "
            f"Received: {str(files.path)!r} without {', '.join(without)}"
        )
    end_token = files.roles.get("eos_token")
    if end_token is None and files.is_causal:
        id_ = files.config.get("eos_token_id")
        is_known = isinstance(id_, int) and 0 <= id_ < len(tokens)
        end_token = tokens[int(id_ or 0)] if is_known else roles["sep_token"]
    return WordPiece(
        tokens,
        bool(lowercase),
        special_tokens=special_tokens,
        strip_accents=files.setting("strip_accents", None, normalizer.get("strip_accents")),
        chinese=files.setting(
            "tokenize_chinese_chars", True, normalizer.get("handle_chinese_chars")
        ),
        max_word_length=_fixed(files, model, "max_input_chars_per_word", MAX_WORD_LENGTH),
        continuing_prefix=_fixed(files, model, "continuing_subword_prefix", PREFIX),
        end_token=end_token,
        extra_special_tokens=files.others(*roles.values(), end_token),
        clean_up_spaces=bool(files.settings.get("clean_up_tokenization_spaces")),
        **roles,
    )


def _lowercase(files: Directory, vocab: dict[str, int]) -> bool:
    said = files.settings.get("do_lower_case")
    if said is not None:
        return said
    # An uncased vocabulary has no capital outside of `[...]`.
    cased = any("A" <= token.removeprefix(PREFIX)[:1] <= "Z" for token in vocab)
    if cased and files.family is not None:
        raise ValueError(
            "tokenizer_config.json must say do_lower_case where vocab.txt has capitals: "
            "Transformers takes true otherwise, and never finds them. "
            f"Received: {str(files.path)!r}"
        )
    return not cased


def _fixed(files: Directory, model: dict[str, Any], name: str, default: Any) -> Any:
    """A value of tokenizer.json that Transformers' classes do not read."""
    value = model.get(name, default)
    if files.family is not None and value != default:
        raise ValueError(
            f"{name} must be {default!r} in tokenizer.json, as Transformers' BertTokenizer takes "
            f"it whatever stands there. Received: {str(files.path)!r} with {value!r}"
        )
    return value


def _refuse_words(files: Directory, vocab: dict[str, int]) -> None:
    """Refuses added tokens that would be found as words, for we have one vocabulary for both."""
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = [token for token in files.ids if token not in vocab and len(split(token)) == 1]
    if words:
        raise ValueError(
            "An added token that the vocabulary lacks must not be a word; [ENTITY] is none. "
            f"Received: {str(files.path)!r} with {', '.join(words[:10])}"
        )
