import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from unicode_texts import BYTES

from keras_lm.tokenizers import characters


@settings(deadline=None, derandomize=True)
@given(st.lists(BYTES, min_size=1, max_size=5))
def test_decoding_replaces_what_python_replaces(texts):
    decoded = characters.decode(tf.constant(texts)).to_list()
    assert decoded == [[ord(x) for x in text.decode("utf-8", "replace")] for text in texts]


def test_a_folded_table_gives_each_code_point_its_value():
    values = np.arange(characters.NUM_CODE_POINTS, dtype=np.int32) // 1000 % 7
    places, cells = characters.fold(values)
    assert len(cells) < len(values) // 3
    every = np.arange(characters.NUM_CODE_POINTS, dtype=np.int32)
    np.testing.assert_array_equal(characters.Table(places, cells)(every), values)
