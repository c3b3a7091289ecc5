import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.layers import TextEmbedding, TransformerDecoder, TransformerEncoder

IDS = np.array([[5, 2, 7, 1], [3, 9, 4, 0]])


def embedding(**options):
    return TextEmbedding(11, 8, 6, 0.0, **options)


def encoder(**options):
    return TransformerEncoder(embedding(), 8, 2, 2, 12, 0.0, **options)


@pytest.fixture
def behind_an_encoder():
    return TransformerDecoder(embedding(), 2, 2, 12, 0.0, norm="post", cross_attention=True)


def test_segments_and_positions_are_added_to_the_tokens():
    layer = embedding(num_segments=2, normalize=False)
    layer.build()
    tokens, segments, positions = (weight.numpy() for weight in layer.weights)
    found = layer(IDS, segment_ids=np.ones_like(IDS), positions=np.full_like(IDS, 3))
    np.testing.assert_allclose(found, tokens[IDS] + segments[1] + positions[3], atol=1e-6)


def test_tokens_are_scaled_by_the_root_of_the_width():
    layer = embedding(scale_tokens=True, normalize=False)
    layer.build()
    tokens, positions = (weight.numpy() for weight in layer.weights)
    np.testing.assert_allclose(layer(IDS), 8**0.5 * tokens[IDS] + positions[:4], atol=1e-6)


def test_positions_begin_at_their_first_row():
    layer = embedding(first_position=2, normalize=False)
    layer.build()
    tokens, positions = (weight.numpy() for weight in layer.weights)
    assert positions.shape == (8, 8)
    np.testing.assert_allclose(layer(IDS), tokens[IDS] + positions[2:6], atol=1e-6)


def test_segments_for_an_embedding_without_them_are_refused():
    with pytest.raises(ValueError, match="takes no segment_ids"):
        embedding()(IDS, segment_ids=np.zeros_like(IDS))


def test_an_embedding_of_another_width_is_projected():
    layer = TransformerEncoder(embedding(), 10, 1, 2, 12, 0.0)
    assert layer(IDS).shape == (2, 4, 10)
    assert layer.projection.count_params() == 8 * 10 + 10


def test_one_token_table_serves_two_layers():
    first = embedding()
    second = embedding(tokens=first.tokens)
    first.build()
    second.build()
    assert second.tokens.embeddings is first.tokens.embeddings


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_an_encoder_gives_hidden_states_and_attention_scores(norm):
    layer = encoder(norm=norm)
    mask = np.array([[True] * 4, [True, True, False, False]])
    inputs = {"token_ids": IDS, "padding_mask": mask}
    last, states, scores = layer(inputs, return_hidden_states=True, return_attention_scores=True)
    assert [tuple(state.shape) for state in states] == [(2, 4, 8)] * 3
    np.testing.assert_allclose(last, states[-1] if norm == "post" else layer.norm(states[-1]))
    for score in scores:
        np.testing.assert_allclose(tf.reduce_sum(score, -1), np.ones((2, 2, 4)), atol=1e-6)
        np.testing.assert_allclose(score[1, :, :, 2:], 0, atol=1e-6)


def test_a_decoder_with_a_cache_of_tokens_and_memory_equals_one_full_pass(behind_an_encoder):
    layer = behind_an_encoder
    memory = keras.random.normal((2, 5, 8))
    mask = np.array([[True] * 5, [True, True, True, False, False]])
    full = layer(IDS, memory, memory_mask=mask)
    start, cache = layer(IDS[:, :1], memory, memory_mask=mask, cache=4)
    steps, first = [start], cache
    for t in range(1, 4):
        found, cache = layer(IDS[:, t : t + 1], cache=cache)
        steps.append(found)
    np.testing.assert_allclose(tf.concat(steps, 1), full, atol=1e-5)
    # Keys and values of the memory are made once.
    for before, after in zip(first.blocks, cache.blocks, strict=True):
        for i in (2, 3):
            np.testing.assert_array_equal(before[i], after[i])


def test_padding_of_the_memory_does_not_leak(behind_an_encoder):
    memory = keras.random.normal((1, 5, 8)).numpy()
    mask = np.array([[True, True, True, False, False]])
    whole = behind_an_encoder(IDS[:1], memory, memory_mask=mask)
    short = behind_an_encoder(IDS[:1], memory[:, :3])
    np.testing.assert_allclose(whole, short, atol=1e-6)
    _, cache = behind_an_encoder(IDS[:1, :1], memory[:, :3], cache=2)
    np.testing.assert_array_equal(cache.memory_mask, np.ones((1, 3), "bool"))


def test_a_decoder_without_a_memory_refuses_one_and_the_other_way_round(behind_an_encoder):
    memory = np.zeros((2, 3, 8), "float32")
    with pytest.raises(ValueError, match="cross_attention=True"):
        TransformerDecoder(embedding(), 1, 2, 12)(IDS, memory)
    with pytest.raises(ValueError, match="needs a memory"):
        behind_an_encoder(IDS)


def test_a_layer_among_the_arguments_is_saved_where_it_came_to_stand(tmp_path):
    inputs = keras.Input((4,), dtype="int32")
    model = keras.Model(inputs, encoder()(inputs))
    model.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        names = []
        file.visit(names.append)
    assert any("embedding/tokens/vars" in name for name in names)
    assert not any("constructor_arguments" in name for name in names)


def test_a_stack_comes_back_from_its_config():
    layer = encoder(attention_dropout_rate=0.2)
    again = TransformerEncoder.from_config(layer.get_config())
    layer(IDS)
    again.build()
    for ours, theirs in zip(again.weights, layer.weights, strict=True):
        ours.assign(theirs)
    np.testing.assert_allclose(again(IDS), layer(IDS), atol=1e-6)
