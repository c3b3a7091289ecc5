import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data import masked_lm

PAD, UNK, CLS, SEP, MASK, WORD = 0, 1, 2, 3, 4, 5  # the ids of `numbered`
B, T = 8, 32


def words(start, end):
    return " ".join(f"w{i}" for i in range(start, end))


def iterated(pipeline):
    return list(pipeline.as_numpy_iterator())


def eager(pipeline):
    steps = range(pipeline.steps_per_epoch)
    return [tf.nest.map_structure(lambda x: x.numpy(), pipeline.step(i)) for i in steps]


def original(inputs, labels, weights):
    """The rows before they were masked."""
    token_ids = inputs["token_ids"].copy()
    row, place = np.nonzero(weights)
    token_ids[row, inputs["masked_positions"][row, place]] = labels[row, place]
    return token_ids


def documents(count, length, lines=1):
    """Documents of `length` words, all words of all documents numbered through."""
    step = length // lines
    return [
        "\n".join(words(d * length + i * step, d * length + (i + 1) * step) for i in range(lines))
        for d in range(count)
    ]


@pytest.mark.parametrize("run", [eager, iterated])
def test_labels_are_what_stood_there(run, numbered):
    pipeline = masked_lm(
        None, numbered, texts=[words(0, 960)], sequence_length=T, batch_size=B, shuffle=False
    )
    rows = np.concatenate([original(*batch) for batch in run(pipeline)])
    np.testing.assert_array_equal(rows[:, 1:-1].ravel(), np.arange(960) + WORD)
    np.testing.assert_array_equal(rows[:, [0, -1]], [[CLS, SEP]] * 32)


def test_eager_batches_equal_those_of_the_pipeline(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=documents(8, 60, lines=5),
        sequence_length=T,
        batch_size=B,
        next_sentence=True,
        masking="whole_word",
    )
    tf.nest.map_structure(np.testing.assert_array_equal, eager(pipeline), iterated(pipeline))


def test_outputs_have_the_promised_names_dtypes_and_static_shapes(numbered):
    P = 5
    inputs, labels, weights = masked_lm(
        None, numbered, texts=[words(0, 960)], sequence_length=T, batch_size=B
    ).element_spec
    assert inputs == {
        "token_ids": tf.TensorSpec((B, T), tf.int32),
        "segment_ids": tf.TensorSpec((B, T), tf.int32),
        "padding_mask": tf.TensorSpec((B, T), tf.bool),
        "masked_positions": tf.TensorSpec((B, P), tf.int32),
    }
    assert labels == tf.TensorSpec((B, P), tf.int32)
    assert weights == tf.TensorSpec((B, P), tf.float32)


def test_labels_and_weights_of_pairs_are_dicts_of_one_structure(numbered):
    _, labels, weights = masked_lm(
        None,
        numbered,
        texts=documents(20, 60),
        sequence_length=T,
        batch_size=B,
        next_sentence=True,
    ).element_spec
    assert labels == {
        "masked_lm": tf.TensorSpec((B, 5), tf.int32),
        "next_sentence": tf.TensorSpec((B,), tf.int32),
    }
    assert weights == {
        "masked_lm": tf.TensorSpec((B, 5), tf.float32),
        "next_sentence": tf.TensorSpec((B,), tf.float32),
    }


def test_masks_are_80_percent_mask_10_percent_random_10_percent_unchanged(numbered):
    pipeline = masked_lm(None, numbered, texts=[words(0, 3000)], sequence_length=62, batch_size=50)
    fates, count = np.zeros(3), 0
    for inputs, labels, weights in pipeline.endless().take(40).as_numpy_iterator():
        now = np.take_along_axis(inputs["token_ids"], inputs["masked_positions"], 1)[weights > 0]
        then = labels[weights > 0]
        fates += [(now == MASK).sum(), ((now != MASK) & (now != then)).sum(), (now == then).sum()]
        count += len(now)
        assert (now >= MASK).all(), "no other special token is drawn"
    # 18,000 draws: three standard deviations are 0.009 and 0.007.
    assert count == 40 * 50 * 9
    np.testing.assert_allclose(fates / count, [0.8, 0.1, 0.1], atol=0.01)


def test_every_ordinary_token_is_equally_likely_to_be_masked(numbered):
    pipeline = masked_lm(
        None, numbered, texts=[words(0, 30 * B)], sequence_length=T, batch_size=B, mask_rate=0.2
    )
    count_T = np.zeros(T)
    for inputs, _, weights in pipeline.endless().take(500).as_numpy_iterator():
        count_T += np.bincount(inputs["masked_positions"][weights > 0], minlength=T)
    assert count_T[0] == count_T[-1] == 0
    np.testing.assert_allclose(count_T[1:-1] / (500 * B), 0.2, atol=0.03)  # 4.7 deviations


