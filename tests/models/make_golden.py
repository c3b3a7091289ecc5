"""Writes golden/*.npz: random weights, inputs and outputs of Transformers' own models.

python tests/models/make_golden.py

Needs the extra `parity` (torch, transformers). Made with transformers 5.23.0 and torch 2.13.0.
"""

import pathlib

import numpy as np
import torch
import transformers

HERE = pathlib.Path(__file__).parent / "golden"

BERT = {
    "gelu": {"hidden_act": "gelu"},
    # Another activation, another epsilon, one head, an odd inner size.
    "odd": {
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-3,
        "num_attention_heads": 1,
        "intermediate_size": 37,
        "type_vocab_size": 3,
    },
}
GPT2 = {
    "gelu_new": {},
    "odd": {"activation_function": "gelu", "layer_norm_epsilon": 1e-3, "n_head": 1, "n_inner": 37},
}
# Widths that differ, so that none can stand for another.
SMALL = {
    "vocab_size": 31,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "intermediate_size": 13,
    "num_attention_heads": 2,
    "max_position_embeddings": 11,
}
ODD = {
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-3,
    "num_attention_heads": 1,
    "num_hidden_layers": 1,
}
ROBERTA = {
    "gelu": {"type_vocab_size": 1, "max_position_embeddings": 13, "layer_norm_eps": 1e-5},
    # Another padding id, which is where positions begin, and segments.
    "odd": {"type_vocab_size": 2, "max_position_embeddings": 15, "pad_token_id": 3, **ODD},
}
DISTILBERT = {
    "gelu": {},
    "odd": {"activation": "relu", "n_heads": 1, "n_layers": 1, "sinusoidal_pos_embds": True},
}
# The last is a generator: its activation is not that of its head.
ELECTRA = {
    "gelu": {"embedding_size": 6},
    "odd": {"embedding_size": 8, "type_vocab_size": 3, **ODD},
    "generator": {**ODD, "embedding_size": 5, "hidden_act": "relu"},
}


def randomize(model):
    """Large enough weights that every part of the model counts, biases and norms included."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def write(name, model, inputs, outputs):
    arrays = {f"weight/{key}": value.numpy() for key, value in model.state_dict().items()}
    arrays |= {f"input/{key}": value.numpy() for key, value in inputs.items()}
    arrays |= {f"output/{key}": value.detach().numpy() for key, value in outputs.items()}
    np.savez_compressed(HERE / f"{name}.npz", **arrays)


def main():
    HERE.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(9)[None] < torch.tensor([9, 5, 1])[:, None]).long()
    for name, options in BERT.items():
        config = transformers.BertConfig(
            **{
                "vocab_size": 31,
                "hidden_size": 12,
                "num_hidden_layers": 2,
                "intermediate_size": 20,
                "num_attention_heads": 3,
                "max_position_embeddings": 11,
                **options,
            }
        )
        model = randomize(transformers.BertForPreTraining(config))
        inputs = {
            "token_ids": torch.randint(0, 31, (3, 9), generator=generator),
            "segment_ids": torch.randint(0, config.type_vocab_size, (3, 9), generator=generator),
            "padding_mask": mask,
        }
        found = model(
            input_ids=inputs["token_ids"],
            token_type_ids=inputs["segment_ids"],
            attention_mask=mask,
            output_hidden_states=True,
        )
        outputs = {
            "masked_lm": found.prediction_logits,
            "next_sentence": found.seq_relationship_logits,
            **{f"hidden_{i}": state for i, state in enumerate(found.hidden_states)},
        }
        write(f"bert_{name}", model, inputs, outputs)
    for name, options in GPT2.items():
        config = transformers.GPT2Config(
            **{
                "vocab_size": 31,
                "n_embd": 12,
                "n_layer": 2,
                "n_head": 3,
                "n_positions": 24,
                "bos_token_id": None,
                "eos_token_id": None,
                **options,
            }
        )
        model = randomize(transformers.GPT2LMHeadModel(config))
        inputs = {"token_ids": torch.randint(0, 31, (3, 9), generator=generator)}
        found = model(input_ids=inputs["token_ids"], output_hidden_states=True)
        greedy = model.generate(
            inputs["token_ids"],
            attention_mask=torch.ones(3, 9),
            do_sample=False,
            max_new_tokens=15,
            pad_token_id=0,
        )
        outputs = {
            "causal_lm": found.logits,
            "greedy": greedy,
            **{f"hidden_{i}": state for i, state in enumerate(found.hidden_states)},
        }
        write(f"gpt2_{name}", model, inputs, outputs)
    encoders(mask)


def encoders(mask):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(2)
    for name, options in ROBERTA.items():
        config = transformers.RobertaConfig(
            **{**SMALL, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, **options}
        )
        # Only padding has its id: Transformers numbers positions without it.
        ids = torch.randint(4, 31, (3, 9), generator=generator)
        inputs = {"token_ids": torch.where(mask > 0, ids, config.pad_token_id)}
        inputs |= segments_and_padding(config.type_vocab_size, mask, generator)
        model = transformers.RobertaForMaskedLM(config)
        ask(f"roberta_{name}", model, inputs, "masked_lm")
    for name, options in DISTILBERT.items():
        sizes = {
            "vocab_size": 31,
            "dim": 8,
            "n_layers": 2,
            "hidden_dim": 13,
            "n_heads": 2,
            "max_position_embeddings": 11,
        }
        config = transformers.DistilBertConfig(**{**sizes, **options})
        inputs = {"token_ids": torch.randint(0, 31, (3, 9), generator=generator)}
        inputs["padding_mask"] = mask
        model = transformers.DistilBertForMaskedLM(config)
        ask(f"distilbert_{name}", model, inputs, "masked_lm")
    for name, options in ELECTRA.items():
        config = transformers.ElectraConfig(**{**SMALL, **options})
        inputs = {"token_ids": torch.randint(0, 31, (3, 9), generator=generator)}
        inputs |= segments_and_padding(config.type_vocab_size, mask, generator)
        if name == "generator":
            ask("electra_generator", transformers.ElectraForMaskedLM(config), inputs, "masked_lm")
        else:
            model = transformers.ElectraForPreTraining(config)
            ask(f"electra_{name}", model, inputs, "replaced_token")


def segments_and_padding(num_segments, mask, generator):
    segments = torch.randint(0, num_segments, tuple(mask.shape), generator=generator)
    return {"segment_ids": segments, "padding_mask": mask}


def ask(name, model, inputs, head):
    randomize(model)
    theirs = {
        "token_ids": "input_ids",
        "segment_ids": "token_type_ids",
        "padding_mask": "attention_mask",
    }
    found = model(
        **{theirs[key]: value for key, value in inputs.items()}, output_hidden_states=True
    )
    states = {f"hidden_{i}": state for i, state in enumerate(found.hidden_states)}
    write(name, model, inputs, {head: found.logits, **states})


if __name__ == "__main__":
    main()
