import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm import BERT

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_layers": 2,
    "num_attention_heads": 4,
    "num_hidden_units": 32,
    "max_length": 12,
    "dropout_rate": 0.0,
}
B, T = 3, 10


@pytest.fixture(scope="module")
def model():
    return built(BERT(**SIZES, heads=("masked_lm", "next_sentence"), initializer_range=0.5))


def built(model):
    model.build()
    return model


def ids(batch=B, length=T, seed=0):
    return np.random.default_rng(seed).integers(5, 50, (batch, length)).astype("int32")


def test_outputs_follow_the_heads():
    inputs = {"token_ids": ids(), "masked_positions": np.array([[1, 4]] * B)}
    sizes = {**SIZES, "num_layers": 1}
    assert BERT(**sizes)(inputs).shape == (B, 2, 50)
    assert BERT(**sizes)(ids()).shape == (B, T, 50)
    assert BERT(**sizes, heads=("next_sentence",))(inputs).shape == (B, 2)
    assert BERT(**sizes, heads=())(inputs).shape == (B, T, 16)
    both = BERT(**sizes, heads=("masked_lm", "next_sentence"))(inputs)
    assert {name: tuple(x.shape) for name, x in both.items()} == {
        "masked_lm": (B, 2, 50),
        "next_sentence": (B, 2),
    }


def test_predicting_at_positions_equals_predicting_everywhere(model):
    positions = np.array([[1, 4, 9]] * B)
    everywhere = model({"token_ids": ids()})["masked_lm"]
    there = model({"token_ids": ids(), "masked_positions": positions})["masked_lm"]
    expected = np.take_along_axis(np.asarray(everywhere), positions[:, :, None], 1)
    np.testing.assert_allclose(there, expected, atol=1e-5)


def test_padding_does_not_leak(model):
    real = np.arange(T)[None] < np.array([10, 6, 3])[:, None]
    noise = np.where(real, ids(), ids(seed=1))
    first = model({"token_ids": ids(), "padding_mask": real})
    second = model({"token_ids": noise, "padding_mask": real})
    np.testing.assert_allclose(
        np.asarray(first["masked_lm"])[real], np.asarray(second["masked_lm"])[real], atol=1e-5
    )
    np.testing.assert_allclose(first["next_sentence"], second["next_sentence"], atol=1e-5)


def test_a_batch_of_mixed_lengths_equals_one_by_one(model):
    lengths = [10, 6, 3]
    real = np.arange(T)[None] < np.array(lengths)[:, None]
    batch = model({"token_ids": ids(), "padding_mask": real})["masked_lm"]
    for row, length in enumerate(lengths):
        alone = model({"token_ids": ids()[row : row + 1, :length]})["masked_lm"]
        np.testing.assert_allclose(batch[row, :length], alone[0], atol=1e-5)


def test_documents_in_one_row_do_not_see_each_other(model):
    first, second = ids(1, 4), ids(1, 6, seed=1)
    packed = model(
        {
            "token_ids": np.concatenate([first, second], 1),
            "document_ids": np.array([[7] * 4 + [3] * 6]),
        }
    )["masked_lm"]
    for part, alone in ((packed[:, :4], first), (packed[:, 4:], second)):
        np.testing.assert_allclose(part, model({"token_ids": alone})["masked_lm"], atol=1e-5)


def test_segments_and_positions_count(model):
    plain = model({"token_ids": ids()})["masked_lm"]
    other = model({"token_ids": ids(), "segment_ids": np.ones((B, T), "int32")})["masked_lm"]
    turned = model({"token_ids": ids()[:, ::-1]})["masked_lm"][:, ::-1]
    assert np.abs(plain - other).max() > 1e-3
    assert np.abs(plain - turned).max() > 1e-3


def test_hidden_states_can_be_asked_for(model):
    last, states = model.encoder(ids(), return_hidden_states=True)
    assert len(states) == 3
    np.testing.assert_array_equal(last, states[-1])


def test_a_keras_file_gives_the_same_model_back(model, tmp_path):
    path = tmp_path / "bert.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    assert again.get_config() == model.get_config()
    np.testing.assert_allclose(again(ids())["masked_lm"], model(ids())["masked_lm"], atol=1e-6)


@pytest.mark.slow
def test_fit_lowers_the_loss_for_both_heads(model):
    model = BERT(**SIZES, heads=("masked_lm", "next_sentence"))
    inputs = {
        "token_ids": ids(16),
        "padding_mask": np.ones((16, T), "bool"),
        "masked_positions": np.array([[2, 7]] * 16),
    }
    labels = {"masked_lm": ids(16, 2), "next_sentence": np.arange(16) % 2}
    model.compile(learning_rate=1e-2)
    batches = tf.data.Dataset.from_tensors((inputs, labels)).repeat(60)
    history = model.fit(batches, epochs=2, verbose=0, shuffle=False)
    assert history.history["loss"][1] < 0.5 * history.history["loss"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 18}, "Received: num_heads=4, d_kv=18"),
        ({"vocab_size": 0}, "vocab_size=0"),
        ({"max_length": 0}, "max_length=0"),
        ({"dropout_rate": 1.5}, "1.5"),
        ({"activation": "gelu_new"}, "Received: 'gelu_new'"),
        ({"heads": ("causal_lm",)}, "causal_lm"),
    ],
)
def test_sizes_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BERT(**{**SIZES, **arguments})


def test_an_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="hiden_size"):
        BERT(**SIZES, hiden_size=3)


def test_a_sequence_that_is_too_long_is_refused(model):
    with pytest.raises(ValueError, match=r"at most max_length=12 positions. Received: 13"):
        model(ids(length=13))


def test_an_input_of_another_name_is_refused(model):
    with pytest.raises(ValueError, match="Received: input_ids"):
        model({"input_ids": ids()})


def test_text_without_a_tokenizer_is_refused(model):
    with pytest.raises(ValueError, match="needs a tokenizer"):
        model.fill_mask("a [MASK]")
