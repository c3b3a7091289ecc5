"""Constructor arguments recorded once, so that `get_config` need not name each of them again."""

import inspect
import types
from collections.abc import Mapping
from typing import Any

import keras


class _Arguments:
    """Arguments by name. An object, so that Keras neither tracks nor wraps the values."""

    def __init__(self, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
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
                    "A constructor names each of its arguments, or what it made could not be "
                    f"restored. Received: {cls.__name__}.__init__(*{name})"
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


class RecordsArguments:
    """`get_config` from the constructor's arguments, flat; `from_config` is `cls(**config)`.

    To stand before the Keras class. Keras does this by itself for numbers and strings; here objects
    that Keras can serialize (initializers, tokenizers) are recorded as well.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Records the arguments before the constructor can change them."""
        arguments = _Arguments(cls, args, kwargs)
        instance = super().__new__(cls, *args, **kwargs)
        object.__setattr__(instance, "_arguments", arguments)
        return instance

    @property
    def constructor_arguments(self) -> Mapping[str, Any]:
        """The arguments by name, defaults filled in."""
        # No dict: Keras looks into those for layers, and would save a layer among the arguments
        # under this name in the place of the attribute that it became.
        return types.MappingProxyType(self._arguments.values)  # type: ignore[attr-defined]

    def record(self, **values: Any) -> None:
        """Replaces recorded arguments, where a constructor keeps less than it was given."""
        self._arguments.values.update(values)  # type: ignore[attr-defined]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, flat; objects among them serialized by Keras."""
        return self.config_with()

    def config_with(self, **changed: Any) -> dict[str, Any]:
        """Returns what `get_config` does, with other values for some arguments."""
        policy = self.dtype_policy  # type: ignore[attr-defined]
        plain_policy = type(policy) is keras.dtype_policies.DTypePolicy
        values = {
            **self.constructor_arguments,
            "name": self.name,  # type: ignore[attr-defined]
            "trainable": self.trainable,  # type: ignore[attr-defined]
            "dtype": policy.name if plain_policy else policy,
            **changed,
        }
        return {name: _serialize(value) for name, value in values.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
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
