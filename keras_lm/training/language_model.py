"""The base of every model: recorded arguments, heads, tokenizer, and a right `compile` and `fit`.

Knows no architecture. A model is a subclass that makes its layers in `__init__`, creates all its
weights in `build(input_shape=None)` and maps a dict of ids to one tensor (one head), a dict by head
name (several heads) or hidden states (no head) in `call`.
"""

import inspect
from typing import Any, ClassVar

import keras

Tensor = Any

# What keras.Model itself takes; everything else that reaches the base class is a typing error.
_KERAS_ARGUMENTS = ("name", "dtype", "trainable")


class _Arguments:
    """The arguments a model was constructed with, by name.

    An object of its own, so that Keras neither tracks nor wraps the values.
    """

    def __init__(self, cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        signature = inspect.signature(cls.__init__)
        try:
            bound = signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}: {error}") from None
        bound.apply_defaults()
        values = dict(bound.arguments)
        del values[next(iter(signature.parameters))]  # self
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                values.update(values.pop(name))
            elif parameter.kind is parameter.VAR_POSITIONAL:
                raise TypeError(
                    "The constructor of a language model names each of its arguments, or it could "
                    f"not be restored. Received: {cls.__name__}.__init__(*{name})"
                )
        self.values = values


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (str, int, float, bool))


def _serialize(value: Any) -> Any:
    if not _is_plain(value):
        return keras.saving.serialize_keras_object(value)
    # A list, for what JSON gives back is a list.
    return list(value) if isinstance(value, tuple) else value


class LanguageModel(keras.Model):
    """Abstract base of the language models.

    The arguments of the subclass's constructor are recorded once, when it is called: `get_config`
    returns them flat, with the defaults filled in, and `from_config` is `cls(**config)`.

    A subclass makes every layer in `__init__` and every weight in `build(input_shape=None)`, from
    its sizes alone, so that a `.keras` file restores without data. Its constructor ends in
    `**kwargs` and passes them on, with `heads` and `tokenizer`, to this one.

    Args:
        heads: names of the heads, in the order they were asked for. Kept as `heads`.
        tokenizer: turns text into ids; None where none is needed.
        **kwargs: `name`, `dtype` and `trainable`, as Keras takes them.

    Attributes:
        HEADS: the heads that this class offers.
        heads: the heads of this model, a tuple.

    Raises:
        TypeError: an argument is unknown.
        ValueError: a head is unknown or given twice, or the tokenizer has more tokens than
            the constructor's `vocab_size`.
    """

    HEADS: ClassVar[tuple[str, ...]] = ("masked_lm", "next_sentence", "causal_lm")

    def __new__(cls, *args: Any, **kwargs: Any) -> "LanguageModel":
        """Records the arguments before the constructor can change them."""
        arguments = _Arguments(cls, args, kwargs)
        model = super().__new__(cls, *args, **kwargs)
        object.__setattr__(model, "_constructor_arguments", arguments)
        return model

    def __init__(self, *, heads: tuple[str, ...] = (), tokenizer: Any = None, **kwargs: Any):
        unknown = sorted(set(kwargs) - set(_KERAS_ARGUMENTS))
        if unknown:
            known = dict.fromkeys((*self._constructor_arguments.values, *_KERAS_ARGUMENTS))
            names = ", ".join(name for name in known if name not in unknown)
            raise TypeError(
                f"{type(self).__name__} takes these arguments alone: {names}. "
                f"Received: {', '.join(unknown)}"
            )
        super().__init__(**kwargs)
        if isinstance(heads, str) or len(set(heads)) < len(heads) or set(heads) - set(self.HEADS):
            raise ValueError(
                f"heads must be a tuple of different names out of {self.HEADS}. "
                f"Received: heads={heads!r}"
            )
        self.heads = tuple(heads)
        self.tokenizer = tokenizer

    # Constructor arguments

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, or None. It can be set; its tokens must fit the vocabulary."""
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Any) -> None:
        size = self._constructor_arguments.values.get("vocab_size")
        if tokenizer is not None and size is not None and tokenizer.vocab_size > size:
            raise ValueError(
                "A tokenizer cannot have more tokens than the model's vocabulary. "
                f"Received: {tokenizer.vocab_size} tokens, vocab_size={size}"
            )
        self._tokenizer = tokenizer

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

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, flat; objects among them serialized by Keras."""
        policy = self.dtype_policy
        plain_policy = type(policy) is keras.dtype_policies.DTypePolicy
        values = {
            **self._constructor_arguments.values,
            "name": self.name,
            "dtype": policy.name if plain_policy else policy,
        }
        if "tokenizer" in values:
            values["tokenizer"] = self.tokenizer
        return {name: _serialize(value) for name, value in values.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "LanguageModel":
        """Returns `cls(**config)`, objects among the values restored by Keras first.

        Raises:
            TypeError: a key is no argument of the constructor.
        """
        return cls(
            **{
                name: value
                if _is_plain(value)
                else keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
                for name, value in config.items()
            }
        )

    def get_build_config(self) -> dict[str, Any] | None:
        """Says whether there are weights to restore; the sizes are in `get_config`."""
        return {"input_shape": None} if self.built else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Creates the weights, from the sizes alone."""
        if not self.built:
            self.build(None)
