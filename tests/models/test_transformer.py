import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm import Transformer
from keras_lm.generation import SEGMENT
from keras_lm.models.continuation import Structure
from keras_lm.models.text_to_text import TextToText
from keras_lm.training import SampledSoftmax

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_layers": 2,
    "num_attention_heads": 4,
    "num_hidden_units": 32,
    "max_length": 24,
    "dropout_rate": 0.0,
    "decoder_start_ids": [2],
}
B, S, T = 3, 9, 7


@pytest.fixture(scope="module")
def model():
    """Its answers change from token to token and end, which few do that were not trained."""
    keras.utils.set_random_seed(2)
    model = Transformer(
        **SIZES, initializer_range=0.6, scale_embedding=False, position_kind="learned", end_id=39
    )
    model.build()
    return model


def ids(batch=B, length=S, seed=0):
    return np.random.default_rng(seed).integers(5, 50, (batch, length)).astype("int32")


def both(batch=B, source_length=S, target_length=T):
    return {
        "token_ids": ids(batch, source_length),
        "decoder_token_ids": ids(batch, target_length, seed=7),
    }


def is_greedy(model, source, target, wanted, start=(2,)):
    """Whether each token is the likeliest by one full pass, up to the end or the wanted length."""
    row = [*start, *target]
    inputs = {"token_ids": np.array([source]), "decoder_token_ids": np.array([row])}
    likeliest = np.argmax(model(inputs)[0], -1)[len(start) - 1 :].tolist()
    ended = len(target) == wanted or likeliest[-1] == model.end_id
    return ended and likeliest[:-1] == list(target)


def test_logits_belong_to_the_target(model):
    assert model(both()).shape == (B, T, 50)
    assert model(both()).dtype == "float32"


def test_without_a_head_it_gives_hidden_states_of_the_decoder():
    model = Transformer(**{**SIZES, "num_layers": 1}, heads=())
    assert model(both()).shape == (B, T, 16)
    with pytest.raises(ValueError, match='needs the head "seq2seq"'):
        model.generate([7])
    with pytest.raises(ValueError, match='needs the head "seq2seq"'):
        model.score("a", "b")


def test_one_table_serves_source_target_and_output(model):
    table = model.tokens.embeddings
    assert [path for path in (w.path for w in model.weights) if "tokens" in path] == [table.path]
    before, changed = model(both()), both()
    table.assign_add(np.eye(50, 16, dtype="float32"))
    after = model(both())
    table.assign_sub(np.eye(50, 16, dtype="float32"))
    assert np.abs(before - after)[:, :, :16].max() > 1e-2
    changed["token_ids"][0, 0] = 4
    assert np.abs(model(changed)[0] - before[0]).max() > 1e-3


def test_the_target_does_not_see_its_future_but_the_whole_source(model):
    inputs, changed = both(), both()
    changed["decoder_token_ids"][:, 4:] = ids(B, T, seed=8)[:, 4:]
    np.testing.assert_allclose(model(inputs)[:, :4], model(changed)[:, :4], atol=1e-5)
    changed = both()
    changed["token_ids"][:, -1] = 4
    assert np.abs(model(inputs) - model(changed))[:, 0].max() > 1e-3


def test_padding_does_not_leak(model):
    lengths = np.array([9, 4, 1])
    real = np.arange(S)[None] < lengths[:, None]
    inputs = {**both(), "padding_mask": real}
    noise = {**inputs, "token_ids": np.where(real, inputs["token_ids"], ids(seed=1))}
    np.testing.assert_allclose(model(inputs), model(noise), atol=1e-5)
    for row, length in enumerate(lengths):
        alone = {name: inputs[name][row : row + 1] for name in ("token_ids", "decoder_token_ids")}
        alone["token_ids"] = alone["token_ids"][:, :length]
        np.testing.assert_allclose(model(inputs)[row : row + 1], model(alone), atol=1e-5)


def test_padding_on_the_left_of_the_target_does_not_leak(model):
    real = np.array([[False] * 3 + [True] * 4] * B)
    inputs = {**both(), "decoder_padding_mask": real}
    noise = {**inputs, "decoder_token_ids": np.where(real, both()["decoder_token_ids"], 4)}
    np.testing.assert_allclose(model(inputs)[:, 3:], model(noise)[:, 3:], atol=1e-5)


