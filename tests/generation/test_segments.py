"""A cache that grows: a step never sees more room than a segment, and always enough."""

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.generation import SEGMENT, Decoder, beam_search, validate_options
from keras_lm.generation import validate_beam_options as beams_of

V, PROMPT, END = 8, 5, 3
SCRIPT = 6  # what follows each token, but for the last one, which END does


class Model:
    """Walks through a cache of one number a position; looks at how much room it has."""

    def __init__(self, until):
        self.until, self.rooms = until, []

    def step(self, token_ids, cache):
        keys, position = cache
        room = tf.shape(keys)[1] - position[0]
        self.rooms.append(int(room))
        here = tf.range(tf.shape(keys)[1])[None] == position[:, None]
        keys = tf.where(here, tf.cast(token_ids[:, None], tf.float32), keys)
        next_R = tf.where(position + 1 < PROMPT + self.until, SCRIPT, END)
        return tf.math.log(tf.one_hot(next_R, V)), (keys, position + 1)

    def make_room(self, cache, count):
        keys, position = cache
        more = tf.maximum(tf.reduce_max(position) + count - tf.shape(keys)[1], 0)
        return tf.pad(keys, [[0, 0], [0, more]]), position


def begun(rows=2):
    logits = tf.math.log(tf.one_hot([SCRIPT] * rows, V))
    return logits, (tf.zeros([rows, PROMPT]), tf.fill([rows], PROMPT))


def decoder_of(model, asked):
    return Decoder(
        model.step,
        options=validate_options(2, max_new_tokens=asked),
        buffer_length=asked,
        end_id=END,
        make_room=model.make_room,
    )


@pytest.mark.parametrize("until", [2, SEGMENT, SEGMENT + 1, 3 * SEGMENT])
def test_a_step_has_room_for_a_segment_at_most(until):
    model, asked = Model(until), 10 * SEGMENT
    logits, cache = begun()
    decoder = decoder_of(model, asked)
    decoding, (keys, _) = decoder.go_on(decoder.start(logits), cache)
    np.testing.assert_array_equal(decoding.found.lengths, until)
    assert len(model.rooms) == until
    assert 1 <= min(model.rooms) <= max(model.rooms) <= SEGMENT
    # No room is made behind the end; what was written is still there.
    assert keys.shape[1] - PROMPT < until + SEGMENT
    np.testing.assert_array_equal(keys[:, PROMPT : PROMPT + until], SCRIPT)
    np.testing.assert_array_equal(keys[:, :PROMPT], 0)


@pytest.mark.parametrize("chunk", [1, 7, SEGMENT + 1])
def test_pieces_make_no_more_room_than_they_need(chunk):
    model, asked = Model(100), 150
    logits, cache = begun()
    decoder = decoder_of(model, asked)
    decoding = decoder.start(logits)
    while not np.all(decoding.found.reasons):
        decoding, cache = decoder.go_on(decoding, cache, chunk)
    np.testing.assert_array_equal(decoding.found.lengths, 100)
    assert max(model.rooms) <= min(chunk, SEGMENT)


def test_beams_have_room_for_a_segment_at_most():
    model, asked = Model(SEGMENT + 10), 3 * SEGMENT
    logits, cache = begun()
    found = beam_search(
        logits,
        cache,
        model.step,
        num_beams=2,
        options=validate_options(2, max_new_tokens=asked),
        beam_options=beams_of(2),
        buffer_length=asked,
        end_id=END,
        make_room=model.make_room,
    )
    assert found.lengths[0, 0] == SEGMENT + 10
    assert 1 <= min(model.rooms) <= max(model.rooms) <= SEGMENT
