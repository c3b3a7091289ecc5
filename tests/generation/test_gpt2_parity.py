"""Greedy and beam search against Transformers' `generate` on tiny random GPT-2 models, live."""

import numpy as np
import pytest
import tensorflow as tf

import keras_lm
from keras_lm.generation import (
    OPTION_DTYPES,
    BeamOptions,
    Options,
    Prompt,
    Rules,
    beam_search,
    generate,
    validate_beam_options,
    validate_options,
)

pytestmark = pytest.mark.slow

VOCAB, PROMPT, ROOM = 43, 9, 12
MODELS = [
    {"n_embd": 24, "n_layer": 2, "n_head": 3},
    {"n_embd": 20, "n_layer": 3, "n_head": 1, "n_inner": 37},
]
KINDS = [
    {"num_beams": 2, "ends": [5]},
    {"num_beams": 4, "ends": [5, 17], "rules": {"no_repeat_ngram_size": 3}},
    {"num_beams": 3, "ends": [], "rules": {"bad_words": [[4], [8, 9]], "suppressed_ids": [11]}},
    {"num_beams": 5, "ends": [5], "rules": {"forced_last_ids": [5]}},
]
CASES = 64  # of each model and kind: 512 in all


@pytest.fixture(scope="module", params=range(len(MODELS)))
def models(request, tmp_path_factory):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(request.param)
    config = transformers.GPT2Config(
        vocab_size=VOCAB,
        n_positions=PROMPT + ROOM,
        bos_token_id=0,
        eos_token_id=0,
        **MODELS[request.param],
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    path = tmp_path_factory.mktemp("gpt2")
    theirs.save_pretrained(path)
    return theirs, keras_lm.load(path)


def random_cases(seed):
    rng = np.random.default_rng(seed)
    cases = []
    for _ in range(CASES):
        max_new = int(rng.integers(1, ROOM + 1))
        cases.append(
            {
                "prompt": rng.integers(0, VOCAB, int(rng.integers(1, PROMPT + 1))).tolist(),
                "max_new_tokens": max_new,
                "min_new_tokens": int(rng.choice([0, rng.integers(0, max_new + 1)])),
                "repetition_penalty": float(rng.choice([1.0, np.float32(rng.uniform(0.8, 1.8))])),
                "length_penalty": float(rng.choice([1.0, 0.0, np.float32(rng.uniform(-1, 2.5))])),
                "early_stopping": [False, True, "never"][int(rng.integers(3))],
            }
        )
    return cases


def their_answer(model, kind, case, **more):
    import torch

    rules = dict(kind.get("rules", {}))
    asked = {name: value for name, value in case.items() if name != "prompt"}
    if not kind["ends"]:
        del asked["min_new_tokens"]
    with torch.no_grad():
        return model.generate(
            torch.tensor([case["prompt"]]),
            attention_mask=torch.ones(1, len(case["prompt"]), dtype=torch.long),
            eos_token_id=kind["ends"] or None,
            pad_token_id=0,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            bad_words_ids=rules.get("bad_words"),
            forced_eos_token_id=rules.get("forced_last_ids"),
            suppress_tokens=rules.get("suppressed_ids"),
            no_repeat_ngram_size=rules.get("no_repeat_ngram_size"),
            **{**asked, **more},
        )


def as_inputs(cases):
    """One batch: prompts padded on the right, and what each row asks for."""
    ids = np.zeros((len(cases), PROMPT), np.int32)
    for row, case in enumerate(cases):
        ids[row, : len(case["prompt"])] = case["prompt"]
    lengths = np.int32([len(case["prompt"]) for case in cases])

    def column(*names):
        return {name: [case[name] for case in cases] for name in names}

    options = validate_options(
        len(cases), **column("max_new_tokens", "min_new_tokens", "repetition_penalty")
    )
    beams = validate_beam_options(len(cases), **column("length_penalty", "early_stopping"))
    return tf.constant(ids), tf.constant(lengths), options, beams


def graph(function):
    def specs(dtypes):
        return type(dtypes)(*(tf.TensorSpec([None], dtype) for dtype in dtypes))

    signature = [
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([None], tf.int32),
        specs(OPTION_DTYPES),
        specs(BeamOptions("float32", "int32")),
    ]
    return tf.function(function, autograph=False, input_signature=signature)


def check_text(text, length, theirs, case):
    theirs = theirs[len(case["prompt"]) :]
    assert text[:length].tolist() == theirs[:length], case


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_beam_search_equals_that_of_transformers(models, number):
    theirs, ours = models
    kind = KINDS[number]

    @graph
    def search(ids, lengths, options: Options, beam_options: BeamOptions):
        logits, cache = ours.prefill(ids, lengths, PROMPT + ROOM)
        return beam_search(
            logits,
            cache,
            ours.step,
            num_beams=kind["num_beams"],
            options=options,
            beam_options=beam_options,
            buffer_length=ROOM,
            end_id=kind["ends"],
            prompt=Prompt(ids, lengths),
            rules=Rules(**kind.get("rules", {})),
        )

    cases = random_cases(number)
    found = search(*as_inputs(cases))
    for row, case in enumerate(cases):
        answer = their_answer(
            theirs, kind, case, num_beams=kind["num_beams"], num_return_sequences=kind["num_beams"]
        )
        scores = answer.sequences_scores.numpy()
        np.testing.assert_allclose(found.scores[row], scores, atol=1e-4, err_msg=str(case))
        for beam, text in enumerate(answer.sequences.tolist()):
            if scores[beam] > -1e8:  # a text
                length = int(found.lengths[row, beam])
                check_text(found.token_ids[row, beam].numpy(), length, text, case)


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_greedy_search_equals_that_of_transformers(models, number):
    theirs, ours = models
    kind = KINDS[number]

    @graph
    def search(ids, lengths, options: Options, beam_options: BeamOptions):
        logits, cache = ours.prefill(ids, lengths, PROMPT + ROOM)
        return generate(
            logits,
            cache,
            ours.step,
            options=options,
            buffer_length=ROOM,
            end_id=kind["ends"],
            prompt=Prompt(ids, lengths),
            rules=Rules(**kind.get("rules", {})),
            scores=True,
        )

    cases = random_cases(number)
    found = search(*as_inputs(cases))
    for row, case in enumerate(cases):
        case.pop("length_penalty"), case.pop("early_stopping")
        answer = their_answer(theirs, kind, case, num_beams=1)
        length = int(found.lengths[row])
        check_text(found.token_ids[row].numpy(), length, answer.sequences[0].tolist(), case)
        scores = theirs.compute_transition_scores(
            answer.sequences, answer.scores, normalize_logits=True
        )[0].numpy()
        ours_scores = found.processed_log_probs[row].numpy()[: len(scores)]
        np.testing.assert_allclose(ours_scores, scores, atol=1e-4, err_msg=str(case))
