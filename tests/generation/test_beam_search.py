import itertools
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from beam_cases import KINDS, VOCAB, random_case, state_of, step_of, table

from keras_lm.generation import (
    OPTION_DTYPES,
    BeamOptions,
    EarlyStopping,
    Options,
    Prompt,
    Reason,
    Rules,
    Status,
    beam_search,
    clamp_beam_options,
    gather_rows,
    generate,
    greedy_options,
    validate_beam_options,
    validate_options,
)

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden" / "beams.json").read_text())
TABLE = table()
STEP = step_of(TABLE)
PAD = -1
NO_TEXT = -1e9


def as_prompt(cases):
    longest = max(len(case["prompt"]) for case in cases)
    # What stands behind a prompt must not matter.
    ids = [case["prompt"] + [7] * (longest - len(case["prompt"])) for case in cases]
    return Prompt(tf.constant(ids), tf.constant([len(case["prompt"]) for case in cases]))


def column(cases, *names):
    return {name: [case[name] for case in cases] for name in names}


def options_of(cases):
    asked = column(cases, "max_new_tokens", "min_new_tokens", "repetition_penalty")
    return validate_options(len(cases), **asked)


def beam_options_of(cases):
    return validate_beam_options(len(cases), **column(cases, "length_penalty", "early_stopping"))


def search(kind, cases, *, step=STEP, search=beam_search, **more):
    state = np.array([state_of(case["prompt"]) for case in cases], np.int32)
    return search(
        tf.constant(TABLE[state]),
        {"state": tf.constant(state)},
        step,
        num_beams=kind["num_beams"],
        options=options_of(cases),
        beam_options=beam_options_of(cases),
        end_id=kind["ends"],
        pad_id=PAD,
        prompt=as_prompt(cases),
        rules=Rules(**kind.get("rules", {})),
        **{"buffer_length": max(case["max_new_tokens"] for case in cases), **more},
    )


def plain(asked=(), **more):
    """A row that asks for little."""
    return {
        "prompt": [1, 2],
        "max_new_tokens": 6,
        "min_new_tokens": 0,
        "repetition_penalty": 1.0,
        "length_penalty": 1.0,
        "early_stopping": False,
        **dict(asked),
        **more,
    }


