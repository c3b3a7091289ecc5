"""What a directory says of its tokenizer besides the vocabulary, read as Transformers 5 reads it.

Transformers picks a class by its name, else by the type of the model. The class has settings of its
own, which tokenizer_config.json overrides; of tokenizer.json it takes the vocabulary and the added
tokens alone. Without a class tokenizer.json holds everything.
"""

import json
import os
import pathlib
from typing import Any, NamedTuple

import tokenizers

from keras_lm.tokenizers.directory_tokens import read_tokens
from keras_lm.tokenizers.json_files import read_object

# Transformers' classes by name, without "Fast". None: tokenizer.json says everything.
_CLASSES = {
    "BertTokenizer": "bert",
    "DistilBertTokenizer": "bert",
    "ElectraTokenizer": "bert",
    "RobertaTokenizer": "roberta",
    "BartTokenizer": "roberta",
    "GPT2Tokenizer": "gpt2",
    "PreTrainedTokenizer": None,
    "TokenizersBackend": None,
}
_MODEL_TYPES = {
    "bert": "bert",
    "distilbert": "bert",
    "electra": "bert",
    "roberta": "roberta",
    "bart": "roberta",
    "gpt2": "gpt2",
}
_KINDS = {"bert": "WordPiece", "roberta": "BPE", "gpt2": "BPE", None: None}
# Settings that change what comes out, and the values that are supported.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "do_basic_tokenize": (True, None),
    "never_split": (None, []),
    "wordpieces_prefix": ("##", None),
    "errors": ("replace", None),
    "truncation_side": ("right", None),
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": (False, None),
}


class Directory(NamedTuple):
    """What the files around a vocabulary say.

    Attributes:
        path: the directory.
        kind: "WordPiece" or "BPE", whose files there are.
        family: "bert", "roberta" or "gpt2": which class of Transformers reads them. None: no class.
        settings: tokenizer_config.json.
        config: config.json.
        engine: what the library makes of tokenizer.json, or None.
        spec: tokenizer.json as the library writes it today, or None.
        roles: tokens by Transformers' role; None: the files say that there is none.
        tokens: all special and added tokens.
        ids: the ids that the files state for them.
    """

    path: pathlib.Path
    kind: str
    family: str | None
    settings: dict[str, Any]
    config: dict[str, Any]
    engine: tokenizers.Tokenizer | None
    spec: dict[str, Any] | None
    roles: dict[str, str | None]
    tokens: dict[str, tokenizers.AddedToken]
    ids: dict[str, int]

    def setting(self, name: str, default: Any, in_spec: Any) -> Any:
        """A setting as Transformers understands it.

        Args:
            name: as tokenizer_config.json has it.
            default: what Transformers' class takes where tokenizer_config.json does not say.
            in_spec: what tokenizer.json says.

        Raises:
            ValueError: Transformers takes its default although tokenizer.json says something else.
        """
        if self.family is None and self.spec is not None:
            return in_spec
        if name in self.settings:
            return self.settings[name]
        if self.spec is not None and in_spec != default:
            raise ValueError(
                f"tokenizer_config.json must say {name} where tokenizer.json differs from "
                f"{default!r}, which Transformers takes whatever the latter says. "
                f"Received: {str(self.path)!r} with {in_spec!r} in tokenizer.json"
            )
        return default

    def in_order(self, vocab: dict[str, int]) -> list[str]:
        """The tokens of a vocabulary and those added to it, by id.

        Raises:
            ValueError: ids with holes.
        """
        ids = {**self.ids, **vocab}
        tokens = sorted(ids, key=ids.__getitem__)
        if [ids[token] for token in tokens] != list(range(len(tokens))):
            raise ValueError(
                "The ids of a vocabulary must be 0 .. V-1, each once. "
                f"Received: {str(self.path)!r} with {len(tokens)} tokens, ids up to "
                f"{max(ids.values())}"
            )
        return tokens

    def role(self, name: str, default: str | None) -> str | None:
        """The token of a role.

        Args:
            name: Transformers' name.
            default: the token where the files name none. tokenizer.json must have it then.
        """
        if name in self.roles or (self.spec is not None and default not in self.tokens):
            return self.roles.get(name)
        return default

    def others(self, *roles: str | None) -> tuple[str, ...]:
        """The special tokens but for those given."""
        return tuple(token for token in self.tokens if token not in roles)

    @property
    def is_causal(self) -> bool:
        """Whether the model in the directory is one that goes on with texts."""
        names = [str(name) for name in self.config.get("architectures") or []]
        causal = any(name.endswith(("LMHeadModel", "ForCausalLM")) for name in names)
        return causal or "gpt" in str(self.config.get("model_type"))


