import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lm.data.buckets import divide


def lengths(seed=0, number=4000):
    """Pairs as of a translation: targets about as long as their sources."""
    rng = np.random.default_rng(seed)
    source = rng.geometric(0.06, number).clip(3, 60)
    return source, (source * rng.normal(1.2, 0.3, number)).clip(2, 80).astype(int)


def buckets_of(pair, tokens_per_batch=640, batch_multiple=1, num_buckets=12):
    return divide(
        *pair,
        tokens_per_batch=tokens_per_batch,
        batch_multiple=batch_multiple,
        num_buckets=num_buckets,
    )


def padded(buckets):
    return sum(len(b.rows) * (b.source_length + b.target_length) for b in buckets)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=300),
    st.integers(30, 90),
    st.integers(1, 6),
    st.integers(1, 2),
)
def test_each_pair_is_in_one_bucket_which_is_as_long_as_its_longest_rows(
    pairs, tokens, number, multiple
):
    source, target = np.array(pairs).T
    if max(source.max(), target.max()) * multiple > tokens:
        return
    buckets = buckets_of((source, target), tokens, multiple, number)
    assert len(buckets) <= number
    rows = np.concatenate([bucket.rows for bucket in buckets])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(pairs)))
    for bucket in buckets:
        assert bucket.source_length == source[bucket.rows].max()
        assert bucket.target_length == target[bucket.rows].max()
        longer = max(bucket.source_length, bucket.target_length)
        assert bucket.batch_size == tokens // longer // multiple * multiple
        assert len(buckets) == 1 or len(bucket.rows) >= 8 * bucket.batch_size
        assert (np.diff(bucket.rows) > 0).all()


def test_more_buckets_need_less_padding():
    pair = lengths()
    real = sum(map(np.sum, pair))
    shares = [padded(buckets_of(pair, num_buckets=k)) / real for k in (1, 2, 4, 8, 16)]
    assert all(more < less for less, more in itertools.pairwise(shares))
    assert shares[0] > 3
    assert shares[-1] < 1.35


def test_the_first_division_is_the_best_there_is():
    source, target = lengths(number=3000)
    best = padded(buckets_of((source, target), num_buckets=1))
    for own, other in ((source, target), (target, source)):
        for length in range(own.min(), own.max()):
            low = own <= length
            parts = [(own[part].max(), other[part].max(), part.sum()) for part in (low, ~low)]
            if all(n >= 8 * (640 // max(s, t)) for s, t, n in parts):
                best = min(best, sum(n * (s + t) for s, t, n in parts))
    assert padded(buckets_of((source, target), num_buckets=2)) == best


def test_long_sources_with_short_targets_are_not_padded_to_each_other():
    rng = np.random.default_rng(0)
    buckets = buckets_of((rng.integers(50, 64, 1000), rng.integers(2, 9, 1000)))
    assert all(bucket.target_length <= 8 for bucket in buckets)


def test_a_batch_that_cannot_hold_the_longest_row_raises():
    with pytest.raises(ValueError, match=r"tokens_per_batch=99, batch_multiple=2, a row of 50 tok"):
        buckets_of((np.array([10, 20]), np.array([50, 3])), 99, 2)