def same(one, other):
    for name in ("token_ids", "lengths", "reasons"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("scores", "log_probs"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-5)


@pytest.mark.parametrize("group", GOLDEN, ids=[str(i) for i in range(len(GOLDEN))])
def test_texts_and_scores_are_those_of_transformers(group):
    kind, cases = group["kind"], group["cases"]
    found = search(kind, cases)
    for row, (texts, scores) in enumerate(group["answers"]):
        np.testing.assert_allclose(found.scores[row], scores, atol=1e-4, err_msg=str(cases[row]))
        for beam, theirs in enumerate(texts):
            if scores[beam] == NO_TEXT:  # whatever stands there
                continue
            length = int(found.lengths[row, beam])
            assert found.token_ids[row, beam, :length].numpy().tolist() == theirs[:length]
            assert np.all(found.token_ids[row, beam, length:] == PAD)
            ended = found.reasons[row, beam] == Reason.END_TOKEN
            assert ended == (theirs[length : length + 1] != [] and theirs[length] in kind["ends"])


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_what_a_row_finds_does_not_depend_on_its_batch(number):
    rng = np.random.default_rng(number)
    cases = [random_case(rng) for _ in range(5)]
    together = search(KINDS[number], cases, buffer_length=11)
    for row, case in enumerate(cases):
        alone = search(KINDS[number], [case], buffer_length=11)
        same(alone, type(together)(*(value[row : row + 1] for value in together)))


def test_one_beam_is_greedy():
    rng = np.random.default_rng(3)
    cases = [random_case(rng) for _ in range(8)]
    kind = {"num_beams": 1, "ends": [3], "rules": {"no_repeat_ngram_size": 2}}
    found = search(kind, cases)
    state = np.array([state_of(case["prompt"]) for case in cases], np.int32)
    # In beam search, penalties change log-probabilities.
    log_probs = tf.nn.log_softmax(TABLE)
    greedy = generate(
        tf.gather(log_probs, state),
        {"state": tf.constant(state)},
        step_of(log_probs),
        options=options_of(cases),
        buffer_length=max(case["max_new_tokens"] for case in cases),
        end_id=3,
        pad_id=PAD,
        prompt=as_prompt(cases),
        rules=Rules(**kind["rules"]),
        scores=True,
    )
    for name in ("token_ids", "lengths", "reasons"):
        np.testing.assert_array_equal(getattr(found, name)[:, 0], getattr(greedy, name))
    np.testing.assert_allclose(found.log_probs[:, 0], greedy.log_probs, atol=1e-5)


def all_texts(prompt, length, end):
    """Every text of at most `length` tokens and its log-probability."""
    log_probs = np.float64(tf.nn.log_softmax(TABLE))
    for size in range(1, length + 1):
        for text in itertools.product(range(VOCAB), repeat=size):
            if end in text[:-1] or (size < length and text[-1] != end):
                continue
            ids = [*prompt, *text]
            places = range(len(prompt), len(ids))
            yield text, sum(log_probs[state_of(ids[:i]), ids[i]] for i in places)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_enough_beams_find_the_likeliest_of_all_texts(length_penalty):
    case = plain(max_new_tokens=3, length_penalty=length_penalty, early_stopping="never")
    found = search({"num_beams": VOCAB, "ends": [3]}, [case])
    ranked = sorted(
        ((score / len(text) ** length_penalty, text) for text, score in all_texts([1, 2], 3, 3)),
        reverse=True,
    )
    for beam, (score, text) in enumerate(ranked[:3]):
        np.testing.assert_allclose(found.scores[0, beam], score, atol=1e-5)
        length = int(found.lengths[0, beam])
        assert tuple(found.token_ids[0, beam, :length].numpy()) == text[:length]


def test_the_score_is_the_sum_of_log_probabilities_over_a_power_of_the_length():
    rng = np.random.default_rng(5)
    cases = [{**random_case(rng), "repetition_penalty": 1.0, "min_new_tokens": 0} for _ in range(6)]
    found = search({"num_beams": 3, "ends": [3]}, cases)
    length = found.lengths + tf.cast(found.reasons == Reason.END_TOKEN, tf.int32)
    power = tf.cast(length, tf.float32) ** beam_options_of(cases).length_penalty[:, None]
    np.testing.assert_allclose(found.scores, tf.reduce_sum(found.log_probs, -1) / power, rtol=1e-4)


def test_a_row_without_room_finds_nothing():
    options = options_of([plain(), plain()])._replace(max_new_tokens=tf.constant([0, 2]))
    found = beam_search(
        tf.constant(TABLE[:2]),
        {"state": tf.constant([0, 1])},
        STEP,
        num_beams=2,
        options=options,
        beam_options=beam_options_of([plain(), plain()]),
        buffer_length=3,
        end_id=None,
        pad_id=PAD,
    )
    np.testing.assert_array_equal(found.lengths, [[0, 0], [2, 2]])
    np.testing.assert_array_equal(found.reasons[0], [0, 0])
    np.testing.assert_array_equal(found.scores[0], [NO_TEXT] * 2)
    np.testing.assert_array_equal(found.token_ids[0], [[PAD] * 3] * 2)


def test_places_for_which_there_are_no_texts_stay_empty():
    rules = {"suppressed_ids": [token for token in range(VOCAB) if token not in (4, 5)]}
    found = search({"num_beams": 3, "ends": [], "rules": rules}, [plain(max_new_tokens=1)])
    assert sorted(found.token_ids[0, :2, 0].numpy()) == [4, 5]
    np.testing.assert_array_equal(found.lengths[0], [1, 1, 0])
    np.testing.assert_array_equal(found.reasons[0], [Reason.LENGTH] * 2 + [0])
    assert found.scores[0, 2] == NO_TEXT


def test_the_model_is_not_called_after_the_last_token_nor_the_cache_moved_in_vain():
    calls, moves = [], []

    def counting(token_ids, cache):
        calls.append(token_ids)
        return STEP(token_ids, cache)

    def moving(cache, rows):
        moves.append(rows.numpy().tolist())
        return gather_rows(cache, rows)

    kind = {"num_beams": 4, "ends": []}
    search(kind, [plain(max_new_tokens=1)], step=counting, reorder=moving)
    assert (len(calls), len(moves)) == (0, 0)
    search(kind, [plain(max_new_tokens=6)], step=counting, reorder=moving)
    assert len(calls) == 5
    # The first step begins with copies of one cache; then beams move, if they do.
    assert 0 < len(moves) < 5
    assert [0, 1, 2, 3] not in moves


def test_beams_never_leave_their_row():
    moves = []

    def moving(cache, rows):
        moves.append(rows.numpy().reshape(3, 4))
        return gather_rows(cache, rows)

    rng = np.random.default_rng(2)
    search({"num_beams": 4, "ends": [3]}, [random_case(rng) for _ in range(3)], reorder=moving)
    assert moves
    for rows in moves:
        np.testing.assert_array_equal(rows // 4, [[0] * 4, [1] * 4, [2] * 4])


def test_the_hook_ends_texts():
    # A text ends once it contains 5.
    def should_stop(token_ids, lengths):
        return tf.reduce_any(tf.equal(token_ids, 5), -1)

    kind = {"num_beams": 4, "ends": [3]}
    found = search(kind, [plain(early_stopping="never")], should_stop=should_stop)
    stopped = found.reasons == Reason.STOPPED
    assert np.any(stopped)
    for text, length, stop in zip(
        found.token_ids[0].numpy(), found.lengths[0].numpy(), stopped[0].numpy(), strict=True
    ):
        assert (5 in text[:length]) == stop
        assert 5 not in text[: length - 1]


def test_stopping_early_gives_as_many_texts_and_may_miss_better_ones():
    cases = [
        plain(prompt=[a, b], early_stopping=early, max_new_tokens=9)
        for a, b in itertools.product(range(4), range(4))
        for early in (True, "never")
    ]
    found = search({"num_beams": 3, "ends": [3, 8]}, cases)
    assert np.all(found.reasons > 0)
    early, late = found.scores[::2, 0].numpy(), found.scores[1::2, 0].numpy()
    assert np.all(late >= early - 1e-5)
    assert np.any(late > early + 1e-3)


def specs(fields):
    return [tf.TensorSpec([None], dtype, name) for name, dtype in fields._asdict().items()]


BEAM_DTYPES = BeamOptions("float32", "int32")


class Exported(tf.Module):
    def __init__(self):
        super().__init__()
        self.traces = 0

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None], tf.int32, "state"),
            tf.TensorSpec([None, None], tf.int32, "prompt"),
            tf.TensorSpec([None], tf.int32, "prompt_lengths"),
            *specs(OPTION_DTYPES),
            *specs(BEAM_DTYPES),
        ],
    )
    def __call__(self, state, prompt, prompt_lengths, *asked):
        self.traces += 1
        options, beam_options = Options(*asked[:-2]), BeamOptions(*asked[-2:])
        return self.search(state, Prompt(prompt, prompt_lengths), options, beam_options)._asdict()

    def search(self, state, prompt, options, beam_options):
        return beam_search(
            tf.gather(TABLE, state),
            {"state": state},
            STEP,
            num_beams=3,
            options=options,
            beam_options=beam_options,
            buffer_length=10,
            end_id=3,
            pad_id=PAD,
            prompt=prompt,
            rules=Rules(no_repeat_ngram_size=3),
        )


