import numpy as np
import pytest
import tokenizers

from keras_lm.tokenizers import byte_pair_tables, characters


def shipped(code_points):
    places, cells = byte_pair_tables.load()
    return cells[places[code_points // 256] + code_points % 256]


def test_a_sample_of_code_points_has_the_classes_of_the_library():
    random = np.random.default_rng(0)
    # Every assigned page is sampled; the first planes hold most of what changes between versions.
    sample = np.unique(np.concatenate([np.arange(0x3400), random.integers(0, 0x110000, 20_000)]))
    np.testing.assert_array_equal(shipped(sample), byte_pair_tables.probe(sample.tolist()))


@pytest.mark.slow
def test_all_code_points_have_the_classes_of_the_library():
    every = np.arange(characters.NUM_CODE_POINTS)
    np.testing.assert_array_equal(shipped(every), byte_pair_tables.probe(every.tolist()))


def test_the_table_names_the_version_of_the_library_that_was_probed():
    # A newer library may know more characters: run the slow test, then probe again.
    assert byte_pair_tables.version().split(".")[:2] == tokenizers.__version__.split(".")[:2]


def test_known_characters_have_their_classes():
    classes = byte_pair_tables.probe([ord(character) for character in "a1 !'é²\u3000\u200b中"])
    letter, number, space, other = (
        byte_pair_tables.LETTER,
        byte_pair_tables.NUMBER,
        byte_pair_tables.SPACE,
        byte_pair_tables.OTHER,
    )
    expected = [letter, number, space, other, other, letter, number, space, other, letter]
    assert classes.tolist() == expected
