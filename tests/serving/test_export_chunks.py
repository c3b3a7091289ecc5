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
