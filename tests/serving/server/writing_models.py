"""SavedModels of a few operations that continue texts, or give vectors, as an export does.

The signatures are those of an export of a GPT; ids are bytes. What comes next is arithmetic on the
first byte, the options and the place, so that it does not depend on how it is asked for.
"""

import numpy as np
import tensorflow as tf

from keras_lm.generation import OPTION_DTYPES, Options, Reason, Status
from keras_lm.layers.cache import joined_rows
from keras_lm.models.limits import CUT

LENGTH = 112
VECTOR = np.array([[0.5, -1.25, 1 / 3]], np.float32)
BYTES = [bytes([value]) for value in range(256)]
OPTIONS = OPTION_DTYPES._asdict()


def rows(dtype, name, rank=1):
    return tf.TensorSpec([None] * rank, dtype, name)


SPECS = [rows(dtype, name) for name, dtype in OPTIONS.items()]
STATE = [
    *SPECS,
    *(rows("int32", name) for name in ("count", "reason", "status", "prompt_lengths")),
    rows("string", "completion"),
    *(rows("int32", name, 2) for name in ("token_ids", "prompt_ids")),
    rows("float32", "cache_0", 2),
]
IDS = [rows("int32", "token_ids", 2), rows("int32", "lengths")]


def read(text):
    letters = tf.strings.bytes_split(text)
    flat = tf.cast(tf.reshape(tf.io.decode_raw(letters.flat_values, tf.uint8), [-1]), tf.int32)
    return tf.RaggedTensor.from_row_splits(flat, letters.row_splits).to_tensor(), tf.cast(
        letters.row_lengths(), tf.int32
    )


