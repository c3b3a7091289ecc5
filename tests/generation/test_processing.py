import numpy as np
import pytest
import tensorflow as tf

from keras_lm.generation import Prompt, Rules, processor, validate_options

INF = float("inf")
LOGITS = [0.0, 1.0, -1.0, 2.0, -2.0, 3.0]
PAD = -1


def process(written, logits=LOGITS, *, prompt=None, rules=None, end_ids=(), room=4, **asked):
    """Logits after the new tokens `written`, one row for each."""
    rows, count = len(written), len(written[0])
    options = validate_options(rows, **{"max_new_tokens": room, **asked})
    if prompt is not None:
        longest = max(map(len, prompt))
        # What stands behind a prompt must not matter.
        ids = [row + [5] * (longest - len(row)) for row in prompt]
        prompt = Prompt(
            tf.constant(ids, tf.int32, [rows, longest]), tf.constant([len(row) for row in prompt])
        )
    change = processor(options, rules=rules, prompt=prompt, end_ids=end_ids)
    token_ids = tf.constant([row + [PAD] * (room - count) for row in written], tf.int32)
    return change(tf.constant([logits] * rows), token_ids, tf.constant(count)).numpy()


def banned(logits):
    return [np.flatnonzero(row == -INF).tolist() for row in logits]


def test_who_asks_for_nothing_keeps_every_bit():
    odd = [INF, -INF, -0.0, 1e-30, 3e38, float("nan")]
    got = process([[0, 1], [3, 3]], odd, prompt=[[2], [4, 5]], end_ids=[0])
    np.testing.assert_array_equal(got, np.float32([odd] * 2))


def test_repetition_is_penalized_in_prompt_and_continuation_alike():
    got = process([[3], [4]], prompt=[[1, 1], [2]], repetition_penalty=[2.0, 4.0])
    expected = [[0, 0.5, -1, 1, -2, 3], [0, 1, -4, 2, -8, 3]]
    np.testing.assert_array_equal(got, expected)


def test_presence_and_frequency_are_penalized_in_the_continuation_alone():
    got = process(
        [[1, 1, 3], [1, 1, 3], [1, 1, 3]],
        prompt=[[5, 3]] * 3,
        presence_penalty=[0.5, 0.0, -1.0],
        frequency_penalty=[0.0, 0.25, 1.0],
    )
    expected = [
        [0, 0.5, -1, 1.5, -2, 3],
        [0, 0.5, -1, 1.75, -2, 3],
        [0, 0, -1, 2, -2, 3],
    ]
    np.testing.assert_array_equal(got, expected)


def test_a_row_of_a_mixed_batch_keeps_what_it_has_alone():
    asked = {"repetition_penalty": [1.0, 1.7, 1.0], "frequency_penalty": [0.0, 0.0, 0.3]}
    together = process([[1], [3], [5]], prompt=[[0, 2], [4], [3, 3]], **asked)
    for row, (prompt, written) in enumerate(zip([[0, 2], [4], [3, 3]], [1, 3, 5], strict=True)):
        one = {name: values[row] for name, values in asked.items()}
        alone = process([[written]], prompt=[prompt], **one)
        np.testing.assert_array_equal(alone[0], together[row])


def test_forbidden_tokens_stay_forbidden():
    got = process([[0, 1]], [-INF, INF, 0, 0, 0, 0], repetition_penalty=2.0, presence_penalty=1.0)
    np.testing.assert_array_equal(got[0, :2], [-INF, INF])


@pytest.mark.parametrize(
    ("size", "prompt", "written", "expected"),
    [
        (1, [2], [0, 3], [0, 2, 3]),
        (2, [1, 2], [3, 1], [2]),
        (2, [1, 2, 1], [3, 1], [2, 3]),
        (2, [], [1, 1], [1]),
        (3, [1, 2, 3], [1, 2], [3]),
        (3, [1, 2, 3], [4, 2], []),
        (3, [], [1], []),
        (4, [1], [2], []),
    ],
)
def test_no_ngram_is_written_twice(size, prompt, written, expected):
    got = process([written], prompt=[prompt], rules=Rules(no_repeat_ngram_size=size))
    assert banned(got) == [expected]


