import numpy as np
import pytest

from keras_lm import BERT, ELECTRA, GPT, RoBERTa, TextClassifier, Transformer
from keras_lm.checkpoints import load, save
from keras_lm.checkpoints.lora import load_lora
from keras_lm.models import resize_token_embeddings
from keras_lm.tokenizers import train_wordpiece

IDS = np.array([[1, 4, 2, 7]])


@pytest.fixture(scope="module")
def bert():
    model = BERT(20, 8, 1, 2, 12, max_length=16, heads=("masked_lm", "next_sentence"))
    model.build()
    bias = model.masked_lm.bias
    bias.assign(np.random.default_rng(0).normal(size=bias.shape))
    return model


def test_old_ids_keep_their_logits_and_new_ones_get_the_mean(bert):
    larger = resize_token_embeddings(bert, 23)
    before, after = bert(IDS), larger(IDS)
    assert after["masked_lm"].shape == (1, 4, 23)
    np.testing.assert_allclose(after["masked_lm"][..., :20], before["masked_lm"], atol=1e-6)
    mean = np.mean(before["masked_lm"], -1)
    np.testing.assert_allclose(after["masked_lm"][..., 20], mean, atol=1e-6)
    np.testing.assert_array_equal(after["next_sentence"], before["next_sentence"])


def test_fewer_ids_lose_the_last_ones(bert):
    smaller = resize_token_embeddings(bert, 9)
    assert (smaller.vocab_size, smaller.get_config()["vocab_size"]) == (9, 9)
    np.testing.assert_allclose(
        smaller(IDS)["masked_lm"], bert(IDS)["masked_lm"][..., :9], atol=1e-6
    )


@pytest.mark.parametrize(
    "model_class",
    [
        lambda *sizes, **options: GPT(*sizes, window=4, **options),
        lambda *sizes, **options: ELECTRA(
            *sizes, embedding_size=4, heads=("masked_lm",), **options
        ),
        RoBERTa,
    ],
)
def test_other_models_are_resized_too(model_class):
    model = model_class(20, 8, 1, 2, 12, max_length=16)
    larger = resize_token_embeddings(model, 21)
    np.testing.assert_allclose(larger(IDS)[..., :20], model(IDS), atol=1e-6)


def test_both_sides_of_a_transformer_are_resized():
    model = Transformer(20, 8, 1, 2, 12, max_length=16, logits_bias=True)
    larger = resize_token_embeddings(model, 25)
    inputs = {"token_ids": IDS, "decoder_token_ids": IDS}
    np.testing.assert_allclose(larger(inputs)[..., :20], model(inputs), atol=1e-6)


def test_the_tokenizer_stays_and_must_fit(topics):
    tokenizer = train_wordpiece([topics], 200)
    model = BERT(200, 8, 1, 2, 12, max_length=16, tokenizer=tokenizer)
    assert resize_token_embeddings(model, 210).tokenizer is tokenizer
    with pytest.raises(ValueError, match="200 tokens, vocab_size=199"):
        resize_token_embeddings(model, 199)


def test_sizes_that_are_none_are_refused(bert):
    for wrong in (0, -1, 2.5, "20"):
        with pytest.raises(ValueError, match="new_size must be"):
            resize_token_embeddings(bert, wrong)


def test_a_task_is_resized_beneath(bert):
    with pytest.raises(ValueError, match="resize the model that it is made on"):
        resize_token_embeddings(TextClassifier(bert, labels=2), 30)


def test_adapters_and_what_is_frozen_come_along(tmp_path):
    save(GPT(20, 8, 2, 2, 12, max_length=16, initializer_range=0.3), tmp_path / "base")
    model = load(tmp_path / "base")
    model.add_lora(2, targets="query_key_value")
    for weight in model.lora_weights:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    larger = resize_token_embeddings(model, 23)
    np.testing.assert_allclose(larger(IDS)[..., :20], model(IDS), atol=1e-6)
    assert [w.shape for w in larger.trainable_weights] == [w.shape for w in model.lora_weights]
    # No directory has the model beneath.
    save(larger, tmp_path / "adapters")
    with pytest.raises(ValueError, match="Adapters must say what they were trained on"):
        load(tmp_path / "adapters")
    again = resize_token_embeddings(load(tmp_path / "base"), 23)
    load_lora(again, tmp_path / "adapters")
    np.testing.assert_allclose(again(IDS), larger(IDS), atol=1e-6)
    again = resize_token_embeddings(load(tmp_path / "base"), 23)
    again.freeze(blocks=1)
    assert len(resize_token_embeddings(again, 25).frozen) == len(again.frozen) > 0
