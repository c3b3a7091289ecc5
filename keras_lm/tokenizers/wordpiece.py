"""WordPiece as BERT uses it (Devlin et al. 2019, arXiv:1810.04805).

V vocabulary.
"""

import functools
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from keras_lm.tokenizers.bert_words import BertWords
from keras_lm.tokenizers.constants import constant
from keras_lm.tokenizers.pieces import Pieces, ragged_ids
from keras_lm.tokenizers.tokenizer import Tokenizer
from keras_lm.tokenizers.word_places import WordTokens, spans_of, word_tokens

Tensor = Any

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# What the library and Transformers' classes take where nothing else is said.
MAX_WORD_LENGTH, PREFIX = 100, "##"
# Transformers' `clean_up_tokenization_spaces`, in this order.
_CLEANED = {
    " .": ".",
    " ?": "?",
    " !": "!",
    " ,": ",",
    " ' ": "'",
    " n't": "n't",
    " 'm": "'m",
    " 's": "'s",
    " 've": "'ve",
    " 're": "'re",
}


@keras.saving.register_keras_serializable("keras_lm")
class WordPiece(Tokenizer):
    """BERT's tokenizer: cleaned words, each cut into the longest pieces that the vocabulary has.

    DistilBERT and ELECTRA have the same. Rows are `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`.

    Args:
        vocab: path of a vocab.txt, or the tokens in the order of their ids.
        lowercase: whether text is lowered.
        special_tokens: "text": a literal "[SEP]" in a text is text. "parse": it is the token.
        strip_accents: None: as `lowercase`.
        chinese: whether each Chinese character is a word of its own.
        max_word_length: words of more characters are `[UNK]`.
        continuing_prefix: begins the tokens that continue a word.
        unk_token: the token of each role; it must be in the vocabulary.
        cls_token: see `unk_token`.
        sep_token: see `unk_token`.
        pad_token: see `unk_token`; None: there is none.
        mask_token: see `pad_token`.
        end_token: ends a document of a causal model, such as a Chinese GPT-2; `[SEP]` is used for
            it. None: causal models refuse this tokenizer.
        extra_special_tokens: tokens of the vocabulary that are special, too.
        clean_up_spaces: whether decoding joins "it ' s" to "it's", and more, as Transformers'
            `clean_up_tokenization_spaces`; spaces before punctuation always go.

    Raises:
        ValueError: a token that occurs twice, a special token that is missing, or an unknown value
            of `special_tokens`.
    """

    has_segments = True

    def __init__(
        self,
        vocab: str | os.PathLike | Sequence[str],
        lowercase: bool = True,
        *,
        special_tokens: str = "text",
        strip_accents: bool | None = None,
        chinese: bool = True,
        max_word_length: int = MAX_WORD_LENGTH,
        continuing_prefix: str = PREFIX,
        unk_token: str = "[UNK]",
        cls_token: str = "[CLS]",
        sep_token: str = "[SEP]",
        pad_token: str | None = "[PAD]",
        mask_token: str | None = "[MASK]",
        end_token: str | None = None,
        extra_special_tokens: Sequence[str] = (),
        clean_up_spaces: bool = False,
    ):
        self.lowercase = bool(lowercase)
        self.strip_accents = strip_accents
        self.chinese = bool(chinese)
        self.max_word_length = int(max_word_length)
        self.continuing_prefix = continuing_prefix
        self.clean_up_spaces = bool(clean_up_spaces)
        self._unk_token = unk_token
        host = tokenizers.Tokenizer(
            models.WordPiece(
                read_vocabulary(vocab),
                unk_token=unk_token,
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
        super().__init__(
            host,
            special_tokens=special_tokens,
            pad_token=pad_token,
            unk_token=unk_token,
            cls_token=cls_token,
            sep_token=sep_token,
            mask_token=mask_token,
            end_token=end_token,
            extra_special_tokens=extra_special_tokens,
        )
        host.post_processor = processors.TemplateProcessing(
            single=f"{cls_token}:0 $A:0 {sep_token}:0",
            pair=f"{cls_token}:0 $A:0 {sep_token}:0 $B:1 {sep_token}:1",
            special_tokens=[(token, self.id(token)) for token in (cls_token, sep_token)],
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
            unk_id=self.id(self._unk_token),
            max_word_length=self.max_word_length,
        )

    @functools.cached_property
    def continues_word(self) -> np.ndarray:
        """Bool `(V,)`, True for the tokens that continue a word."""
        return np.asarray(
            [
                token.startswith(self.continuing_prefix) and id_ not in self.special_ids
                for id_, token in enumerate(self.tokens)
            ]
        )

    @functools.cached_property
    def token_bytes(self) -> list[bytes]:
        """What each id adds to the end of a text: a word that begins there brings its space."""
        decode = self.host.decoder.decode
        return [decode(["a", token])[1:].encode() for token in self.tokens]

    @functools.cached_property
    def _spellings(self) -> tuple[Tensor, Tensor]:
        """What the library's decoder makes of each token: at the start of a text, and after it."""
        first = [self.host.decoder.decode([token]) for token in self.tokens]
        return constant(first), constant(self.token_bytes)

    def _tokenize(self, strings: Tensor) -> Tensor:
        return self._pieces(self._words(strings))

    def _tokenize_words(self, strings: Tensor) -> WordTokens:
        words, place_N = self._words.with_places(strings)
        id_N, spans = self._pieces.at(words), spans_of(words, place_N)
        # Every word begins with a piece.
        token_N = tf.cumsum(tf.cast(id_N >= 0, tf.int64), exclusive=True)
        return word_tokens(ragged_ids(id_N, words), spans, tf.gather(token_N, spans.begins))

    def _decode(self, ids: list[int], skip_special_tokens: bool, continues: bool) -> str:
        text = super()._decode(ids, skip_special_tokens, False)
        if continues:
            kept = [x for x in ids if not (skip_special_tokens and x in self.special_ids)]
            text = b"".join(self.token_bytes[id_] for id_ in kept).decode()
        if self.clean_up_spaces:
            for long, short in _CLEANED.items():
                text = text.replace(long, short)
        return text

    def _detokenize(self, ids: Tensor, continues: Tensor) -> Tensor:
        first_V, later_V = self._spellings
        id_N, row_N = ids.flat_values, ids.value_rowids()
        is_first_N = tf.range(tf.size(id_N, tf.int64)) == tf.gather(ids.row_starts(), row_N)
        is_first_N &= ~tf.gather(tf.broadcast_to(continues, [ids.nrows()]), row_N)
        spelled_N = tf.where(is_first_N, tf.gather(first_V, id_N), tf.gather(later_V, id_N))
        text_B = tf.strings.unsorted_segment_join(spelled_N, row_N, ids.nrows())
        if self.clean_up_spaces:
            for long, short in _CLEANED.items():
                text_B = tf.strings.regex_replace(text_B, re.escape(long), short)
        return text_B

    def _vocabulary_files(self) -> dict[str, str]:
        return {"vocab.txt": "".join(f"{token}\n" for token in self.tokens)}

    def _transformers(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        settings = {
            "do_lower_case": self.lowercase,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.chinese,
            "clean_up_tokenization_spaces": self.clean_up_spaces,
        }
        if (self.max_word_length, self.continuing_prefix) != (MAX_WORD_LENGTH, PREFIX):
            # BERT's own classes know neither; this one takes tokenizer.json as it stands.
            return ("PreTrainedTokenizerFast",), settings
        return ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"), settings

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
            **self._roles,
            "extra_special_tokens": list(self.extra_special_tokens),
            "clean_up_spaces": self.clean_up_spaces,
        }


def read_vocabulary(vocab: str | os.PathLike | Sequence[str]) -> dict[str, int]:
    """Token to id, from a vocab.txt or the tokens in order.

    Raises:
        ValueError: a token that occurs twice.
    """
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
