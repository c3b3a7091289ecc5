import numpy as np
import pytest
import tensorflow as tf

from keras_lm.generation import (
    OPTION_DTYPES,
    Decoder,
    Options,
    Prompt,
    Reason,
    Rules,
    clamp_options,
    generate,
    validate_options,
)

V, END, PAD = 40, 3, -1


def toy(seed=0, scale=1.0, end=END):
    """A model whose next logits depend on the last token; its cache counts rows and calls."""
    table = np.float32(np.random.default_rng(seed).normal(size=(V, V)) * scale)
    table[:, END] = -np.inf if end is None else table[:, END]
    table_VV = tf.constant(table)

    def step(token_ids, cache):
        cache["calls"] = cache["calls"] + 1
        cache["position"] = cache["position"] + 1
        return tf.gather(table_VV, token_ids), cache

    return table, step


def chain(next_of):
    """A model that is certain of what follows each token."""
    table = np.full((V, V), -np.inf, np.float32)
    for token, following in next_of.items():
        table[token, following] = 0
    table_VV = tf.constant(table)
    return table, lambda token_ids, cache: (tf.gather(table_VV, token_ids), cache)


def counter(rows):
    return {"calls": tf.constant(0), "position": tf.zeros([rows], tf.int32)}


def run(last, *, buffer_length=12, end=END, sequence=None, **asked):
    table, step = toy(end=end)
    asked = {"max_new_tokens": buffer_length, **asked}
    return generate(
        table[np.asarray(last)],
        counter(len(last)),
        step,
        options=validate_options(len(last), **asked),
        buffer_length=buffer_length,
        end_id=end,
        pad_id=PAD,
        sequence=sequence,
    )


