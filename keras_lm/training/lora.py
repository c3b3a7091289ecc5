"""LoRA: a model that stays as it is, with small updates that are trained in its place.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685.
Knows the blocks of this package and no files; `keras_lm.checkpoints.lora` reads and writes.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from keras_lm.layers import Dense, TransformerBlock, TransformerDecoder, TransformerEncoder
from keras_lm.layers.embedding import TokenEmbedding
from keras_lm.layers.low_rank import merged
from keras_lm.training.copying import unfilled_copy
from keras_lm.training.freezing import Freezes
from keras_lm.training.keras_overrides import late_weights, layers_of, strategy_of

_PARTS = ("query", "key", "value")
TARGETS = (*_PARTS, "query_key_value", "attention_output", "feed_forward_in", "feed_forward_out")


class Place(NamedTuple):
    """Columns of a dense layer's kernel.

    Attributes:
        dense: the layer.
        name: of what the columns are; "" for all of them.
        first: of the columns.
        last: behind the last column.
    """

    dense: Dense
    name: str
    first: int
    last: int


class HasLoRA(Freezes):
    """For models: adapters of low rank.

    Attributes:
        TRAINS_HEAD: whether what is behind the encoder and the decoder trains beside the adapters,
            where nobody says it: a task's head does, for it is new.
    """

    TRAINS_HEAD: ClassVar[bool] = False

    def add_lora(
        self,
        rank: int = 8,
        alpha: float | None = None,
        targets: Sequence[str] = ("query", "value"),
        *,
        train_head: bool | None = None,
    ) -> None:
        """Freezes the model and adds adapters, which alone are trained and saved from now on.

        `x W + b` becomes `x W + alpha / rank (x A) B + b` (section 4.1), with A `(D, rank)` drawn
        as PEFT draws it and B zero: at first the model answers as before. It must be compiled
        again. `keras_lm.save` writes PEFT's format; `keras_lm.export` and `merge_lora` add the
        products to the kernels.

        Args:
            rank: of each adapter.
            alpha: of the scale alpha / rank. None: `rank`.
            targets: what gets an adapter in each attention (cross-attentions too) and each block:
                `"query"`, `"key"`, `"value"`; `"query_key_value"`: one for the three of a
                self-attention together, as PEFT has it for GPT-2; `"attention_output"`,
                `"feed_forward_in"`, `"feed_forward_out"`.
            train_head: whether the weights behind encoder and decoder train, too, and are saved
                with the adapters. None: of a task they do, of a language model they do not.

        Raises:
            ValueError: `rank` or `alpha` is not positive; an unknown target, or one given twice; a
                model without blocks, or with adapters.
        """
        wanted = (targets,) if isinstance(targets, str) else tuple(targets)
        if not isinstance(rank, int) or rank < 1:
            raise ValueError(f"rank must be a positive integer. Received: rank={rank!r}")
        if alpha is not None and not alpha > 0:
            raise ValueError(f"alpha must be positive. Received: alpha={alpha!r}")
        both = "query_key_value" in wanted and set(_PARTS) & set(wanted)
        if not wanted or len(set(wanted)) < len(wanted) or set(wanted) - set(TARGETS) or both:
            raise ValueError(
                f"targets must be different ones of {', '.join(TARGETS)}, and query_key_value none "
                f"beside its parts. Received: targets={wanted}"
            )
        self.build_all()
        places = [place for place in self.lora_places() if place.name in wanted or not place.name]
        places = [place for place in places if place.name or _target(place.dense) in wanted]
        if not places:
            raise ValueError(
                "Adapters are for the Transformer blocks of a model. "
                f"Received: a {type(self).__name__} without one for targets={wanted}"
            )
        scale = (rank if alpha is None else alpha) / rank
        self.add_low_ranks([(place, rank, scale) for place in places], train_head=train_head)

    def build_all(self) -> None:
        """Makes the weights, where there are none."""
        model: Any = self
        if not model.built:
            model.build(None)

    def lora_places(self) -> list[Place]:
        """Where there can be adapters, in each block; a model must be built."""
        places = []
        for block in layers_of(self, TransformerBlock):
            attentions = [block.attention, block.cross_attention]
            for attention in (a for a in attentions if a is not None):
                width = attention.width
                parts: tuple[str, ...]
                if attention.cross_attention:
                    places.append(Place(attention.query, "query", 0, width))
                    fused, parts = attention.key_value, _PARTS[1:]
                else:
                    fused, parts = attention.query_key_value, _PARTS
                    places.append(Place(fused, "query_key_value", 0, 3 * width))
                places += [
                    Place(fused, part, i * width, (i + 1) * width) for i, part in enumerate(parts)
                ]
                places.append(_whole(attention.output_projection))
            places += [_whole(block.feed_forward_in), _whole(block.feed_forward_out)]
        return places

    def add_low_ranks(
        self, adapters: Sequence[tuple[Place, int, float]], *, train_head: bool | None = None
    ) -> None:
        """Adds adapters of ranks and scales of their own; see `add_lora`.

        Args:
            adapters: places of this model, each with a rank and a scale.
            train_head: see `add_lora`.

        Raises:
            ValueError: there are adapters already.
        """
        if self.has_lora:
            raise ValueError(
                "A model has one set of adapters; merge_lora() gives a model that may get another. "
                f"Received: a {type(self).__name__} behind add_lora()"
            )
        train_head = self.TRAINS_HEAD if train_head is None else train_head
        head = self.weights_behind() if train_head else []
        self._make(adapters)
        kept = {id(weight) for weight in (*self.lora_weights, *head)}
        model: Any = self
        self.set_frozen([weight for weight in model.weights if id(weight) not in kept])

    def _make(self, adapters: Sequence[tuple[Place, int, float]]) -> None:
        strategy = strategy_of(self)
        with strategy.scope() if strategy else contextlib.nullcontext():
            for (dense, name, first, last), rank, scale in adapters:
                with late_weights(dense):
                    dense.add_low_rank(name, first, last, rank, scale)

    @property
    def has_lora(self) -> bool:
        """Whether there are adapters."""
        return bool(self._adapted())

    @property
    def lora_weights(self) -> list[Any]:
        """The adapters' A and B, in the order of the layers."""
        updates = [update for dense in self._adapted() for update in dense.updates]
        return [weight for update in updates for weight in (update.a, update.b)]

    def _adapted(self) -> list[Dense]:
        return [dense for dense in layers_of(self, Dense) if dense.updates]

    def weights_behind(self) -> list[Any]:
        """The weights behind encoder and decoder."""
        model: Any = self
        stacks = layers_of(model, (TransformerEncoder, TransformerDecoder, TokenEmbedding))
        inside = {id(weight) for stack in stacks for weight in stack.weights}
        return [weight for weight in model.weights if id(weight) not in inside]

    def merge_lora(self) -> Any:
        """Gives a new model whose kernels are the sums of this one's and its adapters' products.

        It answers as this one, up to the rounding of its weights' dtype, is made outside of any
        strategy and not compiled. While it is made, both are in memory.

        Raises:
            ValueError: there are no adapters.
        """
        model: Any = self
        if not self.has_lora:
            raise ValueError(
                f"merge_lora() is for a model behind add_lora(). Received: a {type(self).__name__}"
            )
        plain = unfilled_copy(model, model.get_config())
        adapters = {id(weight) for weight in self.lora_weights}
        own = [weight for weight in model.weights if id(weight) not in adapters]
        for old, new in zip(own, plain.weights, strict=True):
            new.assign(_tensor(old))
        for old, new in zip(layers_of(model, Dense), layers_of(plain, Dense), strict=True):
            if old.updates:
                new.kernel.assign(merged(old.kernel, old.updates))
        return plain

    # `.keras` files

    def adaptation(self) -> dict[str, Any]:
        """Says what was added and frozen, in numbers of layers and weights."""
        model: Any = self
        place_of = {id(weight): place for place, weight in enumerate(model.weights)}
        adapters = [
            [place, update.name, update.first, update.last, update.rank, update.scale]
            for place, dense in enumerate(layers_of(model, Dense))
            for update in dense.updates
        ]
        frozen = [place_of[id(weight)] for weight in self.frozen]
        said = {"adapters": adapters, "frozen": frozen}
        return {name: value for name, value in said.items() if value}

    def adapt(self, said: dict[str, Any]) -> None:
        """Adds and freezes what `adaptation` said."""
        model: Any = self
        dense = layers_of(model, Dense)
        self._make(
            [
                (Place(dense[place], name, first, last), rank, scale)
                for place, name, first, last, rank, scale in said.get("adapters", ())
            ]
        )
        if said.get("frozen"):
            weights = model.weights
            self.set_frozen([weights[place] for place in said["frozen"]])


def _target(dense: Dense) -> str:
    """The target of a layer that is adapted as a whole."""
    return "attention_output" if dense.name == "output" else dense.name


def _whole(dense: Dense) -> Place:
    return Place(dense, "", 0, dense.units)


def _tensor(weight: Any) -> Any:
    return tf.convert_to_tensor(weight.value)
