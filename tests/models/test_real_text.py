"""Real text through tokenizer, pipeline and fit, on one device and on two."""

import contextlib

import keras
import numpy as np
import pytest

from keras_lm import BERT, ELECTRA, GPT, DistilBERT, ELECTRAPretrainer, RoBERTa, data
from keras_lm.models.replacement import detection_labels
from keras_lm.tokenizers import train_byte_bpe, train_wordpiece

SIZES = {
    "hidden_size": 32,
    "num_layers": 1,
    "num_attention_heads": 2,
    "num_hidden_units": 64,
    "max_length": 32,
    "initializer_range": 0.06,
    "dropout_rate": 0.0,
}
ROWS = {"sequence_length": 32, "batch_size": 16}


@pytest.fixture(scope="module")
def wordpiece(topics):
    return train_wordpiece([topics], 800)


def test_bert_learns_from_real_text(topics, wordpiece):
    model = BERT(
        wordpiece.vocab_size, **SIZES, heads=("masked_lm", "next_sentence"), tokenizer=wordpiece
    )
    pipeline = data.masked_lm(topics, wordpiece, next_sentence=True, masking="whole_word", **ROWS)
    model.compile(learning_rate=5e-3)
    history = model.fit(pipeline, epochs=3, steps_per_epoch=40, verbose=0).history
    # Far below the loss of knowing nothing, and falling.
    assert history["loss"][0] > history["loss"][1] > history["loss"][2]
    assert history["loss"][-1] < np.log(800)
    assert "masked_lm_accuracy" in history


@pytest.mark.parametrize(
    ("model_class", "options"),
    [
        pytest.param(RoBERTa, {}, marks=pytest.mark.slow),
        pytest.param(DistilBERT, {}, marks=pytest.mark.slow),
        (ELECTRA, {"heads": ("masked_lm",), "embedding_size": 24}),
    ],
)
def test_an_encoder_learns_from_real_text(topics, wordpiece, model_class, options):
    tokenizer = wordpiece
    if model_class is RoBERTa:
        tokenizer = train_byte_bpe([topics], 800, kind="roberta")
    model = model_class(tokenizer.vocab_size, **SIZES, **options, tokenizer=tokenizer)
    pipeline = data.masked_lm(topics, tokenizer, **ROWS)
    model.compile(learning_rate=1e-2)
    history = model.fit(pipeline, epochs=3, steps_per_epoch=25, verbose=0).history
    assert history["loss"][0] > history["loss"][1] > history["loss"][2]
    assert history["loss"][-1] < np.log(800) - 0.6


@pytest.mark.slow
def test_electra_learns_from_real_text_to_write_and_to_tell(topics, wordpiece):
    sizes = {**SIZES, "initializer_range": 0.2}
    model = ELECTRAPretrainer(wordpiece.vocab_size, **sizes, generator_size=0.5)
    pipeline = data.masked_lm(topics, wordpiece, **ROWS)
    model.compile(learning_rate=1e-2)
    history = model.fit(pipeline, epochs=3, steps_per_epoch=30, verbose=0).history
    assert history["loss"][0] > history["loss"][1] > history["loss"][2]
    assert history["masked_lm_accuracy"][-1] > 0.08
    # The discriminator knows more than how many tokens are replaced: it knows which.
    rows = data.masked_lm(topics, wordpiece, sequence_length=32, batch_size=128)
    inputs, labels, weights = next(iter(rows))
    found = model(inputs)
    replaced, counts = detection_labels(
        inputs["padding_mask"], inputs["masked_positions"], found["drawn"], labels, weights
    )
    auc = keras.metrics.AUC(from_logits=True)
    auc.update_state(replaced, found["replaced_token"], counts)
    assert auc.result() > 0.55


def test_gpt_learns_from_real_text(topics):
    tokenizer = train_byte_bpe([topics], 800)
    model = GPT(tokenizer.vocab_size, **SIZES, tokenizer=tokenizer)
    pipeline = data.causal_lm(topics, tokenizer, document_ids=True, **ROWS)
    text = "The assert statement is a convenient way to insert debugging assertions."
    before = model.score(text).perplexity[0]
    model.compile(learning_rate=5e-3)
    history = model.fit(pipeline, epochs=3, steps_per_epoch=40, verbose=0).history
    assert history["loss"][0] > history["loss"][1] > history["loss"][2]
    assert history["perplexity"][-1] < 0.5 * 800
    assert model.score(text).perplexity[0] < 0.5 * before


@pytest.mark.slow
def test_bert_on_two_replicas_has_the_losses_and_weights_of_one_device(topics, wordpiece, replicas):
    pipeline = data.masked_lm(topics, wordpiece, next_sentence=True, **ROWS)

    def trained(strategy):
        keras.utils.set_random_seed(5)
        with strategy.scope() if strategy else contextlib.nullcontext():
            model = BERT(wordpiece.vocab_size, **SIZES, heads=("masked_lm", "next_sentence"))
            model.compile(learning_rate=1e-3)
        # An epoch of one step, so that the history has the loss of every step.
        history = model.fit(pipeline, epochs=4, steps_per_epoch=1, verbose=0).history
        return model, history["loss"]

    one, two = trained(None), trained(replicas)
    np.testing.assert_allclose(two[1], one[1], atol=2e-6)
    for ours, theirs in zip(one[0].weights, two[0].weights, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=2e-6, err_msg=ours.path)
