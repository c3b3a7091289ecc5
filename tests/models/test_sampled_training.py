"""Models trained with a sampled softmax, and evaluated with the whole one."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm import BERT, ELECTRA, GPT, DistilBERT, RoBERTa
from keras_lm.data import causal_lm, masked_lm
from keras_lm.tokenizers import WordPiece

V, B, T, K = 60, 8, 12, 30
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES = {"hidden_size": 8, "num_layers": 1, "num_attention_heads": 2, "num_hidden_units": 16}
HEADS = {GPT: "causal_lm", BERT: "masked_lm"}
kinds = pytest.mark.parametrize("kind", HEADS)


@pytest.fixture(scope="module")
def pipelines():
    """Words that follow each other in a circle, so that there is something to learn."""
    tokenizer = WordPiece([*SPECIAL, *(f"w{i}" for i in range(V - 5 - 3))])
    tokenizer.end_id = tokenizer.sep_id
    text = [" ".join(f"w{i % 52}" for i in range(j, j + 40)) for j in range(40)]
    rows = {"texts": text, "tokenizer": tokenizer, "sequence_length": T, "batch_size": B}
    return {GPT: causal_lm(**rows), BERT: masked_lm(**rows)}


def make(kind, sampled=K, strategy=None, **arguments):
    keras.utils.set_random_seed(2)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = kind(V, dropout_rate=0.0, max_length=T, **SIZES, **arguments)
        model.build()
    model.compile(learning_rate=0.01, sampled_softmax=sampled)
    return model


@pytest.fixture(scope="module")
def trained(pipelines):
    """A GPT after two epochs, and its history."""
    data, model = pipelines[GPT], make(GPT)
    return model, model.fit(data, epochs=2, validation_data=data.take(4), verbose=0).history


def test_training_shows_the_loss_and_validation_everything(trained):
    _, history = trained
    assert set(history) == {"loss", "val_loss", "val_accuracy", "val_perplexity"}
    assert history["loss"][1] < 0.9 * history["loss"][0]
    assert history["val_loss"][1] < 0.9 * np.log(V)
    assert history["val_perplexity"][1] == pytest.approx(np.exp(history["val_loss"][1]), rel=1e-5)


@pytest.mark.slow
def test_two_replicas_train_as_one_device_does(pipelines, replicas, trained):
    both = make(GPT, strategy=replicas)
    history = both.fit(pipelines[GPT], epochs=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], trained[1]["loss"], rtol=1e-5)
    for one, two in zip(trained[0].weights, both.weights, strict=True):
        np.testing.assert_allclose(two.numpy(), one.numpy(), atol=1e-4, err_msg=one.path)


@pytest.mark.parametrize("kind", [GPT, BERT, RoBERTa, DistilBERT, ELECTRA])
def test_hidden_states_times_the_table_are_the_logits(kind, pipelines):
    head = "causal_lm" if kind is GPT else "masked_lm"
    model = make(kind, heads=(head,))
    inputs = next(iter(pipelines[GPT if kind is GPT else BERT]))[0]
    table, bias = model.head_table(head)
    logits = tf.matmul(model(inputs, logits=False), table, transpose_b=True)
    if bias is not None:
        bias.assign(np.arange(V) / V)
        logits += bias
    np.testing.assert_allclose(logits, model(inputs), atol=1e-5)


def losses_and_gradients(model, x, y, w):
    """Of a step with the sampled softmax, and of one with the whole."""
    with tf.GradientTape(persistent=True) as tape:
        both = (
            model.sampled_loss(x, y, model(x, logits=False), w),
            model.compute_loss(x, y, model(x), w),
        )
    return both, [tape.gradient(loss, model.trainable_variables) for loss in both]


@pytest.mark.parametrize("heads", [("masked_lm",), ("masked_lm", "next_sentence")])
def test_all_samples_train_as_the_whole_softmax_does(heads, pipelines):
    model = make(BERT, sampled=V, heads=heads)
    model.sampled_softmax.count(pipelines[BERT], V)
    x, y, w = next(iter(pipelines[BERT]))
    if len(heads) > 1:
        y = {"masked_lm": y, "next_sentence": y[:, 0] % 2}
        w = {"masked_lm": w, "next_sentence": w[:, 0]}
    (one, two), gradients = losses_and_gradients(model, x, y, w)
    assert float(one) == pytest.approx(float(two), rel=1e-5)
    for variable, ours, theirs in zip(model.trainable_variables, *gradients, strict=True):
        ours, theirs = tf.convert_to_tensor(ours), tf.convert_to_tensor(theirs)
        np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=variable.path)


@kinds
def test_the_loss_shown_is_about_that_of_the_whole_softmax(kind, pipelines):
    model = make(kind)
    model.sampled_softmax.count(pipelines[kind], V)
    x, y, w = next(iter(pipelines[kind]))
    hidden, shown = model(x, logits=False), []
    for step in range(30):
        model.optimizer.iterations.assign(step)
        shown.append(float(model.sampled_loss(x, y, hidden, w)))
    assert len(set(shown)) > 20, "each step has samples of its own"
    assert np.mean(shown) == pytest.approx(float(model.compute_loss(x, y, model(x), w)), abs=0.1)


def test_a_file_keeps_the_sampler_and_what_it_counted(tmp_path, pipelines, trained):
    model, _ = trained
    counts = model.sampled_softmax.distribution
    np.testing.assert_array_equal(counts[: V - 3], pipelines[GPT].token_counts)
    assert counts.sum() == pipelines[GPT].token_counts.sum() == 40 * 41
    model.save(tmp_path / "gpt.keras")
    again = keras.models.load_model(tmp_path / "gpt.keras")
    assert again.sampled_softmax.num_samples == K
    np.testing.assert_array_equal(again.sampled_softmax.distribution, counts)


def test_data_that_do_not_count_their_tokens_raise(pipelines):
    model = make(GPT)
    with pytest.raises(ValueError, match=r"fit a pipeline of keras_lm\.data, or give SampledSof"):
        model.fit(pipelines[GPT].take(2), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"sampled_softmax": V + 1}, f"num_samples={V + 1}.*vocab_size={V}"),
        ({"sampled_softmax": 9, "label_smoothing": 0.1}, "smooths no labels"),
        ({"sampled_softmax": 9, "loss": "mse"}, "stands for the loss"),
    ],
)
def test_what_a_sampled_softmax_cannot_do_raises(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        GPT(V, **SIZES).compile(**arguments)


def test_a_head_without_a_table_raises():
    with pytest.raises(ValueError, match=r"for the heads \('masked_lm',\) of a BERT"):
        BERT(V, heads=("next_sentence",), **SIZES).compile(sampled_softmax=9)
