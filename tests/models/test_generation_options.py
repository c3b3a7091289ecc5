"""What `generate` of a model makes of its options; what they mean is tested in tests/generation."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm import GPT, Transformer
from keras_lm.models.continuation import Structure
from keras_lm.models.generation_request import Answer
from keras_lm.models.text_generation import TextGenerator
from keras_lm.tokenizers import train_byte_bpe

SIZES = {
    "hidden_size": 16,
    "num_layers": 2,
    "num_attention_heads": 4,
    "num_hidden_units": 32,
    "max_length": 32,
}
RULES = {
    "no_repeat_ngram_size": 2,
    "bad_words": [[30], [7, 9]],
    "suppressed_ids": [31, 32],
    "forced_first_id": 7,
    "forced_last_ids": [40, 41],
}
BEAMS = {"num_beams": 3, "num_return_sequences": 3, "return_scores": True}
PROMPTS = [[7, 9, 11], [5], [8, 20, 30, 12, 15, 6]]
SOURCES = [np.random.default_rng(n).integers(5, 50, n).tolist() for n in (3, 1, 6, 9)]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = GPT(50, **{**SIZES, "num_layers": 1}, initializer_range=0.5)
    model.build()
    return model


@pytest.fixture(scope="module")
def text_model(topics):
    keras.utils.set_random_seed(0)
    tokenizer = train_byte_bpe([topics], 400)
    model = GPT(400, **{**SIZES, "num_layers": 1}, initializer_range=0.5, tokenizer=tokenizer)
    model.build()
    return model


@pytest.fixture(scope="module")
def transformer():
    """One whose answers end, as those of few do that were not trained."""
    keras.utils.set_random_seed(2)
    sizes = {**SIZES, "max_length": 24, "position_kind": "learned", "dropout_rate": 0.0}
    options = {"scale_embedding": False, "decoder_start_ids": [2], "end_id": 39}
    model = Transformer(50, **sizes, **options, initializer_range=0.6)
    model.build()
    return model


def log_probs(model, prompt, new):
    """Of each new token by one full pass."""
    logits = model(np.array([[*prompt, *new]], "int32"))[0]
    table = tf.nn.log_softmax(logits[len(prompt) - 1 : -1]).numpy()
    return table[np.arange(len(new)), new]


def test_scores_are_those_of_full_passes(model):
    options = {"max_new_tokens": [6, 3, 9], "temperature": [0.0, 2.0, 1.0], "seed": 1}
    texts = model.generate(PROMPTS, **options)
    answers = model.generate(PROMPTS, **options, return_scores=True)
    assert [answer.output for answer in answers] == texts
    for prompt, answer, count in zip(PROMPTS, answers, [6, 3, 9], strict=True):
        assert isinstance(answer, Answer)
        assert answer.output == prompt + answer.token_ids
        assert len(answer.log_probs) == len(answer.token_ids) == count
        expected = log_probs(model, prompt, answer.token_ids)
        np.testing.assert_allclose(answer.log_probs, expected, atol=1e-4)
        assert answer.score == pytest.approx(sum(answer.log_probs), abs=1e-4)


@pytest.mark.slow
def test_an_end_token_has_its_log_probability_and_is_not_written(transformer):
    answers = transformer.generate(SOURCES, max_new_tokens=12, return_scores=True)
    ended = [answer for answer in answers if len(answer.token_ids) < 12]
    assert ended
    assert all(len(answer.log_probs) == len(answer.token_ids) + 1 for answer in ended)
    assert all(answer.score == pytest.approx(sum(answer.log_probs), abs=1e-4) for answer in ended)
    shortest = max(len(answer.token_ids) for answer in ended) + 1
    later = transformer.generate(SOURCES, max_new_tokens=12, min_new_tokens=shortest)
    assert all(len(row) >= shortest for row in later)


def test_beams_come_best_first_with_the_scores_they_rank_by(model):
    options = {"max_new_tokens": [6, 3, 9], "length_penalty": [1.0, 0.0, 2.0]}
    found = model.generate(PROMPTS, **options, **BEAMS)
    assert [len(beams) for beams in found] == [3, 3, 3]
    for row, (prompt, beams) in enumerate(zip(PROMPTS, found, strict=True)):
        assert len({tuple(beam.output) for beam in beams}) == 3
        assert [beam.score for beam in beams] == sorted(
            (beam.score for beam in beams), reverse=True
        )
        for beam in beams:
            assert beam.output == prompt + beam.token_ids
            expected = log_probs(model, prompt, beam.token_ids)
            np.testing.assert_allclose(beam.log_probs, expected, atol=1e-4)
            power = len(beam.token_ids) ** options["length_penalty"][row]
            assert beam.score == pytest.approx(sum(expected) / power, abs=1e-4)
        alone = {name: values[row] for name, values in options.items()}
        for one, other in zip(beams, model.generate(prompt, **alone, **BEAMS), strict=True):
            assert one.token_ids == other.token_ids
    best = model.generate(PROMPTS, **options, num_beams=3)
    assert best == [beams[0].output for beams in found]


@pytest.mark.slow
def test_beams_of_targets_stop_as_asked(transformer):
    options = {"max_new_tokens": 12, "num_beams": 3, "return_scores": True}
    early = transformer.generate(SOURCES, **options, early_stopping=True)
    never = transformer.generate(SOURCES, **options, early_stopping="never")
    mixed = transformer.generate(SOURCES, **options, early_stopping=[True, *["never"] * 3])
    assert [row.output for row in mixed] == [row.output for row in [early[0], *never[1:]]]
    assert all(a.score <= b.score + 1e-5 for a, b in zip(early, never, strict=True))
    greedy = transformer.generate(SOURCES, max_new_tokens=12, return_scores=True)
    for one, best in zip(greedy, never, strict=True):
        # Of those that ended; what has its full length is scored by it.
        assert best.score >= one.score / len(one.log_probs) - 1e-4


def test_rules_hold_in_every_text(model):
    rows = model.generate(PROMPTS, max_new_tokens=[6, 3, 9], **RULES)
    for prompt, row, count in zip(PROMPTS, rows, [6, 3, 9], strict=True):
        new = row[len(prompt) :]
        pairs = list(itertools.pairwise(row))
        assert len(new) == count
        assert len(set(pairs)) == len(pairs)
        assert (7, 9) not in itertools.pairwise(new)
        assert new[0] == 7
        assert new[-1] in (40, 41)
        assert not {30, 31, 32} & set(new)


@pytest.mark.slow
def test_a_bad_word_may_be_a_text(text_model):
    prompt = text_model.tokenizer.encode("The assert")

    def new(**options):
        found = text_model.generate([prompt], max_new_tokens=8, **options)[0]
        return found[len(prompt) :]

    def encoded(token):
        return text_model.tokenizer.encode(text_model.tokenizer.decode([token]))

    # One that is a text by itself, which a part of a character is not.
    token = next(token for token in new() if encoded(token) == [token])
    assert token not in new(bad_words=[text_model.tokenizer.decode([token])])


def test_penalties_and_min_p_belong_to_their_rows(model):
    rows = [[7, 9, 11]] * 5
    greedy = model.generate(rows[0], max_new_tokens=10)
    found = model.generate(
        rows,
        max_new_tokens=10,
        temperature=[0, 0, 0, 0, 3.0],
        seed=4,
        repetition_penalty=[1.0, 5.0, 1.0, 1.0, 1.0],
        presence_penalty=[0.0, 0.0, 50.0, 0.0, 0.0],
        frequency_penalty=[0.0, 0.0, 0.0, 50.0, 0.0],
        min_p=[0.0, 0.0, 0.0, 0.0, 1.0],
    )
    assert found[0] == found[4] == greedy
    assert len(set(greedy[3:])) < 10
    for row in found[1:4]:
        assert row != greedy
    assert all(len(set(row[3:])) == 10 for row in found[2:4])


@pytest.fixture
def counted(monkeypatch):
    """A small model and how often Python of its step was run: once for each trace of a loop."""
    model = GPT(50, **{**SIZES, "num_layers": 1})
    model.build()
    traces = []
    step = model.step
    object.__setattr__(model, "step", lambda *args: (traces.append(1), step(*args))[1])
    return model, traces


def test_other_lengths_and_options_never_trace_again_and_another_structure_does_once(counted):
    model, traces = counted
    model.generate([[7, 9], [5]], max_new_tokens=2)
    plain = len(traces)
    assert plain > 0
    model.generate([7, 9, 11], max_new_tokens=5, top_k=3, min_p=0.1, seed=1)
    model.generate([5], max_length=9, num_return_sequences=2, return_scores=True)
    model.generate([[5], [6]], max_new_tokens=[2, 4], repetition_penalty=1.3, min_new_tokens=1)
    model.generate([[5]], max_new_tokens=4, presence_penalty=0.5, frequency_penalty=[0.2])
    assert len(traces) == plain
    model.generate([[7, 9], [5]], max_new_tokens=4, num_beams=2)
    with_beams = len(traces)
    assert with_beams > plain
    model.generate([7], max_new_tokens=9, num_beams=2, length_penalty=2.0, early_stopping="never")
    model.generate([7, 9], num_beams=2, num_return_sequences=2, return_scores=True)
    model.generate([[7, 9], [5]], max_new_tokens=2)
    assert len(traces) == with_beams
    _, generator = model._made_once[TextGenerator]
    assert generator.graph_of.cache_info().currsize == 2
    assert generator.graph_of(Structure()).experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_beams": 0}, ValueError, r"num_beams must be in 1 .. 50"),
        ({"num_beams": 51}, ValueError, r"num_beams must be in 1 .. 50"),
        ({"num_beams": 2.0}, TypeError, "num_beams must be an int"),
        ({"num_beams": 2, "num_return_sequences": 3}, ValueError, "at most num_beams"),
        (
            {"num_beams": 2, "temperature": 0.5},
            ValueError,
            "does not draw. Received: .*temperature",
        ),
        ({"num_beams": 2, "top_p": [0.5]}, ValueError, "does not draw. Received: .*top_p"),
        ({"length_penalty": 2.0}, ValueError, "length_penalty are for a beam search"),
        ({"early_stopping": True}, ValueError, "early_stopping are for a beam search"),
        ({"num_beams": 2, "early_stopping": 1}, ValueError, "early_stopping must be"),
        ({"num_beams": 2, "length_penalty": float("nan")}, ValueError, "length_penalty must be"),
        ({"min_p": 1.5}, ValueError, "min_p must be"),
        ({"repetition_penalty": 0.0}, ValueError, "repetition_penalty must be"),
        ({"presence_penalty": float("inf")}, ValueError, "presence_penalty must be"),
        ({"frequency_penalty": "x"}, TypeError, "frequency_penalty must be"),
        ({"min_new_tokens": -1}, ValueError, "min_new_tokens must be"),
        ({"min_new_tokens": 51}, ValueError, "min_new_tokens"),
        ({"suppressed_ids": [50]}, ValueError, "below the size of the vocabulary, 50"),
        ({"bad_words": "text"}, TypeError, "bad_words must be a list"),
        ({"bad_words": ["text"]}, ValueError, "needs a tokenizer"),
        ({"bad_words": [[]]}, ValueError, "at least one id"),
        ({"no_repeat_ngram_size": -1}, ValueError, "no_repeat_ngram_size must not be negative"),
        ({"beams": 3}, TypeError, "Options are temperature, .* Received: beams"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(model, options, error, message):
    with pytest.raises(error, match=message):
        model.generate([[7]], **options)