@pytest.mark.parametrize("masking", ["token", "whole_word", "span"])
@pytest.mark.parametrize("across_documents", [False, True])
def test_special_tokens_and_padding_are_never_masked(masking, across_documents, numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=[words(i, i + 5) + " unknown" for i in range(0, 1000, 5)],
        sequence_length=T,
        batch_size=B,
        mask_rate=0.9,
        masking=masking,
        across_documents=across_documents,
    )
    for inputs, labels, weights in iterated(pipeline):
        assert (labels[weights > 0] >= WORD).all()
        rows = original(inputs, labels, weights)
        unmasked = np.isin(rows, [PAD, UNK, CLS, SEP])
        np.testing.assert_array_equal(inputs["token_ids"][unmasked], rows[unmasked])
        np.testing.assert_array_equal(rows == PAD, ~inputs["padding_mask"])


def test_each_row_masks_the_rounded_share_of_its_ordinary_tokens_and_at_least_one(numbered):
    texts = [words(0, n) for n in range(1, 31) for _ in range(2)]
    for seed in range(3):
        (inputs, labels, weights), *_ = iterated(
            masked_lm(
                None,
                numbered,
                texts=texts,
                sequence_length=T,
                batch_size=len(texts),
                across_documents=False,
                seed=seed,
            )
        )
        ordinary = (original(inputs, labels, weights) >= WORD).sum(1)
        expected = np.maximum(1, np.round(np.float32(0.15) * ordinary.astype(np.float32)))
        np.testing.assert_array_equal(weights.sum(1), expected)


def test_a_row_without_an_ordinary_token_masks_nothing(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=["unknown words", words(0, 4)],
        sequence_length=8,
        batch_size=2,
        across_documents=False,
        shuffle=False,
    )
    ((_, _, weights),) = iterated(pipeline)
    np.testing.assert_array_equal(weights.sum(1), [0, 1])