def same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def close(one, other):
    """The same ids; scores up to rounding."""
    same(one[:3], other[:3])
    for left, right in zip(one[3:], other[3:], strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_greedy_walks_along_the_likeliest_tokens():
    table, _ = toy(end=None)
    got = run([5], buffer_length=6, end=None)
    expected = [5]
    for _ in range(6):
        expected.append(int(table[expected[-1]].argmax()))
    np.testing.assert_array_equal(got.token_ids, [expected[1:]])
    assert got.reasons[0] == Reason.LENGTH


def test_top_1_is_greedy():
    last = list(range(10))
    same(run(last, top_k=1, temperature=1.3, seed=5), run(last))


def test_a_text_does_not_depend_on_its_batch():
    rng = np.random.default_rng(0)
    last = rng.integers(0, V, 12).tolist()
    asked = {
        "temperature": [0.0, 1.0, 1.0, 1.5, 0.7, 1.0] * 2,
        "top_k": [0, 0, 5, 0, 30, 1] * 2,
        "top_p": [1.0, 1.0, 1.0, 0.9, 0.8, 1.0] * 2,
        "seed": rng.integers(0, 2**60, 12).tolist(),
        "max_new_tokens": rng.integers(3, 25, 12).tolist(),
        "min_p": [0.0, 0.0, 0.0, 0.1] * 3,
        "repetition_penalty": [1.0, 1.0, 1.4] * 4,
        "frequency_penalty": [0.0, 0.3, 0.0] * 4,
        "min_new_tokens": [0, 3] * 6,
    }
    together = run(last, buffer_length=25, **asked)
    for row in range(12):
        one = {name: [values[row]] for name, values in asked.items()}
        alone = run([last[row]], buffer_length=25, **one)
        same(alone, [value[row : row + 1] for value in together])


def test_another_seed_or_sequence_gives_another_text_and_the_same_gives_the_same():
    asked = {"temperature": 1.0, "end": None, "seed": [1, 1, 2, 1]}
    texts = run([5] * 4, sequence=tf.constant([0, 0, 0, 1]), **asked).token_ids.numpy().tolist()
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert texts[0] != texts[3]


def test_each_row_ends_on_its_own_and_its_text_stays():
    # 10 -> 11 -> END; 20 -> 21 -> 22 -> 20 ... for ever; 30 -> END at once.
    table, step = chain({10: 11, 11: END, 20: 21, 21: 22, 22: 20, 30: END, END: 7, 7: 7})
    got = generate(
        table[[10, 20, 30, 20]],
        (),
        step,
        options=validate_options(4, max_new_tokens=[6, 5, 6, 1]),
        buffer_length=6,
        end_id=END,
        pad_id=PAD,
    )
    pads = [PAD] * 6
    texts = [[11], [21, 22, 20, 21, 22], [], [21]]
    np.testing.assert_array_equal(got.token_ids, [(text + pads)[:6] for text in texts])
    np.testing.assert_array_equal(got.lengths, [1, 5, 0, 1])
    ends = [Reason.END_TOKEN, Reason.LENGTH, Reason.END_TOKEN, Reason.LENGTH]
    np.testing.assert_array_equal(got.reasons, ends)


def test_any_of_several_end_tokens_ends_a_text():
    table, step = chain({10: 11, 11: 12, 20: 21, 21: 22, 12: 12, 22: 22})
    options = validate_options(2, max_new_tokens=5)
    got = generate(
        table[[10, 20]], (), step, options=options, buffer_length=5, end_id=(12, np.int64(22))
    )
    np.testing.assert_array_equal(got.token_ids, [[11, 0, 0, 0, 0], [21, 0, 0, 0, 0]])


@pytest.mark.parametrize(("asked", "calls"), [([4, 2], 3), ([1, 1], 0), ([9, 9], 3)])
def test_the_model_is_not_called_after_the_last_token(asked, calls):
    made = []
    table, step = chain({10: 11, 11: 12, 12: 13, 13: END, END: END})

    def counting(token_ids, cache):
        made.append(tf.identity(token_ids))
        return step(token_ids, cache)

    options = validate_options(2, max_new_tokens=asked)
    generate(table[[10, 10]], (), counting, options=options, buffer_length=50, end_id=END)
    assert len(made) == calls


def test_the_loop_of_a_graph_ends_early_too():
    table, step = chain({10: 11, 11: 12, 12: END})
    made = tf.Variable(0)

    def counting(token_ids, cache):
        made.assign_add(1)
        return step(token_ids, cache)

    options = validate_options(1, max_new_tokens=1000)
    tf.function(generate, autograph=False)(
        table[[10]], (), counting, options=options, buffer_length=1000, end_id=END
    )
    assert made.numpy() == 2


def test_the_cache_of_the_model_goes_round():
    positions = []

    def step(token_ids, cache):
        positions.append(cache["position"].numpy().tolist())
        return tf.one_hot(token_ids + 1, V), {"position": cache["position"] + 1}

    got = generate(
        tf.one_hot([10, 20], V),
        {"position": tf.constant([3, 8])},
        step,
        options=validate_options(2, max_new_tokens=4),
        buffer_length=4,
        end_id=END,
    )
    assert positions == [[3, 8], [4, 9], [5, 10]]
    np.testing.assert_array_equal(got.token_ids, [[10, 11, 12, 13], [20, 21, 22, 23]])


def test_a_row_without_room_gets_no_token():
    asked = validate_options(2, max_new_tokens=3)._replace(max_new_tokens=tf.constant([0, 2]))
    table, step = toy(end=None)
    got = generate(
        table[[5, 5]], counter(2), step, options=asked, buffer_length=3, end_id=None, pad_id=PAD
    )
    np.testing.assert_array_equal(got.token_ids[0], [PAD] * 3)
    np.testing.assert_array_equal(got.lengths, [0, 2])
    np.testing.assert_array_equal(got.reasons, [Reason.LENGTH] * 2)


def test_more_tokens_than_the_buffer_holds_end_with_the_buffer():
    got = run([5, 6], buffer_length=4, max_new_tokens=[100, 2], end=None)
    np.testing.assert_array_equal(got.lengths, [4, 2])
    np.testing.assert_array_equal(got.reasons, [Reason.LENGTH] * 2)


@pytest.mark.parametrize(
    "wrap", [lambda f: f, lambda f: tf.function(f, autograph=False)], ids=["eager", "graph"]
)
def test_the_hook_ends_rows_and_sees_the_text_so_far(wrap):
    # Rows end once they contain 22 followed by 20.
    def should_stop(token_ids, lengths):
        seen = tf.sequence_mask(lengths - 1, tf.shape(token_ids)[1] - 1)
        pair = tf.equal(token_ids[:, :-1], 22) & tf.equal(token_ids[:, 1:], 20)
        return tf.reduce_any(pair & seen, -1)

    table, step = chain({20: 21, 21: 22, 22: 20, 10: 10})
    got = wrap(generate)(
        table[[20, 21, 10]],
        (),
        step,
        options=validate_options(3, max_new_tokens=6),
        buffer_length=6,
        end_id=END,
        pad_id=PAD,
        should_stop=should_stop,
    )
    expected = [[21, 22, 20, PAD, PAD, PAD], [22, 20, PAD, PAD, PAD, PAD], [10] * 6]
    np.testing.assert_array_equal(got.token_ids, expected)
    np.testing.assert_array_equal(got.lengths, [3, 2, 6])
    np.testing.assert_array_equal(got.reasons, [Reason.STOPPED, Reason.STOPPED, Reason.LENGTH])


SPECS = Options(*(tf.TensorSpec([None], dtype) for dtype in OPTION_DTYPES))
RULES = Rules(no_repeat_ngram_size=3, bad_words=[[7], [4, 9]], suppressed_ids=[11])


class Exported(tf.Module):
    def __init__(self):
        super().__init__()
        self.table, self.step = toy(seed=4)
        self.traces = 0

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, "prompt"),
            *(
                tf.TensorSpec([None], dtype, name)
                for name, dtype in OPTION_DTYPES._asdict().items()
            ),
        ],
    )
    def __call__(self, prompt, *asked):
        self.traces += 1
        options, status = clamp_options(Options(*asked), limit=15)
        return {**self.text(prompt, options)._asdict(), "status": status}

    def text(self, prompt, options):
        return generate(
            tf.gather(self.table, prompt[:, -1]),
            {"calls": tf.constant(0), "position": tf.zeros_like(prompt[:, 0])},
            self.step,
            options=options,
            buffer_length=15,
            end_id=END,
            pad_id=PAD,
            prompt=Prompt(prompt, tf.zeros_like(prompt[:, 0]) + tf.shape(prompt)[1]),
            rules=RULES,
            scores=True,
        )