def test_prefill_and_steps_equal_one_full_pass(model):
    lengths = np.array([9, 4, 1], "int32")
    inputs = {**both(), "padding_mask": np.arange(S)[None] < lengths[:, None]}
    full, target = model(inputs), inputs["decoder_token_ids"]
    logits, cache = model.prefill(inputs["token_ids"], lengths, target[:, :3], 10)
    memory = [block[2:] for block in cache.blocks]
    for t in range(2, T):
        np.testing.assert_allclose(logits, full[:, t], atol=1e-4)
        if t + 1 < T:
            logits, cache = model.step(tf.constant(target[:, t + 1]), cache)
    # Keys and values of the source are made once.
    for before, block in zip(memory, cache.blocks, strict=True):
        for one, other in zip(before, block[2:], strict=True):
            np.testing.assert_array_equal(one, other)


def test_targets_longer_than_a_segment_of_the_cache_equal_full_passes():
    keras.utils.set_random_seed(2)
    model = Transformer(**{**SIZES, "max_length": 120}, initializer_range=0.5)
    model.build()
    source = ids(1, 5)[0].tolist()
    wanted = SEGMENT + 20
    assert is_greedy(model, source, model.generate(source, max_new_tokens=wanted), wanted)


def test_greedy_generation_equals_full_passes(model):
    sources = [ids(1, length, seed=length)[0].tolist() for length in (3, 1, 6, 9)]
    found = model.generate(sources, max_new_tokens=10)
    for source, target in zip(sources, found, strict=True):
        assert is_greedy(model, source, target, 10)
    assert 0 < min(map(len, found)) < max(map(len, found)) == 10
    assert len({tuple(row) for row in found}) == 4


def test_a_source_gets_the_same_target_whatever_is_beside_it(model):
    options = {"max_new_tokens": 8, "temperature": 1.5, "top_k": 20, "seed": 3}
    sources = [[7, 9], [8, 20, 30, 40], [5]]
    together = model.generate(sources, **options)
    assert together == [model.generate(source, **options) for source in sources]


def test_several_targets_are_different_and_repeatable(model):
    options = {"max_new_tokens": 8, "num_return_sequences": 4, "seed": 1}
    first = model.generate([[7, 9], [5, 6, 8]], **options)
    assert first == model.generate([[7, 9], [5, 6, 8]], **options)
    assert first[1] == model.generate([5, 6, 8], **options)
    assert len({tuple(row) for row in first[0]}) > 1


def test_options_can_differ_by_row(model):
    greedy, drawn = model.generate(
        np.array([[7, 9], [7, 9]]), max_new_tokens=[8, 6], temperature=[0.0, 3.0], seed=[0, 5]
    )
    assert is_greedy(model, [7, 9], greedy, 8)
    assert drawn == model.generate([7, 9], max_new_tokens=6, temperature=3.0, seed=5)


def test_lengths_count_what_a_target_begins_with_and_fit_the_model():
    sizes = {**SIZES, "num_layers": 1, "max_length": 70, "decoder_start_ids": [2, 4]}
    model = Transformer(**sizes)  # Without an end.
    assert len(model.generate([7, 9], max_new_tokens=5)) == 5
    assert len(model.generate([7, 9], max_length=6)) == 4
    assert len(model.generate([7, 9], max_length=70)) == 68
    # Without a limit so much longer than the source, or as much as fits.
    found = model.generate([[7, 9], [5] * 5, [6] * 40])
    assert [len(row) for row in found] == [52, 55, 68]
    assert is_greedy(model, [7, 9], found[0], 52, start=(2, 4))


def test_other_lengths_and_options_do_not_trace_again(model):
    model.generate([[7, 9], [5]], max_new_tokens=2)
    model.generate([7, 9, 11], max_new_tokens=5, top_k=3, seed=1)
    model.generate([5], max_length=9, num_return_sequences=2)
    _, generator = model._made_once[TextToText]
    assert generator.graph_of(Structure()).experimental_get_tracing_count() == 1


def test_a_keras_file_gives_the_same_model_back(model, tmp_path):
    path = tmp_path / "transformer.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    assert again.get_config() == model.get_config()
    np.testing.assert_allclose(again(both()), model(both()), atol=1e-6)
    assert again.tokens is again.encoder.embedding.tokens
    assert again.tokens is again.decoder.embedding.tokens


def test_barts_constant_for_each_token_is_kept_and_not_trained():
    model = Transformer(**{**SIZES, "num_layers": 1}, logits_bias=True)
    before = model(both())
    model.seq2seq.bias.assign(np.arange(50.0))
    np.testing.assert_allclose(model(both()), before + np.arange(50), atol=1e-5)
    assert [weight.path.split("/", 1)[1] for weight in model.non_trainable_weights] == [
        "seq2seq/bias"
    ]


