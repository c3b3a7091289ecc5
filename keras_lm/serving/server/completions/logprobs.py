"""How likely a model finds the tokens of a completion, in OpenAI's form."""

from typing import Any, NamedTuple

from keras_lm.serving.server.signature import Arrays


class Tokens(NamedTuple):
    """Ids as a model reads them.

    Attributes:
        pieces: bytes of each.
        log_probs: of each behind those before it; of the first there is none.
        top: for each the likeliest tokens there, and their log-probabilities.
    """

    pieces: list[bytes]
    log_probs: list[float | None]
    top: list[list[tuple[bytes, float]]]


def tokens_from(found: Arrays) -> Tokens:
    """What the signature `score_ids` answers about one row."""
    top_log_probs, top_tokens = found["top_log_probs"][0], found["top_tokens"][0]
    return Tokens(
        pieces=found["tokens"][0].tolist(),
        log_probs=[None, *found["log_probs"][0, 1:].tolist()],
        top=[
            list(zip(pieces.tolist(), values.tolist(), strict=True))
            for pieces, values in zip(top_tokens, top_log_probs, strict=True)
        ],
    )


def as_logprobs(
    tokens: Tokens, first: int, until: int, before: bytes, most: int, size: int | None = None
) -> dict[str, Any]:
    """The field `logprobs` of some of the tokens.

    Args:
        tokens: all, of the prompt too.
        first: the first that is told of.
        until: the first that no longer is.
        before: the tokens that were told already.
        most: alternatives told of each; the token itself stands among them, as one more if it is
            none of the likeliest.
        size: of the text. Tokens that begin behind it are not told. None: any.
    """
    found: dict[str, Any] = {
        "tokens": [],
        "token_logprobs": [],
        "top_logprobs": [] if most else None,
        "text_offset": [],
    }
    for place in range(first, until):
        # A character that is not complete begins where the next one would.
        at = len(before.decode("utf-8", "ignore"))
        if size is not None and at >= size:
            break
        piece, log_prob = tokens.pieces[place], tokens.log_probs[place]
        before += piece
        found["tokens"].append(token_text(piece))
        found["token_logprobs"].append(log_prob)
        found["text_offset"].append(at)
        if most:
            top = None
            if log_prob is not None:
                top = {token_text(piece): value for piece, value in tokens.top[place][:most]}
                top.setdefault(token_text(piece), log_prob)
            found["top_logprobs"].append(top)
    return found


def token_text(piece: bytes) -> str:
    """A token as text; of one that is no whole character its bytes."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)
