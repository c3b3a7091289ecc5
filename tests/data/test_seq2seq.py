import gzip

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data import Pipeline, seq2seq

PAD, CLS, SEP, WORD = 0, 2, 3, 5  # the ids of `numbered`


def words(numbers):
    return " ".join(f"w{i}" for i in numbers)


def numbered_pairs(number, seed=0, longest=12):
    """Pair i is a source that begins with word i, and a target that begins with it, too."""
    rng = np.random.default_rng(seed)
    pairs = []
    for i in range(number):
        lengths = rng.integers(0, longest, 2)
        pairs.append(tuple(words([i, *rng.integers(0, 3000, n)]) for n in lengths))
    return pairs


def make(numbered, number=400, **arguments):
    arguments = {"tokens_per_batch": 64, "num_buckets": 4, **arguments}
    return seq2seq(None, numbered, pairs=numbered_pairs(number), **arguments)


def seen(dataset):
    """The numbers of the pairs of each batch."""
    return [
        (inputs["token_ids"][:, 1] - WORD).tolist() for inputs, _, _ in dataset.as_numpy_iterator()
    ]


def flat(batches):
    return [number for batch in batches for number in batch]


@pytest.fixture(scope="module")
def pipeline(numbered):
    return make(numbered)


def test_rows_are_packed_and_the_labels_are_the_next_tokens(numbered):
    data = seq2seq(
        None,
        numbered,
        pairs=[("w1 w2 w3", "w10 w11"), ("w4", "w12 w13 w14")],
        tokens_per_batch=10,
        shuffle=False,
    )
    assert isinstance(data, Pipeline)
    ((inputs, labels, weights),) = data.as_numpy_iterator()
    w = WORD
    expected = {
        "token_ids": [[CLS, w + 1, w + 2, w + 3, SEP], [CLS, w + 4, SEP, PAD, PAD]],
        "padding_mask": [[True] * 5, [True] * 3 + [False] * 2],
        "decoder_token_ids": [[SEP, w + 10, w + 11, PAD], [SEP, w + 12, w + 13, w + 14]],
        "decoder_padding_mask": [[True] * 3 + [False], [True] * 4],
    }
    assert inputs.keys() == expected.keys()
    for name, rows in expected.items():
        np.testing.assert_array_equal(inputs[name], rows)
    np.testing.assert_array_equal(
        labels, [[w + 10, w + 11, SEP, PAD], [w + 12, w + 13, w + 14, SEP]]
    )
    np.testing.assert_array_equal(weights, [[1, 1, 1, 0], [1, 1, 1, 1]])


def test_names_and_dtypes_are_the_promised_ones_and_lengths_are_open(pipeline):
    rows = {"token_ids": tf.int32, "padding_mask": tf.bool}
    rows |= {f"decoder_{name}": dtype for name, dtype in rows.items()}
    assert pipeline.element_spec == (
        {name: tf.TensorSpec((None, None), dtype) for name, dtype in rows.items()},
        tf.TensorSpec((None, None), tf.int32),
        tf.TensorSpec((None, None), tf.float32),
    )


def test_a_tokenizer_without_separator_closes_both_rows_with_its_end_token(bytes_bpe):
    end, (a,), (b,) = bytes_bpe.end_id, bytes_bpe.encode("a"), bytes_bpe.encode("b")
    data = seq2seq(None, bytes_bpe, pairs=[("a", "b")], tokens_per_batch=2)
    ((inputs, labels, _),) = data.as_numpy_iterator()
    np.testing.assert_array_equal(inputs["token_ids"], [[a, end]])
    np.testing.assert_array_equal(inputs["decoder_token_ids"], [[end, b]])
    np.testing.assert_array_equal(labels, [[b, end]])


def test_each_side_can_have_a_tokenizer_of_its_own(numbered, bytes_bpe):
    data = seq2seq(
        None, numbered, pairs=[("w1", "b")], target_tokenizer=bytes_bpe, tokens_per_batch=3
    )
    ((inputs, labels, _),) = data.as_numpy_iterator()
    np.testing.assert_array_equal(inputs["token_ids"], [[CLS, WORD + 1, SEP]])
    np.testing.assert_array_equal(labels, [[*bytes_bpe.encode("b"), bytes_bpe.end_id]])


@pytest.mark.parametrize(
    ("start", "expected", "labels"),
    [
        ("[CLS]", [CLS, WORD + 2], [WORD + 2, SEP]),
        (("[SEP]", "[CLS]"), [SEP, CLS, WORD + 2], [CLS, WORD + 2, SEP]),
    ],
)
def test_the_decoder_begins_as_it_is_told(start, expected, labels, numbered):
    data = seq2seq(None, numbered, pairs=[("w1", "w2")], decoder_start=start, tokens_per_batch=3)
    ((inputs, label, _),) = data.as_numpy_iterator()
    np.testing.assert_array_equal(inputs["decoder_token_ids"], [expected])
    np.testing.assert_array_equal(label, [labels])


