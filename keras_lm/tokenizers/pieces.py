"""Words to word pieces in the graph: the longest known piece first (Wu et al. 2016).

Most words are in the vocabulary as they are, so they are looked up whole. In the others every
position walks the trie of the vocabulary at the same time, and then a chain of jumps picks the
pieces. Source: "Google's Neural Machine Translation System", arXiv:1609.08144, section 4.1, and the
greedy search of BERT's own code.

N code points, P code points of words that are not known whole, V vocabulary.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm.tokenizers import characters
from keras_lm.tokenizers.bert_words import Words
from keras_lm.tokenizers.constants import constant

Tensor = Any

# Fingerprints are compared before strings are; two tokens with one fingerprint stop construction.
_NUM_FINGERPRINTS = 2**62


class Pieces:
    """The greedy search over one vocabulary.

    Args:
        tokens: V strings, id to token.
        continuing_prefix: begins the tokens that continue a word.
        unk_id: the id of a word that cannot be spelled.
        max_word_length: words of more characters are unknown.
    """

    def __init__(
        self, tokens: list[str], *, continuing_prefix: str, unk_id: int, max_word_length: int
    ):
        self._unk_id = unk_id
        self._max_word_length = max_word_length
        self._build_whole_words(tokens)
        self._build_trie(tokens, continuing_prefix)

    def _build_whole_words(self, tokens: list[str]) -> None:
        ids = np.asarray(
            [id_ for id_, token in enumerate(tokens) if 0 < len(token) <= self._max_word_length]
        )
        words = [tokens[id_] for id_ in ids]
        with tf.init_scope(), tf.device("CPU:0"):
            prints = tf.strings.to_hash_bucket_fast(words, _NUM_FINGERPRINTS).numpy()
        order = np.argsort(prints)
        prints = prints[order]
        if (prints[1:] == prints[:-1]).any():
            raise ValueError("Two tokens of the vocabulary have the same 62-bit fingerprint.")
        self._prints = constant(prints)
        self._words = constant([words[place] for place in order])
        self._word_ids = constant(ids[order], tf.int32)

    def _build_trie(self, tokens: list[str], prefix: str) -> None:
        """Edges are keyed by state and symbol, sorted for a binary search.

        A symbol is odd where it begins a word: the one root then serves both kinds of token, and no
        walk runs into the next word.
        """
        alphabet = sorted({character for token in tokens for character in token})
        symbol = {character: 2 * (place + 1) for place, character in enumerate(alphabet)}
        self._num_symbols = 2 * (len(alphabet) + 1)
        edges: dict[int, int] = {}
        accepts: dict[int, int] = {}

        def insert(text: str, id_: int, begins: int) -> None:
            state = 0
            for place, character in enumerate(text):
                key = state * self._num_symbols + symbol[character] + (begins if not place else 0)
                state = edges.setdefault(key, len(edges) + 1)
            accepts[state] = id_

        for id_, token in enumerate(tokens):
            if token:
                insert(token, id_, 1)
            if token.startswith(prefix) and len(token) > len(prefix):
                insert(token[len(prefix) :], id_, 0)

        keys, ids, lengths = _by_level(edges, accepts, self._num_symbols)
        self._keys = constant(keys)
        # By state: the longest token on the way there, 0 long where there is none.
        self._ids, self._lengths = constant(ids), constant(lengths)
        values = np.zeros(characters.NUM_CODE_POINTS, np.int32)
        values[[ord(character) for character in alphabet]] = list(symbol.values())
        self._symbols = characters.Table(*characters.fold(values))

    def __call__(self, words: Words) -> Tensor:
        """The ids of words: int32 RaggedTensor `(B, None)`."""
        return ragged_ids(self.at(words), words)

    def at(self, words: Words) -> Tensor:
        """The id of the piece that begins at each code point, int32 `(N,)`; -1 where none does."""
        begin_W = tf.where(words.begins)[:, 0]
        word_N = tf.cumsum(tf.cast(words.begins, tf.int32)) - 1
        size = tf.size(words.code_points, tf.int64)
        length_W = tf.concat([begin_W[1:], size[None]], 0)[: tf.size(begin_W)] - begin_W
        spelled = tf.RaggedTensor.from_row_lengths(words.code_points, length_W, validate=False)
        id_W = self._whole(characters.encode(spelled))
        rest_W = (id_W < 0) & (length_W <= self._max_word_length)

        # Every code point gets the id of the piece that begins there, or -1.
        place_P = tf.where(tf.gather(rest_W, word_N))[:, 0]
        begins_P = tf.gather(words.begins, place_P)
        id_P = self._spell(tf.gather(words.code_points, place_P), begins_P)
        # A word that is neither known nor walked is too long: unknown.
        fixed_W = tf.where(rest_W, -1, tf.where(id_W < 0, self._unk_id, id_W))
        id_N = tf.where(words.begins, tf.gather(fixed_W, word_N), -1)
        return tf.tensor_scatter_nd_update(id_N, place_P[:, None], id_P)

    def _whole(self, word_W: Tensor) -> Tensor:
        """The ids of words that are tokens, -1 for the others."""
        print_W = tf.strings.to_hash_bucket_fast(word_W, _NUM_FINGERPRINTS)
        place_W = tf.searchsorted(self._prints, print_W, out_type=tf.int32)
        place_W = tf.minimum(place_W, tf.size(self._prints) - 1)
        known_W = tf.gather(self._words, place_W) == word_W
        return tf.where(known_W, tf.gather(self._word_ids, place_W), -1)

    def _spell(self, code_point_P: Tensor, begins_P: Tensor) -> Tensor:
        """The id of the piece that begins at each code point, -1 where none does."""
        symbol_P = tf.cast(self._symbols(code_point_P), tf.int64) + tf.cast(begins_P, tf.int64)
        longest_P, id_P = self._walk(symbol_P)
        picked_P = self._jump(longest_P, begins_P)
        # One position without any piece makes the whole word unknown.
        word_P = tf.cumsum(tf.cast(begins_P, tf.int32)) - 1
        stuck_P = tf.cast(picked_P & (longest_P == 0), tf.int32)
        num_words = tf.reduce_sum(tf.cast(begins_P, tf.int32))
        unknown_W = tf.math.unsorted_segment_max(stuck_P, word_P, num_words) > 0
        unknown_P = tf.gather(unknown_W, word_P)
        return tf.where(
            unknown_P,
            tf.where(begins_P, self._unk_id, -1),
            tf.where(picked_P, id_P, -1),
        )

    def _walk(self, symbol_P: Tensor) -> tuple[Tensor, Tensor]:
        """From each position: the length of the longest piece, 0 for none, and its id."""
        size = tf.size(symbol_P)
        symbols = tf.concat([symbol_P, tf.zeros([1], tf.int64)], 0)  # nothing follows the end
        last_edge = tf.size(self._keys) - 1

        # A walker is where it began and its state; only those that go on are kept.
        def step(depth: Tensor, place_M: Tensor, state_M: Tensor, state_P: Tensor):
            key_M = tf.cast(state_M, tf.int64) * self._num_symbols
            key_M += tf.gather(symbols, place_M + depth)
            edge_M = tf.minimum(tf.searchsorted(self._keys, key_M, out_type=tf.int32), last_edge)
            on = tf.where(tf.gather(self._keys, edge_M) == key_M)[:, 0]
            place_M = tf.gather(place_M, on)
            state_M = tf.gather(edge_M, on) + 1
            state_P = tf.tensor_scatter_nd_update(state_P, place_M[:, None], state_M)
            return depth + 1, place_M, state_M, state_P

        vector = tf.TensorShape([None])
        *_, state_P = tf.while_loop(
            lambda depth, place_M, *_: tf.size(place_M) > 0,
            step,
            (0, tf.range(size), tf.zeros([size], tf.int32), tf.zeros([size], tf.int32)),
            shape_invariants=(tf.TensorShape([]), vector, vector, vector),
        )
        return tf.gather(self._lengths, state_P), tf.gather(self._ids, state_P)

    def _jump(self, longest_P: Tensor, begins_P: Tensor) -> Tensor:
        """Which positions begin a piece, each word read from its first one."""
        ends = tf.concat([begins_P, [True]], 0)

        def jump(place_M: Tensor, picked_P: Tensor):
            picked_P = tf.tensor_scatter_nd_update(
                picked_P, place_M[:, None], tf.ones_like(place_M, tf.bool)
            )
            length_M = tf.gather(longest_P, place_M)
            place_M += length_M
            on = tf.where((length_M > 0) & ~tf.gather(ends, place_M))[:, 0]
            return tf.gather(place_M, on), picked_P

        _, picked_P = tf.while_loop(
            lambda place_M, _: tf.size(place_M) > 0,
            jump,
            (tf.cast(tf.where(begins_P)[:, 0], tf.int32), tf.zeros_like(begins_P)),
            shape_invariants=(tf.TensorShape([None]), tf.TensorShape([None])),
        )
        return picked_P


def ragged_ids(id_N: Tensor, words: Words) -> Tensor:
    """Ids, where they are none -1, to an int32 RaggedTensor `(B, None)`."""
    pieces = tf.where(id_N >= 0)[:, 0]
    return tf.RaggedTensor.from_value_rowids(
        tf.gather(id_N, pieces),
        tf.gather(words.rows, pieces),
        nrows=words.num_rows,
        validate=False,
    )


def _by_level(
    edges: dict[int, int], accepts: dict[int, int], num_symbols: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers states so that edge e, in order of its key, leads to state e + 1.

    Args:
        edges: state x `num_symbols` + symbol, to the state it leads to; states count from 1 in the
            order of the dict.
        accepts: state to the id of the token that ends there.
        num_symbols: what the keys were made with.

    Returns:
        The keys in the new numbering, ascending, int64; by state, the root first, the id and the
        length of the longest token on the way from the root, 0 long where there is none.
    """
    key = np.fromiter(edges, np.int64, len(edges))
    source, symbol = key // num_symbols, key % num_symbols
    accepted = np.full(len(edges) + 1, -1)
    accepted[list(accepts)] = list(accepts.values())
    number, id_, length = (np.zeros(len(edges) + 1, np.int64) for _ in range(3))
    keys, order, depth = [], [np.zeros(1, np.int64)], 1
    level = np.flatnonzero(source == 0)
    while len(level):
        level = level[np.lexsort((symbol[level], number[source[level]]))]
        state, parent = level + 1, source[level]
        keys.append(number[parent] * num_symbols + symbol[level])
        number[state] = 1 + sum(map(len, keys[:-1])) + np.arange(len(level))
        ends = accepted[state] >= 0
        id_[state] = np.where(ends, accepted[state], id_[parent])
        length[state] = np.where(ends, depth, length[parent])
        order.append(state)
        reached = np.zeros(len(edges) + 1, bool)
        reached[state] = True
        level, depth = np.flatnonzero(reached[source]), depth + 1
    states = np.concatenate(order)
    return np.concatenate(keys), id_[states].astype(np.int32), length[states].astype(np.int32)
