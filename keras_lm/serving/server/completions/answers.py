"""What a completion is answered with: choices that grow, as one document or as a stream."""

import secrets
import time
from typing import Any

from keras_lm.generation import Reason
from keras_lm.serving.server.completions.request import CompletionRequest
from keras_lm.serving.server.completions.rows import RUNNING, Told
from keras_lm.serving.server.completions.text import StoppedText

_FINISH = {int(Reason.LENGTH): "length"}


class Choice:
    """One answer.

    Args:
        index: its number.
        request: what it belongs to.

    Attributes:
        text: so far.
        before: what stands before it: the prompt, if that is to be told.
        told_tokens: those that were told of already.
        finish: why it ended, or None.
        told: the newest of its row.
    """

    def __init__(self, index: int, request: CompletionRequest) -> None:
        self.index, self._wants_text = index, request.max_tokens > 0
        self._stopped = StoppedText(request.stop)
        self.text, self.before = "", ""
        self.told_tokens: list[bytes] = []
        self.finish: str | None = None
        self.told = Told()

    def take(self, told: Told) -> str:
        """Takes news; gives what is new of the text."""
        self.told = told
        if not self._wants_text:
            self.finish = "length"
            return ""
        new = self._stopped.add(told.piece)
        if self._stopped.is_stopped:
            self.finish = "stop"
        elif told.reason != RUNNING:
            new += self._stopped.rest()
            self.finish = _FINISH.get(told.reason, "stop")
        self.text += new
        return new

    @property
    def num_tokens(self) -> int:
        """How many tokens were made."""
        return len(self.told.token_ids) if self._wants_text else 0

    def document(
        self, text: str, logprobs: dict[str, Any] | None, finish: str | None
    ) -> dict[str, Any]:
        """The choice, or a part of it."""
        return {"text": text, "index": self.index, "logprobs": logprobs, "finish_reason": finish}


class Frame:
    """What every document of one answer says.

    Args:
        request: the request.
        fingerprint: says who answers.
    """

    def __init__(self, request: CompletionRequest, fingerprint: str) -> None:
        self._fields = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": request.model,
            "system_fingerprint": fingerprint,
        }
        self._n = request.n

    def document(self, choices: list[dict[str, Any]], **others: Any) -> dict[str, Any]:
        """A document."""
        return {**self._fields, "choices": choices, **others}

    def usage(self, choices: list[Choice]) -> dict[str, int]:
        """How many tokens were read and made; a prompt counts once."""
        read = sum(len(choice.told.prompt_ids) for choice in choices[:: self._n])
        made = sum(choice.num_tokens for choice in choices)
        return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}
