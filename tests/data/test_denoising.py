import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data import Pipeline, denoising
from keras_lm.tokenizers import WordPiece

PAD, CLS, SEP, MASK = 0, 2, 3, 4
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
B, S = 4, 32


@pytest.fixture(scope="module")
def tokenizer():
    return WordPiece([*SPECIAL, ".", "!", *(f"w{i}" for i in range(3000)), "##x"])


def text(start, sentences, length=4):
    numbers = [range(start + i * length, start + (i + 1) * length) for i in range(sentences)]
    return " . ".join(" ".join(f"w{i}" for i in row) for row in numbers) + " ."


def make(tokenizer, texts=None, **arguments):
    texts = [text(0, 300)] if texts is None else texts
    arguments = {"sequence_length": S, "batch_size": B, **arguments}
    return denoising(None, tokenizer, texts=texts, **arguments)


def listed(dataset):
    return list(dataset.as_numpy_iterator())


def restored(batch):
    """The texts that the decoder gives, without the end token."""
    _, labels, weights = batch
    return [row[weight > 0][:-1].tolist() for row, weight in zip(labels, weights, strict=True)]


def read(batch):
    """The texts that the encoder reads, without special tokens."""
    inputs = batch[0]
    return [
        row[real][1:-1].tolist()
        for row, real in zip(inputs["token_ids"], inputs["padding_mask"], strict=True)
    ]


def test_names_dtypes_and_static_shapes_are_the_promised_ones(tokenizer):
    pipeline = make(tokenizer)
    assert isinstance(pipeline, Pipeline)
    assert pipeline.element_spec == (
        {
            "token_ids": tf.TensorSpec((B, S), tf.int32),
            "padding_mask": tf.TensorSpec((B, S), tf.bool),
            "decoder_token_ids": tf.TensorSpec((B, S - 1), tf.int32),
            "decoder_padding_mask": tf.TensorSpec((B, S - 1), tf.bool),
        },
        tf.TensorSpec((B, S - 1), tf.int32),
        tf.TensorSpec((B, S - 1), tf.float32),
    )


def test_the_decoder_restores_every_token_of_the_text_in_its_order(tokenizer):
    rows = [
        row
        for batch in listed(make(tokenizer, batch_size=1, shuffle=False))
        for row in restored(batch)
    ]
    flat = [token for row in rows for token in row]
    assert flat == tokenizer.encode(text(0, 300), add_special_tokens=False)
    assert max(map(len, rows)) == S - 2


def test_without_noise_the_encoder_reads_what_the_decoder_restores(tokenizer):
    for batch in listed(make(tokenizer, mask_rate=0.0, permute_sentences=False)):
        assert read(batch) == restored(batch)
        inputs, labels, weights = batch
        np.testing.assert_array_equal(inputs["token_ids"][:, 0], CLS)
        assert (inputs["token_ids"][inputs["padding_mask"]].reshape(B, -1)[:, -1] == SEP).all()
        np.testing.assert_array_equal(inputs["decoder_padding_mask"], weights > 0)
        np.testing.assert_array_equal(inputs["decoder_token_ids"][:, 0], SEP)
        np.testing.assert_array_equal(inputs["decoder_token_ids"][:, 1:], labels[:, :-1])


def test_rows_are_masked_and_padded(tokenizer):
    short = 0
    for batch in listed(make(tokenizer, permute_sentences=False)):
        inputs = batch[0]
        np.testing.assert_array_equal(inputs["token_ids"] == PAD, ~inputs["padding_mask"])
        for noised, whole in zip(read(batch), restored(batch), strict=True):
            left = [token for token in noised if token != MASK]
            assert len(left) == len(whole) - round(0.3 * len(whole))
            places = iter(whole)
            assert all(token in places for token in left), "in the order of the text"
            short += len(noised) < len(whole)
    assert short > 20


