"""Byte-level byte-pair encoding as GPT-2, RoBERTa and BART use it (Radford et al. 2019).

V vocabulary.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from keras_lm.tokenizers import byte_pair_files, byte_pair_graph
from keras_lm.tokenizers.bert_words import BertWords
from keras_lm.tokenizers.byte_pair_files import Merge
from keras_lm.tokenizers.tokenizer import Tokenizer
from keras_lm.tokenizers.word_places import WordTokens, spans_of, word_tokens

Tensor = Any

# The special tokens of each kind, as the constructor takes them.
GPT2_TOKENS: dict[str, Any] = {"end_token": "<|endoftext|>"}
ROBERTA_TOKENS: dict[str, Any] = {
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "end_token": "</s>",
}
_SPACES = " \t\n\v\f\r"


@keras.saving.register_keras_serializable("keras_lm")
class ByteBPE(Tokenizer):
    """GPT-2's tokenizer: words as bytes, merged by rank. Any text comes back as it was.

    RoBERTa and BART have the same and special tokens besides: `ByteBPE(vocab, merges,
    **ROBERTA_TOKENS)`. With a `cls_token` and a `sep_token` rows are `<s> a </s>` and `<s> a </s>
    </s> b </s>` (Liu et al. 2019, arXiv:1907.11692); without them nothing is added.

    Tokens are spelled as in GPT-2's files, with a printable letter for each byte. A byte without a
    token of its own vanishes from the text without a word, as in the `tokenizers` library, even
    where there is an unknown token; a vocabulary that `train_byte_bpe` makes has all 256.

    A token that begins with whitespace begins a word, and all others go on with one: so does the
    first word of a text, which has no space before it unless `add_prefix_space` puts it there.

    Args:
        vocab: path of a vocab.json, or a dict, token to id.
        merges: path of a merges.txt, or a list of merges by rank, each "first second" or a pair.
        special_tokens: "text": a literal "<|endoftext|>" in a text is text. "parse": it is the
            token.
        end_token: the token that ends a document.
        pad_token: None: `end_token` pads.
        unk_token: the token that stands for what is no token, or None. No text gives it.
        cls_token: begins a row, or None.
        sep_token: ends each text of a row, or None.
        mask_token: the token to be filled in, or None.
        extra_special_tokens: tokens of the vocabulary that are special, too.
        mask_lstrip: whether a parsed mask takes the whitespace before it along, as in RoBERTa's and
            BART's files.
        add_prefix_space: whether a text that begins with no space is read as if it did; so is what
            stands behind a parsed special token.
        trim_offsets: whether the offsets that `host` gives leave out the space of a word. None:
            True with a `cls_token`, as in RoBERTa's files.

    Raises:
        ValueError: a file or a merge that cannot be read, a merge whose tokens or result are not in
            the vocabulary, a vocabulary with holes or without a special token, only one of
            `cls_token` and `sep_token`, or an unknown value of `special_tokens`.
    """

    _separators_between = 2

    def __init__(
        self,
        vocab: str | os.PathLike | Mapping[str, int],
        merges: str | os.PathLike | Sequence[str | Sequence[str]],
        *,
        special_tokens: str = "text",
        end_token: str = GPT2_TOKENS["end_token"],
        pad_token: str | None = None,
        unk_token: str | None = None,
        cls_token: str | None = None,
        sep_token: str | None = None,
        mask_token: str | None = None,
        extra_special_tokens: Sequence[str] = (),
        mask_lstrip: bool = True,
        add_prefix_space: bool = False,
        trim_offsets: bool | None = None,
    ):
        if (cls_token is None) != (sep_token is None):
            raise ValueError(
                "cls_token and sep_token must be given both or neither. "
                f"Received: cls_token={cls_token!r}, sep_token={sep_token!r}"
            )
        ids = byte_pair_files.read_vocabulary(vocab)
        self.merges: list[Merge] = byte_pair_files.read_merges(merges)
        self._merge_ids = byte_pair_graph.merge_ids(self.merges, ids)
        self.mask_lstrip = bool(mask_lstrip)
        self.add_prefix_space = bool(add_prefix_space)
        self.trim_offsets = cls_token is not None if trim_offsets is None else bool(trim_offsets)
        host = tokenizers.Tokenizer(models.BPE(ids, self.merges))
        host.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=self.add_prefix_space, use_regex=True
        )
        host.decoder = decoders.ByteLevel()
        super().__init__(
            host,
            special_tokens=special_tokens,
            pad_token=end_token if pad_token is None else pad_token,
            unk_token=unk_token,
            cls_token=cls_token,
            sep_token=sep_token,
            mask_token=mask_token,
            end_token=end_token,
            extra_special_tokens=extra_special_tokens,
            mask_lstrip=self.mask_lstrip,
        )
        if cls_token is None or sep_token is None:
            host.post_processor = processors.ByteLevel(trim_offsets=self.trim_offsets)
        else:
            host.post_processor = processors.RobertaProcessing(
                (sep_token, self.id(sep_token)),
                (cls_token, self.id(cls_token)),
                trim_offsets=self.trim_offsets,
                add_prefix_space=self.add_prefix_space,
            )

    @functools.cached_property
    def token_bytes(self) -> list[bytes]:
        """What each id stands for. A token may hold part of a character."""
        return byte_pair_graph.token_bytes(self.tokens)

    @functools.cached_property
    def continues_word(self) -> np.ndarray:
        """Bool `(V,)`, True for the tokens that go on with a word."""
        begins = tuple(space.encode() for space in _SPACES)
        return np.asarray(
            [
                id_ not in self.special_ids and not text.startswith(begins)
                for id_, text in enumerate(self.token_bytes)
            ]
        )

    @functools.cached_property
    def _graph(self) -> byte_pair_graph.BytePairGraph:
        return byte_pair_graph.BytePairGraph(self.tokens, self._merge_ids, self.host.model)

    # Nothing here is for AutoGraph, and looking for it would take seconds of the first call.
    @tf.autograph.experimental.do_not_convert
    def _tokenize(self, strings: Tensor) -> Tensor:
        if self.add_prefix_space:
            strings = tf.strings.join([self._prefix(strings), strings])
        return self._graph.tokenize(strings)

    def _prefix(self, strings: Tensor) -> Tensor:
        """The space that each text gets, or nothing."""
        if not self.add_prefix_space:
            return tf.fill(tf.shape(strings), "")
        is_bare_B = (strings != "") & (tf.strings.substr(strings, 0, 1) != " ")
        return tf.where(is_bare_B, " ", "")

    @tf.autograph.experimental.do_not_convert
    def _tokenize_words(self, strings: Tensor) -> WordTokens:
        strings = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")
        prefix_B = self._prefix(strings)
        spans = spans_of(*BertWords(False, False, True).with_places(strings))
        text_B = tf.strings.join([prefix_B, strings])
        ids, number_N = self._graph.characters_before(text_B)
        # Characters of all rows are counted through, and so a word's first token is the first one
        # behind whose end more of them lie than before the word.
        length_B = tf.strings.length(text_B, unit="UTF8_CHAR")
        before_B = tf.cumsum(length_B, exclusive=True) + tf.strings.length(prefix_B)
        place_W = tf.gather(before_B, spans.rows) + tf.cast(spans.starts, tf.int32)
        token_W = tf.searchsorted(number_N, place_W, side="right", out_type=tf.int64)
        return word_tokens(ids, spans, token_W)

    @tf.autograph.experimental.do_not_convert
    def _detokenize(self, ids: Tensor, continues: Tensor) -> Tensor:
        return self._graph.detokenize(ids)

    def _vocabulary_files(self) -> dict[str, str]:
        return byte_pair_files.contents(self._vocab(), self.merges)

    def _transformers(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        names = self._roles
        settings: dict[str, Any] = {"add_prefix_space": self.add_prefix_space}
        if self.cls_id is None:
            settings |= {"bos_token": names["end_token"]}
            settings |= {"unk_token": names["unk_token"] or names["end_token"]}
            return ("GPT2Tokenizer",), settings
        settings |= {"bos_token": names["cls_token"], "trim_offsets": self.trim_offsets}
        if self.mask_id is not None:
            # Without tokenizer.json nothing else would tell that it strips.
            settings["mask_token"] = {
                "__type": "AddedToken",
                "content": names["mask_token"],
                "single_word": False,
                "lstrip": self.mask_lstrip,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        return ("RobertaTokenizer", "BartTokenizer"), settings

    def _vocab(self) -> dict[str, int]:
        return {token: id_ for id_, token in enumerate(self.tokens)}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, the vocabulary as a dict and the merges as a list."""
        return {
            "vocab": self._vocab(),
            "merges": [f"{first} {second}" for first, second in self.merges],
            "special_tokens": self.special_tokens,
            **self._roles,
            "extra_special_tokens": list(self.extra_special_tokens),
            "mask_lstrip": self.mask_lstrip,
            "add_prefix_space": self.add_prefix_space,
            "trim_offsets": self.trim_offsets,
        }
