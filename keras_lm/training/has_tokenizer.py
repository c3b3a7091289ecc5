"""The tokenizer of a model: one that fits it, or none."""

from typing import Any, ClassVar


class HasTokenizer:
    """For models: an attribute `tokenizer` that is checked whenever it is set.

    Attributes:
        TOKENIZER_ROLES: the special tokens that the class needs, such as "mask"; of "end or sep"
            one will do.
        vocab_size: number of the model's ids, or None.
    """

    TOKENIZER_ROLES: ClassVar[tuple[str, ...]] = ()
    vocab_size: int | None

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, or None. It can be set; its tokens must fit the model."""
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Any) -> None:
        self.set_tokenizer(tokenizer)

    def set_tokenizer(self, tokenizer: Any) -> None:
        """Checks the tokenizer and keeps it; for a subclass to extend.

        Raises:
            ValueError: it is none, lacks a special token, or has more tokens than the model.
        """
        size = self.vocab_size
        if tokenizer is not None and not hasattr(tokenizer, "vocab_size"):
            raise ValueError(
                "A tokenizer is one of keras_lm.tokenizers, such as its load() gives. "
                f"Received: {tokenizer!r:.80}"
            )
        missing = [] if tokenizer is None else self._missing_roles(tokenizer)
        if missing:
            raise ValueError(
                f"{type(self).__name__} needs a tokenizer with the special tokens "
                f"{self.TOKENIZER_ROLES}. Received: a {type(tokenizer).__name__} without {missing}"
            )
        if tokenizer is not None and size is not None and tokenizer.vocab_size > size:
            raise ValueError(
                "A tokenizer cannot have more tokens than the model's vocabulary. "
                f"Received: {tokenizer.vocab_size} tokens, vocab_size={size}"
            )
        self._tokenizer = tokenizer

    def _missing_roles(self, tokenizer: Any) -> list[str]:
        def has(role: str) -> bool:
            return any(getattr(tokenizer, f"{r}_id", None) is not None for r in role.split(" or "))

        return [role for role in self.TOKENIZER_ROLES if not has(role)]

    def require_tokenizer(self, what: str) -> Any:
        """Returns the tokenizer.

        Args:
            what: the deed that needs it, as a sentence begins: `"generate() from text"`.

        Raises:
            ValueError: the model has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError(
                f"{what} needs a tokenizer: construct {type(self).__name__} with tokenizer=..., "
                f"or set `model.tokenizer`. Received: tokenizer=None"
            )
        return self.tokenizer
