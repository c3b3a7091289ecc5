import pytest

from keras_lm.tokenizers import WordPiece, train_byte_bpe

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NUM_WORDS = 3000


@pytest.fixture(scope="session")
def numbered():
    """A WordPiece whose words are numbers: "w7" is the id 12, "w7x" the ids 12 and 5 + NUM_WORDS.

    So an id says which word of a numbered text it is.
    """
    return WordPiece([*SPECIAL, *(f"w{i}" for i in range(NUM_WORDS)), "##x", "##y"])


@pytest.fixture(scope="session")
def bytes_bpe(topics):
    return train_byte_bpe(topics, 500)
