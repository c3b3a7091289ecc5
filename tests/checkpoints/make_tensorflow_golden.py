"""Writes golden/tf_*.zip: directories with tf_model.h5, as TensorFlow models of Transformers wrote.

python tests/checkpoints/make_tensorflow_golden.py [NAME]

Needs an environment of its own: transformers 4.57.6, tf-keras 2.21.0, tensorflow 2.21.0.
"""

import sys
import tempfile

import numpy as np
import transformers
from make_golden import write

_BERT = {
    "vocab_size": 31,
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 11,
}
HEADS = {
    "BartForConditionalGeneration": "seq2seq",
    "DistilBertForMaskedLM": "masked_lm",
    "ElectraForMaskedLM": "masked_lm",
    "ElectraForPreTraining": "replaced_token",
    "GPT2LMHeadModel": "causal_lm",
    "RobertaForMaskedLM": "masked_lm",
}
CASES = {
    "tf_bert_pretraining": ("BertForPreTraining", _BERT),
    "tf_bert_model": ("BertModel", _BERT),
    "tf_gpt2_lm": (
        "GPT2LMHeadModel",
        {
            "vocab_size": 31,
            "n_embd": 12,
            "n_layer": 1,
            "n_head": 3,
            "n_positions": 12,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "tf_roberta_masked_lm": (
        "RobertaForMaskedLM",
        {**_BERT, "max_position_embeddings": 13, "type_vocab_size": 1},
    ),
    "tf_distilbert_masked_lm": (
        "DistilBertForMaskedLM",
        {
            "vocab_size": 31,
            "dim": 12,
            "n_layers": 1,
            "n_heads": 3,
            "hidden_dim": 20,
            "max_position_embeddings": 11,
        },
    ),
    "tf_bart_generation": (
        "BartForConditionalGeneration",
        {
            "vocab_size": 31,
            "d_model": 12,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 3,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 20,
            "decoder_ffn_dim": 17,
            "max_position_embeddings": 11,
            "forced_eos_token_id": None,
        },
    ),
    "tf_electra_discriminator": ("ElectraForPreTraining", {**_BERT, "embedding_size": 6}),
    "tf_electra_generator": ("ElectraForMaskedLM", {**_BERT, "embedding_size": 6}),
}


def make(architecture, sizes):
    """Gives a model whose every weight counts; its weights compress well."""
    model_class = getattr(transformers, f"TF{architecture}")
    model = model_class(model_class.config_class(**sizes))
    model(model.dummy_inputs)
    random = np.random.default_rng(0)
    for weight in model.weights:
        value = weight.numpy() + 0.2 * random.standard_normal(weight.shape)
        weight.assign(np.round(64 * value) / 64)
    return model


def main():
    for name, (architecture, sizes) in CASES.items():
        if sys.argv[1:] not in ([], [name]):
            continue
        model = make(architecture, sizes)
        ids = np.random.default_rng(1).integers(5, 31, (3, 7))
        inputs = {"token_ids": ids, "padding_mask": np.arange(7) < np.array([[7], [5], [1]])}
        if "Roberta" in architecture:
            ids[~inputs["padding_mask"]] = 1
        mask = inputs["padding_mask"].astype("int32")
        given = {"input_ids": ids, "attention_mask": mask}
        if model.config.is_encoder_decoder:
            inputs["decoder_token_ids"] = given["decoder_input_ids"] = ids[:, 3:]
        found = model(**given, output_hidden_states=True)
        states = found.get("hidden_states")
        if states is None:
            states = (*found.encoder_hidden_states, *found.decoder_hidden_states)
        outputs = {f"hidden_{i}": state for i, state in enumerate(states)}
        if architecture == "BertForPreTraining":
            outputs["masked_lm"] = found.prediction_logits
            outputs["next_sentence"] = found.seq_relationship_logits
        elif architecture == "BertModel":
            outputs["pooler"] = found.pooler_output
        else:
            outputs[HEADS[architecture]] = found.logits
        with tempfile.TemporaryDirectory() as directory:
            model.save_pretrained(directory, safe_serialization=False)
            write(name, directory, inputs, outputs)


if __name__ == "__main__":
    main()
