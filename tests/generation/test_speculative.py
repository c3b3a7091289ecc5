"""Toy models whose logits depend on the three newest tokens: what is wrongly kept shows."""

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.generation import (
    OPTION_DTYPES,
    Decoder,
    Draft,
    Options,
    Prompt,
    PromptLookup,
    Proposal,
    Proposer,
    Reason,
    Rules,
    Speculator,
    validate_options,
)
from keras_lm.generation.proposals import write_at

V, END, PAD = 9, 3, -1
PROMPTS = Prompt(
    tf.constant([[5, 6, 7, 5, 6], [1, 0, 0, 0, 0], [2, 4, 0, 0, 0], [8, 8, 8, 8, 0]]),
    tf.constant([5, 1, 2, 4]),
)


class Toy:
    """Remembers all that it has read, also what it was told to forget, like a real cache.

    `passes` counts calls while a graph or Python runs.
    """

    def __init__(self, seed, scale=2.0, vocab_size=V):
        tables = np.random.default_rng(seed).normal(size=(3, vocab_size, vocab_size)) * scale
        self.tables = tf.constant(tables, tf.float32)
        self.passes = tf.Variable(0)
        self.places = tf.Variable(0)

    def logits(self, newest):
        """Of what follows three tokens, int `(..., 3)`, the newest first; -1: there is none."""
        found = [
            tf.where(id_[..., None] < 0, 0.0, tf.gather(table, tf.maximum(id_, 0)))
            for table, id_ in zip(tf.unstack(self.tables), tf.unstack(newest, axis=-1), strict=True)
        ]
        return tf.add_n(found)

    def read(self, token_ids, cache):
        self.passes.assign_add(1)
        self.places.assign(tf.maximum(self.places, tf.shape(token_ids)[1]))
        buffer, position = cache
        length = tf.shape(token_ids)[1]
        buffer = write_at(buffer, token_ids, position, tf.fill(tf.shape(position), length))
        place = position[:, None] + tf.range(length)[None]
        index = place[:, :, None] - tf.range(3)
        newest = tf.gather(buffer, tf.maximum(index, 0), batch_dims=1)
        newest = tf.where(index < 0, -1, newest)
        return self.logits(newest), (buffer, position + length)

    def prefill(self, prompt, room):
        buffer = tf.pad(prompt.token_ids, [[0, 0], [0, room]], constant_values=V)
        zero = tf.zeros_like(prompt.lengths)
        logits, (buffer, _) = self.read(prompt.token_ids, (buffer, zero))
        logits = tf.gather(logits, prompt.lengths - 1, batch_dims=1)
        return logits, (buffer, prompt.lengths)

    def step(self, token_ids, cache):
        logits, cache = self.read(token_ids[:, None], cache)
        return logits[:, 0], cache


def rewind(cache, counts, finite):
    return cache[0], cache[1] - counts


def decoder_of(model, prompt, options, room, **asked):
    asked = {"end_id": END, "rules": None, **asked}
    return Decoder(
        model.step, options=options, buffer_length=room, pad_id=PAD, prompt=prompt, **asked
    )


def plain(model, prompt, options, room=12, **asked):
    decoder = decoder_of(model, prompt, options, room, **asked)
    logits, cache = model.prefill(prompt, room)
    return decoder.go_on(decoder.start(logits), cache)[0].found


def looked_up(
    model, prompt, options, room=12, num_tokens=3, proposer=None, rewinds=rewind, **asked
):
    decoder = decoder_of(model, prompt, options, room, **asked)
    logits, cache = model.prefill(prompt, room + num_tokens)
    proposer = proposer or PromptLookup(decoder, num_tokens, min_ngram=1)
    speculator = Speculator(decoder, model.read, rewinds, proposer)
    return speculator.go_on(speculator.start(logits), cache, proposer.begin())[0]


