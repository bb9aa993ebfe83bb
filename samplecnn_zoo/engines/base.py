"""What every engine does: segments in, scores and features out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.models.names import level_layers

Segments = npt.NDArray[np.float32]
Features = dict[str, npt.NDArray[np.float32]]


class UnsupportedLayerError(ValueError):
    """A layer, or an option of one, that the OpenVINO engine does not write; the Keras engine runs it."""


class Engine(Protocol):
    """A network that runs; `levels` are those that it gives beside the scores."""

    name: str
    levels: tuple[int, ...]

    def __call__(self, batch: Segments) -> Features:
        """Return `scores` (batch, tags) and, a level, `level_-1` … (batch, channels): its maximum in time.

        Args:
            batch: normalized segments, (batch, segment_samples, 1); may be called from several threads.
        """


def available_levels(layer_names: Sequence[str]) -> tuple[int, ...]:
    """Return the levels of a network, the highest (-1) first; none when its layers have no stage names."""
    try:
        return tuple(level_layers(layer_names))
    except ValueError:
        return ()


def level_outputs(layer_names: Sequence[str], levels: Sequence[int]) -> dict[str, str]:
    """Return `level_-1`, … → the name of the layer that gives it.

    Raises:
        ValueError: if the network has no such level.
    """
    if not levels:
        return {}
    known = level_layers(layer_names)
    unknown = [level for level in levels if level not in known]
    if unknown:
        raise ValueError(f"the network has levels {min(known)} to -1, not {unknown}")
    return {f"level_{level}": known[level] for level in levels}
