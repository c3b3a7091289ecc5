"""The files of a directory to a `ByteBPE`."""

from typing import Any

from keras_lm.tokenizers import byte_pair_files, byte_pair_graph
from keras_lm.tokenizers.byte_bpe import GPT2_TOKENS, ROBERTA_TOKENS, ByteBPE
from keras_lm.tokenizers.directory import Directory
from keras_lm.tokenizers.directory_tokens import check_tokens
from keras_lm.tokenizers.tokenizer import HUGGING_FACE_NAMES

# Settings of the library's BPE that GPT-2 and RoBERTa do not have.
_NO_BPE = (
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)


def byte_bpe(files: Directory, special_tokens: str) -> ByteBPE:
    """Makes the tokenizer; see `load`.

    Raises:
        ValueError: see `load`.
    """
    cls_token, sep_token, trim_offsets = _post_processor(files.spec or {})
    if files.spec is None:
        vocab = byte_pair_files.read_vocabulary(files.path / "vocab.json")
        merges: Any = files.path / "merges.txt"
        add_prefix_space = files.settings.get("add_prefix_space", False)
    else:
        model, splits = files.spec["model"], files.spec["pre_tokenizer"]
        vocab, merges = model["vocab"], model["merges"]
        _refuse_settings(files, model, splits)
        add_prefix_space = files.setting("add_prefix_space", False, splits["add_prefix_space"])
    roles = _roles(files, vocab, cls_token, sep_token)
    mask_token = roles["mask_token"]
    check_tokens(files.path, files.tokens, normalizes=False, strips=mask_token)
    return ByteBPE(
        {token: id_ for id_, token in enumerate(files.in_order(vocab))},
        merges,
        special_tokens=special_tokens,
        extra_special_tokens=files.others(*roles.values()),
        mask_lstrip=mask_token not in files.tokens or files.tokens[mask_token].lstrip,
        add_prefix_space=bool(add_prefix_space),
        trim_offsets=files.settings.get("trim_offsets", trim_offsets),
        **roles,
    )


def _roles(
    files: Directory, vocab: dict[str, int], cls_token: str | None, sep_token: str | None
) -> dict[str, Any]:
    """Tokens by the constructor's roles.

    Args:
        files: the directory.
        vocab: token to id.
        cls_token: what the post-processor of tokenizer.json puts before a row.
        sep_token: what it puts behind each text.
    """
    roles: dict[str, Any] = {
        ours: files.roles.get(theirs) for ours, theirs in HUGGING_FACE_NAMES.items()
    }
    if files.family is None and files.spec is None and not files.roles:
        # Files without any word about them.
        is_roberta = all(token in vocab for token in ROBERTA_TOKENS.values())
        return roles | (ROBERTA_TOKENS if is_roberta else GPT2_TOKENS)
    if files.family != "roberta":
        # The post-processor alone says what is added to a row.
        for role, token in (("cls_token", cls_token), ("sep_token", sep_token)):
            if None not in (token, roles[role]) and token != roles[role]:
                raise ValueError(
                    f"{role} must be the one that tokenizer.json adds to a row, {token}. "
                    f"Received: {str(files.path)!r} with {role}={roles[role]!r}"
                )
            roles[role] = token
    if files.family is None and cls_token is not None:
        for role in ("pad_token", "unk_token", "mask_token"):
            roles[role] = files.role(role, ROBERTA_TOKENS[role])
    if roles["end_token"] is None:
        only = next(iter(files.tokens)) if len(files.tokens) == 1 else GPT2_TOKENS["end_token"]
        roles["end_token"] = roles["sep_token"] or files.role("eos_token", only)
    if roles["end_token"] is None:
        raise ValueError(
            "A byte-level BPE must have an eos_token. "
            f"Received: {str(files.path)!r} without one among {', '.join(files.tokens) or 'none'}"
        )
    if roles["unk_token"] == roles["end_token"]:
        roles["unk_token"] = None  # GPT-2's: no byte is unknown
    return roles


def _refuse_settings(files: Directory, model: dict[str, Any], splits: dict[str, Any]) -> None:
    settings = {name: model[name] for name in _NO_BPE if model.get(name)}
    if splits.get("use_regex") is False:
        settings["use_regex"] = False
    if model.get("unk_token") and not set(byte_pair_graph.byte_letters()) <= set(model["vocab"]):
        settings["unk_token"] = model["unk_token"]  # there are bytes that it would stand for
    if settings:
        raise ValueError(
            f"Byte-level BPE must be GPT-2's. Received: {settings} in {str(files.path)!r}"
        )


def _post_processor(spec: dict[str, Any]) -> tuple[str | None, str | None, bool | None]:
    """What begins a row and what ends it, and whether offsets are trimmed."""
    whole = spec.get("post_processor") or {}
    cls_token, sep_token, trim_offsets = None, None, None
    for part in whole.get("processors", [whole]):
        trim_offsets = part.get("trim_offsets", trim_offsets)
        if part.get("type") == "RobertaProcessing":
            cls_token, sep_token = part["cls"][0], part["sep"][0]
        elif part.get("type") == "TemplateProcessing":
            single = part["single"]
            if "SpecialToken" in single[0] and "SpecialToken" in single[-1]:
                cls_token = single[0]["SpecialToken"]["id"]
                sep_token = single[-1]["SpecialToken"]["id"]
    return cls_token, sep_token, trim_offsets
