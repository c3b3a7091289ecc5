import pytest

from keras_lm.tokenizers import train_byte_bpe, train_wordpiece


@pytest.fixture(scope="session")
def uncased(topics):
    return train_wordpiece(topics, 1_500)


@pytest.fixture(scope="session")
def vocabulary(uncased):
    """Learned pieces, and many characters, so that few words are unknown."""
    from unicode_texts import BLOCKS

    tokens = dict.fromkeys(uncased.tokens)
    for block in BLOCKS[:-1]:
        for character in map(chr, block):
            tokens |= {character: None, f"##{character}": None}
    return [token for token in tokens if token not in ("\n", "\r")]


@pytest.fixture(scope="session")
def byte_bpe(topics):
    return train_byte_bpe(topics, 600)


@pytest.fixture(scope="session")
def cased(topics):
    return train_wordpiece(topics, 900, lowercase=False)


@pytest.fixture(scope="session")
def roberta(topics):
    return train_byte_bpe(topics, 600, kind="roberta")
