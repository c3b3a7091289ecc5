"""A checkpoint as Google's ELECTRA code writes it, from the weights of a pair that is made here."""

import numpy as np
import pytest
import tensorflow as tf

from keras_lm import ELECTRAPretrainer
from keras_lm.checkpoints import load, save
from keras_lm.checkpoints.electra import FAMILY
from keras_lm.checkpoints.transfer import tensors_to_write

IDS = np.random.default_rng(0).integers(0, 30, (2, 5))


def google_name(name, generator):
    names = {
        "generator_lm_head.bias": "generator_predictions/output_bias",
        "dense_prediction": "dense_1",
        ".layer.": ".layer_",
        "LayerNorm.weight": "LayerNorm.gamma",
        "LayerNorm.bias": "LayerNorm.beta",
        "_embeddings.weight": "_embeddings",
        ".weight": ".kernel",
    }
    for theirs, google in names.items():
        name = name.replace(theirs, google)
    if generator and not name.startswith("electra.embeddings."):
        name = name.replace("electra.", "generator.")
    return name.replace(".", "/")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    pair = ELECTRAPretrainer(30, 128, 2, 2, 64, max_length=16, embedding_size=8, generator_size=0.5)
    pair.build()
    for variable in pair.weights:
        variable.assign(np.random.default_rng(variable.shape[0]).normal(size=variable.shape))
    values = {}
    for model, generator in ((pair.discriminator, False), (pair.generator, True)):
        for tensor in tensors_to_write(model, FAMILY, with_prefix=True):
            name = google_name(tensor.name, generator)
            value = np.concatenate(list(tensor.pieces())).reshape(tensor.shape)
            values[name] = value.T if name.endswith("/kernel") else value
    directory = tmp_path_factory.mktemp("google")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in {**values, "global_step": np.array(3)}.items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(directory / "electra_small"))
    return directory, pair


def test_the_discriminator_is_what_is_loaded(written):
    directory, pair = written
    model = load(directory)
    assert model.heads == ("replaced_token",)
    np.testing.assert_allclose(model(IDS), pair.discriminator(IDS), atol=1e-5)


def test_the_generator_is_loaded_by_its_task(written, tmp_path):
    directory, pair = written
    model = load(directory, "masked_lm")
    assert (model.heads, model.hidden_size) == (("masked_lm",), 64)
    np.testing.assert_allclose(model(IDS), pair.generator(IDS), atol=1e-5)
    save(model, tmp_path)
    np.testing.assert_array_equal(load(tmp_path)(IDS), model(IDS))


def test_both_models_of_a_pair_can_be_saved(written, tmp_path):
    _, pair = written
    for model in (pair.discriminator, pair.generator):
        save(model, tmp_path / model.name)
        np.testing.assert_array_equal(load(tmp_path / model.name)(IDS), model(IDS))
