"""Byte-level byte-pair encoding as core TensorFlow operations (Radford et al. 2019, GPT-2).

Strings become words, words become ids: a word that is one token is looked up, the others are
merged, each distinct word once. Every table is a plain tensor, so that nothing has to be tracked,
initialized or written.

B strings, W words, U distinct words that are merged, N symbols, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tokenizers

from keras_lm.tokenizers.byte_pair_index import KeyIndex
from keras_lm.tokenizers.byte_pair_merges import MergeLoop
from keras_lm.tokenizers.byte_pair_words import WordSplitter
from keras_lm.tokenizers.constants import constant

Tensor = Any

# The byte that stands between words: no UTF-8 text holds it.
_SEPARATOR = b"\xff"


def byte_letters() -> list[str]:
    """GPT-2's letter for each byte: itself where it is printable, else one from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def spell(tokens: Sequence[str]) -> list[bytes | None]:
    """The bytes that each token stands for; None for a token that is not written in letters."""
    letters = byte_letters()
    back = {ord(letter): byte for byte, letter in enumerate(letters)}
    # Latin-1 characters that are no letters must not pass for the byte of the same number.
    table = dict.fromkeys(range(256), 0x200) | back

    def one(token: str) -> bytes | None:
        try:
            return token.translate(table).encode("latin-1")
        except UnicodeEncodeError:
            return None

    return [one(token) for token in tokens]


def token_bytes(tokens: Sequence[str]) -> list[bytes]:
    """What each token stands for; the library takes a token not written in letters as it stands."""
    return [
        token.encode() if text is None else text
        for token, text in zip(tokens, spell(tokens), strict=True)
    ]