def begun(ids, lengths, options):
    """The prompt, as much as there is room for, and options that fit."""
    wanted = tf.clip_by_value(options.max_new_tokens, 1, LENGTH // 2)
    kept = tf.minimum(lengths, LENGTH - wanted)
    status = CUT * tf.cast(kept < lengths, tf.int32)
    room = LENGTH - tf.maximum(kept, 1)
    status += int(Status.MAX_NEW_TOKENS) * tf.cast(options.max_new_tokens > room, tf.int32)
    fits = options._replace(max_new_tokens=tf.clip_by_value(options.max_new_tokens, 1, room))
    ids = tf.pad(ids, [[0, 0], [0, 1]])[:, : tf.reduce_max(tf.concat([kept, [1]], 0))]
    return ids, tf.maximum(kept, 1), fits, status


def written(ids, lengths, options, count):
    """int32, as many tokens as any row may have; -1 behind `count`."""
    size = tf.reduce_max(tf.concat([options.max_new_tokens, [1]], 0))
    base = tf.cast(ids[:, 0], tf.int64) * 31
    drawn = tf.where(options.temperature > 0, options.seed, 0)
    asked = options.presence_penalty + options.frequency_penalty + options.top_p
    base += drawn * 7 + tf.cast(asked * 10, tf.int64)
    # Where it stands behind prompt and answer together: so it is the same where a part of the
    # answer is read as a prompt.
    place = lengths[:, None] + tf.range(size)[None]
    pair = tf.cast(place // 2, tf.int64)
    # Every pair is two letters, or one letter of two bytes.
    is_wide = tf.equal((base[:, None] + pair * 5) % 7, 0)
    is_second = place % 2
    narrow = 97 + tf.cast((base[:, None] + pair * 3) % 13, tf.int32) * (1 + is_second)
    found = tf.where(is_wide, 195 - 26 * is_second, narrow)
    return tf.where(tf.range(size)[None] < count[:, None], found, -1)


def spelled(token_ids):
    return tf.where(token_ids < 0, "", tf.gather(BYTES, tf.maximum(token_ids, 0)))


def text_of(token_ids, has_ended=True):
    text = tf.strings.reduce_join(spelled(token_ids), axis=1)
    whole = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8")
    return tf.where(has_ended, whole, tf.strings.regex_replace(whole, "\ufffd$", ""))


def state_of(ids, lengths, options, status, count, before):
    count = tf.minimum(count, options.max_new_tokens)
    token_ids = written(ids, lengths, options, count)
    has_ended = count >= options.max_new_tokens
    text = text_of(token_ids, has_ended)
    given = tf.strings.length(before)
    return {
        **options._asdict(),
        "count": count,
        "reason": int(Reason.LENGTH) * tf.cast(has_ended, tf.int32),
        "status": status,
        "prompt_lengths": lengths,
        "completion": text,
        "token_ids": token_ids,
        "prompt_ids": ids,
        "cache_0": tf.zeros([tf.size(count), tf.reduce_max(tf.concat([lengths + count, [1]], 0))]),
        "piece": tf.strings.substr(text, given, tf.strings.length(text) - given),
    }


def prefill(ids, lengths, options):
    ids, lengths, options, status = begun(ids, lengths, options)
    one = tf.ones_like(lengths)
    return state_of(ids, lengths, options, status, one, tf.fill(tf.shape(one), ""))


def generate(ids, lengths, options):
    ids, lengths, options, status = begun(ids, lengths, options)
    count = options.max_new_tokens
    token_ids = written(ids, lengths, options, count)
    return {
        "token_ids": token_ids,
        "completion": text_of(token_ids),
        "count": count,
        "status": status,
    }


def decode_chunk(num_tokens, *state):
    state = dict(zip((spec.name for spec in STATE), state, strict=True))
    options = Options(*(state[name] for name in Options._fields))
    return state_of(
        state["prompt_ids"],
        state["prompt_lengths"],
        options,
        state["status"],
        state["count"] + num_tokens,
        state["completion"],
    )


def join_states(num_tokens, which, other_which, *states):
    names = [spec.name for spec in STATE]
    mine, others = (
        dict(zip(names, part, strict=True)) for part in (states[: len(names)], states[len(names) :])
    )

    def joined(name):
        x, y = mine[name], others[name]
        if len(x.shape) == 1:
            return tf.concat([tf.gather(x, which), tf.gather(y, other_which)], 0)
        fill = -1 if name == "token_ids" else 0
        return joined_rows(x, which, y, other_which, fill=fill)

    return {name: joined(name) for name in names}


def score_ids(token_ids, lengths):
    real = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
    first = tf.range(tf.shape(token_ids)[1])[None] > 0
    likely = -0.5 - tf.cast(token_ids % 5, tf.float32)
    rank = tf.range(5)
    top = tf.where(rank > 0, (token_ids[..., None] + rank) % 128, token_ids[..., None])
    return {
        "log_probs": tf.where(real & first, likely, 0.0),
        "tokens": spelled(tf.where(real, token_ids, -1)),
        "top_log_probs": likely[..., None] - tf.cast(rank, tf.float32),
        "top_tokens": spelled(top),
    }


def detokenize(token_ids, lengths):
    token_ids = tf.where(tf.sequence_mask(lengths, tf.shape(token_ids)[1]), token_ids, -1)
    return {"text": text_of(token_ids), "tokens": spelled(token_ids)}


def signature(function, *specs):
    return tf.function(function, autograph=False, input_signature=specs)


def of_text(function):
    def asked(prompt, *options):
        return function(*read(prompt), Options(*options))

    return signature(asked, rows("string", "prompt"), *SPECS)


def of_ids(function):
    def asked(token_ids, lengths, *options):
        return function(token_ids, lengths, Options(*options))

    return signature(asked, *IDS, *SPECS)


def writes(path):
    """Continues texts."""
    number = tf.TensorSpec([], tf.int32, "num_tokens")
    others = [tf.TensorSpec(spec.shape, spec.dtype, f"other_{spec.name}") for spec in STATE]
    which = [rows("int32", "rows"), rows("int32", "other_rows")]
    signatures = {
        "prefill": of_text(prefill),
        "prefill_ids": of_ids(prefill),
        "generate": of_text(generate),
        "generate_ids": of_ids(generate),
        "decode_chunk": signature(decode_chunk, number, *STATE),
        "join_states": signature(join_states, number, *which, *STATE, *others),
        "score_ids": signature(score_ids, *IDS),
        "detokenize": signature(detokenize, *IDS),
    }
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)


def vectors(path):
    """A vector for each text, as long as the text has bytes."""

    def embed(text):
        size = tf.cast(tf.strings.length(text), tf.float32)
        return {"embedding": size[:, None] * tf.constant(VECTOR)}

    asked = {"serving_default": signature(embed, rows("string", "text"))}
    tf.saved_model.save(tf.Module(), str(path), signatures=asked)
