"""Transformers itself, where it is installed (extra `parity`)."""

import numpy as np
import parity_checks
import pytest

from keras_lm import BERT
from keras_lm.checkpoints import load, save
from keras_lm.tokenizers import train_wordpiece

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import parity_models  # noqa: E402 - it imports both

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


def test_what_was_made_here_opens_there_with_its_tokenizer(topics, tmp_path):
    tokenizer = train_wordpiece([topics], 400)
    ours = BERT(410, 12, 2, 3, 20, max_length=32, tokenizer=tokenizer, initializer_range=0.5)
    save(ours, tmp_path, max_shard_size="20KB")
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    text = "An assignment is no expression, naïve or not."
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"]
    assert ids == load(tmp_path).tokenizer.encode(text)
    with torch.no_grad():
        logits = theirs(input_ids=torch.tensor([ids])).logits
    np.testing.assert_allclose(ours(np.array([ids])), logits, atol=1e-5)


@pytest.mark.parametrize("forced", [None, 7])
def test_a_bart_generates_what_transformers_generates(forced, tmp_path):
    architecture, sizes = parity_models.LIVE["bart_generation"]
    theirs = parity_models.make(architecture, {**sizes, "max_position_embeddings": 30})
    theirs.generation_config.forced_bos_token_id = forced
    theirs.generation_config.forced_eos_token_id = None
    theirs.save_pretrained(tmp_path)
    ids = parity_models.inputs_for(theirs)["token_ids"][:1]
    wanted = theirs.generate(ids, do_sample=False, num_beams=1, max_new_tokens=12)[0].tolist()
    ours = load(tmp_path)
    start = [2] if forced is None else [2, forced]
    assert ours.start_ids == start == wanted[: len(start)]
    found = ours.generate(ids[0].tolist(), max_new_tokens=len(wanted) - len(start))
    assert found == [id_ for id_ in wanted[len(start) :] if id_ != 2]
