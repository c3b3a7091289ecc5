"""PEFT itself, where it is installed (extra `parity`): its adapters here, and ours there."""

import numpy as np
import pytest

import keras_lm
from keras_lm.checkpoints import load, save

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

import parity_models  # noqa: E402 - it imports both

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

# Golden model, PEFT's targets, ours, more of PEFT's options.
CASES = [
    ("bert_masked_lm", ["query", "value"], ("query", "value"), {}),
    ("bert_text", ["query", "dense"], ("query", "feed_forward_out"), {"task_type": "SEQ_CLS"}),
    ("roberta_masked_lm", ["key", "output.dense"], ("key", "attention_output"), {}),
    ("roberta_text", ["value"], ("query", "key", "value"), {"task_type": "SEQ_CLS"}),
    ("gpt2_lm", ["c_attn"], ("query", "value"), {"fan_in_fan_out": True}),
    (
        "gpt2_lm",
        ["c_attn", "c_fc", "c_proj"],
        ("query_key_value", "feed_forward_in", "feed_forward_out"),
        {"use_rslora": True, "rank_pattern": {"c_fc": 3}, "alpha_pattern": {"c_fc": 5}},
    ),
    ("gpt2_text", ["c_attn"], ("value", "feed_forward_in"), {"task_type": "SEQ_CLS"}),
    ("bart_generation", ["q_proj", "v_proj"], ("query", "value"), {}),
    ("bart_text", ["k_proj", "fc1"], ("key", "feed_forward_out"), {"task_type": "SEQ_CLS"}),
    ("distilbert_text", ["q_lin"], ("query", "attention_output"), {"task_type": "SEQ_CLS"}),
    ("electra_discriminator", ["query"], ("value",), {}),
    ("bert_model", ["query"], ("feed_forward_in",), {}),
]


def logits(outputs):
    return next(v for name, v in outputs.items() if not name.startswith("hidden_"))


def theirs_of(model, inputs):
    found = parity_models.outputs_of(model, inputs)
    return found["hidden_1"] if "pooler" in found else logits(found)


def ours_of(model, inputs):
    found = model({name: np.asarray(value) for name, value in inputs.items()})
    return np.asarray(found)


def assert_close(ours, theirs, inputs):
    real = np.asarray(inputs["padding_mask"])
    theirs = np.asarray(theirs)
    if ours.shape[:2] == real.shape and ours.ndim == 3:
        ours, theirs = ours[real], theirs[real]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(("name", "their_targets", "our_targets", "options"), CASES)
def test_the_logits_are_peft_s_both_ways(name, their_targets, our_targets, options, tmp_path):
    architecture, sizes = parity_models.LIVE[name]
    base = parity_models.make(architecture, sizes, seed=3)
    base.save_pretrained(tmp_path / "base")
    inputs = parity_models.inputs_for(base, seed=4)

    # Theirs to ours.
    options = {"r": 2, "lora_alpha": 6, "target_modules": their_targets, **options}
    config = peft.LoraConfig(init_lora_weights=False, **options)
    adapted = peft.get_peft_model(base, config).eval()
    adapted.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    wanted = theirs_of(adapted.base_model.model, inputs)
    adapted.save_pretrained(tmp_path / "theirs")
    ours = load(tmp_path / "theirs")
    assert ours.has_lora
    assert_close(ours_of(ours, inputs), wanted, inputs)
    assert_close(ours_of(ours.merge_lora(), inputs), wanted, inputs)

    # Ours to theirs.
    fresh = load(tmp_path / "base")
    fresh.add_lora(3, alpha=5, targets=our_targets)
    random = np.random.default_rng(5)
    for weight in fresh.trainable_weights:
        weight.assign(random.normal(0, 0.2, weight.shape))
    save(fresh, tmp_path / "ours")
    again = getattr(transformers, architecture).from_pretrained(tmp_path / "base")
    again = peft.PeftModel.from_pretrained(again, str(tmp_path / "ours")).eval()
    found = theirs_of(again.base_model.model, inputs)
    assert_close(ours_of(fresh, inputs), found, inputs)
    # And what they make of it is the same again.
    again.save_pretrained(tmp_path / "back")
    back = load(tmp_path / "base")
    keras_lm.load_lora(back, tmp_path / "back")
    assert_close(ours_of(back, inputs), found, inputs)
