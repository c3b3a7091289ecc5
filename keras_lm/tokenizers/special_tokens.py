"""Literal special tokens in user text, split out in the graph before anything else sees the text.

The rule is the `tokenizers` library's for added tokens that are special and not normalized: the
leftmost match, of those the longest; a token that strips takes the whitespace beside it along.

B batch, N pieces of text.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Tensor = Any

# What Rust and Unicode call White_Space; RE2's own \s knows ASCII only.
_SPACE = "[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"
# A byte that no UTF-8 text holds, once invalid bytes have been replaced.
_MARK = b"\xff"


class SpecialTokens:
    """Splits literal special tokens out of strings.

    Args:
        tokens: `tokenizers.AddedToken`s, all of them special.
        ids: the id of each.

    Raises:
        ValueError: a token asks for a rule that is not supported here.
    """

    def __init__(self, tokens: Sequence[Any], ids: Sequence[int]):
        for token in tokens:
            if token.single_word or token.normalized or not token.special or not token.content:
                raise ValueError(
                    "Added tokens must be special, not normalized, not single_word and not empty. "
                    f"Received: {token!r}"
                )
        # The longest first: RE2 takes the first alternative that matches.
        self._by_length = sorted(
            zip(tokens, ids, strict=True), key=lambda pair: -len(pair[0].content.encode())
        )
        self._pattern, self._rewrite = self._expression()

    def _expression(self) -> tuple[str, bytes]:
        """One alternative per way of stripping: each has a group that holds the token alone."""
        alternatives = []
        for left, right in ((True, True), (True, False), (False, True), (False, False)):
            words = [
                re.escape(token.content)
                for token, _ in self._by_length
                if (token.lstrip, token.rstrip) == (left, right)
            ]
            if words:
                alternatives.append(
                    (_SPACE if left else "") + f"({'|'.join(words)})" + (_SPACE if right else "")
                )
        groups = b"".join(b"\\%d" % (group + 1) for group in range(len(alternatives)))
        return "|".join(alternatives), _MARK + groups + _MARK

    def tokenize(self, strings: Tensor, tokenize: Callable[[Tensor], Tensor]) -> Tensor:
        """`tokenize`, with each literal special token as one id.

        Args:
            strings: string `(B,)`.
            tokenize: strings `(N,)` to an int32 RaggedTensor `(N, None)`.

        Returns:
            int32 RaggedTensor `(B, None)`.
        """
        if not self._by_length:
            return tokenize(strings)
        valid_B = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")
        marked_B = tf.strings.regex_replace(valid_B, self._pattern, self._rewrite)

        def plain() -> Tensor:
            return tokenize(valid_B)

        def split() -> Tensor:
            return self._split(marked_B, tokenize)

        return tf.cond(tf.reduce_any(marked_B != valid_B), split, plain)

    def _split(self, marked_B: Tensor, tokenize: Callable[[Tensor], Tensor]) -> Tensor:
        pieces = tf.strings.split(marked_B, _MARK)
        piece_N = pieces.flat_values
        # Texts and tokens take turns, and each row begins with a text.
        place_N = tf.range(tf.size(piece_N, tf.int64)) - tf.gather(
            pieces.row_starts(), pieces.value_rowids()
        )
        special_N = place_N % 2 == 1
        ids = tokenize(tf.where(special_N, "", piece_N))
        content_S = tf.constant([token.content for token, _ in self._by_length])
        id_S = tf.constant([id_ for _, id_ in self._by_length], tf.int32)
        which_NS = (piece_N[:, None] == content_S[None]) & special_N[:, None]
        special_ids = tf.gather(id_S, tf.where(which_NS)[:, 1])
        # Each id moves up by the special tokens before it. (Joining RaggedTensors would assert.)
        before_N = tf.cumsum(tf.cast(special_N, tf.int64), exclusive=True)
        places = tf.range(tf.size(ids.flat_values, tf.int64))
        joined = tf.dynamic_stitch(
            [
                tf.cast(places + tf.gather(before_N, ids.value_rowids()), tf.int32),
                tf.cast(tf.boolean_mask(ids.row_starts() + before_N, special_N), tf.int32),
            ],
            [ids.flat_values, special_ids],
        )
        after_N = before_N + tf.cast(special_N, tf.int64)
        splits = ids.row_splits + tf.concat([tf.zeros([1], tf.int64), after_N], 0)
        return tf.RaggedTensor.from_row_splits(
            joined, tf.gather(splits, pieces.row_splits), validate=False
        )
