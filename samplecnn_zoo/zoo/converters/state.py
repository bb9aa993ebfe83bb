"""A state_dict of PyTorch, taken apart layer by layer into what Keras 3 wants."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.zoo.converters.checkpoint import Array, LayerArrays, check_numbers
from samplecnn_zoo.zoo.preset import PresetError


class State:
    """Arrays by name, each of which is taken once."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._left = dict(arrays)
        self._names = list(arrays)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def __str__(self) -> str:
        return f"{', '.join(self._names[:5])}, … ({len(self._names)} names)"

    def conv(self, name: str) -> LayerArrays:
        """Take a Conv1d, (out, in, length) → (length, in, out)."""
        kernel = self._take(f"{name}.weight", 3).transpose(2, 1, 0)
        return self._layer(name, np.ascontiguousarray(kernel), self._take(f"{name}.bias", 1))

    def dense(self, name: str) -> LayerArrays:
        """Take a Linear, (out, in) → (in, out)."""
        kernel = self._take(f"{name}.weight", 2).transpose()
        return self._layer(name, np.ascontiguousarray(kernel), self._take(f"{name}.bias", 1))

    def batch_norm(self, name: str) -> LayerArrays:
        """Take a BatchNorm1d: weight, bias, running_mean, running_var; its count of batches is let go."""
        roles = ("weight", "bias", "running_mean", "running_var")
        arrays = [self._take(f"{name}.{role}", 1, variance=role == "running_var") for role in roles]
        self._left.pop(f"{name}.num_batches_tracked", None)  # PyTorch before 0.4.1 had none
        return self._layer(name, *arrays)

    def check_empty(self) -> None:
        """Refuse arrays that nobody took.

        Raises:
            PresetError: if there are any.
        """
        if self._left:
            raise PresetError(
                f"this is a checkpoint of another architecture: {next(iter(self._left))} and "
                f"{len(self._left) - 1} more have no place in it"
            )

    def _take(self, name: str, ndim: int, *, variance: bool = False) -> Array:
        if name not in self._left:
            raise PresetError(
                f"{name} is missing: the checkpoint is incomplete, renamed or of another architecture"
            )
        array = self._left.pop(name)
        if array.ndim != ndim:
            raise PresetError(f"{name} has the shape {array.shape}, not {ndim} axes: another architecture")
        return check_numbers(name, array, variance=variance)

    def _layer(self, name: str, *arrays: Array) -> LayerArrays:
        return LayerArrays(name, arrays)


def check_sizes(kernels: Sequence[tuple[int, ...]]) -> None:
    """Refuse filters of another size than the published 3, by the (length, in, out) shapes of all stages.

    The authors' code pads both sides alike and names the pools apart, so with other sizes the arrays do not
    tell what is computed.

    Raises:
        PresetError: if there are any.
    """
    sizes = [shape[0] for shape in kernels]
    if set(sizes) != {3}:
        raise PresetError(
            f"networks of this code are read with filters of size 3, this file has the sizes {sizes}: how "
            "they pad and pool is not in the arrays"
        )
