"""WordPiece as BERT uses it (Devlin et al. 2019, arXiv:1810.04805).

V vocabulary.
"""

import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from keras_lm.tokenizers.bert_words import BertWords
from keras_lm.tokenizers.constants import constant
from keras_lm.tokenizers.pieces import Pieces
from keras_lm.tokenizers.tokenizer import Tokenizer

Tensor = Any

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@keras.saving.register_keras_serializable("keras_lm")
class WordPiece(Tokenizer):
    """BERT's tokenizer: cleaned words, each cut into the longest pieces that the vocabulary has.

    Args:
        vocab: path of a vocab.txt, or the tokens in the order of their ids. `[PAD]`, `[UNK]`,
            `[CLS]`, `[SEP]` and `[MASK]` must be among them.
        lowercase: whether text is lowered.
        special_tokens: "text": a literal "[SEP]" in a text is text. "parse": it is the token.
        strip_accents: None: as `lowercase`.
        chinese: whether each Chinese character is a word of its own.
        max_word_length: words of more characters are `[UNK]`.
        continuing_prefix: begins the tokens that continue a word.

    Attributes:
        continues_word: bool `(V,)`, True for the tokens that continue a word.

    Raises:
        ValueError: a token that occurs twice, a special token that is missing, or an unknown value
            of `special_tokens`.
    """

    def __init__(
        self,
        vocab: str | os.PathLike | Sequence[str],
        lowercase: bool = True,
        *,
        special_tokens: str = "text",
        strip_accents: bool | None = None,
        chinese: bool = True,
        max_word_length: int = 100,
        continuing_prefix: str = "##",
    ):
        vocabulary = _vocabulary(vocab)
        missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
        if missing:
            raise ValueError(
                f"A vocabulary must have {', '.join(SPECIAL_TOKENS)}. "
                f"Received: {len(vocabulary)} tokens without {', '.join(missing)}"
            )
        self.lowercase = bool(lowercase)
        self.strip_accents = strip_accents
        self.chinese = bool(chinese)
        self.max_word_length = int(max_word_length)
        self.continuing_prefix = continuing_prefix
        host = tokenizers.Tokenizer(
            models.WordPiece(
                vocabulary,
                unk_token="[UNK]",
                max_input_chars_per_word=max_word_length,
                continuing_subword_prefix=continuing_prefix,
            )
        )
        host.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=self.chinese,
            strip_accents=strip_accents,
            lowercase=self.lowercase,
        )
        host.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        host.decoder = decoders.WordPiece(prefix=continuing_prefix, cleanup=True)
        host.post_processor = processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
        )
        host.add_special_tokens(
            [tokenizers.AddedToken(token, special=True) for token in SPECIAL_TOKENS]
        )
        super().__init__(
            host,
            special_tokens=special_tokens,
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token="[MASK]",
        )
        self.continues_word = np.asarray(
            [
                token.startswith(continuing_prefix) and id_ not in self.special_ids
                for id_, token in enumerate(self.tokens)
            ]
        )

    @tf.autograph.experimental.do_not_convert
    def words(self, strings: Tensor) -> Tensor:
        """The normalized words of texts, in the graph, before they are cut into pieces.

        Args:
            strings: string `(B,)`.

        Returns:
            string RaggedTensor `(B, None)`.
        """
        words = self._words(tf.convert_to_tensor(strings, tf.string))
        begins = tf.where(words.begins)[:, 0]
        spelled = tf.RaggedTensor.from_row_starts(words.code_points, begins, validate=False)
        return tf.RaggedTensor.from_value_rowids(
            tf.strings.unicode_encode(spelled, "UTF-8"),
            tf.gather(words.rows, begins),
            nrows=words.num_rows,
            validate=False,
        )

    @functools.cached_property
    def _words(self) -> BertWords:
        strip_accents = self.lowercase if self.strip_accents is None else self.strip_accents
        return BertWords(self.lowercase, strip_accents, self.chinese)

    @functools.cached_property
    def _pieces(self) -> Pieces:
        return Pieces(
            self.tokens,
            continuing_prefix=self.continuing_prefix,
            unk_id=self.id("[UNK]"),
            max_word_length=self.max_word_length,
        )

    @functools.cached_property
    def _spellings(self) -> tuple[Tensor, Tensor]:
        """What the library's decoder makes of each token: at the start of a text, and after it."""
        decode = self.host.decoder.decode
        first = [decode([token]) for token in self.tokens]
        later = [decode(["a", token])[1:] for token in self.tokens]
        return constant(first), constant(later)

    def _tokenize(self, strings: Tensor) -> Tensor:
        return self._pieces(self._words(strings))

    def _detokenize(self, ids: Tensor) -> Tensor:
        first_V, later_V = self._spellings
        id_N, row_N = ids.flat_values, ids.value_rowids()
        is_first_N = tf.range(tf.size(id_N, tf.int64)) == tf.gather(ids.row_starts(), row_N)
        spelled_N = tf.where(is_first_N, tf.gather(first_V, id_N), tf.gather(later_V, id_N))
        return tf.strings.unsorted_segment_join(spelled_N, row_N, ids.nrows())

    def _vocabulary_files(self) -> dict[str, str]:
        return {"vocab.txt": "".join(f"{token}\n" for token in self.tokens)}

    def _hugging_face_config(self) -> dict[str, Any]:
        return {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.lowercase,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.chinese,
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, the vocabulary as a list of tokens."""
        return {
            "vocab": list(self.tokens),
            "lowercase": self.lowercase,
            "special_tokens": self.special_tokens,
            "strip_accents": self.strip_accents,
            "chinese": self.chinese,
            "max_word_length": self.max_word_length,
            "continuing_prefix": self.continuing_prefix,
        }


def _vocabulary(vocab: str | os.PathLike | Sequence[str]) -> dict[str, int]:
    if isinstance(vocab, str | os.PathLike):
        # Not splitlines: a token may be a character that Python takes for the end of a line.
        lines = pathlib.Path(vocab).read_bytes().decode("utf-8").split("\n")
        if lines[-1] == "":
            lines.pop()
        vocab = [line.removesuffix("\r") for line in lines]
    vocabulary = {token: id_ for id_, token in enumerate(vocab)}
    if len(vocabulary) != len(vocab):
        twice = next(token for id_, token in enumerate(vocab) if vocabulary[token] != id_)
        raise ValueError(
            f"Each token of a vocabulary must occur once. Received: {twice!r} more than once"
        )
    return vocabulary
