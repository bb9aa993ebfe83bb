"""What every engine does: segments in, scores and features out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.models.names import level_layers, stage_layers

Segments = npt.NDArray[np.float32]
Features = dict[str, npt.NDArray[np.float32]]
Level = int | str
"""A level, -1 the highest, or the name of a stage: `stage8`, `top`."""


class UnsupportedLayerError(ValueError):
    """A layer, or an option of one, that the OpenVINO engine does not write; the Keras engine runs it."""


class Engine(Protocol):
    """A network that runs; `levels` are those that it gives beside the scores."""

    name: str
    levels: tuple[Level, ...]

    def __call__(self, batch: Segments) -> Features:
        """Return `scores` (batch, tags) and, a level, `level_-1` … (batch, channels), pooled over time.

        Args:
            batch: normalized segments, (batch, segment_samples, 1); may be called from several threads.
        """


def available_levels(layer_names: Sequence[str]) -> tuple[int, ...]:
    """Return the levels of a network, the highest (-1) first; none when its layers have no stage names."""
    try:
        return tuple(level_layers(layer_names))
    except ValueError:
        return ()


def level_outputs(layer_names: Sequence[str], levels: Sequence[Level]) -> dict[str, str]:
    """Return `level_-1`, `level_stage8`, … → the name of the layer that gives it.

    Raises:
        ValueError: if the network has no such level or stage.
    """
    if not levels:
        return {}
    numbers, stages = level_layers(layer_names), stage_layers(layer_names)
    unknown = [level for level in levels if level not in numbers and level not in stages]
    if unknown:
        raise ValueError(
            f"the network has levels {min(numbers)} to -1, not {unknown}; its stages are {', '.join(stages)}"
        )
    known = {str(level): layer for level, layer in (*numbers.items(), *stages.items())}
    return {f"level_{level}": known[str(level)] for level in levels}
