"""Keras callbacks for `train` and for anybody's own `model.fit`."""

import time
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import keras
import numpy as np

from samplecnn_zoo.training.checkpoint import Arrays, assign, weights_of
from samplecnn_zoo.training.recipe import LossError, Plateau, TrainingError
from samplecnn_zoo.training.schedule import PlateauState, plateau_rate

Logs = Mapping[str, Any] | None


def diverged(what: str, epoch: int, batch: int) -> LossError:
    """Return the error for what became no number in an epoch (from 0) after so many batches of it."""
    return LossError(
        f"{what} in epoch {epoch + 1}, batch {batch}; try a learning rate of a tenth, --clip-norm 1, "
        "float32 instead of mixed_float16, and look for broken audio"
    )


class StopOnNaN(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """End training at the first batch whose loss is no number.

    Args:
        first_batch: What the first batch of the next epoch counts as, where an epoch is gone on with.

    Raises:
        LossError: The loss is NaN or infinite; the message tells epoch and batch, counted from 1.
    """

    def __init__(self, *, first_batch: int = 0) -> None:
        super().__init__()
        self._first = first_batch
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Remember the epoch for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Look at the loss: a running mean, so that one batch without a number shows in it."""
        loss = (logs or {}).get("loss")
        if loss is not None and not isfinite(loss):
            raise diverged(f"the loss became {float(loss)}", self._epoch, self._first + batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """The next epoch starts at its first batch."""
        self._first = 0


class EveryBatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Call a function after each batch with the batches done of the epoch and its mean loss so far."""

    def __init__(self, function: Callable[[int, float], None], *, first_batch: int = 0) -> None:
        super().__init__()
        self._function = function
        self._first = first_batch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Pass it on."""
        self._function(self._first + batch + 1, float((logs or {}).get("loss", np.nan)))


class EveryMinutes(keras.callbacks.Callback):  # type: ignore[misc]
    """Call a function with the batches done of the epoch whenever so many minutes have passed.

    Raises:
        TrainingError: minutes is less than 0.
    """

    def __init__(self, minutes: float, function: Callable[[int], None], *, first_batch: int = 0) -> None:
        super().__init__()
        if not minutes >= 0:
            raise TrainingError(f"minutes between checkpoints must be at least 0, got {minutes}")
        self._seconds = 60 * minutes
        self._function = function
        self._first = first_batch
        self._last = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """See whether it is time."""
        if time.monotonic() - self._last >= self._seconds:
            _ = self.model  # on JAX this brings the variables up to date
            self._function(self._first + batch + 1)
            self._last = time.monotonic()


class RestoreMetrics(keras.callbacks.Callback):  # type: ignore[misc]
    """Put running sums back where Keras has set them to zero: at the beginning of an epoch gone on with."""

    def __init__(self, sums: Arrays) -> None:
        super().__init__()
        self._sums = sums

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Once, before the first batch."""
        if self._sums:
            assign(self.model.metrics_variables, self._sums, "metrics")
            self._sums = []


class RestartFromBest(keras.callbacks.Callback):  # type: ignore[misc]
    """The paper's schedule (section 5.2) for `model.fit`: at each plateau back to the best, and slower.

    Watches `val_loss`, so `fit` needs validation data; it ends training after the last rate, with the best
    weights in the model. The optimizer's learning rate must be a number, not a schedule.
    """

    def __init__(self, plateau: Plateau | None = None, *, monitor: str = "val_loss") -> None:
        super().__init__()
        self.plateau = plateau or Plateau()
        self.monitor = monitor
        self.state = PlateauState()
        self.best: Arrays = []
        self._first_rate = 0.0

    def on_train_begin(self, logs: Logs = None) -> None:
        """Take the first rate from the optimizer."""
        self._first_rate = float(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Keep the best, go back to it, or end."""
        loss = (logs or {}).get(self.monitor)
        if loss is None:
            raise TrainingError(f"RestartFromBest watches {self.monitor!r}: give model.fit validation_data")
        before, self.state = self.state, self.state.after(float(loss), self.plateau)
        if self.state.best_loss < before.best_loss:
            self.best = weights_of(self.model)
        elif self.state.rate > before.rate:
            go_back(self.model, self.best)
            self.model.optimizer.learning_rate = plateau_rate(self._first_rate, self.plateau, self.state.rate)
        self.model.stop_training = self.state.stopped

    def on_train_end(self, logs: Logs = None) -> None:
        """Leave the best weights in the model."""
        if self.best:
            assign(self.model.weights, self.best, "best weights")


def go_back(model: keras.Model, weights: Arrays) -> None:
    """Give the model earlier weights, and its optimizer a new beginning: no momentum, no moments."""
    if weights:
        assign(model.weights, weights, "best weights")
    rate = model.optimizer.learning_rate
    for variable in model.optimizer.variables:
        if variable is not rate and not variable.path.endswith(("learning_rate", "dynamic_scale")):
            variable.assign(np.zeros(variable.shape, variable.dtype))
