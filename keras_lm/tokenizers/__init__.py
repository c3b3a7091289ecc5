"""Text to ids and back."""

from keras_lm.tokenizers.byte_bpe import GPT2_TOKENS as GPT2_TOKENS
from keras_lm.tokenizers.byte_bpe import ROBERTA_TOKENS as ROBERTA_TOKENS
from keras_lm.tokenizers.byte_bpe import ByteBPE as ByteBPE
from keras_lm.tokenizers.byte_bpe_training import train_byte_bpe as train_byte_bpe
from keras_lm.tokenizers.loading import load as load
from keras_lm.tokenizers.text_files import read_lines as read_lines
from keras_lm.tokenizers.text_files import resolve as resolve
from keras_lm.tokenizers.tokenizer import Tokenizer as Tokenizer
from keras_lm.tokenizers.wordpiece import WordPiece as WordPiece
from keras_lm.tokenizers.wordpiece_training import train_wordpiece as train_wordpiece