@pytest.fixture(scope="module")
def exported():
    return Exported()


def inputs_of(cases):
    state = tf.constant([state_of(case["prompt"]) for case in cases], tf.int32)
    return state, as_prompt(cases), options_of(cases), beam_options_of(cases)


def flat(state, prompt, options, beam_options):
    return [state, *prompt, *options, *beam_options]


def some_cases(count):
    rng = np.random.default_rng(7)
    return [random_case(rng) for _ in range(count)]


def test_a_saved_model_finds_what_python_finds(exported, tmp_path):
    tf.saved_model.save(exported, tmp_path)
    served = tf.saved_model.load(tmp_path).signatures["serving_default"]
    inputs = inputs_of(some_cases(6))
    names = ["state", "prompt", "prompt_lengths", *Options._fields, *BeamOptions._fields]
    found = served(**dict(zip(names, flat(*inputs), strict=True)))
    python = exported.search(*inputs)
    same(type(python)(**found), python)


def test_other_options_and_other_batches_are_not_traced_again(exported):
    exported(*flat(*inputs_of(some_cases(6))))
    traces = exported.traces
    exported(*flat(*inputs_of(some_cases(2)[::-1])))
    assert exported.traces == traces


def test_an_export_has_neither_asserts_nor_variables_nor_random_operations(exported):
    function = exported.__call__.get_concrete_function()
    assert not function.variables
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    kinds = {node.op for node in nodes}
    assert "TopKV2" in kinds  # the walk reaches the loop
    unwanted = ("Assert", "Random", "Multinomial", "Variable", "PyFunc", "HashTable")
    assert not [kind for kind in kinds if any(word in kind for word in unwanted)]


