"""Byte-level byte-pair encoding as GPT-2 uses it (Radford et al. 2019).

V vocabulary.
"""

import functools
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from keras_lm.tokenizers import byte_pair_graph
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any
Merge = tuple[str, str]

_VERSION = "#version"


@keras.saving.register_keras_serializable("keras_lm")
class ByteBPE(Tokenizer):
    """GPT-2's tokenizer: words as bytes, merged by rank. Any text comes back as it was.

    Tokens are spelled as in GPT-2's files, with a printable letter for each byte. A byte without a
    token of its own vanishes from the text without a word, as in the `tokenizers` library; a
    vocabulary that `train_byte_bpe` makes has all 256.

    Args:
        vocab: path of a vocab.json, or a dict, token to id.
        merges: path of a merges.txt, or a list of merges by rank, each "first second" or a pair.
        special_tokens: "text": a literal "<|endoftext|>" in a text is text. "parse": it is the
            token.
        end_token: the token that ends a document. It also pads.

    Attributes:
        token_bytes: what each id stands for, list of V bytes. A token may hold part of a character.

    Raises:
        ValueError: a file or a merge that cannot be read, a merge whose tokens or result are not in
            the vocabulary, a vocabulary with holes or without the end token, or an unknown
            value of `special_tokens`.
    """

    def __init__(
        self,
        vocab: str | os.PathLike | Mapping[str, int],
        merges: str | os.PathLike | Sequence[str | Sequence[str]],
        *,
        special_tokens: str = "text",
        end_token: str = "<|endoftext|>",
    ):
        ids = _vocabulary(vocab)
        self.merges: list[Merge] = _merges(merges)
        self._merge_ids = byte_pair_graph.merge_ids(self.merges, ids)
        if end_token not in ids:
            raise ValueError(
                "The end token must be in the vocabulary. "
                f"Received: end_token={end_token!r}, {len(ids)} tokens without it"
            )
        host = tokenizers.Tokenizer(models.BPE(ids, self.merges))
        host.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        host.decoder = decoders.ByteLevel()
        host.post_processor = processors.ByteLevel(trim_offsets=False)
        host.add_special_tokens([tokenizers.AddedToken(end_token, special=True)])
        super().__init__(
            host, special_tokens=special_tokens, pad_token=end_token, end_token=end_token
        )

    @functools.cached_property
    def token_bytes(self) -> list[bytes]:
        """What each id stands for."""
        return byte_pair_graph.token_bytes(self.tokens)

    @functools.cached_property
    def _graph(self) -> byte_pair_graph.BytePairGraph:
        return byte_pair_graph.BytePairGraph(self.tokens, self._merge_ids, self.host.model)

    # Nothing here is for AutoGraph, and looking for it would take seconds of the first call.
    @tf.autograph.experimental.do_not_convert
    def _tokenize(self, strings: Tensor) -> Tensor:
        return self._graph.tokenize(strings)

    @tf.autograph.experimental.do_not_convert
    def _detokenize(self, ids: Tensor) -> Tensor:
        return self._graph.detokenize(ids)

    def _vocabulary_files(self) -> dict[str, str]:
        vocab = json.dumps(self._vocab(), ensure_ascii=False)
        lines = [f"{_VERSION}: 0.2", *(f"{first} {second}" for first, second in self.merges)]
        return {"vocab.json": vocab, "merges.txt": "\n".join(lines) + "\n"}

    def _hugging_face_config(self) -> dict[str, Any]:
        return {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False}

    def _vocab(self) -> dict[str, int]:
        return {token: id_ for id_, token in enumerate(self.tokens)}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, the vocabulary as a dict and the merges as a list."""
        return {
            "vocab": self._vocab(),
            "merges": [f"{first} {second}" for first, second in self.merges],
            "special_tokens": self.special_tokens,
            "end_token": self._roles["end_token"],
        }


def _vocabulary(vocab: str | os.PathLike | Mapping[str, int]) -> dict[str, int]:
    if not isinstance(vocab, str | os.PathLike):
        return dict(vocab)
    try:
        ids = json.loads(pathlib.Path(vocab).read_text("utf-8"))
    except ValueError as error:  # also what is not UTF-8
        raise ValueError(
            f"A vocabulary file must be JSON in UTF-8. Received: {os.fspath(vocab)!r}, {error}"
        ) from error
    if not isinstance(ids, dict):
        raise ValueError(
            "A vocabulary file must hold one object, token to id. "
            f"Received: {os.fspath(vocab)!r} with a {type(ids).__name__}"
        )
    return ids


def _merges(merges: str | os.PathLike | Sequence[str | Sequence[str]]) -> list[Merge]:
    where = "merge"
    if isinstance(merges, str | os.PathLike):
        where = f"{os.fspath(merges)!r}, line"
        # Not splitlines: a letter may be a character that Python takes for the end of a line.
        lines = pathlib.Path(merges).read_text("utf-8").split("\n")
        merges = [line.removesuffix("\r") for line in lines]
        if not merges[-1]:
            merges.pop()
    pairs = []
    for number, merge in enumerate(merges, 1):
        if isinstance(merge, str):
            if merge.startswith(_VERSION):
                continue
            merge = merge.split(" ")
        if len(merge) != 2 or not all(merge):
            raise ValueError(
                "A merge must be two tokens with one space between them. "
                f"Received: {where} {number}, {' '.join(merge)!r}"
            )
        pairs.append((merge[0], merge[1]))
    return pairs
