"""Optimizers that apply weight decay within the update of each weight."""

from typing import Any


class OwnWeightDecay:
    """For optimizers whose decay depends on the weight.

    Keras takes the same share of every weight away, before the updates and apart from them: with a
    learning rate for each layer the share must be the layer's, and LAMB scales it with the update.
    """

    def _apply_weight_decay(self, variables: Any) -> None:
        """Does nothing: `update_step` does it."""

    def may_decay(self, variable: Any) -> bool:
        """Says whether a weight is none of those that were excluded."""
        return self._use_weight_decay(variable)  # type: ignore[attr-defined]

    def place_of(self, variable: Any) -> int:
        """Returns which of the optimizer's weights a variable is."""
        return self._get_variable_index(variable)  # type: ignore[attr-defined]