def test_a_batch_has_as_many_pairs_as_its_longer_rows_allow(pipeline):
    shapes = {bucket[:3] for bucket in pipeline.buckets}
    assert 1 < len(pipeline.buckets) <= 4
    met = set()
    for inputs, labels, _ in pipeline.as_numpy_iterator():
        B, S = inputs["token_ids"].shape
        T = labels.shape[1]
        assert inputs["decoder_token_ids"].shape == (B, T)
        assert 64 // max(S, T) == B
        met.add((B, S, T))
    assert met == shapes


def test_an_epoch_has_each_pair_once_at_most_and_leaves_out_less_than_a_batch_of_a_bucket(pipeline):
    numbers = flat(seen(pipeline))
    assert len(set(numbers)) == len(numbers)
    left = 400 - len(numbers)
    assert 0 < left <= sum(bucket.batch_size - 1 for bucket in pipeline.buckets)
    assert pipeline.steps_per_epoch == len(pipeline) == len(seen(pipeline))


def test_a_pair_keeps_its_two_texts_together(numbered, pipeline):
    pairs = numbered_pairs(400)
    checked = 0
    for inputs, labels, weights in pipeline.as_numpy_iterator():
        for row, real, label, weight in zip(
            inputs["token_ids"], inputs["padding_mask"], labels, weights, strict=True
        ):
            source, target = pairs[row[1] - WORD]
            assert row[real].tolist() == numbered.encode(source)
            assert label[weight > 0].tolist() == numbered.encode(target)[1:]
            checked += 1
    assert checked > 300


def test_nothing_is_left_out_where_smaller_batches_are_allowed(numbered):
    data = make(numbered, drop_remainder=False)
    assert sorted(flat(seen(data))) == list(range(400))
    assert len(data) == len(seen(data))


def test_smaller_batches_keep_to_the_multiple(numbered):
    data = make(numbered, drop_remainder=False, batch_multiple=2)
    batches = seen(data)
    assert all(len(batch) % 2 == 0 for batch in batches)
    assert 400 - len(flat(batches)) <= len(data.buckets)


def test_batches_are_a_multiple_where_that_is_asked(numbered):
    data = make(numbered, batch_multiple=4)
    sizes = {len(batch) for batch in seen(data)}
    assert sizes == {bucket.batch_size for bucket in data.buckets}
    assert all(size % 4 == 0 for size in sizes)


def test_epochs_differ_in_order_and_in_what_they_leave_out(pipeline):
    steps = seen(pipeline.endless().take(2 * pipeline.steps_per_epoch))
    first, second = steps[: pipeline.steps_per_epoch], steps[pipeline.steps_per_epoch :]
    assert set(flat(first)) != set(flat(second))
    sizes = [[len(batch) for batch in epoch] for epoch in (first, second)]
    assert sizes[0] != sizes[1]
    assert sorted(sizes[0]) == sorted(sizes[1])


def test_batch_i_does_not_depend_on_where_the_iteration_started(numbered, pipeline):
    steps = seen(pipeline.endless().take(100))
    assert seen(pipeline.endless(start_step=33).take(67)) == steps[33:]
    assert seen(make(numbered, start_step=33)) == steps[33 : pipeline.steps_per_epoch]
    late = 10**12
    assert seen(pipeline.endless(late).take(1)) == seen(make(numbered, start_step=late).take(1))


def test_seeds_differ(numbered, pipeline):
    assert seen(make(numbered, seed=1)) != seen(pipeline)
    assert seen(make(numbered)) == seen(pipeline)


def test_without_shuffling_the_shortest_pairs_come_first_in_their_order(numbered):
    data = make(numbered, shuffle=False, drop_remainder=False)
    numbers = seen(data)
    lengths = [inputs["token_ids"].shape[1] for inputs, _, _ in data.as_numpy_iterator()]
    first = flat(x for x, length in zip(numbers, lengths, strict=True) if length == lengths[0])
    assert first == sorted(first)
    assert seen(data) == numbers
    assert lengths[0] == min(lengths)


def test_batches_are_what_they_were_in_another_process_at_another_time(pipeline):
    inputs, labels, _ = next(pipeline.endless(1000).as_numpy_iterator())
    assert (inputs["token_ids"][:, 1] - WORD).tolist() == [156, 203, 69, 330]
    assert labels.shape == (4, 8)


LONG = [("w1 w2 w3", "w1"), ("w4", "w5 w6"), ("w7", "w8 w9 w10")]


def test_pairs_that_are_too_long_are_left_out(numbered):
    data = seq2seq(
        None,
        numbered,
        pairs=LONG,
        tokens_per_batch=4,
        max_source_length=4,
        max_target_length=3,
    )
    assert seen(data) == [[4]]
    assert data.num_too_long == 2


def test_texts_that_are_too_long_can_be_cut(numbered):
    data = seq2seq(
        None,
        numbered,
        pairs=LONG,
        tokens_per_batch=12,
        max_source_length=4,
        max_target_length=3,
        too_long="cut",
        shuffle=False,
    )
    ((inputs, labels, _),) = data.as_numpy_iterator()
    w = WORD
    np.testing.assert_array_equal(inputs["token_ids"][0], [CLS, w + 1, w + 2, SEP])
    np.testing.assert_array_equal(labels[2], [w + 8, w + 9, SEP])
    assert data.num_too_long == 2


