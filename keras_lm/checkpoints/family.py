"""What is to be said of a family of models: its names, its fields, its heads.

One file for each family fills this in: `bert.py` and so on.
"""

import dataclasses
import inspect
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from keras_lm.checkpoints.config import Config

# A norm's and a layer's parts, as PyTorch calls them.
_LEAVES = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
BACKBONE = "backbone"
# Before the model_type of what Transformers has no words for.
OWN = "keras_lm_"
_PARTS = ("query", "key", "value")


@dataclasses.dataclass(frozen=True)
class Family:
    """How a model of ours and a model of Transformers are each other.

    Attributes:
        model_type: in config.json.
        model: our class.
        prefix: how the backbone's names begin, where there is a head.
        names: ours -> theirs. A path without the model's own name, or the path of a layer with "/"
            behind it, whose weights are then called as PyTorch calls them. `{i}` is the number of a
            block; `{part}` stands for query, key and value, which are one kernel here.
        architectures: the constructor's arguments that make each architecture: heads, above all.
        arguments: reads the other arguments of the constructor.
        fields: gives the fields of config.json, of the constructor's arguments; or None where they
            cannot be said there.
        tokens: the path of the token table.
        signs: for each head a tensor that a file has only with it; for files that do not say what
            they are.
        tied: names that mean the same tensor -> the one that is kept.
        leftovers: patterns of names that files hold and models do not need.
        optional: arguments that are True where a file holds a tensor: argument -> name. Only where
            there is no head.
        optional_with_heads: the same, only where there is a head.
        rows: names of vectors that lie as `(1, n)` there.
        transposed: whether kernels lie as `(out, in)` there.
        linear: layers whose kernels lie so in any case.
        title: what the names of its architectures begin with.
        dropouts: for each task the field of config.json with the rate before its last layer.
        parts: what `{part}` stands for, or None: query, key and value are one kernel there, too.
    """

    model_type: str
    model: Any
    prefix: str
    names: Mapping[str, str]
    architectures: Mapping[str, Mapping[str, Any]]
    arguments: Callable[[Config], dict[str, Any]]
    fields: Callable[[Mapping[str, Any]], dict[str, Any] | None]
    tokens: str
    signs: Mapping[str, str]
    tied: Mapping[str, str] = dataclasses.field(default_factory=dict)
    leftovers: tuple[str, ...] = ()
    optional: Mapping[str, str] = dataclasses.field(default_factory=dict)
    optional_with_heads: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rows: tuple[str, ...] = ()
    transposed: bool = True
    linear: tuple[str, ...] = ()
    title: str = ""
    dropouts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    parts: tuple[str, ...] = _PARTS

    @property
    def own_type(self) -> str:
        """The model_type of what Transformers has no words for; by the name of our class."""
        return f"{OWN}{self.model.__name__.lower()}"

    def says_all(self, values: Mapping[str, Any]) -> bool:
        """Says whether config.json has a word for every argument that is not the default.

        An argument that was added to a constructor, and that `fields` does not know yet, is kept
        from being lost.
        """
        known = {*self.arguments(Config({}, pathlib.Path())), "pos_embedding_size"}
        known |= {*self.optional, *self.optional_with_heads}
        known |= {name for arguments in self.architectures.values() for name in arguments}
        parameters = inspect.signature(self.model.__init__).parameters
        return all(
            name in known or value == parameters[name].default for name, value in values.items()
        )

    def path_of(self, variable: Any) -> str:
        """Gives a weight's path as the table has it: without the names of the models it is in.

        Raises:
            ValueError: the table has no such weight.
        """
        parts = variable.path.split("/")
        for i in range(len(parts)):
            if self._row_of("/".join(parts[i:])) is not None:
                return "/".join(parts[i:])
        raise ValueError(
            f"The table of names must have each weight of a {self.model.__name__}. "
            f"Received: {variable.path}"
        )

    def _row_of(self, path: str) -> str | None:
        """Gives the row of the table that a weight belongs to, the path or the layer's."""
        general = re.sub(r"block_\d+/", "block_{i}/", path)
        layer = f"{general.rpartition('/')[0]}/"
        return general if general in self.names else layer if layer in self.names else None

    def names_of(self, path: str) -> tuple[str, ...]:
        """Gives the names of the tensors that make a weight, side by side.

        Args:
            path: of the weight, as of `path_of`.
        """
        number = re.search(r"block_(\d+)/", path)
        row = self._row_of(path)
        assert row is not None
        theirs = self.names[row] + (_LEAVES[path.rpartition("/")[2]] if row[-1] == "/" else "")
        theirs = theirs.replace("{i}", number[1] if number else "")
        return tuple(theirs.replace("{part}", part) for part in self._parts_in(theirs, path))

    def _parts_in(self, theirs: str, path: str) -> tuple[str, ...]:
        if "{part}" not in theirs:
            return ("",)
        # A cross-attention has its query apart.
        return self.parts[1:] if "/key_value/" in path else self.parts

    def heads_of(self, task: Any) -> tuple[str, ...]:
        """Gives the heads that a task asks for: one, several, or "backbone" for none.

        Raises:
            ValueError: the model has no such head.
        """
        heads = () if task == BACKBONE else (task,) if isinstance(task, str) else tuple(task)
        if set(heads) - set(self.model.HEADS):
            raise ValueError(
                f'task must be "{BACKBONE}" or of the heads {self.model.HEADS} of a '
                f"{self.model.__name__}. Received: task={task!r}"
            )
        return heads

    def is_leftover(self, name: str) -> bool:
        """Says whether a tensor of a file may be left alone."""
        return any(re.search(pattern, name) for pattern in self.leftovers)

    def lies_transposed(self, path: str) -> bool:
        """Says whether a weight lies the other way round in a file."""
        layer, _, leaf = path.rpartition("/")
        return leaf == "kernel" and (self.transposed or f"{layer}/" in self.linear)