def read(directory: str | os.PathLike) -> Directory:
    """Reads the files.

    Raises:
        FileNotFoundError: the directory does not exist, or has no tokenizer.
        ValueError: a file that is no JSON object, a class, a kind or a setting that is not
            supported, or a token that is none.
    """
    path = pathlib.Path(directory)
    if not path.is_dir():
        raise FileNotFoundError(f"A tokenizer's directory must exist. Received: {str(path)!r}")
    settings = read_object(path / "tokenizer_config.json") or {}
    config = read_object(path / "config.json") or {}
    engine = _engine(path / "tokenizer.json")
    # Old files leave much out.
    spec = None if engine is None else json.loads(engine.to_str())
    _refuse_settings(path, settings, spec)
    named = settings.get("tokenizer_class") or config.get("tokenizer_class")
    family = _family(path, named, config.get("model_type"))
    wanted = _KINDS[family]
    kind = _kind_of_files(path, wanted) if spec is None else _kind_of_spec(path, spec)
    if wanted not in (None, kind):
        if named is not None or family != "gpt2":
            raise ValueError(
                f"{named or config['model_type']} must have the files of a {wanted}. "
                f"Received: {str(path)!r} with those of a {kind}"
            )
        # A GPT-2 over BERT's vocabulary, which Transformers can't open without a class.
        family = None
    tokens = read_tokens(path, kind, family, settings, spec)
    return Directory(path, kind, family, settings, config, engine, spec, *tokens)


def _engine(path: pathlib.Path) -> tokenizers.Tokenizer | None:
    if read_object(path) is None:
        return None
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more special
        raise ValueError(
            f"A tokenizer.json must be of the tokenizers library. Received: {str(path)!r}: {error}"
        ) from error


def _refuse_settings(
    path: pathlib.Path, settings: dict[str, Any], spec: dict[str, Any] | None
) -> None:
    for name, supported in _SUPPORTED.items():
        if name in settings and settings[name] not in supported:
            raise ValueError(
                f"{name} must be {supported[0]} in tokenizer_config.json. "
                f"Received: {str(path)!r} with {name}={settings[name]!r}"
            )
    for name in ("add_bos_token", "add_eos_token"):
        if spec is None and settings.get(name):
            raise ValueError(
                f"{name} needs a tokenizer.json that says where. "
                f"Received: {str(path)!r} with {name}={settings[name]!r}"
            )


def _family(path: pathlib.Path, named: Any, model_type: Any) -> str | None:
    if named is None:
        return _MODEL_TYPES.get(model_type)
    name = str(named).removesuffix("Fast")
    if name not in _CLASSES:
        raise ValueError(
            f"tokenizer_class must be one of {', '.join(_CLASSES)}. "
            f"Received: {str(path)!r} with tokenizer_class={named!r}"
        )
    return _CLASSES[name]


def _kind_of_files(path: pathlib.Path, wanted: str | None) -> str:
    kinds = []
    if (path / "vocab.txt").is_file():
        kinds.append("WordPiece")
    if (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
        kinds.append("BPE")
    if not kinds:
        raise FileNotFoundError(
            "A tokenizer's directory must have tokenizer.json, vocab.txt, or vocab.json and "
            f"merges.txt. Received: {str(path)!r} with {sorted(os.listdir(path))}"
        )
    return wanted if wanted is not None and wanted in kinds else kinds[0]


def _kind_of_spec(path: pathlib.Path, spec: dict[str, Any]) -> str:
    kind = spec["model"]["type"]
    parts = [(spec[part] or {}).get("type") for part in ("normalizer", "pre_tokenizer")]
    if [kind, *parts] not in (
        ["WordPiece", "BertNormalizer", "BertPreTokenizer"],
        ["BPE", None, "ByteLevel"],
    ):
        raise ValueError(
            "A tokenizer.json must hold BERT's WordPiece or GPT-2's byte-level BPE. Received: "
            f"{str(path / 'tokenizer.json')!r} with model {kind}, normalizer {parts[0]}, "
            f"pre-tokenizer {parts[1]}"
        )
    return kind
