"""Transformers itself, where it is installed (extra `parity`)."""

import numpy as np
import parity_checks
import pytest

from keras_lm.checkpoints import load, save

pytest.importorskip("torch")
pytest.importorskip("transformers")

import parity_models  # It imports both.

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.mark.parametrize("name", parity_models.LIVE)
def test_the_numbers_are_those_of_transformers_both_ways(name, tmp_path):
    theirs = parity_models.make(*parity_models.LIVE[name], seed=7)
    theirs.save_pretrained(tmp_path / "theirs")
    inputs = parity_models.inputs_for(theirs, seed=8)
    outputs = parity_models.outputs_of(theirs, inputs)
    ours = load(tmp_path / "theirs")
    parity_checks.assert_same(ours, inputs, outputs)

    save(ours, tmp_path / "ours")
    again, found = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(found.values()), found
    before, after = theirs.state_dict(), again.state_dict()
    assert list(before) == list(after)
    for key, value in before.items():
        np.testing.assert_array_equal(value, after[key])
