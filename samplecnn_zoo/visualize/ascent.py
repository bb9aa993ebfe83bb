"""What filters listen to: inputs that each filter of a stage answers most, found by gradient ascent.

Section 7.1 of the paper, with its authors' settings (noise, step, number of steps) but for two: they ran
BatchNorm in its training phase, where each input is normalized by its own statistics and the network is not
the one that tags music; here it is in inference mode, with the statistics of the music it was trained on.
What else that phase did for their pictures is the target `"contrast"`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from samplecnn_zoo.models.blocks import Tensor
from samplecnn_zoo.visualize.gradients import compiled, gradient
from samplecnn_zoo.visualize.shorten import frame_samples, shortened

Floats = npt.NDArray[np.float32]

TARGETS = ("contrast", "after", "before")

MOST_SAMPLES = 2**19
"""Of one batch: 512 filters of 1,024 samples are one, longer inputs take several, to bound the memory."""


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """How inputs are climbed to; the numbers are those of the paper's authors.

    A filter's activation is its mean over time. `target` says where it is taken and what of its gradient is
    followed:

    - `"contrast"`, the default: after the non-linearity, and only what frames of the gradient differ in. A
      gradient that is the same in all frames raises them all alike, and copied once a frame it has no
      frequencies but multiples of the frame rate (a third of the sample rate for a first stage of size 3),
      whatever the filter. A filter that is silent on the noise, or never silent, gives no other: for it the
      frames above its own mean count as active.
    - `"after"`: after the non-linearity, as it is. Filters that are silent on the noise stay there.
    - `"before"`: before the non-linearity, as it is. The first stage is then linear, and shows multiples of
      the frame rate only.

    Attributes:
        target: one of the three.
        steps: of the ascent.
        step: added to the input, as its root mean square, each time.
        noise: the input begins between minus and plus this.
        seed: of the noise.

    Raises:
        ValueError: an unknown target, or a number out of its range.
    """

    target: str = "contrast"
    steps: int = 18
    step: float = 1.0
    noise: float = 0.015
    seed: int = 0

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"unknown target {self.target!r}: take one of {', '.join(TARGETS)}")
        if self.steps < 1:
            raise ValueError(f"steps must be 1 or more; got {self.steps}: the paper's authors took 18")
        for name, usual in (("step", 1), ("noise", 0.015)):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(
                    f"{name} must be finite and more than 0; got {getattr(self, name)}: "
                    f"the paper's authors took {usual}"
                )


AUTHORS = Ascent()


@dataclass(frozen=True, eq=False)
class Found:
    """Inputs that the filters of a stage answer.

    Attributes:
        stage: its name.
        waveforms: (filters, samples); a network's input, so without the preset's normalization, and of any
            size: the ascent knows no loudest sound.
        activation: (steps + 1, filters): the mean over time at the noise, after each step, at the end.
    """

    stage: str
    waveforms: Floats
    activation: Floats

    @property
    def risen(self) -> npt.NDArray[np.bool_]:
        """(filters,): False where the activation at the end is no higher than at the noise: nothing found."""
        higher: npt.NDArray[np.bool_] = self.activation[-1] > self.activation[0]
        return higher


def ascend(
    model: keras.Model, stage: str, *, samples: int | None = None, settings: Ascent = AUTHORS
) -> Found:
    """Find an input for every filter of a stage, all of them in one batch and one compiled step.

    BatchNorm is in inference mode, so filters of a batch do not know of each other, and the model is left
    as it was.

    Args:
        model: a model that `samplecnn_zoo.models` built.
        stage: `stage1`, …, `top`.
        samples: of the input; None is what `frame_samples` gives for this stage.
        settings: of the ascent.

    Raises:
        ValueError: no such stage, one without learned filters, or an input of less than one frame.
    """
    length = frame_samples(model, [stage]) if samples is None else samples
    network = shortened(model, stage, length)
    filters = int(network.output_shape[-1])
    rng = np.random.default_rng(settings.seed)
    noise = rng.uniform(-settings.noise, settings.noise, (filters, length, 1)).astype(np.float32)
    batches = np.array_split(np.arange(filters), min(filters, -(-noise.size // MOST_SAMPLES)))
    step = compiled(_stepper(network, settings))
    parts = [_climb(step, noise[batch], np.eye(filters)[batch], settings.steps) for batch in batches]
    waveforms, activation = zip(*parts, strict=True)
    return Found(stage, np.concatenate(waveforms)[..., 0], np.concatenate(activation, axis=1))


def _climb(
    step: Callable[..., tuple[Tensor, Tensor]], noise: Floats, own: npt.NDArray[np.float64], steps: int
) -> tuple[Floats, Floats]:
    """The inputs (filters, samples, 1) and activations (steps + 1, filters) of a batch of filters."""
    chosen = ops.convert_to_tensor(own[:, None, :], "float32")  # (filters, 1, all filters)
    x = ops.convert_to_tensor(noise)
    path = []
    for _ in range(steps):
        x_next, activation = step(x, chosen)
        path.append(ops.convert_to_numpy(activation))
        x = x_next
    path.append(ops.convert_to_numpy(step(x, chosen)[1]))
    return ops.convert_to_numpy(x), np.stack(path)


def _stepper(network: keras.Model, settings: Ascent) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """One step of the ascent: from inputs to the next ones, and the activation at the former."""

    def step(x: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        def function(x: Tensor) -> tuple[Tensor, Tensor]:
            y = network(x, training=False)  # (filters, frames, all filters)
            y = ops.sum(ops.cast(y, "float32") * chosen, axis=-1)  # (filters, frames)
            return _objective(y, settings.target), _activation(y, settings.target)

        slope, activation = gradient(function, x)
        size = ops.sqrt(ops.mean(ops.square(slope), axis=(1, 2), keepdims=True))
        return x + settings.step * slope / (size + 1e-9), activation

    return step


def _activation(y: Tensor, target: str) -> Tensor:
    """The mean over time, before the non-linearity or after it: (filters, frames) -> (filters,)."""
    return ops.mean(y if target == "before" else ops.relu(y), axis=1)


def _objective(y: Tensor, target: str) -> Tensor:
    """What has the gradient that is followed."""
    if target != "contrast" or y.shape[1] == 1:  # what frames differ in takes two
        return _activation(y, target)
    active = ops.cast(y > 0, "float32")
    share = ops.mean(active, axis=1, keepdims=True)
    above = ops.cast(y > ops.mean(y, axis=1, keepdims=True), "float32")
    active = ops.where((share == 0) | (share == 1), above, active)
    weight = ops.stop_gradient(active - ops.mean(active, axis=1, keepdims=True))
    return ops.mean(weight * y, axis=1)
