"""Exports of a decoder's classes, of adapters and of a translator answer as Python does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ask_in_a_process import LONG, PROMPTS, TARGETS, TEXTS, ask_in_another_process

from keras_lm import BERT, TextClassifier, Translator, export
from keras_lm.models.limits import CUT

pytestmark = pytest.mark.slow
REQUESTS = [
    ("gpt_classifier", "serving_default", {"text": [*TEXTS, "x " * 300]}),
    ("adapted", "serving_default", {"text": [*TEXTS, LONG]}),
    ("translator", "serving_default", {"text": PROMPTS}),
    ("translator", "score", {"text": PROMPTS, "target": TARGETS}),
]


@pytest.fixture(scope="module")
def gpt_classifier(gpt):
    keras.utils.set_random_seed(0)  # whatever ran before
    model = TextClassifier(gpt, ["a", "b", "c"])
    model.build()
    return model


@pytest.fixture(scope="module")
def adapted(bert):
    """A classifier of its own encoder, with LoRA's adapters."""
    keras.utils.set_random_seed(0)  # whatever ran before
    encoder = BERT(bert.vocab_size, 16, 1, 2, 32, max_length=64, heads=(), tokenizer=bert.tokenizer)
    model = TextClassifier(encoder, 2)
    model.add_lora(2, alpha=4)
    for weight in model.lora_weights:
        weight.assign(keras.random.normal(weight.shape, stddev=0.5, seed=1))
    return model


@pytest.fixture(scope="module")
def translator(transformer):
    model = Translator(transformer, num_beams=2, max_new_tokens=8)
    model.build()
    return model


@pytest.fixture(scope="module")
def exported(gpt_classifier, adapted, translator, tmp_path_factory):
    directory = tmp_path_factory.mktemp("more_tasks")
    export(gpt_classifier, directory / "gpt_classifier", extra_files=False)
    export(adapted, directory / "adapted", extra_files=False)
    export(translator, directory / "translator", extra_files=False)
    return directory


@pytest.fixture(scope="module")
def answered(exported):
    found = ask_in_another_process(exported, REQUESTS)
    assert found["unwanted"] == []
    return {request[:2]: answer for request, answer in zip(REQUESTS, found["answers"], strict=True)}


def test_a_decoder_classifies_by_its_last_token(answered, gpt_classifier):
    answer = answered["gpt_classifier", "serving_default"]
    found = gpt_classifier.predict([*TEXTS, "x " * 300], verbose=0)
    assert answer["label"] == found.labels
    np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-6)
    assert answer["status"] == [0] * len(TEXTS) + [CUT]
    ids = np.array([gpt_classifier.tokenizer.encode(TEXTS[0])])
    logits = gpt_classifier.classifier(gpt_classifier.hidden_states(ids)[:, -1])
    np.testing.assert_allclose(answer["scores"][0], tf.nn.softmax(logits)[0], atol=1e-6)


def test_adapters_are_merged(answered, adapted, exported):
    answer = answered["adapted", "serving_default"]
    found = adapted.predict([*TEXTS, LONG], verbose=0)
    assert answer["label"] == found.labels
    np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-5)
    assert adapted.has_lora
    path = str(exported / "adapted" / "1" / "variables" / "variables")
    dense = adapted.encoder.blocks[0].attention.query_key_value
    expected = dense.kernel.numpy()
    for update in dense.updates:
        expected[:, update.first : update.last] += 2 * update.a.numpy() @ update.b.numpy()
    there = [tf.train.load_variable(path, name) for name, _ in tf.train.list_variables(path)]
    values = [value for value in there if getattr(value, "shape", None) == expected.shape]
    assert any(np.allclose(value, expected, atol=1e-6) for value in values)


def test_texts_are_translated_as_in_python(answered, translator):
    answer = answered["translator", "serving_default"]
    found = translator.predict(PROMPTS, verbose=0)
    assert answer["translation"] == found.texts
    assert [status & CUT != 0 for status in answer["status"]] == found.cut.tolist()
    assert answer.keys() == {"translation", "count", "status"}
    assert max(answer["count"]) <= 8
    assert len(answered["translator", "score"]["status"]) == len(PROMPTS)
