"""By how much each token of a prompt moved what a causal model says next.

The target's own tokens stay as they are along the line, so that only the prompt is explained. The
log-probability of a target is the sum of those of its tokens, each behind the prompt and the tokens
before it, as Captum's `LLMGradientAttribution` adds them up. See `attributing`.

S points of the line, P length of the prompt, N length of the target, D width of the token table, V
vocabulary of the tokenizer.
"""

from typing import Any, Unpack

import numpy as np
import tensorflow as tf

from keras_lm.generation import log_likelihood
from keras_lm.models.explanations.attributing import (
    How,
    HowOptions,
    each,
    explained,
    for_each,
    how_asked,
    moved_along,
    single_texts,
)
from keras_lm.models.explanations.attribution import Attribution
from keras_lm.models.explanations.text_tokens import token_row
from keras_lm.models.interface import as_text, graph, made_once
from keras_lm.models.reading import token_texts
from keras_lm.tokenizers.packing import pack

Tensor = Any

OUTPUTS = ("log_probability", "probability")


def prompt_attributions(
    model: Any,
    prompts: Any,
    target: Any,
    **options: Unpack[HowOptions],
) -> Any:
    """Explains continuations; see `GPT.attributions`."""
    texts, single = single_texts("prompts", prompts)
    tokenizer = model.require_tokenizer("attributions()")
    how = how_asked(tokenizer, OUTPUTS, **options)
    targets = [
        None if text is None else (text, target_ids(tokenizer, text))
        for text in each("target", target, len(texts), single)
    ]
    rows = []
    for prompt, known in zip(texts, targets, strict=True):
        row = token_row(tokenizer, [prompt], model.max_length, pack=_as_it_is)
        new = 1 if known is None else len(known[1])
        if row.cut or len(row.token_ids) + new > model.max_length:
            raise ValueError(
                f"A prompt and its target must fit into the model's {model.max_length} positions. "
                f"Received: a prompt of {len(tokenizer.encode_batch([prompt])[0])} tokens, a "
                f"target of {new}"
            )
        rows.append(row)
    asked = made_once(_PromptGradients, model, tokenizer)
    found = [asked(*pair, how) for pair in zip(rows, targets, strict=True)]
    return found[0] if single else found


def target_ids(tokenizer: Any, text: Any) -> list[int]:
    """Reads a text that a model is to write, by itself and without special tokens added.

    Raises:
        ValueError: it is no text, or has no token.
    """
    if not isinstance(text, str | bytes):
        raise ValueError(f"target must be a text that follows. Received: target={text!r:.80}")
    ids = tokenizer.encode_batch([text])[0]
    if not ids:
        raise ValueError(f"target must have a token at least. Received: target={text!r:.80}")
    return ids


def _as_it_is(ids: Tensor, *, max_length: int) -> dict[str, Tensor]:
    """Rows without special tokens: `generate` reads prompts so."""
    return pack(
        ids, None, max_length=max_length, start_id=None, separator_id=None, pad_id=0, segments=False
    )


class _PromptGradients:
    """The gradients of a causal model, in a graph."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.decoder, self.tokenizer = model.decoder, tokenizer
        ids, flag = tf.TensorSpec([None], "int32"), tf.TensorSpec([], "bool")
        points = tf.TensorSpec([None], "float32")
        self.likeliest = graph(self._likeliest, ids)
        self.along = graph(self._along, ids, ids, flag, ids, points, points)

    def __call__(self, row: Any, target: tuple[Any, list[int]] | None, how: How) -> Attribution:
        prompt = tf.constant(row.token_ids)
        if target is None:
            next_id = int(self.likeliest(prompt).numpy())
            target = token_texts(self.tokenizer)[next_id], [next_id]
        text, ids = target
        fixed = prompt, tf.constant(np.array(ids, "int32")), how.is_probability
        return explained(row, as_text(text), how, lambda *line: self.along(*fixed, *line))

    def _likeliest(self, prompt: Tensor) -> Tensor:
        return tf.argmax(self._logits({"token_ids": prompt[None]}, 1)[0, 0], output_type="int32")

    def _along(
        self,
        prompt: Tensor,
        target: Tensor,
        is_probability: Tensor,
        baseline_ids: Tensor,
        at: Tensor,
        by: Tensor,
    ) -> tuple[Tensor, Tensor]:
        table_VD = tf.convert_to_tensor(self.decoder.embedding.tokens.embeddings)
        number = tf.size(target)
        read = tf.concat([prompt, target[:-1]], axis=0)
        behind_ND = tf.gather(table_VD, target[:-1])

        def outputs(points_SPD: Tensor) -> Tensor:
            after_SND = tf.tile(behind_ND[None], [tf.shape(points_SPD)[0], 1, 1])
            inputs = {
                "token_ids": for_each(read, points_SPD),
                "token_embeddings": tf.concat([points_SPD, after_SND], axis=1),
            }
            return said_of(self._logits(inputs, number), target, is_probability)

        return moved_along(table_VD, prompt, baseline_ids, outputs, at, by)

    def _logits(self, inputs: dict[str, Tensor], number: Tensor) -> Tensor:
        """The logits of so many tokens at the end, float32 `(S, N, V)`."""
        hidden_STD = self.decoder(inputs, training=False)
        logits_SNV = self.decoder.embedding.tokens.logits(hidden_STD[:, -number:])
        # What the tokenizer has no text for is never generated, so it takes no probability here.
        return logits_SNV[..., : self.tokenizer.vocab_size]


def said_of(logits: Tensor, target: Tensor, is_probability: Tensor) -> Tensor:
    """What a model says of a target at points of the line, float32 `(S,)`.

    Args:
        logits: float32 `(S, N, V)`.
        target: int32 `(N,)`.
        is_probability: bool scalar; else the log-probability.
    """
    lengths_S = tf.fill(tf.shape(logits)[:1], tf.size(target))
    log_S = log_likelihood(logits, for_each(target, logits), lengths_S)
    return tf.where(is_probability, tf.exp(log_S), log_S)