def test_sentences_of_a_row_are_put_into_another_order(tokenizer):
    moved = 0
    for batch in listed(make(tokenizer, mask_rate=0.0)):
        for noised, whole in zip(read(batch), restored(batch), strict=True):
            assert sorted(noised) == sorted(whole)
            moved += noised != whole
    assert moved > 30


def test_noise_is_drawn_anew_in_each_epoch(tokenizer):
    pipeline = make(tokenizer, shuffle=False)
    steps = listed(pipeline.endless().take(2 * pipeline.steps_per_epoch))
    first, second = steps[: pipeline.steps_per_epoch], steps[pipeline.steps_per_epoch :]
    assert [restored(batch) for batch in first] == [restored(batch) for batch in second]
    assert [read(batch) for batch in first] != [read(batch) for batch in second]


def test_batch_i_does_not_depend_on_where_the_iteration_started(tokenizer):
    steps = listed(make(tokenizer).endless().take(9))
    tf.nest.map_structure(
        np.testing.assert_array_equal, listed(make(tokenizer).endless(4).take(5)), steps[4:]
    )
    tf.nest.map_structure(
        np.testing.assert_array_equal, listed(make(tokenizer, start_step=4))[0], steps[4]
    )


def test_rows_go_on_with_the_next_document_behind_a_separator(tokenizer):
    texts = [text(100 * i, 2) for i in range(6)]
    rows = [restored(b)[0] for b in listed(make(tokenizer, texts, batch_size=1, shuffle=False))]
    assert SEP in rows[0][1:]
    alone = make(tokenizer, texts, batch_size=1, shuffle=False, across_documents=False)
    expected = [tokenizer.encode(document, add_special_tokens=False) for document in texts]
    assert [restored(batch)[0] for batch in listed(alone)] == expected


def test_barts_own_rows_begin_with_two_tokens(tokenizer):
    pipeline = make(tokenizer, decoder_start=("[SEP]", "[CLS]"))
    inputs, labels, _ = next(iter(listed(pipeline)))
    assert labels.shape == (B, S)
    np.testing.assert_array_equal(inputs["decoder_token_ids"][:, :2], [[SEP, CLS]] * B)
    np.testing.assert_array_equal(labels[:, 0], CLS)


def test_batches_are_what_they_were_in_another_process_at_another_time(tokenizer):
    inputs, _, _ = next(make(tokenizer, seed=7).endless(50).as_numpy_iterator())
    row = [
        2,
        87,
        88,
        89,
        90,
        5,
        91,
        92,
        4,
        84,
        85,
        86,
        5,
        99,
        4,
        101,
        4,
        97,
        98,
        5,
        79,
        80,
        81,
        82,
        5,
        3,
    ]
    assert inputs["token_ids"][0].tolist() == [*row, *[PAD] * 6]
    assert inputs["token_ids"].sum() == 29678


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mask_rate": 1.0}, ValueError, "mask_rate must be .* less than 1"),
        ({"mask_rate": -0.1}, ValueError, "mask_rate must be at least 0"),
        ({"poisson_lambda": 0.0}, ValueError, "poisson_lambda must be positive"),
        ({"poisson_lambda": 40.0}, ValueError, "less than sequence_length. .*=40.0"),
        ({"sequence_length": 2, "poisson_lambda": 1}, ValueError, "must leave room for special"),
        ({"sentence_ends": "¶"}, ValueError, "permute_sentences=True needs .* none of them"),
        ({"decoder_start": "<s>"}, ValueError, "must be in the vocabulary"),
        ({"texts": [" "]}, ValueError, "empty corpus"),
        ({"batch_size": 10_000}, ValueError, "at least one batch of rows"),
    ],
)
def test_bad_arguments_raise(arguments, error, message, tokenizer):
    with pytest.raises(error, match=message):
        make(tokenizer, **arguments)


def test_a_tokenizer_without_a_mask_token_raises(bytes_bpe):
    with pytest.raises(ValueError, match=r"pad, mask\. Received: ByteBPE without mask"):
        denoising(None, bytes_bpe, texts=["text"])