def write(path, lines):
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read(source, numbered):
    return seen(seq2seq(source, numbered, tokens_per_batch=20, shuffle=False, drop_remainder=False))


def test_parallel_files_are_read_line_by_line(tmp_path, numbered):
    sources = write(tmp_path / "a.en", ["w1", "w2", "w3"])
    targets = write(tmp_path / "a.fr.gz", ["w7", "w8", "w9"])
    assert read((sources, targets), numbered) == [[1, 2, 3]]
    assert read((str(tmp_path / "*.en"), [targets]), numbered) == [[1, 2, 3]]


def test_files_of_two_columns_are_read(tmp_path, numbered):
    write(tmp_path / "a.tsv", ["w1\tw7"])
    write(tmp_path / "b.tsv", ["w2\tw8", "w3\tw9"])
    assert read(tmp_path / "a.tsv", numbered) == [[1]]
    assert read(str(tmp_path / "*.tsv"), numbered) == [[1, 2, 3]]


def test_parallel_files_of_different_length_raise_with_both_names_and_numbers(tmp_path, numbered):
    sources = write(tmp_path / "a.en", ["w1", "w2", "w3", "w4"])
    targets = write(tmp_path / "a.fr", ["w7", "w8"])
    with pytest.raises(ValueError, match=r"as many lines\. Received: 4 in .*a\.en, 2 in .*a\.fr"):
        read((sources, targets), numbered)
    with pytest.raises(ValueError, match=r"Received: 2 in .*a\.fr, 4 in .*a\.en"):
        read((targets, sources), numbered)


def test_a_different_number_of_files_raises(tmp_path, numbered):
    path = write(tmp_path / "a.en", ["w1"])
    with pytest.raises(ValueError, match=r"1 for .*, 2 for"):
        read((path, [path, path]), numbered)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("w1", r"two columns with a tab .* Received: 1 in row 2 of .*a\.tsv"),
        ("w1\tw2\tw3", r"Received: 3 in row 2 of .*a\.tsv"),
        ("\tw1", r"must have a token. Received: an empty source in row 2 of .*a\.tsv"),
        ("w1\t ", "an empty target in row 2"),
        ("w1\t\x01", "a target without one in row 2"),
    ],
)
def test_a_row_that_is_no_pair_raises_with_its_place(line, message, tmp_path, numbered):
    path = write(tmp_path / "a.tsv", ["w1\tw2", line])
    with pytest.raises(ValueError, match=message):
        read(path, numbered)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pairs": None}, TypeError, "source .files. or pairs .of strings.. Received: neither"),
        ({"source": "a.tsv"}, TypeError, "Received: both"),
        ({"pairs": iter([("a", "b")])}, TypeError, "iterator can be read once only"),
        ({"pairs": ["ab"]}, TypeError, "pairs of strings. Received: 'ab' at 0"),
        ({"pairs": [("a", 1)]}, TypeError, r"Received: \('a', 1\) at 0"),
        ({"pairs": []}, ValueError, "At least one pair must fit .* Received: no pair"),
        ({"max_source_length": 4}, ValueError, "Received: 1 pairs, of up to 3 tokens"),
        ({"max_target_length": 1}, ValueError, "max_target_length must leave room.*=1"),
        ({"max_source_length": 2}, ValueError, "max_source_length must leave room.*=2"),
        ({"tokens_per_batch": 4}, ValueError, "tokens_per_batch must hold .* a row of 5 tokens"),
        ({"tokens_per_batch": 10}, ValueError, "at least one batch; .*rows=1, batch_size=2"),
        ({"num_buckets": 0}, ValueError, "num_buckets must be .* positive"),
        ({"batch_multiple": 0}, ValueError, "batch_multiple must be .* positive"),
        ({"too_long": "keep"}, ValueError, '"drop" or "cut". Received: too_long=.keep'),
        ({"decoder_start": ()}, ValueError, "decoder_start must be a token or several"),
        ({"decoder_start": "<s>"}, ValueError, "must be in the vocabulary. Received: '<s>'"),
        ({"tokenizer": "bert"}, TypeError, "tokenizer must be a keras_lm.tokenizers.Tokenizer"),
        ({"source": ("a", "b", "c"), "pairs": None}, ValueError, "Received: a tuple of 3"),
        ({"source": ("no/a", "no/b"), "pairs": None}, FileNotFoundError, "no/a"),
        ({"source": 7, "pairs": None}, TypeError, "source must be a path.* Received: int"),
    ],
)
def test_bad_arguments_raise(arguments, error, message, numbered):
    arguments = {
        "source": None,
        "tokenizer": numbered,
        "pairs": [("w1 w2 w3", "w4 w5")],
        "tokens_per_batch": 5,
        **arguments,
    }
    with pytest.raises(error, match=message):
        seq2seq(**arguments)