def test_places_that_only_fill_up_have_weight_0_and_point_at_the_first_token(numbered):
    ((inputs, labels, weights),) = iterated(
        masked_lm(None, numbered, texts=[words(0, 5)], sequence_length=T, batch_size=1)
    )
    np.testing.assert_array_equal(weights, [[1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(inputs["masked_positions"][0, 1:], 0)
    np.testing.assert_array_equal(labels[0, 1:], 0)


def pieces_text(count):
    """Words of one to four pieces."""
    rng = np.random.default_rng(0)
    return " ".join(f"w{i}" + "x" * n for i, n in enumerate(rng.integers(0, 4, count)))


@pytest.mark.parametrize("mask_rate", [0.15, 0.4])
def test_whole_word_masks_all_pieces_of_a_word_and_leaves_no_room_for_another(mask_rate, numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=[pieces_text(1500)],
        sequence_length=T,
        batch_size=B,
        masking="whole_word",
        mask_rate=mask_rate,
    )
    partial = 0
    for inputs, labels, weights in iterated(pipeline):
        rows = original(inputs, labels, weights)
        for row, positions, weight in zip(rows, inputs["masked_positions"], weights, strict=True):
            chosen = np.zeros(T, bool)
            chosen[positions[weight > 0]] = True
            ordinary = row >= WORD
            word = np.cumsum(~numbered.continues_word[row])
            sizes = np.bincount(word[ordinary], minlength=T + 1)
            masked = np.bincount(word[chosen], minlength=T + 1)
            room = round(mask_rate * ordinary.sum()) - chosen.sum()
            assert room >= 0
            if ((masked > 0) & (masked < sizes)).any():
                partial += 1
                continue
            left = sizes[(sizes > 0) & (masked == 0)]
            assert left.min() > room
    assert partial == 0


def test_a_single_word_longer_than_the_budget_is_masked_as_far_as_it_goes(numbered):
    ((inputs, labels, weights),) = iterated(
        masked_lm(
            None, numbered, texts=["w1xxxx"], sequence_length=T, batch_size=1, masking="whole_word"
        )
    )
    assert weights.sum() == 1
    assert original(inputs, labels, weights)[0, 1] == WORD + 1


def spans(pipeline, tokenizer, epochs=1):
    """For each row: the original, which tokens were chosen, and what stands there now."""
    steps = pipeline.endless().take(epochs * pipeline.steps_per_epoch)
    for inputs, labels, weights in steps.as_numpy_iterator():
        rows = original(inputs, labels, weights)
        chosen = np.zeros(rows.shape, bool)
        row, place = np.nonzero(weights)
        chosen[row, inputs["masked_positions"][row, place]] = True
        yield from zip(rows, chosen, inputs["token_ids"], strict=True)


def runs(chosen):
    """Starts and ends of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(int), [0]])))
    return edges.reshape(-1, 2)


def test_spans_are_of_whole_words_and_as_many_as_go_in(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=[pieces_text(1500)],
        sequence_length=62,
        batch_size=10,
        masking="span",
        mask_rate=0.3,
    )
    number = longest = 0
    for row, chosen, _ in spans(pipeline, numbered, epochs=3):
        ordinary = row >= WORD
        word = np.cumsum(~numbered.continues_word[row])
        sizes = np.bincount(word[ordinary], minlength=63)
        masked = np.bincount(word[chosen], minlength=63)
        assert not ((masked > 0) & (masked < sizes)).any()
        room = round(0.3 * ordinary.sum()) - chosen.sum()
        assert room >= 0
        assert sizes[(sizes > 0) & (masked == 0)].min() > room
        number += len(runs(chosen))
        longest = max(longest, max(len(set(word[a:b])) for a, b in runs(chosen)))
    rows = 3 * pipeline.steps_per_epoch * 10
    assert 1.5 < number / rows < 4  # single tokens would be 12 runs
    assert longest > 5


def test_a_span_is_masked_replaced_or_kept_as_a_whole(numbered):
    # Long rows and few spans: two that touch are rare.
    pipeline = masked_lm(
        None,
        numbered,
        texts=[words(0, 3000)],
        sequence_length=502,
        batch_size=5,
        mask_rate=0.02,
        masking="span",
    )
    fates, mixed, count = np.zeros(3), 0, 0
    for row, chosen, now in spans(pipeline, numbered, epochs=120):
        for start, end in runs(chosen):
            a, b = row[start:end], now[start:end]
            fate = [(b == MASK).all(), ((b != MASK) & (b != a)).all(), (b == a).all()]
            mixed += not any(fate)
            fates += np.array(fate)
            count += 1
    assert mixed < 0.03 * count
    np.testing.assert_allclose(fates / count, [0.8, 0.1, 0.1], atol=0.03)


def test_a_single_word_longer_than_the_budget_is_a_span_as_far_as_it_goes(numbered):
    ((inputs, labels, weights),) = iterated(
        masked_lm(None, numbered, texts=["w1xxxx"], sequence_length=T, batch_size=1, masking="span")
    )
    assert weights.sum() == 1
    assert original(inputs, labels, weights)[0, 1] == WORD + 1


def test_rows_hold_every_token_in_its_order(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=documents(7, 50),
        sequence_length=T,
        batch_size=1,
        shuffle=False,
    )
    rows = np.concatenate([original(*batch) for batch in iterated(pipeline)])
    np.testing.assert_array_equal(rows[rows >= WORD], np.arange(350) + WORD)


def test_rows_across_documents_have_a_separator_between_them_and_one_at_the_end(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=documents(4, 5),
        sequence_length=14,
        batch_size=2,
        shuffle=False,
    )
    ((inputs, labels, weights),) = iterated(pipeline)
    w = list(range(WORD, WORD + 20))
    np.testing.assert_array_equal(
        original(inputs, labels, weights),
        [
            [CLS, *w[:5], SEP, *w[5:10], SEP, PAD],
            [CLS, *w[10:15], SEP, *w[15:20], SEP, PAD],
        ],
    )


def test_rows_within_documents_are_padded(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=documents(2, 6),
        sequence_length=6,
        batch_size=4,
        shuffle=False,
        across_documents=False,
    )
    ((inputs, labels, weights),) = iterated(pipeline)
    w = list(range(WORD, WORD + 12))
    np.testing.assert_array_equal(
        original(inputs, labels, weights),
        [
            [CLS, *w[:4], SEP],
            [CLS, *w[4:6], SEP, PAD, PAD],
            [CLS, *w[6:10], SEP],
            [CLS, *w[10:], SEP, PAD, PAD],
        ],
    )


def test_rows_are_not_cut_inside_a_word(numbered):
    pipeline = masked_lm(
        None, numbered, texts=[pieces_text(1000)], sequence_length=T, batch_size=1, shuffle=False
    )
    rows = np.concatenate([original(*batch) for batch in iterated(pipeline)])
    assert not numbered.continues_word[rows[:, 1]].any()


def test_a_word_longer_than_a_row_is_cut(numbered):
    pipeline = masked_lm(
        None, numbered, texts=["w1" + "x" * 20], sequence_length=9, batch_size=3, shuffle=False
    )
    ((inputs, labels, weights),) = iterated(pipeline)
    assert (original(inputs, labels, weights)[:, 1:-1] >= WORD).all()


def pairs(pipeline, epochs=1):
    """For each row of a pipeline of pairs: A, B and the label."""
    steps = pipeline.endless().take(epochs * pipeline.steps_per_epoch)
    for inputs, labels, weights in steps.as_numpy_iterator():
        rows = original(inputs, labels["masked_lm"], weights["masked_lm"])
        for row, segments, real, label in zip(
            rows,
            inputs["segment_ids"],
            inputs["padding_mask"],
            labels["next_sentence"],
            strict=True,
        ):
            a, b = row[(segments == 0) & real], row[segments == 1]
            assert a[0] == CLS
            assert a[-1] == SEP
            assert b[-1] == SEP
            assert len(a) > 2
            assert len(b) > 1
            yield a[1:-1] - WORD, b[:-1] - WORD, label


@pytest.mark.parametrize("length", [12, 60, 75])
def test_next_sentence_labels_are_true(length, numbered):
    count = 2400 // length
    pipeline = masked_lm(
        None,
        numbered,
        texts=documents(count, length, lines=3),
        sequence_length=T,
        batch_size=B,
        next_sentence=True,
    )
    labels = []
    for a, b, label in pairs(pipeline, epochs=3):
        np.testing.assert_array_equal(np.diff(a), 1)
        np.testing.assert_array_equal(np.diff(b), 1)
        if label == 0:
            assert b[0] == a[-1] + 1
        assert (a[0] // length != b[0] // length) == label
        assert a[0] // length == a[-1] // length
        assert b[0] // length == b[-1] // length
        labels.append(label)
    assert len(labels) > 250
    assert abs(np.mean(labels) - 0.5) < 4 * 0.5 / np.sqrt(len(labels))


def test_pairs_are_divided_between_lines(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=documents(50, 24, lines=4),
        sequence_length=T,
        batch_size=B,
        next_sentence=True,
    )
    for a, b, _ in pairs(pipeline):
        assert len(a) % 6 == 0
        assert b[0] % 6 == 0
        assert len(b) % 6 == 0


def test_a_row_has_another_pair_in_another_epoch(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=documents(16, 24, lines=4),
        sequence_length=T,
        batch_size=16,
        next_sentence=True,
        shuffle=False,
    )
    drawn = [(len(a), b[0], label) for a, b, label in pairs(pipeline, epochs=2)]
    assert sum(x != y for x, y in zip(drawn[:16], drawn[16:], strict=True)) > 8


def test_pairs_from_other_documents_are_about_as_long_as_those_that_follow(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=documents(20, 150, lines=25),
        sequence_length=T,
        batch_size=B,
        next_sentence=True,
    )
    drawn = list(pairs(pipeline, epochs=4))
    lengths = [[len(b) for _, b, label in drawn if label == wanted] for wanted in (0, 1)]
    assert abs(np.mean(lengths[0]) - np.mean(lengths[1])) < 2


def test_a_document_of_one_line_is_divided_in_its_middle(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=documents(16, 10),
        sequence_length=T,
        batch_size=16,
        next_sentence=True,
    )
    assert {len(a) for a, _, _ in pairs(pipeline)} == {5}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sequence_length": 2}, ValueError, "room for 2 special tokens and 1 of text"),
        ({"sequence_length": 4, "next_sentence": True}, ValueError, "room for 3 special tokens"),
        ({"sequence_length": 0}, ValueError, "sequence_length must be .* positive.*=0"),
        ({"sequence_length": 16.0}, ValueError, "sequence_length must be an integer"),
        ({"batch_size": -1}, ValueError, "batch_size must be .* positive.*=-1"),
        ({"start_step": -1}, ValueError, "start_step must be .* at least 0"),
        ({"seed": "1"}, ValueError, "seed must be an integer"),
        ({"mask_rate": 0.0}, ValueError, "mask_rate must lie between 0 and 1.*0.0"),
        ({"mask_rate": 1}, ValueError, "mask_rate must lie between 0 and 1.*=1"),
        ({"tokenizer": None}, TypeError, "tokenizer must be a keras_lm.tokenizers.Tokenizer"),
        ({"masks": 3}, TypeError, "unexpected keyword argument 'masks'"),
        ({"masking": "word"}, ValueError, '"whole_word" or "span". Received: masking=.word'),
        ({"batch_size": 100}, ValueError, "one batch of rows. Received: rows=3, batch_size=100"),
        ({"texts": ["", "  \n"]}, ValueError, "empty corpus"),
        ({"texts": []}, ValueError, "empty corpus"),
        ({"next_sentence": True}, ValueError, "two documents.*Received: 1"),
    ],
)
def test_bad_arguments_raise(arguments, error, message, numbered):
    arguments = {
        "tokenizer": numbered,
        "texts": [words(0, 40)],
        "sequence_length": 16,
        "batch_size": 1,
        **arguments,
    }
    with pytest.raises(error, match=message):
        masked_lm(**arguments)


def test_a_tokenizer_without_a_mask_token_raises(bytes_bpe):
    with pytest.raises(
        ValueError, match=r"cls, sep, pad, mask\. Received: .*without cls, sep, mask"
    ):
        masked_lm(None, bytes_bpe, texts=["text"])
