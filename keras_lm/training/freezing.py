"""Weights that stay as they are while a model trains, chosen by their depth."""

from collections.abc import Sequence
from typing import Any

from keras_lm.layers import TransformerDecoder, TransformerEncoder
from keras_lm.training.keras_overrides import layers_of


class _Frozen:
    """The weights that were frozen, in an object that Keras does not look into."""

    def __init__(self) -> None:
        self.variables: list[Any] = []


class Freezes:
    """For models: `freeze`."""

    def freeze(self, *, embeddings: bool = False, blocks: int = 0) -> None:
        """Says which weights do not train; all others do. What is frozen is kept in `.keras` files.

        The model must be compiled again. `freeze()` frees everything; called with fewer blocks each
        time it unfreezes gradually (Howard and Ruder 2018, arXiv:1801.06146, section 3.3). Dropout
        stays on in frozen layers. A token table that is also the output's is frozen there, too.

        Args:
            embeddings: whether token, position and segment tables, their norm and projection are
                frozen.
            blocks: how many Transformer blocks are frozen, the lowest ones. Those of a decoder
                stand above those of its encoder.

        Raises:
            ValueError: the model has fewer blocks, or `add_lora` has frozen all of it.
        """
        model: Any = self
        stacks = layers_of(model, (TransformerEncoder, TransformerDecoder))
        all_blocks = [block for stack in stacks for block in stack.blocks]
        if not isinstance(blocks, int) or not 0 <= blocks <= len(all_blocks):
            raise ValueError(
                f"blocks must be in 0 .. {len(all_blocks)}, the blocks of the model. "
                f"Received: blocks={blocks!r}"
            )
        if model.has_lora:
            raise ValueError(
                "freeze() is for a model whose own weights train; of one with LoRA the adapters "
                f"do. Received: a {type(model).__name__} behind add_lora()"
            )
        if not model.built:
            model.build(None)
        frozen: list[Any] = all_blocks[:blocks]
        if embeddings:
            frozen += [stack.embedding for stack in stacks]
            frozen += [s.projection for s in stacks if getattr(s, "projection", None) is not None]
        self.set_frozen([weight for layer in frozen for weight in layer.weights])

    @property
    def frozen(self) -> list[Any]:
        """The weights that were frozen here."""
        return self._frozen_box.variables

    @property
    def _frozen_box(self) -> _Frozen:
        return self.__dict__.setdefault("_frozen", _Frozen())

    def set_frozen(self, weights: Sequence[Any]) -> None:
        """Freezes weights, in the place of those that were frozen before."""
        box = self._frozen_box
        for weight in box.variables:
            weight.trainable = True
        # What never trains, such as BART's constants of the output, is nobody's to free.
        once = {id(weight): weight for weight in weights}
        box.variables = [weight for weight in once.values() if weight.trainable]
        for weight in box.variables:
            weight.trainable = False
        self.must_be_compiled()

    def must_be_compiled(self) -> None:
        """Forgets what was compiled for other weights."""
        model: Any = self
        model.compiled = False
        model.train_function = model.test_function = model.predict_function = None