class BytePairGraph:
    """Strings to ids and back, equal to the `tokenizers` library id by id.

    Args:
        tokens: V tokens in GPT-2's spelling, the index is the id. A byte that has no token of its
            own vanishes from the text, as in the library.
        merges: what `merge_ids` gives.
        model: the library's model of the same, which says what tokens a word of their text becomes:
            not all do, as merges may miss them.
    """

    def __init__(self, tokens: Sequence[str], merges: np.ndarray, model: tokenizers.models.BPE):
        letters = byte_letters()
        ids = {token: id_ for id_, token in enumerate(tokens)}
        spelled = token_bytes(tokens)
        self._bytes_V = constant(spelled)
        self._length_V = constant(np.array([len(text) for text in spelled], np.int32))
        self._words = WordSplitter()
        self._merge = MergeLoop(merges, len(tokens))

        symbols = [ids.get(letters[byte], -1) for byte in range(256)]
        symbols[_SEPARATOR[0]] = self._merge.separator
        self._has_all_bytes = -1 not in symbols
        self._symbols = constant(np.array(symbols, np.int64))
        with tf.init_scope():
            self._index_words(
                [
                    (text, id_)
                    for id_, (token, text) in enumerate(zip(tokens, spell(tokens), strict=True))
                    if text and len(model.tokenize(token)) == 1
                ]
            )

    def _index_words(self, words: Sequence[tuple[bytes, int]]) -> None:
        """Keeps the words that are one token, as their bytes and the token's id."""
        # Where two words share a fingerprint, only one is kept: the other is merged every time.
        self._num_prints = 4 ** (len(words).bit_length() + 1)
        prints, chosen = np.unique(
            self._fingerprint(tf.constant([text for text, _ in words], tf.string)).numpy(),
            return_index=True,
        )
        self._whole_index = KeyIndex(prints, self._num_prints)
        # The last is for all other words; the byte of separators begins no word.
        self._whole_text = constant([words[n][0] for n in chosen] + [_SEPARATOR])
        self._whole_id = constant(np.array([words[n][1] for n in chosen] + [-1], np.int64))

    def tokenize(self, strings: Tensor) -> Tensor:
        """Ids of strings `(B,)`, an int32 RaggedTensor `(B, None)`."""
        words = self._words(strings)
        place_W = self._whole_index(self._fingerprint(words.text_W))
        is_whole_W = (tf.gather(self._whole_text, place_W) == words.text_W) | words.is_end_W
        other = tf.where(~is_whole_W)  # (others, 1)
        text_U, which = tf.unique(tf.gather(words.text_W, other[:, 0]), tf.int64)
        symbol_N = self._merge(self._symbols_of(text_U))

        # Whole words stand behind the symbols: word w at N + w. Ends have no symbols at all.
        begin_W = tf.range(tf.size(place_W, tf.int64)) + tf.size(symbol_N, tf.int64)
        limit_W = tf.where(words.is_end_W, begin_W, begin_W + 1)
        mark = tf.where(symbol_N == self._merge.separator)[:, 0]
        mark = mark[self._merge.margin - 1 :]  # from the one before the first word
        begin_W = tf.tensor_scatter_nd_update(begin_W, other, tf.gather(mark, which) + 1)
        limit_W = tf.tensor_scatter_nd_update(limit_W, other, tf.gather(mark, which + 1))
        index = tf.ragged.range(begin_W, limit_W)
        id_N = tf.concat([symbol_N, tf.gather(self._whole_id, place_W)], 0)
        last_B = tf.where(words.is_end_W)[:, 0]
        return tf.RaggedTensor.from_row_splits(
            tf.cast(tf.gather(id_N, index.values), tf.int32),
            tf.concat([[0], tf.gather(index.row_splits, last_B)], 0),
            validate=False,
        )

    def characters_before(self, strings: Tensor) -> tuple[Tensor, Tensor]:
        """Tokenizes, and counts the characters of all strings through.

        Args:
            strings: string `(B,)`, valid UTF-8.

        Returns:
            What `tokenize` gives; and int32 `(N,)`, for each token how many characters begin before
            its end, in its own string and those above.

        Raises:
            ValueError: a byte without a token of its own, which would vanish from the count.
        """
        if not self._has_all_bytes:
            raise ValueError(
                "Words stand somewhere where every byte has a token. "
                "Received: a vocabulary without some of the 256 bytes"
            )
        ids = self.tokenize(strings)
        byte_M = tf.io.decode_raw(tf.strings.reduce_join(strings), tf.uint8)
        begins_M = tf.bitwise.bitwise_and(byte_M, 0xC0) != 0x80  # not inside of a character
        number_M = tf.cumsum(tf.cast(begins_M, tf.int32))
        end_N = tf.cumsum(tf.gather(self._length_V, ids.flat_values))
        return ids, tf.gather(number_M, end_N - 1)

    def _fingerprint(self, text_W: Tensor) -> Tensor:
        return tf.strings.to_hash_bucket_fast(text_W, self._num_prints)

    def _symbols_of(self, text_U: Tensor) -> Tensor:
        """The bytes of words as symbols, separated, with margins: what the merge loop takes."""
        margin = _SEPARATOR * self._merge.margin
        joined = tf.strings.reduce_join(text_U, separator=_SEPARATOR)
        # With the mark that ends the last word.
        joined = tf.strings.join([margin, joined, margin + _SEPARATOR])
        byte_N = tf.io.decode_raw(joined, tf.uint8)
        symbol_N = tf.gather(self._symbols, tf.cast(byte_N, tf.int32))
        if self._has_all_bytes:
            return symbol_N
        return tf.gather(symbol_N, tf.where(symbol_N >= 0)[:, 0])

    def detokenize(self, ids: Tensor) -> Tensor:
        """Texts of an int32 RaggedTensor `(B, None)` of ids, string `(B,)`.

        Bytes that are no UTF-8 become U+FFFD, by the rule of Python and Rust.
        """
        joined_B = tf.strings.reduce_join(tf.gather(self._bytes_V, ids), axis=-1)
        return tf.strings.unicode_transcode(joined_B, "UTF-8", "UTF-8", errors="replace")


def merge_ids(merges: Sequence[tuple[str, str]], ids: Mapping[str, int]) -> np.ndarray:
    """Merges in ids: left part, right part and result, int64 `(M, 3)`, in order of rank.

    Args:
        merges: pairs of tokens, in order of rank. Of two alike the later one counts.
        ids: the vocabulary.

    Raises:
        ValueError: a merge of tokens that are not in the vocabulary, or whose result is not.
    """
    latest = {merge: rank for rank, merge in enumerate(merges)}
    rows = []
    for first, second in sorted(latest, key=latest.__getitem__):
        try:
            rows.append((ids[first], ids[second], ids[first + second]))
        except KeyError as error:
            raise ValueError(
                "Both tokens of a merge and the token that it makes must be in the vocabulary. "
                f"Received: merge {first!r} {second!r}, and {error.args[0]!r} is missing"
            ) from None
    return np.array(rows, np.int64).reshape(-1, 3)
