"""The special tokens that a directory names, merged from its files as Transformers 5 merges them.

A class has tokens of its own for its roles; tokenizer_config.json overrides them, and so does
special_tokens_map.json where the former has no `added_tokens_decoder`. How a token is looked for in
a text is said there, or in tokenizer.json, or in added_tokens.json.
"""

import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken

from keras_lm.tokenizers.json_files import read_object

_ROLES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_ATTRIBUTES = {"content", "single_word", "lstrip", "rstrip", "normalized", "special"}
# What the classes take where a directory names no token.
_DEFAULTS: dict[str | None, dict[str, str]] = {
    "bert": {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    },
    "roberta": {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "cls_token": "<s>",
        "mask_token": "<mask>",
    },
    "gpt2": dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
    None: {},
}


def read_tokens(
    path: pathlib.Path,
    kind: str,
    family: str | None,
    settings: dict[str, Any],
    spec: dict[str, Any] | None,
) -> tuple[dict[str, str | None], dict[str, AddedToken], dict[str, int]]:
    """Roles, tokens and ids; see `Directory`.

    Args:
        path: the directory.
        kind: "WordPiece" or "BPE".
        family: whose roles are taken where none is named.
        settings: tokenizer_config.json.
        spec: tokenizer.json, or None.

    Raises:
        ValueError: a file that is no JSON object, or a token that is none.
    """
    named, extra = _named(path, settings)
    explicit = {token.content for token in [*named.values(), *extra] if token is not None}
    tokens, ids = {}, {}
    stated = _stated(path, family, settings, spec, explicit)
    for id_, token in sorted(stated, key=lambda pair: pair[0]):
        tokens[token.content], ids[token.content] = token, id_
    defaults = {role: _token(path, token) for role, token in _DEFAULTS[family].items()}
    roles = {**defaults, **named}
    in_roles = [token for token in roles.values() if token is not None]
    tokens |= _described(path, kind, [x for x in (*in_roles, *extra) if x.content not in ids])
    for token in in_roles:
        tokens[token.content].special = True
    contents = {role: None if token is None else token.content for role, token in roles.items()}
    return contents, tokens, ids


def _named(
    path: pathlib.Path, settings: dict[str, Any]
) -> tuple[dict[str, AddedToken | None], list[AddedToken]]:
    """The tokens that the files name: those of roles, None for none, and those besides."""
    in_map: dict[str, Any] = {}
    if "added_tokens_decoder" not in settings:
        in_map = read_object(path / "special_tokens_map.json") or {}
    said = dict(settings)
    for name, value in in_map.items():
        said[name] = {**value, "special": True} if isinstance(value, dict) else value
    roles = {
        role: None if said[role] is None else _token(path, said[role])
        for role in _ROLES
        if role in said
    }
    extra = [
        value
        for name, value in said.items()
        if name.endswith("_token") and name not in _ROLES and isinstance(value, str)
    ]
    extra += _listed(path, settings) or []
    if "extra_special_tokens" in in_map or _listed(path, settings) is None:
        extra += _listed(path, in_map) or []
    return roles, [_token(path, token) for token in extra]


def _listed(path: pathlib.Path, content: dict[str, Any]) -> list[Any] | None:
    """The special tokens without a role of one file, None where it does not say."""
    names = ("extra_special_tokens", "additional_special_tokens")  # Transformers 5's and 4's
    if not any(name in content for name in names):
        return None
    value: Any = next(filter(None, map(content.get, names)), [])
    if not isinstance(value, list | dict):
        raise ValueError(
            f"Special tokens must be a list or an object. Received: {str(path)!r} with {value!r}"
        )
    return list(value.values()) if isinstance(value, dict) else value


def _described(path: pathlib.Path, kind: str, found: list[AddedToken]) -> dict[str, AddedToken]:
    """Tokens by content; one that has several roles must be looked for in one way."""
    tokens: dict[str, AddedToken] = {}
    for token in found:
        before = tokens.setdefault(token.content, token)
        if _manner(kind, token) != _manner(kind, before):
            raise ValueError(
                "A token must be looked for in one way, whatever its roles. "
                f"Received: {str(path)!r} with {before!r} and {token!r}"
            )
    return tokens


def _manner(kind: str, token: AddedToken) -> tuple[bool, ...]:
    is_normalized = kind == "WordPiece" and token.normalized  # bytes never are
    return token.lstrip, token.rstrip, token.single_word, is_normalized


def _stated(
    path: pathlib.Path,
    family: str | None,
    settings: dict[str, Any],
    spec: dict[str, Any] | None,
    explicit: set[str],
) -> list[tuple[int, AddedToken]]:
    """The added tokens that the files number."""
    in_spec = []
    for token in spec["added_tokens"] if spec else []:
        attributes = {name: value for name, value in token.items() if name != "id"}
        in_spec.append((token["id"], _token(path, attributes)))
    if "added_tokens_decoder" in settings:
        decoder = dict(settings["added_tokens_decoder"])
        stated = [(_id(path, id_), _token(path, token)) for id_, token in decoder.items()]
        return [*in_spec, *stated] if family is None else stated
    file = read_object(path / "added_tokens.json") or {}
    stated = [
        (_id(path, id_), AddedToken(content, special=content in explicit))
        for content, id_ in file.items()
    ]
    return [*stated, *in_spec]


def _id(path: pathlib.Path, id_: Any) -> int:
    if not str(id_).isdecimal():
        raise ValueError(f"An id must be a number. Received: {str(path)!r} with {id_!r}")
    return int(id_)


def _token(path: pathlib.Path, token: Any) -> AddedToken:
    if isinstance(token, str) and token:
        return AddedToken(token, special=True)
    if isinstance(token, dict) and isinstance(token.get("content"), str) and token["content"]:
        attributes = {name: value for name, value in token.items() if name != "__type"}
        if not set(attributes) - _ATTRIBUTES:
            return AddedToken(**attributes)
    raise ValueError(
        f"A token must be a string with something in it. Received: {str(path)!r} with {token!r}"
    )


def check_tokens(
    path: pathlib.Path, tokens: Mapping[str, AddedToken], *, normalizes: bool, strips: str | None
) -> None:
    """Refuses added tokens that the graph would read otherwise.

    Args:
        path: the directory, for the message.
        tokens: by content.
        normalizes: whether text is normalized.
        strips: the token that may take the whitespace before it along, or None.

    Raises:
        ValueError: there is such a token.
    """
    for content, token in tokens.items():
        if (
            not token.special
            or token.single_word
            or token.rstrip
            or (token.lstrip and content != strips)
            or (token.normalized and normalizes)
        ):
            raise ValueError(
                "Added tokens must be special, not normalized and not single_word, and but for the "
                f"mask of byte-level BPE not strip. Received: {content} in {str(path)!r}, {token!r}"
            )
    # Where nothing normalizes, the two sorts differ in which is looked for first.
    if len({token.normalized for token in tokens.values()}) == 2:
        for first, second in itertools.product(tokens, repeat=2):
            meets = any(second.startswith(first[-n:]) for n in range(1, len(first)))
            if meets or (first != second and first in second) or first != first.strip():
                raise ValueError(
                    "Added tokens of which some are normalized must not overlap. "
                    f"Received: {first} and {second} in {str(path)!r}"
                )
