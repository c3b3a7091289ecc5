"""GPT with heads of a free width and layers that are dense and banded by turns."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm import GPT
from keras_lm.generation import SEGMENT

WINDOW = 5
SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_layers": 4,
    "num_attention_heads": 3,
    "num_hidden_units": 32,
    # More than the 64 keys that a block of a banded layer meets.
    "max_length": 80,
    "dropout_rate": 0.0,
    "head_dim": 8,
    "window": WINDOW,
}


@pytest.fixture(scope="module")
def model():
    model = GPT(**SIZES, initializer_range=0.5)
    model.build()
    return model


def ids(batch, length, seed=0):
    return np.random.default_rng(seed).integers(5, 50, (batch, length)).astype("int32")


def test_every_other_layer_is_banded(model):
    windows = [block.attention.window for block in model.decoder.blocks]
    assert windows == [None, WINDOW, None, WINDOW]


def test_heads_together_can_be_wider_than_the_model(model):
    attention = model.decoder.blocks[0].attention
    assert attention.query_key_value.kernel.shape == (16, 3 * 3 * 8)
    assert attention.output_projection.kernel.shape == (3 * 8, 16)


@pytest.mark.slow
def test_greedy_generation_equals_full_passes(model):
    # Shorter than the window, as long, longer; the ring comes round, and blocks begin to pay.
    prompts = [ids(1, length, seed=length)[0].tolist() for length in (2, WINDOW, 60)]
    found = model.generate(prompts, max_new_tokens=15)
    for prompt, row in zip(prompts, found, strict=True):
        assert row[: len(prompt)] == prompt
        # Nothing sees the future: one pass shows what each step would have picked.
        logits = model(np.array([row[:-1]], "int32"))[0]
        assert row[len(prompt) :] == np.argmax(logits[len(prompt) - 1 :], -1).tolist()


@pytest.mark.parametrize("num_beams", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_texts_longer_than_a_segment_of_the_cache_equal_full_passes(num_beams):
    keras.utils.set_random_seed(3)
    model = GPT(**{**SIZES, "max_length": 160}, initializer_range=0.3)
    model.build()
    prompts = [ids(1, length, seed=length)[0].tolist() for length in (2, 9)]
    # The first row ends before the cache has grown twice, and is carried along.
    found = model.generate(
        prompts,
        max_new_tokens=[70, 2 * SEGMENT + 10],
        num_beams=num_beams,
        return_scores=True,
    )
    for prompt, answer in zip(prompts, found, strict=True):
        row = np.array([answer.output], "int32")
        logits = model(row[:, :-1])[0, len(prompt) - 1 :]
        log_probs = tf.gather(tf.nn.log_softmax(logits), answer.token_ids, batch_dims=1)
        np.testing.assert_allclose(answer.log_probs, log_probs, atol=1e-3)
        if num_beams == 1:
            assert answer.token_ids == np.argmax(logits, -1).tolist()


def test_a_banded_layer_caches_its_window_alone(model):
    lengths = tf.constant([3, 9])
    logits, cache = model.prefill(tf.constant(ids(2, 9)), lengths, 40)
    sizes = [part.shape for block in cache.blocks for part in block]
    assert sizes == [(2, 3, 40, 8)] * 2 + [(2, 3, WINDOW, 8)] * 2 + sizes[:4]
    for row, length in enumerate(lengths.numpy()):
        alone = model(ids(2, 9)[row : row + 1, :length])[0, -1]
        np.testing.assert_allclose(logits[row], alone, atol=1e-4)
    np.testing.assert_array_equal(cache.position, lengths)
    _, cache = model.step(tf.constant([7, 8]), cache)
    assert [part.shape for block in cache.blocks for part in block] == sizes


def test_a_chunk_of_tokens_follows_a_cache_at_once(model):
    row = ids(1, 40)
    _, cache = model.prefill(tf.constant(row[:, :9]), tf.constant([9]), 40)
    states = []
    for first, last in ((9, 12), (12, 30), (30, 40)):
        hidden, cache = model.decoder(row[:, first:last], cache=cache)
        states.append(hidden)
    full = model.decoder(row)[:, 9:]
    np.testing.assert_allclose(np.concatenate(states, 1), full, atol=1e-4)


@pytest.mark.parametrize("length", [12, 80])
def test_documents_in_one_row_do_not_see_each_other(model, length):
    first, second = ids(1, 4), ids(1, length - 4, seed=1)
    document_ids = np.array([[7] * 4 + [3] * (length - 4)])
    rows = {"token_ids": np.concatenate([first, second], 1), "document_ids": document_ids}
    packed = model(rows)
    np.testing.assert_allclose(packed[:, :4], model(first), atol=1e-4)
    np.testing.assert_allclose(packed[:, 4:], model(second), atol=1e-4)


def test_padding_does_not_leak(model):
    rows = np.concatenate([ids(1, 70), ids(1, 10, seed=1)], 1)
    noise = np.concatenate([ids(1, 70), ids(1, 10, seed=2)], 1)
    real = np.arange(80)[None] < 70
    found, expected = (
        model({"token_ids": row, "padding_mask": real})[:, :70] for row in (rows, noise)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found, model(rows[:, :70]), atol=1e-4)


def test_a_keras_file_gives_the_same_model_back(model, tmp_path):
    path = tmp_path / "gpt3.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    assert again.get_config() == model.get_config()
    np.testing.assert_allclose(again(ids(2, 20)), model(ids(2, 20)), atol=1e-6)


@pytest.mark.slow
def test_fit_lowers_the_loss():
    model = GPT(**{**SIZES, "num_layers": 2})
    model.compile(learning_rate=1e-2)
    rows = ids(4, 81)
    batches = tf.data.Dataset.from_tensors((rows[:, :-1], rows[:, 1:])).repeat(20)
    history = model.fit(batches, epochs=2, verbose=0, shuffle=False)
    assert history.history["loss"][1] < 0.7 * history.history["loss"][0]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"window": 0}, "Received: window=0"),
        ({"window": -3, "num_layers": 1}, "Received: window=-3"),
        ({"head_dim": 0}, "d_kv=0"),
        ({"head_dim": None}, "num_heads=3, d_kv=16"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        GPT(**{**SIZES, **sizes})
