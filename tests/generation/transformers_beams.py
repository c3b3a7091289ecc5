"""Asks Transformers for the searches of `beam_cases`. Needs torch and transformers."""

import torch
import transformers
from beam_cases import state_of
from transformers.modeling_outputs import CausalLMOutput


class TableModel(transformers.PreTrainedModel, transformers.GenerationMixin):
    """The model of `beam_cases` for Transformers, which gives it whole texts."""

    config_class = transformers.PretrainedConfig

    def __init__(self, table):
        super().__init__(transformers.PretrainedConfig(vocab_size=table.shape[1]))
        self.table = torch.nn.Parameter(torch.tensor(table))

    def forward(self, input_ids, **_):
        states = [state_of(row) for row in input_ids.tolist()]
        return CausalLMOutput(logits=self.table[states][:, None])


def search(model, kind, case):
    """Returns texts as lists of ids, without the prompt, with end tokens; and their scores."""
    rules = dict(kind.get("rules", {}))
    asked = {
        "bad_words_ids": rules.pop("bad_words", None),
        "forced_eos_token_id": rules.pop("forced_last_ids", None),
        "suppress_tokens": rules.pop("suppressed_ids", None),
        **rules,
        **{name: value for name, value in case.items() if name != "prompt"},
    }
    if not kind["ends"]:
        asked["min_new_tokens"] = None
    with torch.no_grad():
        found = model.generate(
            torch.tensor([case["prompt"]]),
            attention_mask=torch.ones(1, len(case["prompt"]), dtype=torch.long),
            num_beams=kind["num_beams"],
            num_return_sequences=kind["num_beams"],
            eos_token_id=kind["ends"] or None,
            pad_token_id=0,
            do_sample=False,
            use_cache=False,
            return_dict_in_generate=True,
            output_scores=True,
            **asked,
        )
    return found.sequences[:, len(case["prompt"]) :].tolist(), found.sequences_scores.tolist()