def test_ngrams_join_prompts_of_different_lengths_without_a_gap():
    # Behind the shorter prompt stand fives, which were never written.
    got = process([[1], [1]], prompt=[[1, 2, 1, 3], [1, 4]], rules=Rules(no_repeat_ngram_size=2))
    assert banned(got) == [[2, 3], [4]]


def test_the_last_id_of_a_bad_word_is_forbidden_behind_the_others():
    words = [[3], [1, 2], [0, 1, 4], [2, 5]]
    rules = Rules(bad_words=words)
    got = process([[1], [1], [4]], prompt=[[0], [4], [0]], rules=rules)
    assert banned(got) == [[2, 3, 4], [2, 3], [3]]


def test_an_end_token_is_no_bad_word():
    got = process([[1]], rules=Rules(bad_words=[[0], [3], [1, 0]]), end_ids=[0, 3])
    assert banned(got) == [[0]]


def test_an_end_token_waits_for_the_shortest_text():
    got = process([[1, 1]] * 3, end_ids=[0, 5], min_new_tokens=[2, 3, 4])
    assert banned(got) == [[], [0, 5], [0, 5]]


def test_suppressed_tokens_are_never_written():
    assert banned(process([[], []], rules=Rules(suppressed_ids=(1, 4)))) == [[1, 4]] * 2


def test_the_first_token_can_be_forced():
    rules = Rules(forced_first_id=4)
    np.testing.assert_array_equal(process([[]], rules=rules), [[-INF] * 4 + [0, -INF]])
    np.testing.assert_array_equal(process([[1]], rules=rules), np.float32([LOGITS]))


@pytest.mark.parametrize("ids", [[2], [2, 3]])
def test_each_row_is_forced_at_its_own_last_token(ids):
    got = process([[1], [1]], rules=Rules(forced_last_ids=ids), max_new_tokens=[2, 3])
    allowed = np.isin(np.arange(6), ids)
    np.testing.assert_array_equal(got, [np.where(allowed, 0, -INF), np.float32(LOGITS)])


