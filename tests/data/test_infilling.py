import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data.infilling import Infilling, permute_sentences

B, C = 300, 120
SEPARATOR, MASK, WORD = 1, 2, 10
SEED = tf.constant([3, 4], tf.int64)


def rows(lengths):
    """Rows whose tokens are numbered, so that each says where it stood."""
    real = np.arange(C) < np.array(lengths)[:, None]
    return np.where(real, np.arange(C) + WORD, 0).astype("int32"), real


def infill(token_ids, real, rate=0.3, mean=3.0, continues=None):
    continues = np.zeros(C + WORD, bool) if continues is None else continues
    noise = Infilling(C, rate, mean, MASK, continues)
    token_ids, real = noise(tf.constant(token_ids), tf.constant(real), SEED)
    return [row[there] for row, there in zip(token_ids.numpy(), real.numpy(), strict=True)]


def covered(row, length):
    """How many tokens each mask, or run of masks, took, and how many masks there are in it."""
    places = np.concatenate([[-1], np.where(row == MASK, -1, row - WORD), [length]])
    runs, masks, last = [], 0, -1
    for place in places[1:]:
        if place < 0:
            masks += 1
            continue
        if masks:
            runs.append((place - last - 1, masks))
        masks, last = 0, place
    return runs


@pytest.fixture(scope="module")
def full():
    return infill(*rows([C] * B))


def test_what_is_left_stands_in_its_order_and_the_rest_is_under_masks(full):
    for row in full:
        left = row[row != MASK]
        assert (np.diff(left) > 0).all()
        assert len(left) == C - round(0.3 * C)
        assert sum(tokens for tokens, _ in covered(row, C)) == round(0.3 * C)


def test_lengths_of_spans_come_from_the_poisson_distribution(full):
    # Where a mask stands does not depend on its length, so masks that stand alone show it.
    lengths = [tokens for row in full for tokens, masks in covered(row, C) if masks == 1]
    share = np.bincount(lengths, minlength=12)[:8] / len(lengths)
    poisson = [np.exp(-3) * 3.0**k / np.prod(np.arange(1, k + 1)) for k in range(8)]
    assert len(lengths) > 2000
    # The last one of each row, one of twelve, is cut to fit.
    np.testing.assert_allclose(share, poisson, atol=0.035)


def test_there_are_as_many_masks_as_the_mean_length_says(full):
    number = np.mean([(row == MASK).sum() for row in full])
    assert number == pytest.approx(36 / 3 + 0.6, abs=0.5)  # the last one goes beyond


def test_every_word_is_masked_with_equal_chance(full):
    left = np.zeros(C)
    for row in full:
        left[row[row != MASK] - WORD] += 1
    # 0.7 of 300 rows, with a deviation of 8; neighbours go together, so ten of them are one.
    np.testing.assert_allclose(left.reshape(-1, 10).mean(1) / B, 0.7, atol=0.06)


def test_short_rows_are_masked_by_their_own_length():
    lengths = np.arange(B) % C
    for row, length in zip(infill(*rows(lengths)), lengths, strict=True):
        masked = round(float(np.float32(0.3) * np.float32(length)))
        assert len(row[row != MASK]) == length - masked


def test_short_spans_leave_no_row_longer_than_it_may_be():
    lengths = C - np.arange(B) % 4
    inserted = 0
    for row, length in zip(infill(*rows(lengths), mean=0.3), lengths, strict=True):
        assert len(row) <= C
        assert len(row[row != MASK]) == length - round(0.3 * length)
        inserted += len(row) == C
    assert inserted > 0.9 * B  # there were more to put in


def test_a_rate_of_0_changes_nothing():
    token_ids, real = rows([C, 7] * (B // 2))
    for row, before, there in zip(infill(token_ids, real, rate=0.0), token_ids, real, strict=True):
        np.testing.assert_array_equal(row, before[there])


def test_words_are_masked_whole():
    token_ids, real = rows([C - 10] * B)
    continues = np.zeros(C + WORD, bool)
    continues[WORD:] = np.arange(C) % 4 > 1  # words of one token and of three
    begins = ~continues[token_ids]
    word = np.cumsum(begins, 1) - 1
    sizes = np.bincount(word[0][real[0]])
    for row in infill(token_ids, real, continues=continues):
        left = np.bincount(word[0][row[row != MASK] - WORD], minlength=len(sizes))
        assert ((left == 0) | (left == sizes)).all()
        assert (left == 0).sum() == round(0.3 * len(sizes))


END, OTHER_END = 4, 5


def sentences(row):
    """The documents of a row, each a list of its sentences."""
    documents, sentence = [[]], []
    for token, following in zip(row, [*row[1:], SEPARATOR], strict=True):
        if token != SEPARATOR:
            sentence.append(int(token))
        last_end = token in (END, OTHER_END) and following not in (END, OTHER_END)
        if sentence and (last_end or following == SEPARATOR):
            documents[-1].append(tuple(sentence))
            sentence = []
        if token == SEPARATOR:
            documents.append([])
    return documents


@pytest.fixture(scope="module")
def shuffled():
    rng = np.random.default_rng(0)
    token_ids = rng.integers(WORD, 1000, (B, C)).astype("int32")
    draw = rng.random((B, C))
    token_ids[draw < 0.1] = END
    token_ids[draw < 0.04] = OTHER_END
    token_ids[draw > 0.98] = SEPARATOR
    # No document begins with an end: it would join the sentence that comes before it.
    token_ids[:, 0] = WORD
    token_ids[:, 1:][(token_ids[:, :-1] == SEPARATOR) & (token_ids[:, 1:] < WORD)] = WORD
    real = np.arange(C) < rng.integers(1, C + 1, (B, 1))
    token_ids[~real] = 0
    ends = np.isin(np.arange(1000), [END, OTHER_END])
    after = permute_sentences(
        tf.constant(token_ids), tf.constant(real), tf.constant(ends), SEPARATOR, SEED
    ).numpy()
    np.testing.assert_array_equal(after[~real], 0)
    pairs = zip(token_ids, after, real, strict=True)
    return [(sentences(a[there]), sentences(b[there])) for a, b, there in pairs]


def test_sentences_stay_whole_and_in_their_document(shuffled):
    for before, after in shuffled:
        assert len(before) == len(after)
        for ours, theirs in zip(before, after, strict=True):
            # A last sentence without an end joins the one that comes behind it.
            flat = [
                [token for sentence in document for token in sentence]
                for document in (ours, theirs)
            ]
            assert sorted(flat[0]) == sorted(flat[1])
            if not ours or ours[-1][-1] in (END, OTHER_END):
                assert sorted(ours) == sorted(theirs)


def test_every_order_of_sentences_is_equally_likely():
    token_ids = np.tile(np.array([11, END, 12, END, 13, END], "int32"), (1200, 1))
    ends = np.isin(np.arange(20), [END])
    after = permute_sentences(
        tf.constant(token_ids), token_ids > 0, tf.constant(ends), SEPARATOR, SEED
    ).numpy()
    orders, count = np.unique(after[:, ::2], axis=0, return_counts=True)
    assert len(orders) == 6
    assert ((count - 200) ** 2 / 200).sum() < 20.5  # chi-square of 5 degrees, 0.1 %