def drafted(model, draft, prompt, options, room=12, num_tokens=3, **asked):
    decoder = decoder_of(model, prompt, options, room, **asked)
    logits, cache = model.prefill(prompt, room + num_tokens)
    proposer = Draft(decoder, draft.read, rewind, num_tokens)
    drafts = proposer.begin(draft.prefill(prompt, room + num_tokens)[1])
    speculator = Speculator(decoder, model.read, rewind, proposer)
    return speculator.go_on(speculator.start(logits), cache, drafts)[0]


def same(one, other):
    for left, right in zip(one[:3], other[:3], strict=True):
        np.testing.assert_array_equal(left, right)
    for left, right in zip(one[3:], other[3:], strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


MODEL, DRAFT = Toy(0), Toy(1)
# The larger model with some noise.
DRAFT.tables = MODEL.tables + 0.3 * DRAFT.tables
ASKED = {
    "temperature": [0.0, 1.0, 0.6, 1.0],
    "top_k": [0, 0, 5, 0],
    "top_p": [1.0, 0.9, 1.0, 1.0],
    "min_p": [0.0, 0.0, 0.0, 0.1],
    "seed": [1, 2, 3, 4],
    "max_new_tokens": [12, 7, 12, 10],
    "repetition_penalty": [1.2, 1.0, 1.0, 1.1],
    "frequency_penalty": [0.0, 0.2, 0.0, 0.0],
    "min_new_tokens": [5, 0, 12, 3],
}
RULES = Rules(no_repeat_ngram_size=3, bad_words=[[7], [4, 6]], forced_last_ids=[2, 5])


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("rules", [None, RULES], ids=["free", "rules"])
def test_prompt_lookup_gives_the_same_text_and_scores_as_without(greedy, rules):
    asked = {**ASKED, "temperature": 0.0} if greedy else ASKED
    options = validate_options(4, **asked)
    kept = {"rules": rules, "scores": True}
    got = looked_up(MODEL, PROMPTS, options, **kept)
    same(got.found, plain(MODEL, PROMPTS, options, **kept))
    assert tf.reduce_sum(got.accepted) > 0


@pytest.mark.parametrize("num_tokens", [1, 4])
@pytest.mark.parametrize("rules", [None, RULES], ids=["free", "rules"])
def test_a_draft_changes_no_text_of_rows_that_do_not_draw(num_tokens, rules):
    options = validate_options(4, **{**ASKED, "temperature": [0.0, 0.0, 0.0, 3.0]})
    got = drafted(MODEL, DRAFT, PROMPTS, options, num_tokens=num_tokens, rules=rules, scores=True)
    without = plain(MODEL, PROMPTS, options, rules=rules, scores=True)
    same([x[:3] for x in got.found], [x[:3] for x in without])
    assert tf.reduce_all(got.accepted[:3] > 0)


def many(number, rows=40, room=30, **asked):
    """Rows of random prompts of one length."""
    ids = np.random.default_rng(number).integers(0, V, (rows, 4)).astype(np.int32)
    prompt = Prompt(tf.constant(ids), tf.fill([rows], 4))
    options = validate_options(rows, **{"max_new_tokens": room, **asked})
    return prompt, options


def test_a_perfect_draft_gives_k_and_one_tokens_a_pass():
    prompt, options = many(0, room=16, rows=3)
    got = drafted(MODEL, MODEL, prompt, options, room=16, end_id=None)
    # The prompt's pass gives one token, and 4 more passes give 4 each; the last needs but 3.
    np.testing.assert_array_equal(got.passes, [5] * 3)
    np.testing.assert_array_equal(got.accepted, [12] * 3)
    np.testing.assert_array_equal(got.proposed, [12] * 3)
    same(got.found, plain(MODEL, prompt, options, room=16, end_id=None))


def test_a_perfect_draft_is_always_believed_where_rows_draw():
    prompt, options = many(0, room=16, rows=20, temperature=1.0, top_p=0.9, seed=range(20))
    got = drafted(MODEL, MODEL, prompt, options, room=16, end_id=None)
    np.testing.assert_array_equal(got.passes, [5] * 20)


def test_rows_accept_different_numbers_of_tokens_in_one_pass():
    prompt, options = many(1)
    model_passes = MODEL.passes.numpy()
    got = drafted(MODEL, DRAFT, prompt, options, room=30)
    assert MODEL.passes.numpy() - model_passes == tf.reduce_max(got.passes)
    assert len(set(got.passes.numpy().tolist())) > 3
    same(got.found, plain(MODEL, prompt, options, room=30))
    ended = got.found.reasons == Reason.END_TOKEN
    taken = got.found.lengths + tf.cast(ended, tf.int32)
    # Each pass gives a token of the model; a row may end with one that was proposed.
    own = taken - got.accepted
    assert tf.reduce_all((own == got.passes) | (own == got.passes - 1))


def test_no_pass_is_made_after_all_rows_have_ended_and_none_is_wider_than_needed():
    model = Toy(0)
    prompt, options = many(2, rows=2, max_new_tokens=[1, 1])
    got = looked_up(model, prompt, options, room=5)
    assert (model.passes.numpy(), got.passes.numpy().tolist()) == (1, [1, 1])
    # 8 8 8 8 goes on as itself in a model that repeats; the row wants two tokens more.
    model.tables = tf.constant(np.float32([5 * np.eye(V), 0 * np.eye(V), 0 * np.eye(V)]))
    model.places.assign(0)
    prompt = Prompt(PROMPTS.token_ids[3:, :4], PROMPTS.lengths[3:])
    got = looked_up(model, prompt, validate_options(1, max_new_tokens=3), num_tokens=8)
    np.testing.assert_array_equal(got.found.token_ids[0, :3], [8] * 3)
    assert (model.passes.numpy(), got.passes.numpy()[0]) == (3, 2)
    assert model.places.numpy() == 4  # the prompt's


class Guess(Proposer):
    """Proposes one continuation of the text, right or wrong, as far as it goes."""

    def __init__(self, continuation, num_tokens):
        self.continuation, self.num_tokens = tf.constant(continuation), num_tokens

    def begin(self):
        return ()

    def propose(self, found, newest, cache):
        index = found.lengths[:, None] + tf.range(self.num_tokens)[None]
        index = tf.minimum(index, tf.shape(self.continuation)[1] - 1)
        ids = tf.maximum(tf.gather(self.continuation, index, batch_dims=1), 0)
        return Proposal(ids, tf.fill(tf.shape(found.lengths), self.num_tokens), None), cache

    def settle(self, cache, proposal, taken):
        return cache


class Poisoned(Toy):
    """Gives no numbers for a row as long as a token stands anywhere in its cache."""

    def __init__(self, seed, bad):
        super().__init__(seed)
        self.bad = bad

    def read(self, token_ids, cache):
        logits, (buffer, position) = super().read(token_ids, cache)
        spoilt = tf.reduce_any(tf.equal(buffer, self.bad), -1)
        return tf.where(spoilt[:, None, None], np.nan, logits), (buffer, position)

    def rewind(self, cache, counts, finite):
        buffer, position = cache
        hidden = tf.range(tf.shape(buffer)[1])[None] >= (position - counts)[:, None]
        # What is only hidden stays.
        return tf.where(hidden & ~finite, V, buffer), position - counts


def test_a_proposal_that_makes_infinities_changes_nothing():
    bad = 6
    model = Poisoned(0, bad)
    prompt, options = many(4, rows=20, room=15, temperature=[0.0, 1.0] * 10, seed=range(20))
    prompt = prompt._replace(token_ids=tf.where(tf.equal(prompt.token_ids, bad), 1, prompt[0]))
    kept = {"room": 15, "rules": Rules(suppressed_ids=[bad]), "scores": True}
    without = plain(model, prompt, options, **kept)
    assert tf.reduce_all(tf.math.is_finite(without.log_probs))
    guess = np.maximum(without.token_ids.numpy(), 0)
    wrong = np.random.default_rng(6).random(guess.shape) > 0.8
    proposer = Guess(np.where(wrong, bad, guess), 4)
    kept["rewinds"] = model.rewind
    got = looked_up(model, prompt, options, num_tokens=4, proposer=proposer, **kept)
    same(got.found, without)
    assert tf.reduce_sum(got.accepted) > 0


@pytest.mark.parametrize("right", [0.0, 0.5, 1.0])
def test_ends_stops_and_limits_hold_in_the_middle_of_an_accepted_run(right):
    def should_stop(token_ids, lengths):
        # Two different tokens, 5 or more, beside each other.
        seen = tf.sequence_mask(lengths - 1, tf.shape(token_ids)[1] - 1)
        left, other = token_ids[:, :-1], token_ids[:, 1:]
        return tf.reduce_any((left >= 5) & (other >= 5) & tf.not_equal(left, other) & seen, -1)

    rows, room = 60, 15
    limits = np.random.default_rng(5).integers(1, room + 1, rows)
    prompt, options = many(3, rows=rows, max_new_tokens=limits, min_new_tokens=limits // 4)
    kept = {"should_stop": should_stop, "end_id": (END, 0), "room": room, "scores": True}
    without = plain(MODEL, prompt, options, **kept)
    assert set(without.reasons.numpy()) == set(Reason)
    guess = np.maximum(without.token_ids.numpy(), 0)
    wrong = np.random.default_rng(6).random(guess.shape) >= right
    # What ended a row is proposed, too, and something behind it.
    ended = without.reasons.numpy() == Reason.END_TOKEN
    guess[np.flatnonzero(ended), without.lengths.numpy()[ended]] = END
    guess[wrong] = (guess[wrong] + 1) % V
    proposer = Guess(guess, 6)
    got = looked_up(MODEL, prompt, options, num_tokens=6, proposer=proposer, **kept)
    same(got.found, without)


@pytest.mark.slow
def test_a_text_does_not_depend_on_its_batch():
    rng = np.random.default_rng(0)
    asked = {**ASKED, "seed": rng.integers(0, 2**60, 4).tolist()}
    together = drafted(MODEL, DRAFT, PROMPTS, validate_options(4, **asked), scores=True)
    for row in range(4):
        one = {name: [values[row]] for name, values in asked.items()}
        own = Prompt(*(x[row : row + 1] for x in PROMPTS))
        alone = drafted(MODEL, DRAFT, own, validate_options(1, **one), scores=True)
        same(alone.found, [x[row : row + 1] for x in together.found])
        np.testing.assert_array_equal(alone.passes, together.passes[row : row + 1])


DRAWS = {
    "temperature": (30_000, {"temperature": 1.0}),
    "top-k, top-p, min-p": (30_000, {"temperature": 1.5, "top_k": 3, "top_p": 0.9, "min_p": 0.05}),
    "penalties": (30_000, {"temperature": 0.7, "repetition_penalty": 1.5, "presence_penalty": 0.5}),
}
WORDS, LENGTH = 4, 4  # a prompt's token, two accepted ones and the model's own


def exact(model, start, asked):
    """Probability of each text of LENGTH tokens, from plain decoding's own distributions."""
    from keras_lm.generation import processor
    from keras_lm.generation.sampling import kept_weights

    texts = np.stack(np.meshgrid(*[range(WORDS)] * LENGTH, indexing="ij"), -1).reshape(-1, LENGTH)
    rows = len(texts)
    prompt = Prompt(tf.repeat(start[None], rows, 0), tf.fill([rows], len(start)))
    options = validate_options(rows, max_new_tokens=LENGTH, **asked)
    process = processor(options, prompt=prompt)
    ids = tf.constant(texts, tf.int32)
    probability = np.ones(rows)
    for count in range(LENGTH):
        line = tf.concat([prompt.token_ids, ids[:, :count]], 1)
        logits = process(model.logits(line[:, :-4:-1]), ids, tf.constant(count))
        weights = kept_weights(logits, options).numpy().astype(float)
        probability *= weights[np.arange(rows), texts[:, count]] / weights.sum(-1)
    return texts, probability


def chi_squared(token_ids, probability):
    """In standard deviations from what a sample of that distribution has."""
    cell = token_ids.numpy() @ (WORDS ** np.arange(LENGTH)[::-1])
    observed = np.bincount(cell, minlength=WORDS**LENGTH)
    if observed[probability == 0].any():
        return np.inf
    expected = probability * len(token_ids)
    # Cells that are too rare for the approximation are one.
    rare = expected < 5
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    observed, expected = observed[expected > 0], expected[expected > 0]
    freedom = len(expected) - 1
    value = ((observed - expected) ** 2 / expected).sum()
    return (value - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize(("samples", "asked"), DRAWS.values(), ids=DRAWS.keys())
def test_a_draft_leaves_the_distribution_of_draws_as_it_is(samples, asked):
    model, draft = Toy(0, 0.7, WORDS), Toy(1, 0.7, WORDS)
    start = tf.constant([1, 3, 2])
    _, probability = exact(model, start, asked)
    np.testing.assert_allclose(probability.sum(), 1)
    prompt = Prompt(tf.repeat(start[None], samples, 0), tf.fill([samples], 3))
    options = validate_options(samples, max_new_tokens=LENGTH, seed=range(samples), **asked)
    kept = {"room": LENGTH, "end_id": None}
    got = drafted(model, draft, prompt, options, num_tokens=2, **kept)
    # A normal variable is beyond 5 once in 3.5 million draws.
    assert chi_squared(got.found.token_ids, probability) < 5
    # The measure sees it where the draft's own draws are taken instead, and the draft is neither
    # always right nor always wrong.
    assert chi_squared(plain(draft, prompt, options, **kept).token_ids, probability) > 20
    share = tf.reduce_sum(got.accepted) / tf.reduce_sum(got.proposed)
    assert 0.2 < share < 0.9


def found_of(ids, **asked):
    """What prompt lookup proposes behind ids, of which the last two are written, not prompt."""
    prompt = Prompt(tf.constant([[*ids[:-2], 0]]), tf.constant([len(ids) - 2]))
    options = validate_options(1, max_new_tokens=12)
    decoder = decoder_of(MODEL, prompt, options, 12)
    found = decoder.start(tf.zeros([1, V])).found
    written = write_at(found.token_ids, tf.constant([ids[-2:]]), tf.constant([0]), tf.constant([2]))
    found = found._replace(token_ids=written, lengths=tf.constant([2]))
    lookup = PromptLookup(decoder, **asked)
    proposal, _ = lookup.propose(found, None, lookup.begin())
    return proposal.token_ids.numpy()[0].tolist()


def test_prompt_lookup_proposes_what_followed_the_longest_match_nearest_to_the_end():
    ids = [1, 2, 3, 4, 7, 2, 3, 5, 8, 2, 3, 6, 8, 1, 2, 3]
    assert found_of(ids, num_tokens=3) == [4, 7, 2]
    assert found_of(ids, num_tokens=3, max_ngram=2) == [6, 8, 1]
    assert found_of([5, 2, 6, 2, 7, 8, 2], num_tokens=3, min_ngram=1) == [7, 8, 2]
    assert found_of([5, 2, 6, 2, 7, 8, 2], num_tokens=3, min_ngram=2) == []


def test_prompt_lookup_repeats_what_repeats():
    assert found_of([1, 5, 6, 5, 6], num_tokens=5) == [5, 6, 5, 6, 5]
    assert found_of([1, 8, 8, 8], num_tokens=4) == [8] * 4


def test_prompt_lookup_proposes_less_where_less_is_accepted():
    decoder = decoder_of(MODEL, PROMPTS, validate_options(4, max_new_tokens=12), 12)
    lookup = PromptLookup(decoder, 8)
    proposal = Proposal(None, tf.constant([8, 4, 3, 0]), None)
    # None of 8 accepted; 2 of 4; all of 3; nothing was proposed.
    state = lookup.settle(lookup.begin(), proposal, tf.constant([1, 3, 4, 1]))
    np.testing.assert_array_equal(state.room, [1, 3, 6, 8])
    state = lookup.settle(state, proposal._replace(counts=state.room), tf.constant([2, 4, 7, 9]))
    np.testing.assert_array_equal(state.room, [2, 6, 8, 8])


def test_prompt_lookup_rests_longer_and_longer_where_nothing_is_accepted():
    repeats = tf.constant([[1, 2, 1, 2, 0, 0]])
    prompt, options = Prompt(repeats, tf.constant([4])), validate_options(1, max_new_tokens=200)
    decoder = decoder_of(MODEL, prompt, options, 200)
    lookup = PromptLookup(decoder, 4)
    state, found = lookup.begin(), decoder.start(tf.zeros([1, V])).found
    written = tf.tile(tf.constant([[1, 2]]), [1, 100])
    found = found._replace(token_ids=written, lengths=tf.constant([2]))

    def counts(passes, taken):
        nonlocal state
        proposed = []
        for _ in range(passes):
            proposal, _ = lookup.propose(found, None, state)
            state = lookup.settle(state, proposal, tf.constant([taken]))
            proposed.append(int(proposal.counts[0]))
        return proposed

    refused = [4, 1, 0, 1, *[0] * 3, 1, *[0] * 7, 1, *[0] * 15, 1, *[0] * 15]
    assert counts(len(refused), taken=1) == refused
    assert counts(3, taken=2) == [1, 2, 2]  # one accepted, and it goes on without rest
    assert counts(4, taken=1) == [2, 1, 0, 1]


SPECS = (
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None], tf.int32),
    Options(*(tf.TensorSpec([None], dtype) for dtype in OPTION_DTYPES)),
)


@pytest.mark.parametrize("kind", ["lookup", pytest.param("draft", marks=pytest.mark.slow)])
def test_one_graph_serves_all_lengths_and_options_with_core_operations(kind):
    def text(token_ids, lengths, options):
        room = tf.reduce_max(options.max_new_tokens)
        prompt = Prompt(token_ids, lengths)
        if kind == "lookup":
            return looked_up(MODEL, prompt, options, room, rules=RULES, scores=True).found
        return drafted(MODEL, DRAFT, prompt, options, room, scores=tf.constant(True)).found

    graph = tf.function(text, autograph=False, input_signature=SPECS)
    inputs = *PROMPTS, validate_options(4, **ASKED)
    found = graph(*inputs)
    same(found, text(*inputs))
    two = {name: value[:2] for name, value in ASKED.items()}
    fewer = graph(*(x[:2] for x in PROMPTS), validate_options(2, **two))
    same(fewer, [x[:2] for x in found])
    assert graph.experimental_get_tracing_count() == 1
    definition = graph.get_concrete_function().graph.as_graph_def()
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    kinds = {node.op for node in nodes}
    assert "Cumprod" in kinds  # the walk reaches the loop
    unwanted = ("Assert", "Random", "Multinomial", "PyFunc", "HashTable")
    assert not [kind for kind in kinds if any(word in kind for word in unwanted)]


def test_proposals_need_a_prompt():
    decoder = decoder_of(MODEL, None, validate_options(1, max_new_tokens=2), 2)
    with pytest.raises(ValueError, match="prompt"):
        PromptLookup(decoder, 3)
