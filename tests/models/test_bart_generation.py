"""`Transformer.generate` against Transformers' on tiny random BART models, live."""

import numpy as np
import pytest

import keras_lm

pytestmark = pytest.mark.slow

VOCAB, SOURCE, ROOM = 43, 9, 12
END = 2
KINDS = [
    {"num_beams": 1},
    {"num_beams": 2, "no_repeat_ngram_size": 2},
    {"num_beams": 4, "bad_words": [[4], [8, 9]], "suppressed_ids": [11]},
    {"num_beams": 3, "forced_first_id": 7, "forced_last_ids": [END]},
]
THEIR_NAMES = {
    "bad_words": "bad_words_ids",
    "suppressed_ids": "suppress_tokens",
    "forced_first_id": "forced_bos_token_id",
    "forced_last_ids": "forced_eos_token_id",
}
CASES = {1: 256, 2: 86, 4: 86, 3: 86}  # of each of two models: 512 greedy, 516 with beams


@pytest.fixture(scope="module", params=[0, 1])
def models(request, tmp_path_factory):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(request.param)
    config = transformers.BartConfig(
        vocab_size=VOCAB,
        d_model=24,
        encoder_layers=1,
        decoder_layers=1 + request.param,
        encoder_attention_heads=3,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=40,
        max_position_embeddings=ROOM + 8,
        forced_eos_token_id=None,
    )
    theirs = transformers.BartForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape))
        theirs.final_logits_bias[0, END] = 4.0  # so that some targets end
    path = tmp_path_factory.mktemp("bart")
    theirs.save_pretrained(path)
    return theirs, keras_lm.load(path)


def random_cases(num_beams):
    rng = np.random.default_rng(num_beams)
    for _ in range(CASES[num_beams]):
        max_new = int(rng.integers(1, ROOM + 1))
        case = {
            "max_new_tokens": max_new,
            "min_new_tokens": int(rng.choice([0, rng.integers(0, max_new + 1)])),
            "repetition_penalty": float(rng.choice([1.0, np.float32(rng.uniform(0.8, 1.8))])),
        }
        if num_beams > 1:
            case["length_penalty"] = float(rng.choice([1.0, np.float32(rng.uniform(-1, 2.5))]))
            case["early_stopping"] = [False, True, "never"][int(rng.integers(3))]
        yield rng.integers(3, VOCAB, int(rng.integers(1, SOURCE + 1))).tolist(), case


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind['num_beams']} beams")
def test_targets_and_scores_are_those_of_transformers(models, kind):
    import torch

    theirs, ours = models
    sources, cases = zip(*random_cases(kind["num_beams"]), strict=True)
    options = {name: [case[name] for case in cases] for name in cases[0]}
    n = kind["num_beams"]
    found = ours.generate(
        list(sources), **options, **kind, num_return_sequences=n, return_scores=True
    )
    their_kind = {THEIR_NAMES.get(name, name): value for name, value in kind.items()}
    lengths = set()
    for source, case, answers in zip(sources, cases, found, strict=True):
        with torch.no_grad():
            expected = theirs.generate(
                torch.tensor([source]),
                attention_mask=torch.ones(1, len(source), dtype=torch.long),
                do_sample=False,
                num_return_sequences=n,
                return_dict_in_generate=True,
                output_scores=True,
                **case,
                **their_kind,
            )
        answers = answers if n > 1 else [answers]
        for row, answer in enumerate(answers):
            if n > 1 and expected.sequences_scores[row] < -1e8:
                assert answer.score < -1e8  # There were fewer texts than beams.
                continue
            ids = expected.sequences[row, 1:].tolist()
            ids = ids[: ids.index(END)] if END in ids else ids
            assert answer.token_ids == ids
            lengths.add(len(ids))
            if n > 1:
                score = expected.sequences_scores[row].item()
                assert answer.score == pytest.approx(score, rel=1e-4, abs=1e-4)
    assert len(lengths) > 8
