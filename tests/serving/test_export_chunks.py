"""Exports stream: `prefill` and `decode_chunk` give what `generate` gives, piece by piece."""

import pytest
import tensorflow as tf
from ask_in_a_process import IDS, OPTIONS, PROMPTS

from keras_lm.generation import Reason, Status, greedy_options

TEXTS = {"gpt": "completion", "transformer": "target"}


@pytest.mark.parametrize("model", TEXTS)
def test_pieces_are_those_of_what_generate_gives_at_once(answers, model):
    whole, streamed = answers[model, "generate"], answers[model, "prefill"]
    for name in (TEXTS[model], "count", "status"):
        assert streamed[name] == whole[name]
    assert ["".join(pieces) for pieces in streamed["pieces"]] == whole[TEXTS[model]]
    # At most one token, then two with each call.
    calls = len(streamed["pieces"][0])
    assert 1 + max(OPTIONS["max_new_tokens"]) // 2 >= calls > 2
    assert sum(piece != "" for piece in streamed["pieces"][0]) > 1


@pytest.mark.parametrize("model", TEXTS)
def test_ids_in_chunks_are_those_of_generate_ids(answers, model):
    whole, streamed = answers[model, "generate_ids"], answers[model, "prefill_ids"]
    for name in ("token_ids", "count", "status"):
        assert streamed[name] == whole[name]
    assert set(streamed["reason"]) <= {Reason.LENGTH, Reason.END_TOKEN}


def prefilled(signatures, rows, **changed):
    lengths = tf.constant([9, 5, 7])
    # As many as they may have: no end token comes before.
    options = greedy_options(lengths)._replace(min_new_tokens=lengths)._asdict() | changed
    return signatures["prefill"](
        prompt=tf.constant(PROMPTS[:3])[:rows], **{k: v[:rows] for k, v in options.items()}
    )


def test_an_engine_may_drop_rows_that_have_ended(loaded):
    signatures = loaded["gpt"].signatures
    seeds = {"temperature": tf.ones(3), "seed": tf.constant([1, 2, 3], tf.int64)}
    state = prefilled(signatures, 3, **seeds, repetition_penalty=tf.constant([1.5, 1.0, 1.2]))
    assert {len(x) for x in state.values()} == {3}
    del state["piece"]
    state = signatures["decode_chunk"](num_tokens=tf.constant(5), **state)
    del state["piece"]
    assert state["reason"].numpy().tolist() == [0, Reason.LENGTH, 0]
    kept = {name: tf.gather(x, [2]) for name, x in state.items()}  # not the one that asks for most
    pair = {name: tf.gather(x, [2, 0]) for name, x in state.items()}
    alone = signatures["decode_chunk"](num_tokens=tf.constant(99), **kept)
    both = signatures["decode_chunk"](num_tokens=tf.constant(99), **pair)
    whole = signatures["decode_chunk"](num_tokens=tf.constant(99), **state)
    for name in ("token_ids", "count", "completion", "piece", "reason"):
        assert alone[name].numpy().tolist() == whole[name].numpy()[[2]].tolist()
        assert both[name].numpy().tolist() == whole[name].numpy()[[2, 0]].tolist()
    assert whole["count"].numpy().tolist() == [9, 5, 7]


# Both kinds of cache; the other model's graphs take long.
@pytest.mark.parametrize("model", ["gpt", pytest.param("transformer", marks=pytest.mark.slow)])
def test_rows_that_stand_at_different_steps_go_on_together(loaded, model):
    text = "prompt" if model == "gpt" else "text"
    signatures = loaded[model].signatures
    # Longer than the window of the banded layer, and than a segment.
    lengths = [30, 75, 12] if model == "gpt" else [20, 9, 14]
    options = greedy_options(tf.constant(lengths))._replace(
        min_new_tokens=tf.constant(lengths),
        temperature=tf.ones(3),
        seed=tf.constant([1, 2, 3], tf.int64),
        repetition_penalty=tf.constant([1.5, 1.0, 1.2]),
    )
    asked = {text: tf.constant([PROMPTS[0], "a", PROMPTS[0] * 2]), **options._asdict()}
    whole = signatures["generate"](**asked)

    def prefill(place):
        state = signatures["prefill"](**{k: v[place : place + 1] for k, v in asked.items()})
        del state["piece"]
        return state

    def decode(state, count):
        state = signatures["decode_chunk"](num_tokens=tf.constant(count), **state)
        del state["piece"]
        return state

    def join(state, rows, other, other_rows):
        return signatures["join_states"](
            num_tokens=tf.constant(8),
            rows=tf.constant(rows, tf.int32),
            other_rows=tf.constant(other_rows, tf.int32),
            **state,
            **{f"other_{name}": value for name, value in other.items()},
        )

    state, order = decode(prefill(0), 6), [0]
    for place in (1, 2):
        state, order = join(state, range(len(order)), prefill(place), [0]), [*order, place]
        state = decode(state, 3)
    ended = {}
    while order:
        reasons = state["reason"].numpy()
        for place, row in enumerate(order):
            if reasons[place]:
                ended[row] = [state[name].numpy()[place] for name in (TEXTS[model], "count")]
        kept = [place for place in range(len(order)) if not reasons[place]]
        if len(kept) < len(order):
            state, order = join(state, kept, state, []), [order[place] for place in kept]
            # Nobody who stays needs more.
            most = max([lengths[row] for row in order], default=1)
            assert state["token_ids"].shape[1] == most
        else:
            state = decode(state, 4)
    expected = zip(whole[TEXTS[model]].numpy(), whole["count"].numpy(), strict=True)
    assert [tuple(ended[row]) for row in range(3)] == list(expected)


def test_any_number_of_tokens_and_any_state_is_answered(loaded):
    signatures = loaded["gpt"].signatures
    state = prefilled(signatures, 1)
    del state["piece"]
    for asked, count in ((-3, 2), (0, 3), (2, 5), (10_000, 9), (5, 9)):
        state = signatures["decode_chunk"](num_tokens=tf.constant(asked), **state)
        piece = state.pop("piece").numpy()
        assert state["count"].numpy().tolist() == [count]
    assert piece == [b""]  # It had ended before.
    longer = {**state, "completion": tf.constant(["x" * 999])}
    assert signatures["decode_chunk"](num_tokens=tf.constant(1), **longer)["piece"][0] == b""
    empty = prefilled(signatures, 0)
    del empty["piece"]
    empty = signatures["decode_chunk"](num_tokens=tf.constant(4), **empty)
    assert {len(x) for x in empty.values()} == {0}


def test_what_is_out_of_range_is_said_in_every_chunk(loaded):
    signatures = loaded["gpt"].signatures
    options = {name: tf.constant(values[:2]) for name, values in OPTIONS.items()}
    options |= {"seed": tf.constant([1, 2], tf.int64), "min_p": tf.constant([-1.0, 0.0])}
    options |= {"max_new_tokens": tf.constant([3, 99_999])}
    state = signatures["prefill_ids"](**{k: tf.constant(v) for k, v in IDS.items()}, **options)
    expected = [Status.MIN_P | Status.MIN_NEW_TOKENS, Status.MAX_NEW_TOKENS]
    assert state["status"].numpy().tolist() == expected
    del state["piece"]
    state = signatures["decode_chunk"](num_tokens=tf.constant(4), **state)
    assert state["status"].numpy().tolist() == expected
