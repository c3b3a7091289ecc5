"""What an encoder, a decoder or a model is called with: a dict of tensors, or ids alone."""

from typing import Any

INPUTS = (
    "token_ids",
    "segment_ids",
    "padding_mask",
    "masked_positions",
    "document_ids",
    "token_embeddings",
    "decoder_token_ids",
    "decoder_padding_mask",
)


def as_inputs(inputs: Any) -> dict[str, Any]:
    """Returns a model's inputs as a dict; a bare tensor is the `token_ids`.

    Raises:
        ValueError: an input has another name, or `token_ids` is missing.
    """
    if not isinstance(inputs, dict):
        return {"token_ids": inputs}
    if "token_ids" not in inputs or set(inputs) - set(INPUTS):
        raise ValueError(
            f"Inputs are token_ids and, where wanted, {', '.join(INPUTS[1:])}. "
            f"Received: {', '.join(sorted(inputs))}"
        )
    return inputs


def without_segments(inputs: Any) -> dict[str, Any]:
    """Returns a model's inputs as `as_inputs` does, but for `segment_ids`.

    For models that do not tell segments apart: what makes rows for BERT serves them, too.

    Raises:
        ValueError: see `as_inputs`.
    """
    return {name: value for name, value in as_inputs(inputs).items() if name != "segment_ids"}
