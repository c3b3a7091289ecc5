"""The tokens that a decoder's rows begin and end with."""

from collections.abc import Sequence

from keras_lm.tokenizers.tokenizer import Tokenizer


def closing_id(tokenizer: Tokenizer, first: str = "end") -> int:
    """The id of the token that ends a text: the end token or the separator.

    Args:
        tokenizer: has one of them.
        first: which it is where there are both, "end" or "sep".

    Raises:
        ValueError: the tokenizer has neither.
    """
    ids = [tokenizer.end_id, tokenizer.sep_id]
    for id_ in ids if first == "end" else ids[::-1]:
        if id_ is not None:
            return id_
    raise ValueError(
        "The tokenizer must have an end or a separator token. "
        f"Received: {type(tokenizer).__name__} without end, sep"
    )


def start_ids(decoder_start: str | Sequence[str | int] | None, tokenizer: Tokenizer) -> list[int]:
    """The ids that a decoder's rows begin with.

    Args:
        decoder_start: a token or several, or their ids; None: the token that ends a text.
        tokenizer: has them.

    Raises:
        ValueError: no token, or one that the vocabulary lacks.
    """
    if decoder_start is None:
        return [closing_id(tokenizer)]
    tokens = [decoder_start] if isinstance(decoder_start, str) else list(decoder_start)
    if not tokens:
        raise ValueError(
            f"decoder_start must be a token or several. Received: decoder_start={decoder_start!r}"
        )
    return [token if isinstance(token, int) else tokenizer.id(token) for token in tokens]
