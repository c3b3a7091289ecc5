"""What a batch counts for: its real tokens, and the operations that the model needs for them.

B batch, T length, P masked positions, D width, V vocabulary.
"""

from typing import Any

import tensorflow as tf

from keras_lm.layers import MultiHeadAttention

Tensor = Any

# A product of n numbers is n multiplications and n additions; the backward pass has two products
# for each of the forward pass.
_FORWARD_AND_BACKWARD = 6


def real_tokens(inputs: Any) -> Tensor:
    """Counts the tokens of a batch that are no padding.

    Special tokens count as all others. Where there is no mask, every position counts. The tokens of
    a source and of a target are added up.

    Args:
        inputs: what a model is called with: a dict with `token_ids` `(B, T)` and, where there are
            any, `padding_mask`, `decoder_token_ids` and `decoder_padding_mask`; or the ids alone.

    Returns:
        float64 scalar; 0 where there are no token ids.
    """
    source, target = _source_and_target(inputs)
    return source + target


def _source_and_target(inputs: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(inputs, dict):
        inputs = {"token_ids": inputs}
    return _real(inputs, "token_ids", "padding_mask"), _real(
        inputs, "decoder_token_ids", "decoder_padding_mask"
    )


def _real(inputs: dict[str, Any], ids: str, mask: str) -> Tensor:
    if inputs.get(ids) is None:
        return tf.zeros((), tf.float64)
    if inputs.get(mask) is not None:
        return tf.cast(tf.math.count_nonzero(inputs[mask]), tf.float64)
    return tf.cast(tf.size(inputs[ids]), tf.float64)


def training_flops(model: Any, inputs: Any) -> Tensor:
    """Counts the floating-point operations that a model needs to learn from a batch.

    That is 6 N + 12 A T for each real token: N is the number of weights that a token is multiplied
    by, A the width of all heads of all layers together, and T the length of its row (Chowdhery et
    al. 2022, arXiv:2204.02311, appendix B, where A is L H Q; without attention and backward pass
    Kaplan et al. 2020, arXiv:2001.08361, section 2.1). It is what the model needs, not what a
    machine did: recomputed activations, padding, norms and softmax do not count; causal attention
    counts as full, as in the paper. Differences, because these models do less than the formula:

    - Tables that are looked up count nothing; a token table that also makes logits counts once.
    - What stands behind the encoder of a masked LM counts for the P masked positions alone.
    - A banded layer counts its window in the place of T.
    - Generator and discriminator of ELECTRA each count.
    - In a Transformer the encoder counts for source tokens, the decoder for target tokens, and
      what projects the memory for source tokens.

    Args:
        model: one of `keras_lm.models`. Any other: all its matrices but embeddings are N, and there
            is no attention but that of `keras_lm.layers`.
        inputs: see `real_tokens`.

    Returns:
        float64 scalar.
    """
    if hasattr(model, "generator") and hasattr(model, "discriminator"):
        read = {name: value for name, value in inputs.items() if name != "masked_positions"}
        return training_flops(model.generator, inputs) + training_flops(model.discriminator, read)
    if not isinstance(inputs, dict):
        inputs = {"token_ids": inputs}
    source, target = _source_and_target(inputs)
    encoder: Any = getattr(model, "encoder", None)
    decoder: Any = getattr(model, "decoder", None)
    if encoder is None and decoder is None:
        return _FORWARD_AND_BACKWARD * source * _outside(model, [])
    length = _length(inputs, "token_ids")
    flops = tf.zeros((), tf.float64)
    if encoder is not None:
        flops += _stack(encoder, source, source, length, length)
    read, width = source, length
    if decoder is not None and encoder is not None:
        read, width = target, _length(inputs, "decoder_token_ids")
    if decoder is not None:
        flops += _stack(decoder, read, source, width, length)
    predicted = read
    if inputs.get("masked_positions") is not None:
        predicted = tf.cast(tf.size(inputs["masked_positions"]), tf.float64)
    behind = _outside(model, [stack for stack in (encoder, decoder) if stack is not None])
    heads = set(getattr(model, "heads", ()))
    if heads & {"masked_lm", "causal_lm", "seq2seq"}:
        behind += _size((encoder or decoder).embedding.tokens.embeddings)
    return flops + _FORWARD_AND_BACKWARD * predicted * behind


def _stack(stack: Any, read: Tensor, memory: Tensor, length: Tensor, keys: Tensor) -> Tensor:
    """Counts for an encoder or a decoder that reads tokens, beside a memory of others."""
    looked_up = {id(weight) for weight in stack.embedding.weights}
    own, of_memory = 0, 0
    for weight in stack.trainable_weights:
        if id(weight) not in looked_up and len(weight.shape) > 1:
            if "key_value" in weight.path.split("/"):
                of_memory += _size(weight)
            else:
                own += _size(weight)
    flops = _FORWARD_AND_BACKWARD * (read * own + memory * of_memory)
    for block in stack.blocks:
        for attention in (block.attention, getattr(block, "cross_attention", None)):
            if isinstance(attention, MultiHeadAttention):
                seen = keys if attention.cross_attention else length
                if attention.window is not None:
                    seen = tf.minimum(seen, float(attention.window))
                # Scores and weighted sums: two products with every key.
                flops += 2 * _FORWARD_AND_BACKWARD * attention.width * read * seen
    return flops


def _outside(model: Any, stacks: list[Any]) -> int:
    """Adds up the matrices of a model that are in none of its stacks, and no embedding."""
    inside = {id(weight) for stack in stacks for weight in stack.weights}
    return sum(
        _size(weight)
        for weight in model.trainable_weights
        if id(weight) not in inside and len(weight.shape) > 1 and "embedding" not in weight.path
    )


def _size(weight: Any) -> int:
    number = 1
    for dimension in weight.shape:
        number *= dimension
    return number


def _length(inputs: dict[str, Any], name: str) -> Tensor:
    ids = inputs.get(name)
    return tf.zeros((), tf.float64) if ids is None else tf.cast(tf.shape(ids)[-1], tf.float64)
