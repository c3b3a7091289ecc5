"""Every override of what is private in Keras 3.15, with the issue it answers; one idea a file.

Mix-ins, to stand before the Keras class. setup.cfg caps Keras at the version they were tested with.
"""

from keras_lm.training.keras_overrides.distributed_fit import DistributedTraining
from keras_lm.training.keras_overrides.epoch_start import BeginsWithinEpoch, EpochStart
from keras_lm.training.keras_overrides.exact_gradients import ExactGradients
from keras_lm.training.keras_overrides.late_weights import late_weights
from keras_lm.training.keras_overrides.loss_scale import FiniteOnAllReplicas
from keras_lm.training.keras_overrides.own_weight_decay import OwnWeightDecay
from keras_lm.training.keras_overrides.parts import TrainsInParts
from keras_lm.training.keras_overrides.reading import (
    global_random_state,
    layers_of,
    made_together,
    report_losses,
    schedule_of,
    strategy_of,
)
from keras_lm.training.keras_overrides.sampled_steps import TrainsWithoutLogits
from keras_lm.training.keras_overrides.several_steps import SeveralSteps

__all__ = [
    "BeginsWithinEpoch",
    "DistributedTraining",
    "EpochStart",
    "ExactGradients",
    "FiniteOnAllReplicas",
    "OwnWeightDecay",
    "SeveralSteps",
    "TrainsInParts",
    "TrainsWithoutLogits",
    "global_random_state",
    "late_weights",
    "layers_of",
    "made_together",
    "report_losses",
    "schedule_of",
    "strategy_of",
]
