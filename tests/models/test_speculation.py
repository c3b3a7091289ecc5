"""`generate` by proposals: the same answers in fewer passes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm import GPT, Transformer
from keras_lm.models.text_generation import TextGenerator
from keras_lm.tokenizers import train_byte_bpe

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_layers": 2,
    "num_attention_heads": 2,
    "num_hidden_units": 32,
    "max_length": 64,
    "dropout_rate": 0.0,
    "initializer_range": 0.5,
}
# Answers fill all positions of the model, and two of them may not end before.
FULL = {"max_new_tokens": [56, 63, 58, 61], "min_new_tokens": [56, 0, 0, 61]}
PROMPTS = [[7, 9, 11, 7, 9, 11, 7, 9], [5], [8, 20, 30, 40, 45, 6], [3, 3, 3]]
TEXT = ["the cat sat on the mat and the dog sat on the log. " * 2, "a bird in the hand"]
WINDOW = 6
LOOKUP = {"prompt_lookup_num_tokens": 3}


def built(**sizes):
    keras.utils.set_random_seed(1)
    model = GPT(**{**SIZES, **sizes})
    model.build()
    return model


def close_to(model, noise, **sizes):
    """A model of almost the same weights."""
    other = built(**sizes)
    rng = np.random.default_rng(0)
    other.set_weights([w + noise * rng.normal(size=w.shape) for w in model.get_weights()])
    return other


@pytest.fixture(scope="module")
def models():
    """Block 0 sees all, block 1 a band whose ring comes round several times.

    Their vocabulary is padded beyond the tokenizer's.
    """
    tokenizer = train_byte_bpe(texts=TEXT, vocab_size=280, min_frequency=1)
    sizes = {"window": WINDOW, "vocab_size": 288, "tokenizer": tokenizer}
    model = built(**sizes)
    return model, close_to(model, 0.02, **sizes)


def both(model, prompts=PROMPTS, *, by, **options):
    options = {"return_scores": True, **options}
    return model.generate(prompts, **options, **by), model.generate(prompts, **options)


def equal(answers, without):
    for ours, theirs in zip(answers, without, strict=True):
        assert ours.output == theirs.output
        np.testing.assert_allclose(ours.log_probs, theirs.log_probs, atol=1e-3)
        assert theirs.passes == len(theirs.log_probs)


def test_prompt_lookup_changes_no_answer_be_it_stopped_and_saves_passes(models):
    options = {
        "temperature": [0.0, 0.0, 0.5, 0.3],
        "top_p": [1, 1, 1, 0.9],
        "seed": [0, 0, 2, 3],
        **FULL,
    }
    answers, without = both(models[0], by=LOOKUP, **options)
    equal(answers, without)
    assert sum(answer.passes for answer in answers) < sum(answer.passes for answer in without)
    for answer in answers:
        assert answer.passes == len(answer.token_ids) - answer.accepted
        assert answer.proposed >= answer.accepted

    # For the same graphs: a letter that is met first in the middle of an answer ends it.
    new = models[0].generate(TEXT, max_new_tokens=20, min_new_tokens=20)[0][len(TEXT[0]) :]
    stop = [next(c for c in new[4:] if c.isascii() and c not in new[:4]), "zz"]
    answers, without = both(models[0], TEXT, by=LOOKUP, stop=stop, max_new_tokens=20)
    equal(answers, without)
    assert len(without[0].token_ids) < 20


@pytest.mark.slow
def test_a_draft_model_changes_no_greedy_answer_and_saves_passes(models):
    model, draft = models
    answers, without = both(model, by={"draft_model": draft}, **FULL)
    equal(answers, without)
    assert sum(answer.passes for answer in answers) < 0.8 * sum(x.passes for x in without)
    assert len({answer.passes for answer in answers}) > 1


@pytest.mark.slow
def test_a_draft_model_draws_the_same_whatever_is_beside_a_row_and_another_seed_differs(models):
    model, draft = models
    options = {"temperature": 0.7, "seed": 1, "max_new_tokens": 12, "draft_model": draft}
    together = model.generate(PROMPTS, **options, num_return_sequences=2)
    graphs = model.__dict__["_made_once"][TextGenerator][1].graph_of
    made = graphs.cache_info().misses
    assert together[1] == model.generate(PROMPTS[1], **options, num_return_sequences=2)
    assert together == model.generate(PROMPTS, **options, num_return_sequences=2)
    assert together != model.generate(PROMPTS, **{**options, "seed": 2}, num_return_sequences=2)
    assert graphs.cache_info().misses == made


def test_a_token_that_made_infinities_leaves_nothing_behind_when_taken_back():
    model = built(window=WINDOW)
    bad = 13
    table = model.decoder.embedding.tokens.embeddings
    _, cache = model.prefill(tf.constant([[7, 9, 11]]), tf.constant([3]), 20, 3)
    good, _ = model.steps(tf.constant([[7, 9]]), cache)
    before = table.numpy().copy()
    table.assign(np.where(np.arange(50)[:, None] == bad, np.inf, before))
    logits, spoilt = model.steps(tf.constant([[7, bad, 4]]), cache)
    assert not np.isfinite(logits).all()
    table.assign(before)
    cache = spoilt.taken_back(tf.constant([3]), tf.constant(False))
    again, _ = model.steps(tf.constant([[7, 9]]), cache)
    np.testing.assert_allclose(again, good, atol=1e-5)


REFUSED = [
    ({"prompt_lookup_num_tokens": -1}, ValueError, "must be at least 0"),
    ({"prompt_lookup_num_tokens": True}, TypeError, "must be an int"),
    ({"num_draft_tokens": 2}, ValueError, "needs a draft_model"),
    ({"prompt_lookup_num_tokens": 2, "num_beams": 2}, ValueError, "beam search takes no proposals"),
    ({"draft": {}, "num_beams": 2}, ValueError, "beam search takes no proposals"),
    ({"draft": {}, "prompt_lookup_num_tokens": 2}, ValueError, "Either a draft_model or prompt"),
    ({"draft": {}, "num_draft_tokens": 0}, ValueError, "must be at least 1"),
    ({"draft": {"vocab_size": 287}}, ValueError, "vocabulary of the model"),
    ({"draft": {"max_length": 40}}, ValueError, "as many positions"),
    ({"draft": {"heads": ()}}, ValueError, "draft_model needs the head"),
    ({"draft_model": "gpt2"}, TypeError, "draft_model must be a GPT"),
]


@pytest.mark.parametrize(("options", "kind", "message"), REFUSED)
def test_what_cannot_be_is_refused_before_any_work(models, options, kind, message):
    options = dict(options)
    if "draft" in options:
        options["draft_model"] = GPT(**{**SIZES, "vocab_size": 288, **options.pop("draft")})
    with pytest.raises(kind, match=message):
        models[0].generate(PROMPTS, max_new_tokens=40, **options)


def test_a_draft_of_other_tokens_is_refused():
    ours, theirs = (
        train_byte_bpe(texts=[text], vocab_size=260, min_frequency=1)
        for text in ("aaa bbb abab", "ccc ddd cdcd")
    )
    assert ours.vocab_size == theirs.vocab_size
    size = {"vocab_size": ours.vocab_size}
    with pytest.raises(ValueError, match="tokenizers of other tokens"):
        built(**size, tokenizer=ours).generate("a", draft_model=built(**size, tokenizer=theirs))


def test_streams_and_encoder_decoders_take_no_proposals(models):
    with pytest.raises(ValueError, match="A stream takes no proposals"):
        list(models[0].stream("the", prompt_lookup_num_tokens=2))
    transformer = Transformer(50, 8, 1, 2, 16, max_length=16, decoder_start_ids=[1], end_id=2)
    with pytest.raises(ValueError, match=r"is for a GPT\. Received: a Transformer"):
        transformer.generate([[4, 5]], prompt_lookup_num_tokens=2)
