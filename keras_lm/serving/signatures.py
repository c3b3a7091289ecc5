"""What an exported model can be asked: the signatures of each kind of head.

Every input and output has the batch as its first dimension, so that a server may join requests.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_lm.models.fill_mask import MaskFiller
from keras_lm.models.find_replaced import ReplacedFinder
from keras_lm.models.interface import made_once
from keras_lm.models.pair_scoring import PairScorer
from keras_lm.models.scoring import TextScorer
from keras_lm.models.text_generation import TextGenerator
from keras_lm.models.text_to_text import TextToText
from keras_lm.tasks.text_labels import TextLabels

Tensor = Any
Signatures = dict[str, Callable[..., Any]]


def rows(dtype: str, name: str) -> tf.TensorSpec:
    """One value for each row."""
    return tf.TensorSpec([None], dtype, name)


def ids() -> list[tf.TensorSpec]:
    """Rows of ids padded on the right, and the length of each."""
    return [tf.TensorSpec([None, None], "int32", "token_ids"), rows("int32", "lengths")]


def fill_mask_signatures(model: Any, tokenizer: Any, top_k: int) -> Signatures:
    """Signatures of a masked LM."""
    filler = made_once(MaskFiller, model, tokenizer)

    @tf.function(autograph=False, input_signature=[rows("string", "text")])
    def fill_mask(text: Tensor) -> dict[str, Tensor]:
        return filler.fill_text(text, tf.constant(top_k))

    @tf.function(autograph=False, input_signature=ids())
    def fill_mask_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return filler.fill_ids(token_ids, lengths, tf.constant(top_k))

    return {"serving_default": fill_mask, "fill_mask_ids": fill_mask_ids}


def find_replaced_signatures(model: Any, tokenizer: Any) -> Signatures:
    """Signatures of a discriminator."""
    finder = made_once(ReplacedFinder, model, tokenizer)

    @tf.function(autograph=False, input_signature=[rows("string", "text")])
    def find_replaced(text: Tensor) -> dict[str, Tensor]:
        return finder.find_in_text(text)

    @tf.function(autograph=False, input_signature=ids())
    def find_replaced_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return finder.find_in_ids(token_ids, lengths)

    return {"serving_default": find_replaced, "find_replaced_ids": find_replaced_ids}


def options() -> list[tf.TensorSpec]:
    """What each row of a generation may ask for."""
    return [
        rows("int32", "max_new_tokens"),
        rows("float32", "temperature"),
        rows("int32", "top_k"),
        rows("float32", "top_p"),
        rows("int64", "seed"),
    ]


def greedy(strings: Tensor) -> dict[str, Tensor]:
    """What rows ask for that take the likeliest token: all options but `max_new_tokens`."""
    zeros = tf.zeros_like(tf.strings.length(strings))
    return {
        "temperature": tf.cast(zeros, "float32"),
        "top_k": zeros,
        "top_p": tf.ones_like(zeros, "float32"),
        "seed": tf.cast(zeros, "int64"),
    }


def with_options(answer: Callable[..., Any], inputs: list[tf.TensorSpec]) -> Any:
    """A signature of these inputs and the options."""
    return tf.function(answer, autograph=False, input_signature=[*inputs, *options()])


def generation_signatures(model: Any, tokenizer: Any, max_new_tokens: int) -> Signatures:
    """Signatures of a causal LM."""
    generator = made_once(TextGenerator, model, tokenizer)
    scorer = made_once(TextScorer, model, tokenizer)

    @tf.function(autograph=False, input_signature=[rows("string", "prompt")])
    def complete(prompt: Tensor) -> dict[str, Tensor]:
        asked = greedy(prompt)
        limit_B = tf.zeros_like(asked["top_k"]) + max_new_tokens
        return generator.answer_text(prompt, max_new_tokens=limit_B, **asked)

    return {
        "serving_default": complete,
        "generate": with_options(generator.answer_text, [rows("string", "prompt")]),
        "generate_ids": with_options(generator.answer_ids, ids()),
        "score": scorer.score,
    }


def text_classifier_signatures(model: Any, tokenizer: Any, pairs: bool) -> Signatures:
    """Signatures of a text classifier."""
    labels = made_once(TextLabels, model, tokenizer)
    texts = [rows("string", "text")]
    answer_text, answer_ids = labels.of_text, labels.of_ids
    if pairs:
        texts.append(rows("string", "text_pair"))
        answer_text, answer_ids = labels.of_pair, labels.of_pair_ids

    @tf.function(autograph=False, input_signature=texts)
    def classify(text: Tensor, *text_pair: Tensor) -> dict[str, Tensor]:
        return answer_text(text, *text_pair)

    @tf.function(autograph=False, input_signature=ids())
    def classify_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return answer_ids(token_ids, lengths)

    return {"serving_default": classify, "classify_ids": classify_ids}


def text_to_text_signatures(model: Any, tokenizer: Any, max_new_tokens: int | None) -> Signatures:
    """Signatures of an encoder and a decoder."""
    generator = made_once(TextToText, model, tokenizer)
    scorer = made_once(PairScorer, model, tokenizer)

    @tf.function(autograph=False, input_signature=[rows("string", "text")])
    def answer(text: Tensor) -> dict[str, Tensor]:
        asked = greedy(text)
        limit_B = None
        if max_new_tokens is not None:
            limit_B = tf.zeros_like(asked["top_k"]) + max_new_tokens
        return generator.answer_text(text, max_new_tokens=limit_B, **asked)

    return {
        "serving_default": answer,
        "generate": with_options(generator.answer_text, [rows("string", "text")]),
        "generate_ids": with_options(generator.answer_ids, ids()),
        "score": scorer.score,
    }
