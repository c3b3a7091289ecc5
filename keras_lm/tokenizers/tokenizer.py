"""What both kinds of tokenizer share: one vocabulary, read by two engines.

On the host the `tokenizers` library does the work; in the graph core TensorFlow operations do. The
library is the reference, and the tests hold the graph to it, id by id.

B batch, T length, V vocabulary.
"""

import abc
import functools
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tokenizers

from keras_lm.tokenizers import packing, writing
from keras_lm.tokenizers.characters import vector
from keras_lm.tokenizers.constants import constant
from keras_lm.tokenizers.special_tokens import SpecialTokens
from keras_lm.tokenizers.word_places import WordTokens

Tensor = Any

# Hugging Face's names of the roles.
HUGGING_FACE_NAMES = {
    "pad_token": "pad_token",
    "unk_token": "unk_token",
    "cls_token": "cls_token",
    "sep_token": "sep_token",
    "mask_token": "mask_token",
    "end_token": "eos_token",
}


class Tokenizer(abc.ABC):
    """Text to ids and back, on the host and in the graph. Abstract.

    Invalid UTF-8 is read as Python's `decode("utf-8", "replace")` reads it, everywhere.

    A concrete class builds `host`, calls this constructor, gives `host` the post-processor that
    adds the special tokens, and adds what is abstract here.

    Args:
        host: the library's engine, without special tokens, truncation and padding.
        special_tokens: "text": a literal "[SEP]" in a text is text. "parse": it is the special
            token, the library's default.
        pad_token: the token of each role, or None. Each must be in the vocabulary; one token may
            have several roles.
        unk_token: see `pad_token`.
        cls_token: see `pad_token`.
        sep_token: see `pad_token`.
        mask_token: see `pad_token`.
        end_token: see `pad_token`.
        extra_special_tokens: tokens of the vocabulary that are special and have no role.
        mask_lstrip: whether a parsed mask takes the whitespace before it along.

    Attributes:
        host: `tokenizers.Tokenizer`.
        special_tokens: "text" or "parse".
        extra_special_tokens: tuple of strings.
        tokens: list of strings, id to token.
        vocab_size: V.
        special_ids: the ids of all special tokens, ascending.
        pad_id: int, or None; and so `unk_id`, `cls_id`, `sep_id`, `mask_id`, `end_id`.
        token_bytes: what each id adds to the end of a text, list of V bytes.
        continues_word: bool `(V,)`, True for the tokens that go on with a word.
        has_segments: whether `pack` tells the two texts of a pair apart.

    Raises:
        ValueError: an unknown value of `special_tokens`, a special token that the vocabulary lacks,
            or a vocabulary with holes.
    """

    # What `pack` makes beyond `[cls] a [sep] b [sep]`.
    _separators_between = 1
    has_segments = False

    def __init__(
        self,
        host: tokenizers.Tokenizer,
        *,
        special_tokens: str = "text",
        pad_token: str | None = None,
        unk_token: str | None = None,
        cls_token: str | None = None,
        sep_token: str | None = None,
        mask_token: str | None = None,
        end_token: str | None = None,
        extra_special_tokens: Iterable[str] = (),
        mask_lstrip: bool = False,
    ):
        if special_tokens not in ("text", "parse"):
            raise ValueError(
                'special_tokens must be "text" or "parse". '
                f"Received: special_tokens={special_tokens!r}"
            )
        self._roles = {
            "pad_token": pad_token,
            "unk_token": unk_token,
            "cls_token": cls_token,
            "sep_token": sep_token,
            "mask_token": mask_token,
            "end_token": end_token,
        }
        self.extra_special_tokens = tuple(extra_special_tokens)
        self.host = host
        self.special_tokens = special_tokens
        self._ids: dict[str, int] = host.get_vocab()
        self.tokens: list[str] = sorted(self._ids, key=self._ids.__getitem__)
        self.vocab_size = len(self.tokens)
        if [self._ids[token] for token in self.tokens] != list(range(self.vocab_size)):
            raise ValueError(
                "The ids of a vocabulary must be 0 .. V-1, each once. "
                f"Received: {self.vocab_size} tokens, ids up to {max(self._ids.values())}"
            )
        named = list(dict.fromkeys([*filter(None, self._roles.values()), *extra_special_tokens]))
        missing = [token for token in named if token not in self._ids]
        if missing:
            raise ValueError(
                f"A vocabulary must have {', '.join(named)}. "
                f"Received: {self.vocab_size} tokens without {', '.join(missing)}"
            )
        host.add_special_tokens(
            [
                tokenizers.AddedToken(
                    token, special=True, lstrip=mask_lstrip and token == mask_token
                )
                for token in named
            ]
        )
        host.encode_special_tokens = special_tokens == "text"
        self._added = dict(sorted(host.get_added_tokens_decoder().items()))
        self.special_ids = tuple(self._added)
        ids = {name: self._ids[token] for name, token in self._roles.items() if token is not None}
        self.pad_id = ids.get("pad_token")
        self.unk_id = ids.get("unk_token")
        self.cls_id = ids.get("cls_token")
        self.sep_id = ids.get("sep_token")
        self.mask_id = ids.get("mask_token")
        self.end_id = ids.get("end_token")

    def id(self, token: str) -> int:
        """The id of a token; raises ValueError where the vocabulary has none."""
        if token not in self._ids:
            raise ValueError(f"A token must be in the vocabulary. Received: {token!r}")
        return self._ids[token]

    # On the host.

    def encode(
        self, text: str | bytes, pair: str | bytes | None = None, *, add_special_tokens: bool = True
    ) -> list[int]:
        """Ids of a text or a pair, as the `tokenizers` library gives them.

        Args:
            text: str, or bytes in UTF-8.
            pair: a second text, or None.
            add_special_tokens: whether `[CLS]` and the like are added, where the kind has them.
        """
        second = None if pair is None else _text(pair)
        return self.host.encode(_text(text), second, add_special_tokens=add_special_tokens).ids

    def encode_batch(
        self, texts: Iterable[str | bytes], *, add_special_tokens: bool = False
    ) -> list[list[int]]:
        """Ids of many texts, on the library's threads."""
        if isinstance(texts, str | bytes):
            raise TypeError(f"encode_batch takes many texts. Received: one, {texts!r:.80}")
        batch = [_text(text) for text in texts]
        encodings = self.host.encode_batch_fast(batch, add_special_tokens=add_special_tokens)
        return [encoding.ids for encoding in encodings]

    def decode(
        self, ids: Sequence[int], skip_special_tokens: bool = True, *, continues: bool = False
    ) -> str:
        """The text of ids.

        Args:
            ids: integers; those outside of the vocabulary, such as a padding of -1, are skipped.
            skip_special_tokens: whether special tokens leave no text.
            continues: whether the text goes on with another one, so that a first word of WordPiece
                brings its space along.
        """
        known = [id_ for id_ in np.asarray(ids, np.int64).tolist() if 0 <= id_ < self.vocab_size]
        return self._decode(known, skip_special_tokens, continues)

    def _decode(self, ids: list[int], skip_special_tokens: bool, continues: bool) -> str:
        return self.host.decode(ids, skip_special_tokens=skip_special_tokens)

    # In the graph. No Python statement there looks at a tensor: AutoGraph has nothing to convert,
    # and looking for it would take most of the time of a trace.

    @tf.autograph.experimental.do_not_convert
    def tokenize(self, strings: Tensor) -> Tensor:
        """Ids of texts, in the graph, without special tokens added.

        Args:
            strings: string `(B,)`.

        Returns:
            int32 RaggedTensor `(B, None)`: row by row what `encode` gives without special tokens.

        Raises:
            ValueError: `strings` is not a vector.
        """
        strings = vector(strings)
        if tf.executing_eagerly():
            return self._traced(strings)  # one operation at a time takes 50 times as long
        return self._read(strings)

    @tf.autograph.experimental.do_not_convert
    def tokenize_words(self, strings: Tensor) -> WordTokens:
        """Ids of texts `(B,)` and where their words, BERT's, stand, in the graph: `WordTokens`.

        Special tokens in texts are text. Raises ValueError where a byte has no token.
        """
        strings = vector(strings)
        if tf.executing_eagerly():
            return self._traced_words(strings)
        return self._tokenize_words(strings)

    def _read(self, strings: Tensor) -> Tensor:
        if self.special_tokens == "parse":
            return self._special.tokenize(strings, self._tokenize)
        return self._tokenize(strings)

    @functools.cached_property
    def _traced(self) -> Any:
        signature = [tf.TensorSpec([None], tf.string)]
        return tf.function(self._read, input_signature=signature, autograph=False)

    @functools.cached_property
    def _traced_words(self) -> Any:
        signature = [tf.TensorSpec([None], tf.string)]
        return tf.function(self._tokenize_words, input_signature=signature, autograph=False)

    @tf.autograph.experimental.do_not_convert
    def detokenize(
        self, ids: Tensor, skip_special_tokens: bool = True, *, continues: Tensor = False
    ) -> Tensor:
        """Texts of ids, in the graph.

        Args:
            ids: integers `(B, T)`, dense or a RaggedTensor. Ids outside of the vocabulary, such as
                a padding of -1, are skipped.
            skip_special_tokens: whether special tokens leave no text.
            continues: see `decode`; bool, or bool `(B,)`.

        Returns:
            string `(B,)`: row by row what `decode` gives.
        """
        ids = packing.ragged(ids)
        id_N = ids.flat_values
        inside_N = (id_N >= 0) & (id_N < self.vocab_size)
        if skip_special_tokens:
            special_N = tf.gather(self._is_special_V, tf.where(inside_N, id_N, 0))
            inside_N &= ~special_N
        kept = tf.where(inside_N)[:, 0]
        known = tf.RaggedTensor.from_value_rowids(
            tf.gather(id_N, kept),
            tf.gather(ids.value_rowids(), kept),
            nrows=ids.nrows(),
            validate=False,
        )
        return self._detokenize(known, tf.convert_to_tensor(continues, tf.bool))

    @tf.autograph.experimental.do_not_convert
    def pack(self, first: Tensor, second: Tensor | None = None, *, max_length: int) -> dict:
        """Ids of texts, or of pairs, to the dense rows that a model takes, in the graph.

        The special tokens stand where `encode` puts them.

        Args:
            first: RaggedTensor of integers `(B, None)`, as `tokenize` gives it.
            second: the same, or None.
            max_length: T. Longer texts lose their end; of pairs the longer text first.

        Returns:
            `token_ids` int32 `(B, T)` and `padding_mask` bool `(B, T)`; of WordPiece also
            `segment_ids` int32 `(B, T)`.

        Raises:
            ValueError: a pair for a tokenizer that has no separator, or a `max_length` with no room
                for the special tokens.
        """
        return packing.pack(
            first,
            second,
            max_length=max_length,
            start_id=self.cls_id,
            separator_id=self.sep_id,
            pad_id=0 if self.pad_id is None else self.pad_id,
            separators_between=self._separators_between,
            segments=self.has_segments,
        )

    @functools.cached_property
    def _special(self) -> SpecialTokens:
        return SpecialTokens(list(self._added.values()), list(self._added))

    @functools.cached_property
    def _is_special_V(self) -> Tensor:  # noqa: N802
        return constant(np.isin(np.arange(self.vocab_size), self.special_ids))

    @property
    @abc.abstractmethod
    def token_bytes(self) -> list[bytes]:
        """What each id adds to the end of a text."""

    @property
    @abc.abstractmethod
    def continues_word(self) -> np.ndarray:
        """Bool `(V,)`, True for the tokens that go on with a word; special tokens never do."""

    @abc.abstractmethod
    def _tokenize(self, strings: Tensor) -> Tensor:
        """Strings `(B,)` to an int32 RaggedTensor `(B, None)`; special tokens are text here."""

    @abc.abstractmethod
    def _tokenize_words(self, strings: Tensor) -> WordTokens:
        """Strings `(B,)` to their tokens and words; special tokens are text here."""

    @abc.abstractmethod
    def _detokenize(self, ids: Tensor, continues: Tensor) -> Tensor:
        """An int32 RaggedTensor `(B, None)` of ids of the vocabulary to strings `(B,)`."""

    # Files.

    def save(self, directory: str | os.PathLike, *, tokenizer_class: str | None = None) -> None:
        """Writes the files that Hugging Face's libraries and `load` read.

        Each file is written whole or not at all. The directory is made where it is missing.

        Args:
            directory: where to write.
            tokenizer_class: the class that Transformers shall open them with, such as
                "DistilBertTokenizer" or "BartTokenizer". None: the one that fits most models.

        Raises:
            ValueError: a class that would make another tokenizer of the files.
        """
        classes, settings = self._transformers()
        if tokenizer_class is not None and tokenizer_class not in classes:
            raise ValueError(
                f"tokenizer_class must be one of {', '.join(classes)} for this tokenizer. "
                f"Received: tokenizer_class={tokenizer_class!r}"
            )
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        config = {
            "tokenizer_class": tokenizer_class or classes[0],
            # A null, too, tells: a class has tokens of its own for roles that are not named.
            **{HUGGING_FACE_NAMES[name]: token for name, token in self._roles.items()},
            **settings,
            "split_special_tokens": self.special_tokens == "text",
        }
        if self.extra_special_tokens:
            config["additional_special_tokens"] = list(self.extra_special_tokens)
        files = {
            **self._vocabulary_files(),
            "tokenizer.json": self.host.to_str(pretty=True),
            "tokenizer_config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n",
        }
        for name, content in files.items():
            writing.write(directory / name, content)

    @abc.abstractmethod
    def _vocabulary_files(self) -> dict[str, str]:
        """The vocabulary in the kind's own files: name to content."""

    @abc.abstractmethod
    def _transformers(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Transformers' classes that make this tokenizer, and their settings but for the roles."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, the vocabulary included, as JSON can hold them."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Tokenizer":
        """The tokenizer that `get_config` described; an unknown key raises TypeError."""
        return cls(**config)


def _text(text: str | bytes) -> str:
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    if not isinstance(text, str):
        raise TypeError(f"A text must be str or bytes. Received: {type(text).__name__}")
    return text
