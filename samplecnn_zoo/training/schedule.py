"""Learning rates over a run: the cosine as Keras has it, and the paper's plateaus as plain state."""

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any

from samplecnn_zoo.training.recipe import Cosine, Optimizer, Plateau

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class PlateauState:
    """Where a run stands on its plateaus; all of it goes into a checkpoint.

    Attributes:
        rate: Which learning rate it is at, from 0.
        best_loss: The lowest validation loss of all epochs.
        waited: Epochs since then at this rate.
        stopped: The last rate has had its patience.
    """

    rate: int = 0
    best_loss: float = inf
    waited: int = 0
    stopped: bool = False

    def after(self, valid_loss: float, plateau: Plateau) -> "PlateauState":
        """Return the state after one more epoch.

        When `rate` has grown, the run goes back to its best weights, with an optimizer that remembers nothing
        (the authors' code compiles anew), and on at the next rate.

        >>> plateau = Plateau(factor=5, rates=2, patience=2)
        >>> state = PlateauState()
        >>> for loss in (0.3, 0.4, 0.3):
        ...     state = state.after(loss, plateau)
        >>> state
        PlateauState(rate=1, best_loss=0.3, waited=0, stopped=False)
        """
        if valid_loss < self.best_loss:
            return replace(self, best_loss=valid_loss, waited=0)
        if self.waited + 1 < plateau.patience:
            return replace(self, waited=self.waited + 1)
        if self.rate + 1 < plateau.rates:
            return replace(self, rate=self.rate + 1, waited=0)
        return replace(self, waited=self.waited + 1, stopped=True)


def plateau_rate(first: float, plateau: Plateau, rate: int) -> float:
    """Return the learning rate number `rate` (from 0): `first` divided by the factor so many times.

    >>> [f"{plateau_rate(0.01, Plateau(), rate):.6f}" for rate in range(5)]
    ['0.010000', '0.002000', '0.000400', '0.000080', '0.000016']
    """
    return float(first / plateau.factor**rate)


def make_optimizer(
    optimizer: Optimizer, schedule: Cosine | Plateau | None, steps: int | None
) -> "keras.optimizers.Optimizer":
    """Build the Keras optimizer of a run of `steps` steps; None where nobody knows how many (a plateau)."""
    import keras

    rate: Any = optimizer.learning_rate
    if isinstance(schedule, Cosine):
        rate = _cosine(optimizer.learning_rate, schedule, steps or 1)
    # Keras wants None for no decay; 0 would be a decay of nothing at every step.
    common: dict[str, Any] = {
        "weight_decay": optimizer.weight_decay or None,
        "global_clipnorm": optimizer.clip_norm,
    }
    if optimizer.kind == "sgd":
        momentum = float(optimizer.momentum)  # Keras takes no 0
        return keras.optimizers.SGD(rate, momentum=momentum, nesterov=optimizer.nesterov, **common)
    if optimizer.weight_decay:
        return keras.optimizers.AdamW(rate, **common)
    return keras.optimizers.Adam(rate, **common)


def _cosine(height: float, cosine: Cosine, steps: int) -> "keras.optimizers.schedules.CosineDecay":
    import keras

    warmup = int(steps * cosine.warmup)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(height, max(1, steps), alpha=cosine.floor)
    return keras.optimizers.schedules.CosineDecay(
        height * cosine.warmup,
        max(1, steps - warmup),
        alpha=cosine.floor,
        warmup_target=height,
        warmup_steps=warmup,
    )
