"""Reads a tokenizer from the files that Hugging Face's libraries write."""

import os

from keras_lm.tokenizers.directory import read
from keras_lm.tokenizers.loading_byte_bpe import byte_bpe
from keras_lm.tokenizers.loading_comparison import compare
from keras_lm.tokenizers.loading_wordpiece import wordpiece
from keras_lm.tokenizers.tokenizer import Tokenizer


def load(directory: str | os.PathLike, *, special_tokens: str = "parse") -> Tokenizer:
    """The tokenizer of a directory, equal to the one that Transformers' `AutoTokenizer` gives.

    It is of BERT, DistilBERT or ELECTRA (`WordPiece`), GPT-2, RoBERTa or BART (`ByteBPE`), or of a
    causal model over WordPiece. The vocabulary is read from tokenizer.json, else from vocab.txt, or
    vocab.json and merges.txt; the rest from tokenizer_config.json, special_tokens_map.json,
    added_tokens.json and config.json, where they are.

    A WordPiece has an `end_id` where the files name an eos_token. Where config.json is of a causal
    model and they do not, its eos_token_id is taken, or `[SEP]` if that is not in the vocabulary.

    A vocab.txt alone, as in Google's directories, says by its capitals whether it is cased.

    Args:
        directory: where the files are.
        special_tokens: "parse": a literal "[SEP]" in a text is the special token. "text": it is
            text.

    Raises:
        FileNotFoundError: a directory that does not exist, or has no tokenizer.
        ValueError: a file that can't be read, a kind of tokenizer, or a setting of it, that is not
            supported, or files that contradict each other.
    """
    files = read(directory)
    make = wordpiece if files.kind == "WordPiece" else byte_bpe
    loaded = make(files, special_tokens)
    compare(files, loaded)
    return loaded