@pytest.fixture(scope="module")
def exported():
    return Exported()


PROMPT = [[6, 1], [5, 2], [9, 8], [8, 9], [4, 5]]
ASKED = {
    "temperature": [0.0, 1.0, 1.0, 1.0, 0.8],
    "top_k": [0, 0, 7, 0, 20],
    "top_p": [1.0, 1.0, 1.0, 0.8, 0.9],
    "seed": [0, -9, 2**50, 4, 1],
    "max_new_tokens": [15, 15, 3, 15, 9],
    "min_p": [0.0, 0.0, 0.1, 0.05, 0.0],
    "repetition_penalty": [1.3, 1.0, 1.0, 1.1, 1.0],
    "presence_penalty": [0.0, 0.5, 0.0, 0.1, 0.0],
    "frequency_penalty": [0.0, 0.0, 0.2, 0.1, 0.0],
    "min_new_tokens": [9, 0, 2, 5, 0],
}


def exported_inputs(asked, prompt=PROMPT):
    options = [tf.constant(asked[name], dtype) for name, dtype in OPTION_DTYPES._asdict().items()]
    return [tf.constant(prompt), *options]


def test_a_saved_model_gives_what_python_gives(exported, tmp_path):
    tf.saved_model.save(exported, tmp_path)
    served = tf.saved_model.load(tmp_path).signatures["serving_default"]
    inputs = exported_inputs(ASKED)
    got = served(**dict(zip(["prompt", *Options._fields], inputs, strict=True)))
    python = exported.text(inputs[0], validate_options(5, **ASKED))
    close([got[name] for name in python._fields], python)
    np.testing.assert_array_equal(got["status"], [0] * 5)


@pytest.mark.slow
def test_other_options_and_other_batches_are_not_traced_again(exported):
    exported(*exported_inputs(ASKED))
    traces = exported.traces
    exported(*exported_inputs({name: value[::-1] for name, value in ASKED.items()}))
    one = {name: value[:1] for name, value in ASKED.items()}
    exported(*exported_inputs(one, prompt=[[4]]))
    assert exported.traces == traces


def test_an_export_has_neither_asserts_nor_variables_nor_random_operations(exported):
    function = exported.__call__.get_concrete_function()
    assert not function.variables
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    kinds = {node.op for node in nodes}
    assert "TopKV2" in kinds  # the walk reaches the branches inside the loop
    unwanted = ("Assert", "Random", "Multinomial", "Variable", "PyFunc", "HashTable")
    assert not [kind for kind in kinds if any(word in kind for word in unwanted)]


@pytest.mark.slow
def test_compiled_it_gives_the_same_text(exported):
    inputs = tf.constant(PROMPT), validate_options(5, **ASKED)
    close(
        tf.function(exported.text, autograph=False, jit_compile=True)(*inputs),
        exported.text(*inputs),
    )


