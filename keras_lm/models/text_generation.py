"""Prompts to continuations, in one graph: text or ids in, text or ids out.

`GPT.generate` calls it from Python; the export traces the same functions, so both give the same.

B batch, T length of the longest prompt, N room for new tokens.
"""

import re
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lm import generation
from keras_lm.models.interface import check_ids
from keras_lm.models.limits import BYTES_PER_TOKEN, CUT

Tensor = Any

DEFAULT_NEW_TOKENS = 50

_IDS = tf.TensorSpec([None, None], "int32")
_ROW = tf.TensorSpec([None], "int32")
_OPTIONS = generation.Options(
    temperature=tf.TensorSpec([None], "float32"),
    top_k=_ROW,
    top_p=tf.TensorSpec([None], "float32"),
    seed=tf.TensorSpec([None], "int64"),
    max_new_tokens=_ROW,
)


class TextGenerator:
    """A causal model with `prefill` and `step`; writes no variable, so calls may run concurrently.

    Args:
        model: a causal `LanguageModel`.
        tokenizer: for the functions that take text, or None.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.end_id = None if tokenizer is None else tokenizer.end_id
        self.pad_id = -1

    @tf.function(
        autograph=False,
        input_signature=[_IDS, _ROW, _OPTIONS, _ROW, tf.TensorSpec([], "string")],
    )
    def continue_ids(
        self, token_ids: Tensor, lengths: Tensor, options: Any, sequence: Tensor, stop: Tensor
    ) -> generation.Generated:
        """Continues prompts of ids that were checked.

        Args:
            token_ids: int32 `(B, T)`, padded on the right.
            lengths: int32 `(B,)`, at least 1.
            options: `keras_lm.generation.Options`; a prompt and its new tokens fit into the model.
            sequence: int32 `(B,)`, tells answers to one prompt with one seed apart.
            stop: string scalar, a regular expression that matches bytes at which a row ends; "" for
                none.

        Returns:
            `keras_lm.generation.Generated`, padded with -1.
        """
        room = tf.reduce_max(tf.concat([options.max_new_tokens, [1]], 0))
        cache_length = tf.shape(token_ids)[1] + room
        logits_BV, cache = self.model.prefill(token_ids, lengths, cache_length)
        # A vocabulary may be padded beyond the tokenizer's; what has no text is never drawn.
        known = logits_BV.shape[-1] if self.tokenizer is None else self.tokenizer.vocab_size

        def step(token_ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
            logits_BV, cache = self.model.step(token_ids, cache)
            return logits_BV[:, :known], cache

        return generation.generate(
            logits_BV[:, :known],
            cache,
            step,
            options=options,
            buffer_length=room,
            end_id=self.end_id,
            pad_id=self.pad_id,
            sequence=sequence,
            should_stop=None if self.tokenizer is None else self._ends_with(stop),
        )

    def _ends_with(self, stop: Tensor) -> Any:
        """Gives the decode loop's hook: does the newest text match `stop`?"""

        def text_so_far(token_ids: Tensor, lengths: Tensor) -> Tensor:
            real = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
            piece = tf.gather(self.tokenizer.token_bytes, tf.maximum(token_ids, 0))
            return tf.strings.reduce_join(tf.where(real, piece, ""), axis=1)

        def should_stop(token_ids: Tensor, lengths: Tensor) -> Tensor:
            def search() -> Tensor:
                text = text_so_far(token_ids, lengths)
                shorter = tf.strings.regex_replace(text, stop, "", replace_global=False)
                return tf.strings.length(shorter) < tf.strings.length(text)

            return tf.cond(tf.equal(stop, ""), lambda: tf.zeros_like(lengths, "bool"), search)

        return should_stop

    def answer_ids(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        max_new_tokens: Tensor,
        temperature: Tensor,
        top_k: Tensor,
        top_p: Tensor,
        seed: Tensor,
    ) -> dict[str, Tensor]:
        """Continues rows of ids of any length; options are brought into range.

        Of a row that is too long the end is kept. A row of length 0 begins a new document; ids
        outside the vocabulary are read as the end token.

        Args:
            token_ids: int32 `(B, T)`, padded on the right.
            lengths: int32 `(B,)`.
            max_new_tokens: int32 `(B,)`.
            temperature: float32 `(B,)`.
            top_k: int32 `(B,)`.
            top_p: float32 `(B,)`.
            seed: int64 `(B,)`.

        Returns:
            `token_ids` int32 `(B, N)`, the new ones, padded with -1; `count` int32 `(B,)`, how many
            they are; `status` int32 `(B,)`, 0 or a sum of `keras_lm.generation.Status` and `CUT`.
        """
        inside = (token_ids >= 0) & (token_ids < self.tokenizer.vocab_size)
        token_ids = tf.where(inside, token_ids, self.end_id)
        lengths = tf.clip_by_value(lengths, 0, tf.shape(token_ids)[1])
        asked = generation.Options(temperature, top_k, top_p, seed, max_new_tokens)
        return self._answer(tf.RaggedTensor.from_tensor(token_ids, lengths), asked)

    def answer_text(
        self,
        prompt: Tensor,
        max_new_tokens: Tensor,
        temperature: Tensor,
        top_k: Tensor,
        top_p: Tensor,
        seed: Tensor,
    ) -> dict[str, Tensor]:
        """Continues prompts of any length; options are brought into range.

        Args:
            prompt: string `(B,)`; of one that is too long the end is read.
            max_new_tokens: this and the others as of `answer_ids`.
            temperature: see there.
            top_k: see there.
            top_p: see there.
            seed: see there.

        Returns:
            `text` string `(B,)`, prompt and continuation; `completion` string `(B,)`; `count` and
            `status` as of `answer_ids`.
        """
        limit = BYTES_PER_TOKEN * self.model.max_length
        size_B = tf.strings.length(prompt)
        # Not substr(-limit): a prompt shorter than that would be an error.
        read = tf.strings.substr(
            prompt, tf.maximum(size_B - limit, 0), tf.fill([tf.size(size_B)], limit)
        )
        asked = generation.Options(temperature, top_k, top_p, seed, max_new_tokens)
        answer = self._answer(self.tokenizer.tokenize(read), asked)
        cut_B = CUT * tf.cast(size_B > limit, "int32")
        completion = self.tokenizer.detokenize(answer["token_ids"])
        return {
            "text": tf.strings.join([prompt, completion]),
            "completion": completion,
            "count": answer["count"],
            "status": tf.bitwise.bitwise_or(answer["status"], cut_B),
        }

    def _answer(self, ids: Any, options: generation.Options) -> dict[str, Tensor]:
        max_length = self.model.max_length
        # New tokens may take half of the model's length from a long prompt, and no more.
        wanted_B = tf.clip_by_value(options.max_new_tokens, 1, max(max_length // 2, 1))
        given_B = tf.cast(ids.row_lengths(), "int32")
        kept_B = tf.minimum(given_B, max_length - wanted_B)
        begins_B = given_B == 0
        lengths_B = tf.maximum(kept_B, 1)
        first_B = tf.cast(ids.row_limits(), "int32") - kept_B
        place_BT = tf.range(tf.reduce_max(tf.concat([lengths_B, [1]], 0)))[None]
        # One more value, so that even an empty batch has something to gather.
        value_N = tf.concat([tf.cast(ids.flat_values, "int32"), [self.end_id]], 0)
        real_BT = (place_BT < kept_B[:, None]) & ~begins_B[:, None]
        index_BT = tf.where(real_BT, first_B[:, None] + place_BT, tf.size(value_N) - 1)
        asked, status_B = generation.clamp_options(
            **options._asdict(), limit=tf.maximum(max_length - lengths_B, 1)
        )
        found = self.continue_ids(
            tf.gather(value_N, index_BT),
            lengths_B,
            asked,
            tf.zeros_like(lengths_B),
            tf.constant(""),
        )
        return {
            "token_ids": found.token_ids,
            "count": found.lengths,
            "status": status_B + CUT * tf.cast(kept_B < given_B, "int32"),
        }


def generate(
    model: Any,
    generator: TextGenerator,
    prompts: Any,
    *,
    max_length: int | None,
    max_new_tokens: int | None,
    num_return_sequences: int,
    stop: list[str],
    temperature: float | Sequence[float] | None,
    seed: int | Sequence[int] | None,
    **options: Any,
) -> Any:
    """Checks the request and calls the graph; see `GPT.generate`."""
    batch, is_text, is_single = _as_batch(prompts)
    rows = [list(row) for row in batch] if not is_text else _encode(model, batch)
    if not is_text and stop:
        raise ValueError("stop needs prompts of text. Received: prompts of ids")
    if not all(stop):
        raise ValueError(f"A stop text must not be empty. Received: stop={stop!r}")
    check_ids(rows, model.vocab_size, model.max_length)
    if num_return_sequences < 1:
        raise ValueError(f"num_return_sequences must be positive. Received: {num_return_sequences}")
    beginning = model.require_tokenizer("An empty prompt").end_id if not all(rows) else None
    read = [row or [beginning] for row in rows]
    lengths = np.array([len(row) for row in read], "int32")
    new_tokens = _new_tokens(lengths, model.max_length, max_length, max_new_tokens)
    if num_return_sequences > 1 and temperature is None:
        temperature = 1.0
    asked = generation.validate_options(
        len(rows),
        max_new_tokens=new_tokens,
        temperature=temperature,
        seed=secrets.randbits(63) if seed is None else seed,
        **options,
    )
    n = num_return_sequences
    padded = np.zeros((len(rows), lengths.max()), "int32")
    for i, row in enumerate(read):
        padded[i, : len(row)] = row
    found = generator.continue_ids(
        tf.repeat(padded, n, axis=0),
        tf.repeat(lengths, n),
        generation.Options(*(tf.repeat(option, n) for option in asked)),
        tf.tile(tf.range(n), [len(rows)]),
        tf.constant("|".join(re2_literal(text) for text in stop)),
    )
    new = [
        row[:count].tolist()
        for row, count in zip(found.token_ids.numpy(), found.lengths.numpy(), strict=True)
    ]
    before = [prompt for prompt in (batch if is_text else rows) for _ in range(n)]
    if is_text:
        new = [_before_stop(model.tokenizer.decode(ids), stop) for ids in new]
    whole = [prompt + rest for prompt, rest in zip(before, new, strict=True)]
    if n > 1:
        whole = [whole[i : i + n] for i in range(0, len(whole), n)]
    return whole[0] if is_single else whole


def _as_batch(prompts: Any) -> tuple[list[Any], bool, bool]:
    """Returns a list of prompts, whether they are text, and whether only one was given."""
    if isinstance(prompts, str):
        return [prompts], True, True
    batch = prompts.tolist() if hasattr(prompts, "tolist") else list(prompts)
    if batch and all(isinstance(item, (int, np.integer)) for item in batch):
        return [batch], False, True
    if not batch:
        raise ValueError("prompts must hold at least one prompt. Received: none")
    if all(isinstance(item, str) for item in batch):
        return batch, True, False
    if all(isinstance(item, (list, tuple, np.ndarray)) for item in batch):
        return [[int(i) for i in item] for item in batch], False, False
    raise ValueError(f"prompts must be texts, or lists of ids. Received: {prompts!r:.80}")


def _encode(model: Any, texts: list[str]) -> list[list[int]]:
    return model.require_tokenizer("generate() from text").encode_batch(texts)


def _new_tokens(
    lengths: np.ndarray, limit: int, max_length: int | None, max_new_tokens: int | None
) -> list[int]:
    """Returns how many tokens each prompt may get; `limit` is the model's length."""
    longest = int(lengths.max())
    if max_length is not None and max_new_tokens is not None:
        raise ValueError(
            "Only one of max_length, which counts the prompt, and max_new_tokens can be given. "
            f"Received: max_length={max_length}, max_new_tokens={max_new_tokens}"
        )
    if max_length is not None:
        if not longest < max_length <= limit:
            raise ValueError(
                "max_length counts the prompt: it must be more than the longest prompt and at most "
                f"the model's {limit}. Received: max_length={max_length}, a prompt of {longest} "
                "tokens"
            )
        return [max_length - int(length) for length in lengths]
    if longest >= limit:
        raise ValueError(
            f"A prompt must leave room in the model's {limit} positions. Received: a prompt of "
            f"{longest} tokens"
        )
    if max_new_tokens is None:
        return [min(DEFAULT_NEW_TOKENS, limit - int(length)) for length in lengths]
    if longest + max_new_tokens > limit:
        raise ValueError(
            f"Prompt and new tokens must fit into the model's {limit} positions. Received: a "
            f"prompt of {longest} tokens, max_new_tokens={max_new_tokens}"
        )
    return [max_new_tokens] * len(lengths)


def re2_literal(text: str) -> str:
    """Escapes a text so that a TensorFlow regular expression matches it and nothing else."""
    return re.escape(text)


def _before_stop(text: str, stop: list[str]) -> str:
    return text[: min([text.find(end) for end in stop if end in text], default=len(text))]
