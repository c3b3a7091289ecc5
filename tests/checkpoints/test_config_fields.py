"""Fields of config.json: honoured, refused by name, or named in a warning."""

import pathlib

import numpy as np
import pytest
from directory_changes import change_config, change_tensors, same_weights

from keras_lm import GPT
from keras_lm.checkpoints import load, save
from keras_lm.checkpoints.config import Config
from keras_lm.checkpoints.families import family_of, variant


def test_a_vocabulary_and_a_table_of_other_sizes_are_refused(directory):
    change_config(directory, vocab_size=311)
    with pytest.raises(ValueError, match=r"vocab_size=311.*word_embeddings\.weight.*\(310, 8\)"):
        load(directory)


def test_sizes_that_need_more_numbers_than_the_file_has_take_no_memory(directory):
    change_config(directory, intermediate_size=10**12)
    with pytest.raises(ValueError, match=r"intermediate\.dense\.weight of shape \(12, 8\), not"):
        load(directory)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_act", "quick_gelu"),
        ("hidden_act", None),
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("tie_word_embeddings", False),
        ("pruned_heads", {"1": [0]}),
        ("quantization_config", {"bits": 8}),
        ("auto_map", {"AutoModel": "code.Model"}),
        ("model_type", "t5"),
        ("model_type", "GONE"),
        ("architectures", ["BertForMultipleChoice"]),
        ("hidden_size", "8"),
        ("num_attention_heads", 0),
        ("num_hidden_layers", -1),
        ("layer_norm_eps", True),
        ("hidden_dropout_prob", "none"),
    ],
)
def test_fields_that_ask_for_another_computation_are_refused_by_name(directory, field, value):
    change_config(directory, **{field: value})
    with pytest.raises(ValueError, match=rf"{field} must .*config\.json with {field}="):
        load(directory)


def test_fields_that_change_the_computation_are_honoured(directory):
    change_config(
        directory,
        hidden_act="relu",
        layer_norm_eps=0.5,
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.3,
    )
    arguments = load(directory).constructor_arguments
    assert arguments["activation"] == "relu"
    assert arguments["layer_norm_epsilon"] == 0.5
    assert arguments["dropout_rate"] == 0.2
    assert arguments["attention_dropout_rate"] == 0.3


def test_fields_that_nobody_knows_are_named_in_one_warning(directory):
    change_config(directory, alibi_bias=True, new_idea=3, off=None, use_cache=True)
    with pytest.warns(UserWarning, match=r"not known here.*: alibi_bias, new_idea$"):
        load(directory)


def test_one_rate_of_dropout_of_two_is_named(tmp_path):
    save(GPT(20, 8, 1, 2, 12, max_length=16), tmp_path)
    change_config(tmp_path, embd_pdrop=0.5)
    with pytest.warns(UserWarning, match=r"embd_pdrop=0\.5 and resid_pdrop=0\.1"):
        load(tmp_path)


@pytest.mark.parametrize("field", ["scale_attn_by_inverse_layer_idx", "add_cross_attention"])
def test_gpt2s_that_compute_something_else_are_refused(tmp_path, field):
    save(GPT(20, 8, 1, 2, 12, max_length=16), tmp_path)
    change_config(tmp_path, **{field: True})
    with pytest.raises(ValueError, match=rf"{field} must be False"):
        load(tmp_path)


def test_masks_that_early_files_of_gpt2_hold_are_known(tmp_path):
    model = GPT(20, 8, 1, 2, 12, max_length=16)
    save(model, tmp_path)

    def as_of_old(tensors):
        for name in list(tensors):  # Without the prefix, as OpenAI's were converted.
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["h.0.attn.bias"] = np.tril(np.ones((1, 1, 16, 16), "uint8"))
        tensors["h.0.attn.masked_bias"] = np.array(-1e4, "float32")

    change_tensors(tmp_path, as_of_old)
    assert same_weights(load(tmp_path), model)


# Fields that models of the hub have besides their sizes.
OF_THE_HUB = {
    "bert-base-multilingual-cased": {
        "architectures": ["BertForMaskedLM"],
        "directionality": "bidi",
        "gradient_checkpointing": False,
        "model_type": "bert",
        "pooler_fc_size": 768,
        "pooler_num_attention_heads": 12,
        "pooler_num_fc_layers": 3,
        "pooler_size_per_head": 128,
        "pooler_type": "first_token_transform",
        "position_embedding_type": "absolute",
    },
    "roberta-base": {
        "architectures": ["RobertaForMaskedLM"],
        "bos_token_id": 0,
        "eos_token_id": 2,
        "max_position_embeddings": 514,
        "model_type": "roberta",
        "pad_token_id": 1,
        "type_vocab_size": 1,
    },
    "distilbert-base-uncased-finetuned-sst-2-english": {
        "activation": "gelu",
        "architectures": ["DistilBertForMaskedLM"],
        "finetuning_task": "sst-2",
        "model_type": "distilbert",
        "output_past": True,
        "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2,
        "sinusoidal_pos_embds": False,
        "tie_weights_": True,
    },
    "electra-small-discriminator": {
        "architectures": ["ElectraForPreTraining"],
        "model_type": "electra",
        "summary_activation": "gelu",
        "summary_last_dropout": 0.1,
        "summary_type": "first",
        "summary_use_proj": True,
    },
    "gpt2": {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_ctx": 1024,
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    },
    "bart-large-cnn": {
        "_num_labels": 3,
        "add_final_layer_norm": False,
        "architectures": ["BartForConditionalGeneration"],
        "classif_dropout": 0.0,
        "early_stopping": True,
        "force_bos_token_to_be_generated": True,
        "forced_bos_token_id": 0,
        "forced_eos_token_id": 2,
        "is_encoder_decoder": True,
        "length_penalty": 2.0,
        "min_length": 56,
        "model_type": "bart",
        "no_repeat_ngram_size": 3,
        "normalize_before": False,
        "num_hidden_layers": 12,
        "output_past": True,
        "prefix": " ",
        "vocab_size": 50264,
    },
}


@pytest.mark.parametrize("name", OF_THE_HUB)
def test_what_models_of_the_hub_say_of_themselves_is_known(name):
    config = Config(OF_THE_HUB[name], pathlib.Path(name))
    family = family_of(config)
    family.arguments(config)
    assert variant(family, config, [])["heads"]
    config.warn_of_the_rest()
