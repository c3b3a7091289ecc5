"""A BERT with random weights and a tokenizer, in a directory."""

import shutil

import numpy as np
import pytest

from keras_lm import BERT
from keras_lm.checkpoints import save
from keras_lm.tokenizers import train_wordpiece


@pytest.fixture(scope="session")
def tokenizer(topics):
    return train_wordpiece([topics], 300)


@pytest.fixture(scope="session")
def written(tokenizer, tmp_path_factory):
    model = BERT(310, 8, 2, 2, 12, max_length=16, heads=("masked_lm",), tokenizer=tokenizer)
    for variable in (model.build(), model.weights)[1]:
        variable.assign(np.random.default_rng(variable.shape[0]).normal(size=variable.shape))
    return model, save(model, tmp_path_factory.mktemp("written") / "bert")


@pytest.fixture
def directory(written, tmp_path):
    return shutil.copytree(written[1], tmp_path / "bert")
