"""Constructor arguments recorded once, so that `get_config` need not name each of them again."""

import inspect
from typing import Any

import keras


class RecordsArguments:
    """Mix-in before a Keras class: `get_config` gives back what the constructor was called with.

    Keras does this by itself for numbers and strings; here objects with a `get_config`
    of their own (initializers, tokenizers) are recorded as well. The config is flat:
    argument name -> value. `from_config` is the constructor, so an unknown key raises.
    """

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Makes the instance and records the arguments, before `__init__` runs."""
        instance = super().__new__(cls, *args, **kwargs)
        bound = inspect.signature(cls.__init__).bind(instance, *args, **kwargs)
        bound.apply_defaults()
        names = list(bound.signature.parameters)
        variadic = {p.name for p in bound.signature.parameters.values() if p.kind == p.VAR_KEYWORD}
        recorded = {k: bound.arguments[k] for k in names[1:] if k not in variadic}
        # Not `instance._arguments = ...`: Keras would wrap and track the dictionary.
        object.__setattr__(instance, "_arguments", recorded)
        return instance

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, flat, fit for JSON."""
        config = super().get_config()  # type: ignore[misc]
        for name, value in self._arguments.items():
            value = self._current(name, value)
            if hasattr(value, "get_config"):
                value = keras.saving.serialize_keras_object(value)
            config[name] = list(value) if isinstance(value, tuple) else value
        return config

    def _current(self, name: str, recorded: Any) -> Any:
        """Returns the value to write; overridden where an argument can be set later."""
        return recorded
