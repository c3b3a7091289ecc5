"""By how much each token of a source moved the target that an encoder-decoder model writes.

The target's tokens stay as they are along the line, so that only the source is explained. See
`prompt_attributions`, which does the same of prompts.

S points of the line, M length of the source, P tokens that a target begins with, N length of the
target with the token that ends it, V vocabulary of the tokenizer.
"""

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np
import tensorflow as tf

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
from keras_lm.models.explanations.prompt_attributions import OUTPUTS, said_of, target_ids
from keras_lm.models.explanations.text_tokens import token_row
from keras_lm.models.interface import as_text, graph, made_once
from keras_lm.models.source_rows import SourceRows

Tensor = Any


def source_attributions(
    model: Any,
    sources: Any,
    target: Any,
    write: Callable[[list[Any]], list[str]],
    **options: Unpack[HowOptions],
) -> Any:
    """Explains targets; see `GivesTargets.attributions`.

    Args:
        model: see there.
        sources: see there.
        target: see there.
        write: sources to what the model writes.
        **options: see there.
    """
    texts, single = single_texts("sources", sources)
    tokenizer = model.require_tokenizer("attributions()")
    how = how_asked(tokenizer, OUTPUTS, **options)
    pairs = targets_of(model, texts, each("target", target, len(texts), single), write)
    pack = SourceRows(tokenizer, model.max_length).pack
    rows = [token_row(tokenizer, [text], model.max_length, pack=pack) for text in texts]
    asked = made_once(_SourceGradients, model, tokenizer)
    found = [asked(row, *pair, how) for row, pair in zip(rows, pairs, strict=True)]
    return found[0] if single else found


def targets_of(
    model: Any, sources: list[Any], targets: list[Any], write: Callable[[list[Any]], list[str]]
) -> list[tuple[str, list[int]]]:
    """Gives each source's target and its ids, without those that begin and end it.

    Args:
        model: a `GivesTargets` with a tokenizer.
        sources: texts.
        targets: one for each; None: what the model writes.
        write: sources to that.

    Raises:
        ValueError: a target that is no text, has no token, or is too long.
    """
    room = model.max_length - len(model.start_ids)
    ids = [None if text is None else target_ids(model.tokenizer, text) for text in targets]
    missing = [place for place, row in enumerate(ids) if row is None]
    texts = list(targets)
    if missing:
        written = write([sources[place] for place in missing])
        for place, text in zip(missing, written, strict=True):
            # A model may write nothing: then its end is explained.
            texts[place], ids[place] = text, model.tokenizer.encode_batch([text])[0]
    found = []
    for text, row in zip(texts, ids, strict=True):
        if row is None or len(row) > room:
            raise ValueError(
                f"A target must fit into the model's {model.max_length} positions behind what it "
                f"begins with. Received: a target of {len(row or [])} tokens"
            )
        found.append((as_text(text), row))
    return found


class _SourceGradients:
    """The gradients of an encoder-decoder model, in a graph."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.size = model, tokenizer.vocab_size
        self.start_ids, self.end_id = model.start_ids, model.end_id
        ids, flag = tf.TensorSpec([None], "int32"), tf.TensorSpec([], "bool")
        points = tf.TensorSpec([None], "float32")
        self.along = graph(self._along, ids, ids, flag, ids, points, points)

    def __call__(self, row: Any, target: str, ids: list[int], how: How) -> Attribution:
        source, text = tf.constant(row.token_ids), tf.constant(np.array(ids, "int32"))
        fixed = source, text, how.is_probability
        return explained(row, target, how, lambda *line: self.along(*fixed, *line))

    def _along(
        self,
        source: Tensor,
        target: Tensor,
        is_probability: Tensor,
        baseline_ids: Tensor,
        at: Tensor,
        by: Tensor,
    ) -> tuple[Tensor, Tensor]:
        model = self.model
        read_N = tf.concat([self.start_ids, target], axis=0)
        label_N = tf.concat([target, [self.end_id]], axis=0)

        def outputs(points_SMD: Tensor) -> Tensor:
            source_SM = for_each(source, points_SMD)
            memory_SMD = model.encoder(
                {"token_ids": source_SM, "token_embeddings": points_SMD}, training=False
            )
            hidden_SND = model.decoder(
                {"token_ids": for_each(read_N, points_SMD)}, memory_SMD, training=False
            )
            last_SND = hidden_SND[:, len(self.start_ids) - 1 :]
            logits_SNV = model.seq2seq(last_SND, tokens=model.tokens)[..., : self.size]
            return said_of(logits_SNV, label_N, is_probability)

        table_VD = tf.convert_to_tensor(model.tokens.embeddings)
        return moved_along(table_VD, source, baseline_ids, outputs, at, by)
