"""Models of Transformers with random weights, what goes in and what comes out.

Needs the extra `parity`. `make_golden.py` and the live tests share this.
"""

import torch
import transformers

# Odd sizes everywhere, so that no two can be mistaken for each other.
_BERT = {
    "vocab_size": 31,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 11,
}
_BERT_ODD = {
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-3,
    "num_attention_heads": 1,
    "intermediate_size": 37,
    "type_vocab_size": 3,
}
_GPT2 = {
    "vocab_size": 31,
    "n_embd": 12,
    "n_layer": 2,
    "n_head": 3,
    "n_positions": 24,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GPT2_ODD = {
    "activation_function": "gelu",
    "layer_norm_epsilon": 1e-3,
    "n_head": 1,
    "n_inner": 37,
    "reorder_and_upcast_attn": True,
}

_ROBERTA = {**_BERT, "max_position_embeddings": 13, "type_vocab_size": 1, "pad_token_id": 1}
_DISTILBERT = {
    "vocab_size": 31,
    "dim": 12,
    "n_layers": 2,
    "n_heads": 3,
    "hidden_dim": 20,
    "max_position_embeddings": 11,
}
_ELECTRA = {**_BERT, "embedding_size": 6}
_BART = {
    "vocab_size": 31,
    "d_model": 12,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 17,
    "max_position_embeddings": 11,
    "forced_eos_token_id": None,
}
_LABELS = {"id2label": {0: "no", 1: "yes", 2: "perhaps"}}

_TASKS = {"text": "SequenceClassification", "token": "TokenClassification"}
_ONE_LAYER = {
    "Roberta": {**_ROBERTA, "num_hidden_layers": 1},
    "DistilBert": {**_DISTILBERT, "n_layers": 1},
    "Electra": {**_ELECTRA, "num_hidden_layers": 1, "hidden_act": "gelu_new"},
}

# Whose logits are those of one head.
HEADS = {
    "BartForConditionalGeneration": "seq2seq",
    "BertForMaskedLM": "masked_lm",
    "BertForNextSentencePrediction": "next_sentence",
    "DistilBertForMaskedLM": "masked_lm",
    "ElectraForMaskedLM": "masked_lm",
    "ElectraForPreTraining": "replaced_token",
    "GPT2LMHeadModel": "causal_lm",
    "RobertaForMaskedLM": "masked_lm",
    "ForSequenceClassification": "text_classification",
    "ForTokenClassification": "token_classification",
}

# Architecture, sizes; the name is that of the golden file.
GOLDEN = {
    "bert_pretraining": ("BertForPreTraining", _BERT),
    "bert_odd": ("BertForPreTraining", {**_BERT, **_BERT_ODD}),
    "bert_masked_lm": ("BertForMaskedLM", {**_BERT, "hidden_act": "silu"}),
    "bert_model": ("BertModel", {**_BERT, "num_hidden_layers": 1}),
    "gpt2_lm": ("GPT2LMHeadModel", _GPT2),
    "gpt2_odd": ("GPT2LMHeadModel", {**_GPT2, **_GPT2_ODD}),
    "gpt2_model": ("GPT2Model", {**_GPT2, "n_layer": 1}),
    "roberta_masked_lm": ("RobertaForMaskedLM", _ROBERTA),
    "roberta_odd": (
        "RobertaForMaskedLM",
        {**_ROBERTA, **_BERT_ODD, "type_vocab_size": 2, "pad_token_id": 4},
    ),
    "distilbert_masked_lm": ("DistilBertForMaskedLM", _DISTILBERT),
    "distilbert_odd": (
        "DistilBertForMaskedLM",
        {
            **_DISTILBERT,
            "activation": "relu",
            "n_heads": 1,
            "hidden_dim": 37,
            "sinusoidal_pos_embds": True,
        },
    ),
    "electra_discriminator": ("ElectraForPreTraining", _ELECTRA),
    "electra_generator": ("ElectraForMaskedLM", _ELECTRA),
    "electra_odd": ("ElectraForPreTraining", {**_ELECTRA, **_BERT_ODD, "embedding_size": 12}),
    "bart_generation": ("BartForConditionalGeneration", _BART),
    "bart_odd": (
        "BartForConditionalGeneration",
        {**_BART, "activation_function": "relu", "scale_embedding": True, "encoder_layers": 1},
    ),
    "bert_text": ("BertForSequenceClassification", {**_BERT, **_LABELS}),
    "bert_token": ("BertForTokenClassification", {**_BERT, **_LABELS}),
    "bert_answer": ("BertForQuestionAnswering", _BERT),
    "gpt2_text": ("GPT2ForSequenceClassification", {**_GPT2, **_LABELS, "pad_token_id": 0}),
    "gpt2_token": ("GPT2ForTokenClassification", {**_GPT2, **_LABELS, "n_layer": 1}),
    "gpt2_answer": ("GPT2ForQuestionAnswering", {**_GPT2, "n_layer": 1}),
    "bart_text": (
        "BartForSequenceClassification",
        {**_BART, **_LABELS, "encoder_layers": 1, "decoder_layers": 1},
    ),
    "bart_answer": (
        "BartForQuestionAnswering",
        {**_BART, "encoder_layers": 1, "decoder_layers": 1, "scale_embedding": True},
    ),
    **{
        f"{family.lower()}_{task}": (f"{family}For{ending}", {**sizes, **_LABELS})
        for family, sizes in _ONE_LAYER.items()
        for task, ending in _TASKS.items()
    },
    **{
        f"{family.lower()}_answer": (f"{family}ForQuestionAnswering", sizes)
        for family, sizes in _ONE_LAYER.items()
    },
}
LIVE = {
    **GOLDEN,
    "bert_next_sentence": ("BertForNextSentencePrediction", _BERT),
    **{
        f"bert_{activation}": ("BertForMaskedLM", {**_BERT, "hidden_act": activation})
        for activation in ("relu", "mish", "tanh", "relu6", "gelu_fast", "sigmoid", "linear")
    },
    "bert_text_odd": ("BertForSequenceClassification", {**_BERT, **_BERT_ODD, "num_labels": 1}),
    "bert_token_odd": ("BertForTokenClassification", {**_BERT, **_BERT_ODD}),
    "bert_answer_odd": ("BertForQuestionAnswering", {**_BERT, **_BERT_ODD}),
    "bert_many": (
        "BertForSequenceClassification",
        {**_BERT, **_LABELS, "problem_type": "multi_label_classification"},
    ),
    "gpt2_token_odd": ("GPT2ForTokenClassification", {**_GPT2, **_GPT2_ODD, **_LABELS}),
    "roberta_text_odd": (
        "RobertaForSequenceClassification",
        {**_ROBERTA, **_BERT_ODD, **_LABELS, "type_vocab_size": 2, "pad_token_id": 4},
    ),
    "distilbert_text_odd": (
        "DistilBertForSequenceClassification",
        {**_DISTILBERT, "activation": "relu", "n_heads": 1, "hidden_dim": 37, "num_labels": 1},
    ),
    "electra_text_odd": (
        "ElectraForSequenceClassification",
        {**_ELECTRA, **_BERT_ODD, **_LABELS, "embedding_size": 12},
    ),
    "gpt2_answer_odd": ("GPT2ForQuestionAnswering", {**_GPT2, **_GPT2_ODD}),
    "distilbert_model": ("DistilBertModel", _DISTILBERT),
    "roberta_model": ("RobertaModel", _ROBERTA),
    "electra_model": ("ElectraModel", _ELECTRA),
    "electra_generator_odd": ("ElectraForMaskedLM", {**_ELECTRA, **_BERT_ODD}),
    "bart_model": ("BartModel", _BART),
    "gpt2_wide": ("GPT2LMHeadModel", {**_GPT2, "n_embd": 30, "n_head": 5, "n_inner": 7}),
}


def make(architecture, sizes, seed=0):
    """Gives a model whose every weight counts, biases and norms included.

    The weights are multiples of 1/64: golden files of them compress well.
    """
    model_class = getattr(transformers, architecture)
    model = model_class(model_class.config_class(**sizes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = 0.2 * torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise).mul_(64).round_().div_(64)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.add_(torch.arange(model.config.vocab_size) / 64)
    return model.eval()


def _reads_twice(model):
    """Says whether a decoder reads what the encoder has read."""
    name = type(model).__name__
    return name in ("BartForSequenceClassification", "BartForQuestionAnswering")


def inputs_for(model, seed=1):
    """Gives ids of rows of different lengths, and segments where the model has them."""
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    # Above the ids of padding: some models look at them.
    ids = torch.randint(5, config.vocab_size, (3, 7), generator=generator)
    inputs = {
        "token_ids": ids,
        "padding_mask": torch.arange(7)[None] < torch.tensor([7, 5, 1])[:, None],
    }
    if config.pad_token_id is not None:
        ids[~inputs["padding_mask"]] = config.pad_token_id
    if config.is_encoder_decoder and not _reads_twice(model):
        inputs["decoder_token_ids"] = torch.randint(
            5, config.vocab_size, (3, 4), generator=generator
        )
    if _reads_twice(model):  # It looks for the end of each text.
        ids[torch.arange(3), inputs["padding_mask"].sum(1) - 1] = config.eos_token_id
    num_segments = getattr(config, "type_vocab_size", 0)
    if config.model_type in ("bert", "electra") and num_segments > 1:
        inputs["segment_ids"] = torch.randint(0, num_segments, (3, 7), generator=generator)
    return inputs


def outputs_of(model, inputs):
    """Gives the logits of each head by our names, and the hidden states."""
    names = {
        "input_ids": inputs["token_ids"],
        "attention_mask": inputs["padding_mask"].long(),
        "token_type_ids": inputs.get("segment_ids"),
        "decoder_input_ids": inputs.get("decoder_token_ids"),
    }
    given = {name: value for name, value in names.items() if value is not None}
    with torch.no_grad():
        found = model(**given, output_hidden_states=True)
    if model.config.is_encoder_decoder:
        states = (*found.encoder_hidden_states, *found.decoder_hidden_states)
    else:
        states = found.hidden_states
    outputs = {f"hidden_{i}": state for i, state in enumerate(states)}
    architecture = type(model).__name__
    head = next((head for ending, head in HEADS.items() if architecture.endswith(ending)), None)
    if architecture == "BertForPreTraining":
        outputs["masked_lm"] = found.prediction_logits
        outputs["next_sentence"] = found.seq_relationship_logits
    elif architecture in ("BertModel", "RobertaModel"):
        outputs["pooler"] = found.pooler_output
    elif architecture.endswith("ForQuestionAnswering"):
        outputs["start"], outputs["end"] = found.start_logits, found.end_logits
    elif head:
        outputs[head] = found.logits
    return outputs
