"""What every reader of a published file gives, and the one place where its arrays enter a network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.zoo.preset import PresetError

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[np.float32]

LARGEST_WEIGHT = 1e6
"""No weight of a trained network is near it; one whose exponent lost a bit is far beyond."""


@dataclass(frozen=True)
class LayerArrays:
    """The arrays of one layer as Keras 3 wants them, and what they are called in the file."""

    origin: str
    arrays: tuple[Array, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A published file, read and checked.

    Attributes:
        layers: name of a layer of the network → its arrays.
        arguments: keywords of the builder that the arrays show: sizes, widths, outputs.
    """

    layers: Mapping[str, LayerArrays]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Scores that the network gives; 0 for an encoder."""
        head = self.layers.get("tags")
        return head.arrays[1].size if head else 0


def check_numbers(what: str, array: npt.NDArray[Any], *, variance: bool = False) -> Array:
    """Return `array` as float32.

    Raises:
        PresetError: if it is not floating-point, holds a number that no trained network has (not finite,
            or above `LARGEST_WEIGHT`), or a variance below zero.
    """
    if array.dtype.kind != "f":
        raise PresetError(f"{what} holds {array.dtype} numbers, not floating-point")
    with np.errstate(over="ignore"):  # of float64: infinite is refused below
        numbers = np.ascontiguousarray(array, dtype=np.float32)
    peak = np.abs(numbers).max(initial=0.0)
    if not peak <= LARGEST_WEIGHT:
        raise PresetError(f"{what} holds numbers up to {peak:g}: the file is damaged; fetch it again")
    if variance and numbers.min(initial=0.0) < 0:
        raise PresetError(f"{what} is a variance and holds {numbers.min():g}: the file is damaged or swapped")
    return numbers


def assign(model: "keras.Model", checkpoint: Checkpoint, name: str) -> None:
    """Put the arrays into the layers that they belong to, every one of them and nothing else.

    Raises:
        PresetError: if a layer of the network of `name` is missing in the file, the file has one more, or
            the shapes of its arrays are others.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    missing = [layer for layer in layers if layer not in checkpoint.layers]
    extra = [found.origin for layer, found in checkpoint.layers.items() if layer not in layers]
    if missing or extra:
        what = f"nothing for {missing[0]}" if missing else f"{extra[0]}, which has no place in it"
        raise PresetError(_another(name, f"it has {what}"))
    for layer_name, layer in layers.items():
        found = checkpoint.layers[layer_name]
        shapes = [array.shape for array in found.arrays]
        wanted = [tuple(variable.shape) for variable in layer.weights]
        if shapes != wanted:
            raise PresetError(
                _another(name, f"{found.origin} has the shapes {shapes}, {layer_name} needs {wanted}")
            )
        layer.set_weights(found.arrays)


def _another(name: str, what: str) -> str:
    return (
        f"this is a checkpoint of another architecture than {name}: {what}. If it is one of the same "
        f"code with other sizes, convert it with --like {name} (convert_like)"
    )