def test_the_room_may_be_a_tensor():
    table, step = toy(seed=4)

    @tf.function(autograph=False)
    def text(options: Options, room):
        return generate(
            tf.gather(table, [1, 2]),
            counter(2),
            step,
            options=options,
            buffer_length=room,
            end_id=END,
        )

    options = validate_options(2, max_new_tokens=20, temperature=1)
    short, long = (text(options, tf.constant(room)).token_ids for room in (3, 8))
    np.testing.assert_array_equal(short, long[:, :3])
    assert text.experimental_get_tracing_count() == 1


def test_penalties_see_the_prompt_and_the_text_so_far():
    # 10 leads to 11, and back; 12 is a little less likely than either.
    table = np.full((V, V), -10.0, np.float32)
    table[[10, 11], [11, 10]] = 2
    table[[10, 11], 12] = 1.5
    table[12, 13] = 1
    table_VV = tf.constant(table)

    def text(prompt, **asked):
        got = generate(
            table[prompt[-1:]],
            (),
            lambda token_ids, cache: (tf.gather(table_VV, token_ids), cache),
            options=validate_options(1, max_new_tokens=4, **asked),
            buffer_length=4,
            end_id=END,
            prompt=Prompt(tf.constant([prompt]), tf.constant([len(prompt)])),
        )
        return got.token_ids[0].numpy().tolist()

    assert text([10]) == [11, 10, 11, 10]
    assert text([10], repetition_penalty=1.5)[:2] == [11, 12]
    assert text([11, 10], repetition_penalty=1.5)[:1] == [12]
    assert text([11, 10], presence_penalty=0.6)[:4] == [11, 10, 12, 13]


def test_the_text_is_at_least_as_long_as_asked():
    table, step = chain({10: END, END: 11, 11: 12})
    table[10] = np.where(np.arange(V) == 11, -1, table[10])
    options = validate_options(2, max_new_tokens=4, min_new_tokens=[0, 1])
    got = generate(table[[10, 10]], (), step, options=options, buffer_length=4, end_id=END)
    np.testing.assert_array_equal(got.lengths, [0, 4])
    assert got.token_ids[1, 0] == 11


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum())


@pytest.mark.parametrize("scores", [True, tf.constant(True)], ids=["fixed", "asked for"])
def test_scores_are_those_of_the_model_and_of_what_was_drawn_from(scores):
    table, step = toy(seed=2)
    temperature = [0.0, 0.5] * 4
    got = generate(
        table[np.arange(8)],
        counter(8),
        step,
        options=validate_options(8, max_new_tokens=9, temperature=temperature, seed=range(8)),
        buffer_length=9,
        end_id=(END, 12),
        pad_id=PAD,
        rules=Rules(suppressed_ids=[7]),
        scores=scores,
    )
    assert {Reason.END_TOKEN, Reason.LENGTH} == set(got.reasons.numpy())
    for row in range(8):
        last, length = row, int(got.lengths[row])
        for place in range(9):
            logits = table[last].copy()
            found = got.log_probs[row, place], got.processed_log_probs[row, place]
            if place < length:
                last = int(got.token_ids[row, place])
                expected = {last: log_softmax(logits)[last]}
            elif place == length and got.reasons[row] == Reason.END_TOKEN:
                expected = {end: log_softmax(logits)[end] for end in (END, 12)}
            else:
                assert found == (0, 0)
                continue
            token = min(expected, key=lambda token: abs(expected[token] - found[0]))
            np.testing.assert_allclose(found[0], expected[token], atol=1e-5)
            logits[7] = -np.inf
            taken = log_softmax(logits / (temperature[row] or 1))[token]
            np.testing.assert_allclose(found[1], taken, atol=1e-5)


def test_scores_that_nobody_asks_for_are_0():
    got = run([5, 6])
    assert not np.any(got.log_probs)
    assert not np.any(got.processed_log_probs)


@pytest.mark.parametrize("chunk", [1, 3])
def test_a_decoding_in_pieces_gives_what_one_in_one_piece_gives(chunk):
    table, step = toy(seed=4)
    asked = {
        "options": validate_options(5, **ASKED),
        "buffer_length": 15,
        "end_id": END,
        "pad_id": PAD,
        "prompt": Prompt(tf.constant(PROMPT), tf.fill([5], 2)),
        "rules": RULES,
        "scores": True,
    }
    logits = table[[prompt[-1] for prompt in PROMPT]]
    cache, pieces = counter(5), 0
    decoding = Decoder(step, **asked).start(logits)
    while np.any(decoding.found.reasons == 0):
        decoding, cache = Decoder(step, **asked).go_on(decoding, cache, chunk)
        pieces += 1
        assert decoding.count <= 1 + chunk * pieces
    assert pieces > 1
    same(decoding.found, generate(logits, counter(5), step, **asked))
