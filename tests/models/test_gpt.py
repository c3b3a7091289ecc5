import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm import GPT

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_layers": 2,
    "num_attention_heads": 4,
    "num_hidden_units": 32,
    "max_length": 24,
    "dropout_rate": 0.0,
}
B, T = 3, 10


@pytest.fixture(scope="module")
def model():
    model = GPT(**SIZES, initializer_range=0.5)
    model.build()
    return model


def ids(batch=B, length=T, seed=0):
    return np.random.default_rng(seed).integers(5, 50, (batch, length)).astype("int32")


def greedy_by_full_passes(model, prompt, count):
    row = list(prompt)
    for _ in range(count):
        row.append(int(np.argmax(model(np.array([row], "int32"))[0, -1])))
    return row


def test_nothing_sees_the_future(model):
    changed = ids()
    changed[:, 6:] = ids(seed=1)[:, 6:]
    np.testing.assert_allclose(model(ids())[:, :6], model(changed)[:, :6], atol=1e-5)
    assert np.abs(model(ids())[:, 6:] - model(changed)[:, 6:]).max() > 1e-3


def test_prefill_and_steps_equal_one_full_pass(model):
    lengths = np.array([4, 7, 1], "int32")
    rows = ids(length=12)
    logits, cache = model.prefill(tf.constant(rows[:, :7]), tf.constant(lengths), 16)
    for t in range(5):
        for row, length in enumerate(lengths):
            read = rows[row, : length + t][None]
            np.testing.assert_allclose(logits[row], model(read)[0, -1], atol=1e-4)
        newest = rows[np.arange(B), lengths + t]
        logits, cache = model.step(tf.constant(newest), cache)


def test_greedy_generation_equals_full_passes(model):
    prompts = [[7, 9, 11], [5], [8, 20, 30, 40, 45, 6]]
    found = model.generate(prompts, max_new_tokens=10)
    assert found == [greedy_by_full_passes(model, prompt, 10) for prompt in prompts]


def test_max_length_counts_the_prompt(model):
    found = model.generate([[7, 9, 11], [5]], max_length=8)
    assert [len(row) for row in found] == [8, 8]


def test_a_prompt_gets_the_same_text_whatever_is_beside_it(model):
    options = {"max_new_tokens": 8, "temperature": 1.5, "top_k": 20, "seed": 3}
    together = model.generate([[7, 9], [8, 20, 30, 40], [5]], **options)
    assert together == [model.generate(p, **options) for p in ([7, 9], [8, 20, 30, 40], [5])]


def test_several_sequences_are_different_and_repeatable(model):
    first = model.generate([7, 9], max_new_tokens=8, num_return_sequences=4, seed=1)
    assert first == model.generate([7, 9], max_new_tokens=8, num_return_sequences=4, seed=1)
    assert len({tuple(row) for row in first}) > 1
    assert first != model.generate([7, 9], max_new_tokens=8, num_return_sequences=4, seed=2)


def test_options_can_differ_by_row(model):
    greedy, drawn = model.generate(
        [[7, 9], [7, 9]], max_new_tokens=8, temperature=[0.0, 3.0], top_k=[0, 10], seed=[0, 5]
    )
    assert greedy == greedy_by_full_passes(model, [7, 9], 8)
    assert drawn == model.generate([7, 9], max_new_tokens=8, temperature=3.0, top_k=10, seed=5)
    assert drawn != greedy


def test_arrays_are_prompts_of_ids(model):
    assert model.generate(np.array([[7, 9], [5, 6]]), max_new_tokens=3) == model.generate(
        [[7, 9], [5, 6]], max_new_tokens=3
    )


@pytest.mark.slow
def test_the_whole_length_of_the_model_can_be_used(model):
    short, long = model.generate([[7], list(range(5, 25))], max_length=24)
    assert (len(short), len(long)) == (24, 24)
    assert long == greedy_by_full_passes(model, range(5, 25), 4)


@pytest.mark.slow
def test_other_lengths_and_options_do_not_trace_again():
    model = GPT(**SIZES)
    model.build()
    traces = []
    step = model.step
    object.__setattr__(model, "step", lambda *args: (traces.append(1), step(*args))[1])
    model.generate([[7, 9], [5]], max_new_tokens=2)
    traced = len(traces)
    model.generate([7, 9, 11], max_new_tokens=5, top_k=3, seed=1)
    model.generate([5], max_length=9, num_return_sequences=2)
    assert traced > 0
    assert len(traces) == traced


def test_documents_in_one_row_do_not_see_each_other(model):
    first, second = ids(1, 4), ids(1, 6, seed=1)
    packed = model(
        {
            "token_ids": np.concatenate([first, second], 1),
            "document_ids": np.array([[7] * 4 + [3] * 6]),
        }
    )
    np.testing.assert_allclose(packed[:, :4], model(first), atol=1e-5)
    np.testing.assert_allclose(packed[:, 4:], model(second), atol=1e-5)


def test_padding_does_not_leak(model):
    left_padded = np.concatenate([ids(1, 3, seed=5), ids(1, 5)], 1)
    noise = np.concatenate([ids(1, 3, seed=6), ids(1, 5)], 1)
    real = np.array([[False] * 3 + [True] * 5])
    outputs = [
        model({"token_ids": row, "padding_mask": real})[:, 3:] for row in (left_padded, noise)
    ]
    np.testing.assert_allclose(*outputs, atol=1e-5)


def test_a_keras_file_gives_the_same_model_back(model, tmp_path):
    path = tmp_path / "gpt.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    assert again.get_config() == model.get_config()
    np.testing.assert_allclose(again(ids()), model(ids()), atol=1e-6)


@pytest.mark.slow
def test_fit_lowers_the_loss():
    model = GPT(**SIZES)
    model.compile(learning_rate=1e-2)
    rows = ids(16)
    batches = tf.data.Dataset.from_tensors((rows[:, :-1], rows[:, 1:])).repeat(40)
    history = model.fit(batches, epochs=2, verbose=0, shuffle=False)
    assert history.history["loss"][1] < 0.5 * history.history["loss"][0]


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "at least one prompt"),
        ([[7, 50]], {}, r"0 .. vocab_size - 1 = 49. Received: 50 in row 0"),
        ([[7, -1]], {}, "Received: -1"),
        ([[7] * 24], {}, "must leave room in the model's 24 positions"),
        ([[7] * 25], {}, "Received: 25 tokens in row 0"),
        ([[7]], {"max_new_tokens": 24}, "must fit into the model's 24 positions"),
        ([[7]], {"max_length": 25}, "at most the model's 24"),
        ([[7] * 5], {"max_length": 5}, "more than the longest prompt"),
        ([[7]], {"max_length": 9, "max_new_tokens": 3}, "Only one of"),
        ([[7]], {"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ([[7]], {"temperature": -1.0}, "temperature must be"),
        ([[7]], {"top_p": 0.0}, "top_p must be"),
        ([[7]], {"top_k": -1}, "top_k must be"),
        ([[7]], {"num_return_sequences": 0}, "num_return_sequences must be"),
        ([[7]], {"stop": "x"}, "stop needs prompts of text"),
        (["text"], {}, "needs a tokenizer"),
        ([[]], {}, "An empty prompt needs a tokenizer"),
        (["text", [7]], {}, "a list of ids or lists of ids"),
    ],
)
def test_what_cannot_be_generated_is_refused(model, prompts, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(prompts, **options)


def test_an_unknown_option_is_refused(model):
    with pytest.raises(TypeError, match="top_q"):
        model.generate([7], top_q=1)
