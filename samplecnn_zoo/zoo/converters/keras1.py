"""Weight files of Keras 1, `save_weights` or `save`: layers and arrays in the order of the attributes."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from samplecnn_zoo.zoo.preset import PresetError

# What h5py raises for files that are cut off or have a bit flipped.
_DAMAGED = (
    OSError,
    RuntimeError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    MemoryError,
)


_PATIENCE_S = 300
"""Files of this kind are read in less than a second; a loaded machine may take some to start Python."""


@dataclass(frozen=True)
class Keras1Layer:
    """A layer that has arrays, by what they are: `W` and `b`, or `gamma`, `beta`, `running_mean`, …."""

    name: str
    arrays: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Keras1File:
    """The layers with arrays, first to last, and the network's configuration where the file holds one."""

    layers: tuple[Keras1Layer, ...]
    config: Mapping[str, Any] | None


# Reads everything; whatever it raises, reading for real will raise it too.
_WALK = """
import sys, h5py

def visit(name, item):
    dict(item.attrs)
    if isinstance(item, h5py.Dataset) and item.nbytes < 2**30:
        item[()]

try:
    with h5py.File(sys.argv[1], "r") as file:
        dict(file.attrs)
        file.visititems(visit)
except Exception:
    pass
"""


def try_apart(file: Path) -> None:
    """Read a file that nobody vouches for in a process of its own: damage can take the HDF5 library down.

    Raises:
        PresetError: if that process did not survive.
    """
    if not sys.executable:  # Python inside of another program
        return
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _WALK, str(file)], capture_output=True, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired as error:
        raise PresetError(f"reading it does not end within {_PATIENCE_S} s: it is damaged") from error
    if done.returncode not in (0, 1):  # 1: this Python has no h5py, which shows right below
        raise PresetError(
            f"reading it takes the HDF5 library down (exit {done.returncode}): it is damaged; fetch it again"
        )


def read_keras1(file: Path) -> Keras1File:
    """Read a file of Keras 1; links that leave it are not followed.

    Raises:
        PresetError: if it is no whole HDF5 file, was not written by Keras 1, or its attributes and its
            contents do not tell the same.
    """
    try:
        with h5py.File(file, "r") as opened:
            return _read(opened)
    except PresetError:
        raise
    except _DAMAGED as error:
        raise PresetError(f"this is no whole HDF5 file ({error}); fetch it again") from error


def _read(file: h5py.File) -> Keras1File:
    _check_version(file)
    root = file
    if "layer_names" not in file.attrs:  # written by model.save or ModelCheckpoint
        if _link(file, "model_weights") is not h5py.Group:
            raise PresetError(
                "this HDF5 file was not written by Keras 1: it has neither the attribute layer_names nor a "
                "group model_weights"
            )
        root = file["model_weights"]
    names = _names(root, "layer_names")
    strangers = sorted(set(root) - set(names))
    if strangers:
        raise PresetError(f"group {strangers[0]!r} is not in the attribute layer_names: layers are renamed")
    layers = [_layer(root, name) for name in names]
    return Keras1File(tuple(layer for layer in layers if layer.arrays), _config(file))


def _check_version(file: h5py.File) -> None:
    version = _text(file.attrs.get("keras_version", "1"))
    if "backend" in file.attrs or version.partition(".")[0] != "1":
        raise PresetError(
            f"this file was written by Keras {version}, whose layout is another one; Keras 1 is read"
        )


def _config(file: h5py.File) -> Mapping[str, Any] | None:
    if "model_config" not in file.attrs:
        return None
    try:
        config: object = json.loads(_text(file.attrs["model_config"]))
    except ValueError as error:
        raise PresetError(f"the attribute model_config is no JSON ({error}); fetch the file again") from error
    if not isinstance(config, dict):
        raise PresetError(f"the attribute model_config is {config!s:.40}, not a network's configuration")
    return config


def _layer(root: h5py.Group, name: str) -> Keras1Layer:
    if _link(root, name) is not h5py.Group:
        raise PresetError(
            f"the attribute layer_names has {name!r}, but there is no such group: it is renamed"
        )
    group = root[name]
    names = _names(group, "weight_names")
    if set(names) != set(group):
        raise PresetError(
            f"the attribute weight_names of {name} lists {names}, the group holds {sorted(group)}: "
            "arrays are renamed or lost"
        )
    return Keras1Layer(name, {_role(name, weight): _array(group, weight) for weight in names})


def _role(layer: str, weight: str) -> str:
    role = weight.removeprefix(f"{layer}_")
    if role == weight:
        raise PresetError(
            f"array {weight!r} is in the group of layer {layer!r}: layers are renamed or swapped"
        )
    return role


def _array(group: h5py.Group, name: str) -> npt.NDArray[Any]:
    if _link(group, name) is not h5py.Dataset:
        raise PresetError(f"{group.name}/{name} is no array in this file")
    dataset = group[name]
    if dataset.is_virtual or dataset.external or not isinstance(dataset.dtype, np.dtype):
        raise PresetError(f"{group.name}/{name} points outside the file")
    if not dataset.shape or dataset.dtype.kind != "f":
        raise PresetError(f"{group.name}/{name} holds no array of floating-point numbers")
    if dataset.nbytes > 100 * dataset.id.get_storage_size():  # a few stored bytes that ask for all the memory
        raise PresetError(f"{group.name}/{name} is announced but not stored: the file is incomplete")
    array: npt.NDArray[Any] = dataset[()]
    return array


def _link(group: h5py.Group, name: str) -> type | None:
    """Return what `name` is in this very file, or None."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        return None
    kind: type | None = group.get(name, getclass=True)
    return kind


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Return the names in an attribute; a layer without arrays has an empty list of numbers there."""
    if attribute not in group.attrs:
        raise PresetError(f"{group.name} has no attribute {attribute}, which gives the order: not of Keras 1")
    names = [_text(value) for value in np.atleast_1d(group.attrs[attribute])]
    if len(set(names)) != len(names):
        raise PresetError(f"the attribute {attribute} of {group.name} names something twice")
    return names


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