@pytest.mark.slow
def test_a_sampled_softmax_of_all_ids_is_the_whole_one():
    model = Transformer(**{**SIZES, "num_layers": 1}, logits_bias=True)
    model(both())
    model.seq2seq.bias.assign(np.arange(50) / 10)
    labels, weights = ids(B, T, seed=3), np.array([[1.0] * 4 + [0.0] * 3] * B)
    model.compile(learning_rate=1e-12, sampled_softmax=SampledSoftmax(50, "uniform"))
    history = model.fit(both(), labels, sample_weight=weights, batch_size=B, verbose=0).history
    expected = model.evaluate(both(), labels, sample_weight=weights, batch_size=B, verbose=0)
    assert history["loss"][0] == pytest.approx(expected[0], rel=1e-5)


def test_positions_of_another_width_are_projected():
    sizes = {**SIZES, "num_layers": 1, "pos_embedding_size": 6}
    model = Transformer(**sizes)
    assert model(both()).shape == (B, T, 50)
    without = Transformer(**{**sizes, "pos_embedding_size": None})
    without.build()
    assert model.count_params() - without.count_params() == 2 * 6 * 16


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_float16"])
def test_logits_are_float32_under_every_policy(dtype):
    model = Transformer(**{**SIZES, "num_layers": 1}, dtype=dtype, logits_bias=True)
    assert model(both()).dtype == "float32"
    lengths = np.full(B, S, "int32")
    logits, cache = model.prefill(ids(), lengths, np.full((B, 1), 2, "int32"), 3)
    assert logits.dtype == "float32"
    assert model.step(tf.constant([7] * B), cache)[0].dtype == "float32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 18}, "Received: num_heads=4, d_kv=18"),
        ({"num_decoder_attention_heads": 3}, "Received: num_heads=3, d_kv=16"),
        ({"num_decoder_attention_heads": 0}, "num_heads=0"),
        ({"num_decoder_layers": 0}, "num_layers=0"),
        ({"num_decoder_hidden_units": 0}, "units=0"),
        ({"vocab_size": 0}, "vocab_size=0"),
        ({"max_length": 0}, "max_length=0"),
        ({"dropout_rate": 1.5}, "1.5"),
        ({"activation": "gelu_new"}, "Received: 'gelu_new'"),
        ({"position_kind": "rotary"}, "Received: 'rotary'"),
        ({"first_position": 2}, "first_row=2"),
        ({"heads": ("causal_lm",)}, "causal_lm"),
        ({"decoder_start_ids": []}, r"at least one.*Received: decoder_start_ids=\(\)"),
        ({"decoder_start_ids": [50]}, r"Received: decoder_start_ids=\(50,\)"),
        ({"end_id": -1}, "end_id=-1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Transformer(**{**SIZES, **arguments})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (ids(), "Received: token_ids"),
        ({"token_ids": ids()}, "reads token_ids and decoder_token_ids"),
        ({**both(), "segment_ids": ids()}, "Received: .*segment_ids"),
        ({**both(), "input_ids": ids()}, "input_ids"),
        (both(source_length=25), r"at most max_length=24 positions. Received: 25"),
        (both(target_length=25), r"at most max_length=24 positions. Received: 25"),
    ],
)
def test_inputs_that_cannot_be_are_refused(model, inputs, message):
    with pytest.raises(ValueError, match=message):
        model(inputs)


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        ([], {}, "at least one source"),
        ([[]], {}, "must hold at least one. Received: an empty list"),
        ([[7, 50]], {}, r"0 .. vocab_size - 1 = 49. Received: 50 in row 0"),
        ([[7] * 25], {}, "Received: 25 tokens in row 0"),
        ([[7]], {"max_new_tokens": 24}, "must fit into the model's 24 positions"),
        ([[7]], {"max_new_tokens": [1, 2]}, "one for each of 1 rows"),
        ([[7]], {"max_length": 25}, "at most the model's 24"),
        ([[7]], {"max_length": 1}, "more than the longest beginning of a target"),
        ([[7]], {"max_length": 9, "max_new_tokens": 3}, "Only one of"),
        ([[7]], {"temperature": -1.0}, "temperature must be"),
        ([[7]], {"num_return_sequences": 0}, "num_return_sequences must be"),
        ([[7]], {"stop": "x"}, "stop needs sources of text"),
        (["text"], {}, "needs a tokenizer"),
        (["text", [7]], {}, "sources must be .* a list of ids or lists of ids"),
    ],
)
def test_what_cannot_be_generated_is_refused(model, sources, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(sources, **options)


def test_a_model_that_does_not_know_how_targets_begin_says_so():
    model = Transformer(**{**SIZES, "decoder_start_ids": None})
    with pytest.raises(ValueError, match="What a target begins with must be known"):
        model.generate([7])