@pytest.mark.slow
def test_compiled_it_finds_the_same(exported):
    inputs = inputs_of(some_cases(4))
    compiled = tf.function(exported.search, autograph=False, jit_compile=True)
    same(compiled(*inputs), exported.search(*inputs))


@pytest.mark.parametrize("num_beams", [0, VOCAB + 1])
def test_a_number_of_beams_that_makes_no_sense_is_refused(num_beams):
    with pytest.raises(ValueError, match="num_beams"):
        search({"num_beams": num_beams, "ends": [3]}, [plain()])


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (ValueError, "length_penalty", float("nan")),
        (ValueError, "length_penalty", [1.0, 2.0, 3.0]),
        (TypeError, "length_penalty", "long"),
        (ValueError, "early_stopping", "always"),
        (ValueError, "early_stopping", 1),
        (ValueError, "early_stopping", [True, False, True]),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_with_what_was_received(error, name, value):
    with pytest.raises(error, match=name) as raised:
        validate_beam_options(2, **{name: value})
    assert f"Received: {value!r}" in str(raised.value)


def test_each_row_may_stop_in_its_own_way():
    early = [True, "never", False]
    found = validate_beam_options(3, length_penalty=0.5, early_stopping=early)
    np.testing.assert_array_equal(found.early_stopping, [1, 2, 0])
    np.testing.assert_array_equal(found.length_penalty, [0.5] * 3)
    assert found.early_stopping[1] == EarlyStopping.NEVER


def test_clamping_brings_any_value_into_range():
    huge = np.finfo(np.float32).max
    asked = BeamOptions(
        tf.constant([0.6, float("nan"), float("inf"), -float("inf")]), tf.constant([2, 1, 3, -1])
    )
    found, status = clamp_beam_options(asked)
    np.testing.assert_array_equal(found.length_penalty, np.float32([0.6, 1, huge, -huge]))
    np.testing.assert_array_equal(found.early_stopping, [2, 1, 0, 0])
    np.testing.assert_array_equal(status, [0] + [int(Status.LENGTH_PENALTY)] * 3)


def test_a_length_penalty_of_any_size_gives_texts():
    cases = [plain(max_new_tokens=3, length_penalty=p) for p in (3e38, -3e38)]
    found = search({"num_beams": 2, "ends": [3]}, cases)
    assert not np.any(np.isnan(found.scores))
    assert np.all(found.token_ids < VOCAB)


def test_greedy_options_do_for_a_search():
    options = greedy_options(tf.constant([4]))
    found = beam_search(
        tf.constant(TABLE[:1]),
        {"state": tf.constant([0])},
        STEP,
        num_beams=2,
        options=options,
        beam_options=validate_beam_options(1),
        buffer_length=4,
        end_id=3,
    )
    assert np.all(found.lengths > 0)
