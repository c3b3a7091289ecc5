"""An answer in chunks whose state is a flat dict of tensors: for an engine that streams.

What an export offers as `prefill`, `decode_chunk` and `join_states`. Every tensor of the state has
the rows as its first dimension, so that an engine can drop rows that have ended from all of them.

B rows, N room for new tokens.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_lm import generation
from keras_lm.layers.cache import joined_rows
from keras_lm.models.continuation import (
    PAD_ID,
    Asked,
    Continuation,
    Structure,
    any_of,
    before_stop,
    request_of,
    room_for,
)
from keras_lm.models.streaming import UNSETTLED

Tensor = Any
State = dict[str, Tensor]

_FOUND = {"token_ids": "token_ids", "count": "lengths", "reason": "reasons"}


class Chunks:
    """Answers in chunks.

    Args:
        continuation: what answers; it has a tokenizer.
        structure: of one beam.
        text: the name of the text in the state.
    """

    def __init__(self, continuation: Continuation, structure: Structure, text: str) -> None:
        self.tokenizer, self.text = continuation.tokenizer, text
        self.continuation = continuation
        # A chunk has no scores to carry on.
        structure = self.structure = structure._replace(scores=False)
        self.start, self.go_on = continuation.stream_graphs_of(structure.of_graph)
        begun = self.start.get_concrete_function().structured_outputs
        self._cache = begun[1]  # as a nest: names and shapes

    def first(self, asked: Asked) -> State:
        """Reads rows and takes their first token.

        Args:
            asked: the rows, and what they ask for.

        Returns:
            The state: `token_ids` int32 `(B, N)`, padded with -1; `count` int32 `(B,)`, how many
            they are; `reason` int32 `(B,)`, 0 or a `keras_lm.generation.Reason`; the text so far,
            string `(B,)`; `piece` string `(B,)`, what is new of it; `status` int32 `(B,)`, see
            `Asked`; and what it takes to go on.
        """
        decoding, cache, prompt = self.start(asked.token_ids, asked.lengths, asked.request)
        before = {
            "status": asked.status,
            "continues": asked.continues,
            self.text: tf.fill(tf.shape(asked.status), ""),
        }
        return self._state(decoding, cache, prompt, asked.request.options, before)

    def next(self, state: State, num_tokens: Tensor) -> State:
        """Takes more tokens.

        Args:
            state: of `first` or of this, without its `piece`; rows may have been dropped.
            num_tokens: int32 scalar, at most so many more; below 1 is 1.

        Returns:
            The state.
        """
        found = {field: state[name] for name, field in _FOUND.items()}
        none_BN = tf.zeros_like(state["token_ids"], tf.float32)
        decoding = generation.Decoding(
            count=tf.constant(0),
            last=state["last"],
            found=generation.Generated(**found, log_probs=none_BN, processed_log_probs=none_BN),
        )
        prompt = generation.Prompt(state["prompt_ids"], state["prompt_lengths"])
        options = _options_of(state)
        num_tokens = tf.maximum(num_tokens, 1)
        # Room for the chunks behind this one too, or each would copy the cache.
        ahead = _most_left(state)
        now = tf.minimum(num_tokens, ahead)
        spare = tf.minimum(ahead, generation.SEGMENT) - now
        cache = self.continuation.make_room(self._cache_of(state), now, tf.maximum(spare, 0))
        decoding, cache = self.go_on(
            decoding, cache, prompt, request_of(self.structure, options), num_tokens
        )
        before = {name: state[name] for name in ("status", "continues", self.text)}
        return self._state(decoding, cache, prompt, options, before)

    def join(
        self, state: State, rows: Tensor, other: State, other_rows: Tensor, num_tokens: Tensor
    ) -> State:
        """Puts rows of two states together, which may stand at different steps.

        Tensors are as wide as these rows need and no wider, so that the rows of an engine, which
        come and go, hold no more memory than they need.

        Args:
            state: of `first`, `next` or this, without its `piece`.
            rows: int32 `(X,)`, which of its rows.
            other: of other rows.
            other_rows: int32 `(Y,)`, which of those.
            num_tokens: int32 scalar, for how many more tokens there is room at once: the cache is
                copied again when they are taken.

        Returns:
            The state of X + Y rows, without a `piece`.
        """
        whole = {
            name: tf.concat([tf.gather(state[name], rows), tf.gather(other[name], other_rows)], 0)
            for name, spec in ((spec.name, spec) for spec in self.specs())
            if spec.shape.rank == 1 and not name.startswith(_CACHE)
        }
        widths = {
            "token_ids": (room_for(_options_of(whole)), PAD_ID),
            "prompt_ids": (tf.reduce_max(tf.concat([whole["prompt_lengths"], [1]], 0)), 0),
        }
        for name, (size, fill) in widths.items():
            whole[name] = joined_rows(
                state[name], rows, other[name], other_rows, size=size, fill=fill
            )
        room = tf.clip_by_value(num_tokens, 1, _most_left(whole))
        cache = self.continuation.join(
            self._cache_of(state), rows, self._cache_of(other), other_rows, room
        )
        whole |= zip(self._cache_names(), tf.nest.flatten(cache), strict=True)
        return whole

    def specs(self) -> list[tf.TensorSpec]:
        """What `next` takes of a state."""
        row, ids = tf.TensorSpec([None], "int32"), tf.TensorSpec([None, None], "int32")
        leaves = [tf.TensorSpec(x.shape, x.dtype) for x in tf.nest.flatten(self._cache)]
        named = {
            "token_ids": ids,
            **dict.fromkeys(("count", "reason", "last", "status"), row),
            "continues": tf.TensorSpec([None], "bool"),
            self.text: tf.TensorSpec([None], "string"),
            "prompt_ids": ids,
            "prompt_lengths": row,
            **{name: tf.TensorSpec([None], dtype) for name, dtype in _OPTIONS.items()},
            **dict(zip(self._cache_names(), leaves, strict=True)),
        }
        return [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in named.items()]

    def _cache_of(self, state: State) -> Any:
        leaves = [state[name] for name in self._cache_names()]
        return tf.nest.pack_sequence_as(self._cache, leaves)

    def _cache_names(self) -> list[str]:
        return [f"{_CACHE}{i}" for i in range(len(tf.nest.flatten(self._cache)))]

    def _state(
        self,
        decoding: generation.Decoding,
        cache: Any,
        prompt: generation.Prompt,
        options: generation.Options,
        before: State,
    ) -> State:
        found = decoding.found
        text_B = self.tokenizer.detokenize(found.token_ids, continues=before["continues"])
        tidies = getattr(self.tokenizer, "clean_up_spaces", False)
        text_B = settled_text(text_B, found.reasons > 0, tidies, self.structure.stop)
        size_B = tf.strings.length(text_B)
        # What is settled stays: the text never gets shorter. But no client may make a request fail.
        given_B = tf.minimum(tf.strings.length(before[self.text]), size_B)
        piece_B = tf.strings.substr(text_B, given_B, size_B - given_B)
        return {
            **{name: getattr(found, field) for name, field in _FOUND.items()},
            **before,
            self.text: text_B,
            "piece": piece_B,
            "last": decoding.last,
            "prompt_ids": prompt.token_ids,
            "prompt_lengths": prompt.lengths,
            **options._asdict(),
            **dict(zip(self._cache_names(), tf.nest.flatten(cache), strict=True)),
        }


_OPTIONS = generation.OPTION_DTYPES._asdict()
_CACHE = "cache_"


def _options_of(state: State) -> generation.Options:
    return generation.Options(*(state[name] for name in generation.Options._fields))


def _most_left(state: State) -> Tensor:
    """How many tokens the rows that go on still may get, the most of any; at least 1."""
    left_B = tf.where(state["reason"] > 0, 0, state["max_new_tokens"] - state["count"])
    return tf.reduce_max(tf.concat([left_B, [1]], 0))


def settled_text(text: Tensor, has_ended: Tensor, tidies: bool, stop: Sequence[str] = ()) -> Tensor:
    """What may be shown of texts that go on; see `keras_lm.models.streaming.settled`.

    Args:
        text: string `(B,)`, of all tokens so far.
        has_ended: bool `(B,)`, whether it is all.
        tidies: whether spaces are tidied up.
        stop: texts at which it ends; they are not part of it.

    Returns:
        string `(B,)`.
    """
    shown_B = tf.strings.regex_replace(text, "\ufffd{1,3}$", "")
    if tidies:
        size_B = tf.strings.length(shown_B, unit="UTF8_CHAR")
        whole_B = tf.strings.length(text, unit="UTF8_CHAR")
        size_B = tf.minimum(size_B, tf.maximum(whole_B - UNSETTLED, 0))
        shown_B = tf.strings.substr(text, tf.zeros_like(size_B), size_B, unit="UTF8_CHAR")
    # What may be the beginning of a stop waits, the longest; behind what is settled comes anything.
    begun = sorted((text[:size] for text in stop for size in range(1, len(text))), key=len)
    if begun:
        shown_B = tf.strings.regex_replace(shown_B, f"(?:{any_of(begun)})$", "")
    return before_stop(tf.where(has_ended, text, shown_B), stop)
