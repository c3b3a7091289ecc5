"""Writes golden/bart_*.npz and golden/transformer_*.npz: random weights, inputs and outputs.

python tests/models/make_golden_seq2seq.py

BART is Transformers' own model, the paper's shape is made of PyTorch's layers. Needs the extra
`parity` (torch, transformers). Made with transformers 5.23.0 and torch 2.13.0.
"""

import math

import torch
import transformers
from make_golden import write

V, D, B, S, T, NEW = 31, 12, 3, 9, 7, 12
LENGTHS = torch.tensor([9, 4, 1])

BART = {
    "gelu": {"eos_token_id": 15},
    # Another activation, one head in the decoder, another depth and inner size there.
    "odd": {
        "eos_token_id": 10,
        "activation_function": "gelu_new",
        "encoder_layers": 1,
        "decoder_attention_heads": 1,
        "decoder_layers": 3,
        "decoder_ffn_dim": 37,
        "scale_embedding": True,
    },
}
# With these, answers change from place to place, and a row takes its end token in its midst.
SEEDS = {"gelu": 10, "odd": 2}
TRANSFORMER = {
    "relu": {"heads": 3, "layers": 2, "inner": 20, "width": D},
    # An odd width has one sine more than cosines.
    "odd": {"heads": 1, "layers": 1, "inner": 37, "width": 11},
}


def randomize(model, seed):
    """Large enough that every part counts, positions above all: they change a greedy answer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            parameter.mul_(0.2 if "norm" in name else 1.0 if "positions" in name else 0.4)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)
    return model.eval()


def inputs_of(generator):
    real = torch.arange(S)[None] < LENGTHS[:, None]
    return {
        "token_ids": torch.randint(3, V, (B, S), generator=generator),
        "padding_mask": real.long(),
        "decoder_token_ids": torch.randint(3, V, (B, T), generator=generator),
    }


def bart(seed, options, generator):
    config = transformers.BartConfig(
        **{
            "vocab_size": V,
            "d_model": D,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 3,
            "decoder_attention_heads": 3,
            "encoder_ffn_dim": 20,
            "decoder_ffn_dim": 20,
            "max_position_embeddings": 16,
            **options,
        }
    )
    model = randomize(transformers.BartForConditionalGeneration(config), seed)
    model.final_logits_bias.copy_(0.3 * torch.randn(1, V, generator=generator))
    inputs = inputs_of(generator)
    found = model(
        input_ids=inputs["token_ids"],
        attention_mask=inputs["padding_mask"],
        decoder_input_ids=inputs["decoder_token_ids"],
        output_hidden_states=True,
    )
    greedy = model.generate(
        inputs["token_ids"],
        attention_mask=inputs["padding_mask"],
        do_sample=False,
        num_beams=1,
        max_new_tokens=NEW,
        decoder_start_token_id=2,
        forced_bos_token_id=None,
        forced_eos_token_id=None,
        eos_token_id=config.eos_token_id,
        pad_token_id=1,
    )
    outputs = {
        "seq2seq": found.logits,
        "greedy": greedy,
        **{f"encoder_{i}": state for i, state in enumerate(found.encoder_hidden_states)},
        **{f"decoder_{i}": state for i, state in enumerate(found.decoder_hidden_states)},
    }
    return model, inputs, outputs


class OfPyTorch(torch.nn.Module):
    """The paper's figure 1 of PyTorch's layers, positions written out number by number."""

    def __init__(self, heads, layers, inner, width):
        super().__init__()
        self.tokens = torch.nn.Embedding(V, width)
        options = {"dim_feedforward": inner, "batch_first": True, "activation": "relu"}
        self.encoder = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(width, heads, **options) for _ in range(layers)
        )
        self.decoder = torch.nn.ModuleList(
            torch.nn.TransformerDecoderLayer(width, heads, **options) for _ in range(layers)
        )
        self.positions = torch.tensor(
            [
                [
                    (math.cos if i % 2 else math.sin)(place / 10_000 ** ((i - i % 2) / width))
                    for i in range(width)
                ]
                for place in range(S)
            ]
        )

    def embed(self, ids):
        return self.tokens(ids) * self.tokens.embedding_dim**0.5 + self.positions[: ids.shape[1]]

    def forward(self, token_ids, padding_mask, decoder_token_ids):
        hidden, memory = padding_mask == 0, self.embed(token_ids)
        for layer in self.encoder:
            memory = layer(memory, src_key_padding_mask=hidden)
        x = self.embed(decoder_token_ids)
        future = torch.triu(torch.ones(T, T, dtype=torch.bool), 1)
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask=future, memory_key_padding_mask=hidden)
        # PyTorch's fast path leaves out what is padding.
        return {
            "memory": torch.where(hidden[..., None], 0, memory),
            "seq2seq": x @ self.tokens.weight.T,
        }


def main():
    for name, options in BART.items():
        generator = torch.Generator().manual_seed(7)
        write(f"bart_{name}", *bart(SEEDS[name], options, generator))
    for name, options in TRANSFORMER.items():
        model = randomize(OfPyTorch(**options), 0)
        inputs = inputs_of(generator)
        write(f"transformer_{name}", model, inputs, model(**inputs))


if __name__ == "__main__":
    main()
