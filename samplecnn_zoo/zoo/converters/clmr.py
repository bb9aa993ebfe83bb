"""CLMR's encoder (Spijkervet & Burgoyne 2021; PyTorch, most often Lightning) as stages of `SampleCNN`.

Its last convolution is of size 3 with a zero on both sides, over a single frame: only the middle tap ever
meets a number that is not padding, and that tap is the 1x1 stage. Its classifier, where the file has one,
gives logits; the network that is built gives their sigmoids.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.zoo.converters.checkpoint import Checkpoint, LayerArrays
from samplecnn_zoo.zoo.converters.state import State, check_sizes
from samplecnn_zoo.zoo.converters.torch_files import read_state_dict
from samplecnn_zoo.zoo.preset import PresetError

# The same encoder is in a Lightning file twice: as itself and as the model that learns, or a part of it.
_ENCODER = re.compile(r"(?:model\.)?encoder\.|model\.(?=sequential\.|fc\.)")
# The contrastive learner's own, of no use afterwards.
_PROJECTORS = ("model.projector.", "projector.")


def read(file: Path) -> Checkpoint:
    """Read an encoder of CLMR, with the classifier that the file brings or without.

    Raises:
        PresetError: if it is no whole checkpoint of PyTorch, its names are not those of the network, or it
            holds two encoders that differ.
    """
    state = State(_encoder(read_state_dict(file)))
    count = 0
    while f"sequential.{count}.0.weight" in state:
        count += 1
    if count < 4:
        raise PresetError(f"CLMR's encoder has sequential.0.0.weight and more; this file has {state}")
    layers: dict[str, LayerArrays] = {}
    for row in range(count):
        stage = f"stage{row + 1}" if row < count - 1 else "top"
        layers[f"{stage}_conv"] = state.conv(f"sequential.{row}.0")
        layers[f"{stage}_bn"] = state.batch_norm(f"sequential.{row}.1")
    layers["top_conv"] = _middle_tap(layers["top_conv"])
    # Of the linear evaluation, of a supervised network; the former is trained on the latter's features.
    heads = [state.dense(name) for name in ("model.0", "fc") if f"{name}.weight" in state]
    if heads:
        layers["tags"] = heads[0]
    state.check_empty()
    return Checkpoint(layers, _arguments(layers, count))


def _encoder(stored: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays under the encoder's own names, and the classifier's."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for full_name, array in stored.items():
        name = full_name.removeprefix("module.")
        if name.startswith(_PROJECTORS):
            continue
        found = _ENCODER.match(name)
        name = name[found.end() :] if found else name
        if not np.array_equal(arrays.setdefault(name, array), array):
            raise PresetError(
                f"this file holds two encoders that differ in {name}: it is damaged or not CLMR's"
            )
    return arrays


def _middle_tap(top: LayerArrays) -> LayerArrays:
    kernel, bias = top.arrays
    if kernel.shape[0] != 3:
        raise PresetError(
            f"{top.origin} should be of size 3, it is of {kernel.shape[0]}: another architecture"
        )
    return LayerArrays(top.origin, (kernel[1:2], bias))


def _arguments(layers: Mapping[str, LayerArrays], count: int) -> dict[str, Any]:
    kernels = [layers[f"stage{row}_conv"].arrays[0].shape for row in range(1, count)]
    check_sizes(kernels)
    return {"m": [kernel[0] for kernel in kernels], "widths": [kernel[2] for kernel in kernels]}
