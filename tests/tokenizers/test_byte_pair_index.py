import numpy as np
import pytest
import tensorflow as tf

from keras_lm.tokenizers.byte_pair_index import KeyIndex


@pytest.mark.parametrize("size", [0, 1, 2, 37, 5_000])
@pytest.mark.parametrize("limit", [6_000, 2**34])
def test_each_key_is_found_at_its_place_and_no_other_key_is(size, limit):
    random = np.random.default_rng(size)
    keys = np.sort(random.choice(limit, size, replace=False)) if limit < 2**20 else None
    if keys is None:
        keys = np.unique(random.integers(0, limit, size))
    index = KeyIndex(keys.astype(np.int64), limit)
    np.testing.assert_array_equal(index(tf.constant(keys, tf.int64)), np.arange(len(keys)))
    others = np.setdiff1d(random.integers(0, limit, 1_000), keys)
    np.testing.assert_array_equal(
        index(tf.constant(others, tf.int64)), np.full(len(others), len(keys))
    )


def test_keys_that_stand_close_together_are_found():
    keys = np.concatenate([np.arange(3_000), 2**31 + 65_536 * np.arange(3_000)])
    index = KeyIndex(keys, 2**32)
    np.testing.assert_array_equal(index(tf.constant(keys)), np.arange(6_000))


@pytest.mark.parametrize("keys", [[1, 1], [2, 1], [-1], [8]])
def test_keys_that_do_not_ascend_or_are_out_of_range_raise(keys):
    with pytest.raises(ValueError, match=r"ascend, each once, in 0 \.\. limit - 1. Received"):
        KeyIndex(np.array(keys), 8)
