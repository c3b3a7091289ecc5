"""Which weights an optimizer does not let decay."""

from typing import Any, ClassVar

# Parts of the names of weights.
BIASES_AND_NORMS = ("bias", "gamma", "beta")


class SparesWeights:
    """For optimizers: weights are left alone by their names, unless it is said which ones.

    To stand before the Keras class, whose constructor gets what is not `no_decay`.
    """

    NO_DECAY: ClassVar[tuple[str, ...]] = BIASES_AND_NORMS

    no_decay: tuple[str, ...]
    _told_what_to_exclude: bool

    def spare(self, no_decay: tuple[str, ...] | None) -> None:
        """Notes the parts of names; None: `NO_DECAY`. To be called by the constructor."""
        self.no_decay = tuple(self.NO_DECAY if no_decay is None else no_decay)
        self._told_what_to_exclude = False

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Says which weights do not decay, in place of `no_decay`; before `build`."""
        self._told_what_to_exclude = True
        super().exclude_from_weight_decay(var_list=var_list, var_names=var_names)  # type: ignore[misc]

    def build(self, variables: Any) -> None:
        """Creates the moments of the variables."""
        optimizer: Any = super()
        if not self.built and not self._told_what_to_exclude:  # type: ignore[attr-defined]
            optimizer.exclude_from_weight_decay(
                var_list=[v for v in variables if any(part in v.name for part in self.no_decay)]
            )
        optimizer.build(variables)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "no_decay": list(self.no_decay)}  # type: ignore[misc]