def test_what_is_forced_may_end_a_text_early_and_what_is_suppressed_never_comes():
    rules = Rules(forced_last_ids=[0], suppressed_ids=[0, 1])
    assert banned(process([[5]], rules=rules, max_new_tokens=2, room=2)) == [[0, 1, 2, 3, 4, 5]]
    rules = Rules(forced_last_ids=[0])
    got = process([[5]], rules=rules, max_new_tokens=2, min_new_tokens=2, end_ids=[0], room=2)
    assert banned(got) == [[1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (ValueError, "no_repeat_ngram_size", -1),
        (TypeError, "no_repeat_ngram_size", 1.5),
        (ValueError, "bad_words", [[1], []]),
        (ValueError, "bad_words", [[-1]]),
        (TypeError, "suppressed_ids", ["a"]),
        (TypeError, "forced_first_id", True),
        (ValueError, "forced_last_ids", [3, -2]),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_what_was_received(error, name, value):
    with pytest.raises(error, match=name) as raised:
        Rules(**{name: value})
    assert "Received: " in str(raised.value)


@pytest.mark.parametrize(
    "rule",
    [
        {"bad_words": [[1, 6]]},
        {"suppressed_ids": [6]},
        {"forced_first_id": 6},
        {"forced_last_ids": [7]},
    ],
)
def test_an_id_outside_the_vocabulary_is_refused(rule):
    with pytest.raises(ValueError, match="size of the vocabulary, 6"):
        process([[1]], rules=Rules(**rule))


def test_rules_are_equal_whatever_sequences_they_were_made_of():
    one = Rules(bad_words=[[np.int64(1), 2]], suppressed_ids=np.array([3]), forced_last_ids=[4])
    assert one == Rules(bad_words=((1, 2),), suppressed_ids=(3,), forced_last_ids=(4,))
    assert len({one, Rules()}) == 2


def random_case(rng):
    vocab_size = int(rng.integers(4, 30))
    prompt = rng.integers(0, vocab_size, int(rng.integers(1, 12))).tolist()
    written = rng.integers(0, vocab_size, int(rng.integers(0, 12))).tolist()
    words = [
        rng.integers(0, vocab_size, int(rng.integers(1, 4))).tolist()
        for _ in range(int(rng.integers(0, 6)))
    ]
    # Words that do apply: what was just written, and one id more.
    words += [[*(prompt + written)[-n:], int(rng.integers(vocab_size))] for n in (1, 2, 20)]
    return {
        "prompt": prompt,
        "written": written,
        "logits": np.float32(rng.normal(size=vocab_size) * 3),
        "room": len(written) + int(rng.integers(1, 4)),
        "end_ids": sorted({int(x) for x in rng.integers(0, vocab_size, 2)}),
        "repetition_penalty": float(rng.choice([1.0, rng.uniform(0.5, 2)])),
        "min_new_tokens": int(rng.integers(0, len(written) + 2)),
        "rules": {
            "no_repeat_ngram_size": int(rng.integers(0, 5)),
            "bad_words": words if rng.random() < 0.5 else [],
            "suppressed_ids": rng.integers(0, vocab_size, int(rng.integers(0, 3))).tolist(),
            "forced_last_ids": [int(rng.integers(vocab_size))] if rng.random() < 0.3 else [],
        },
    }


@pytest.mark.slow
def test_the_numbers_are_those_of_transformers():
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers").generation.logits_process
    rng = np.random.default_rng(0)
    for number in range(300):
        case = random_case(rng)
        rules, ends, room = case["rules"], case["end_ids"], case["room"]
        ids = torch.tensor([case["prompt"] + case["written"]])
        ahead = len(case["prompt"])
        steps = []
        if case["repetition_penalty"] != 1:
            steps.append(theirs.RepetitionPenaltyLogitsProcessor(case["repetition_penalty"]))
        if rules["no_repeat_ngram_size"]:
            steps.append(theirs.NoRepeatNGramLogitsProcessor(rules["no_repeat_ngram_size"]))
        if rules["bad_words"]:
            steps.append(theirs.NoBadWordsLogitsProcessor(rules["bad_words"], ends))
        if case["min_new_tokens"]:
            steps.append(
                theirs.MinNewTokensLengthLogitsProcessor(ahead, case["min_new_tokens"], ends)
            )
        if rules["forced_last_ids"]:
            steps.append(
                theirs.ForcedEOSTokenLogitsProcessor(ahead + room, rules["forced_last_ids"])
            )
        if rules["suppressed_ids"]:
            steps.append(theirs.SuppressTokensLogitsProcessor(rules["suppressed_ids"]))
        expected = torch.tensor(case["logits"])[None]
        for step in steps:
            expected = step(ids, expected)
        got = process(
            [case["written"]],
            case["logits"],
            prompt=[case["prompt"]],
            rules=Rules(**rules),
            end_ids=ends,
            room=room,
            repetition_penalty=case["repetition_penalty"],
            min_new_tokens=case["min_new_tokens"],
        )
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-6, err_msg=str(number))


@pytest.mark.slow
def test_the_filters_keep_what_those_of_transformers_keep():
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers").generation.logits_process
    from keras_lm.generation.sampling import pick_and_weigh

    rng = np.random.default_rng(1)
    uniform = tf.constant((np.arange(2_000) + 0.5) / 2_000, tf.float32)
    for number in range(60):
        logits = np.float32(rng.normal(size=int(rng.integers(3, 400))) * rng.uniform(0.3, 3))
        asked = {
            "temperature": float(rng.uniform(0.3, 2)),
            "top_k": int(rng.choice([0, rng.integers(2, 300)])),
            "top_p": float(rng.choice([1.0, rng.uniform(0.1, 0.99)])),
            "min_p": float(rng.choice([0.0, rng.uniform(0.01, 0.6)])),
        }
        scores = torch.tensor(logits)[None] / asked["temperature"]
        if asked["top_k"]:
            scores = theirs.TopKLogitsWarper(asked["top_k"])(None, scores)
        scores = theirs.TopPLogitsWarper(asked["top_p"])(None, scores)
        scores = theirs.MinPLogitsWarper(asked["min_p"])(None, scores)
        expected = torch.softmax(scores, -1)[0].numpy()
        options = validate_options(2_000, max_new_tokens=1, **asked)
        drawn, _ = pick_and_weigh(np.tile(logits, (2_000, 1)), uniform, options)
        seen = np.bincount(drawn, minlength=len(logits)) / 2_000
        # Evenly spaced numbers hit every interval to within one of them.
        np.testing.assert_allclose(seen, expected, atol=1.01 / 2_000, err_msg=f"{number} {asked}")
