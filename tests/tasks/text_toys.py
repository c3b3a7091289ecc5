"""Tokenizers of a few words, for tasks that read texts."""

from keras_lm.tokenizers import WordPiece

WORDS = ["good", "bad", "a", "film", "no", "it", "is", ".", "##s", "##ly", "u", "s"]


def word_piece():
    """20 tokens at most: what the toys of `task_toys` have room for."""
    return WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
