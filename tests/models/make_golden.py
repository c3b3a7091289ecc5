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


if __name__ == "__main__":
    main()
