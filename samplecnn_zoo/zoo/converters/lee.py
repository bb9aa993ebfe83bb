"""The networks of Lee et al., Keras 1 on Theano, as stages of `SampleCNN`.

What differs from Keras 3: Theano convolves, so every kernel is turned around in time; kernels are
(length, 1, in, out), in very old files (out, in, length, 1); `running_std` holds the variance; and Theano
pads an even kernel's larger half before, which is the builder's `alignment="theano"`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samplecnn_zoo.zoo.converters.checkpoint import Array, Checkpoint, LayerArrays, check_numbers
from samplecnn_zoo.zoo.converters.keras1 import Keras1Layer, read_keras1
from samplecnn_zoo.zoo.preset import PresetError

_BATCH_NORM = ["gamma", "beta", "running_mean", "running_std"]
# Kind of layer → setting → the values with which it computes what the network here does.
_SETTINGS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "BatchNormalization": {"epsilon": (1e-5,), "mode": (0,), "axis": (-1, 2)},
    "Convolution1D": {"activation": ("linear",)},
    "MaxPooling1D": {"border_mode": ("valid",)},
}


def read(file: Path) -> Checkpoint:
    """Read one of Lee's weight files.

    Raises:
        PresetError: if it is no whole file of Keras 1, or its layers are not pairs of convolution and
            BatchNormalization with one Dense layer at the end.
    """
    stored = read_keras1(file)
    *stages, dense = stored.layers or (None,)
    if dense is None or len(stages) % 2 or len(stages) < 6:
        found = ", ".join(layer.name for layer in stored.layers) or "none"
        raise PresetError(
            "a SampleCNN of Lee et al. has convolutions and BatchNormalizations in turn, then a Dense layer; "
            f"the layers with arrays in this file are: {found}"
        )
    convolutions = list(_convolutions(stages[0::2]))
    names = [f"stage{row}" for row in range(1, len(convolutions))] + ["top"]
    layers = {}
    for name, convolution, norm in zip(names, convolutions, stages[1::2], strict=True):
        layers[f"{name}_conv"] = convolution
        layers[f"{name}_bn"] = _batch_norm(norm)
    layers["tags"] = _dense(dense)
    arguments = _arguments([found.arrays[0].shape for found in convolutions], dense)
    if stored.config is not None:
        _check_config(stored.config, arguments["m"])
    return Checkpoint(layers, arguments)


def check_order(checkpoint: Checkpoint) -> None:
    """Compare the order of the layers with their numbers, which Keras 1 counts up kind by kind.

    Two layers of the same shape that have changed places show in nothing else.

    Raises:
        PresetError: if a number is lower than that of an earlier layer of its kind.
    """
    last: dict[str, tuple[int, str]] = {}
    for layer in checkpoint.layers.values():
        kind, _, number = layer.origin.rpartition("_")
        if not number.isdecimal():
            continue
        before, name = last.get(kind, (-1, ""))
        if int(number) < before:
            raise PresetError(f"layer {name} stands before {layer.origin}: layers are swapped")
        last[kind] = (int(number), layer.origin)


def _convolutions(layers: Sequence[Keras1Layer]) -> Iterator[LayerArrays]:
    channels = 1
    for layer in layers:
        _require(layer, ["W", "b"], ndim=4)
        kernel = kernel_from_theano(layer.name, check_numbers(f"{layer.name}_W", layer.arrays["W"]), channels)
        channels = kernel.shape[2]
        yield LayerArrays(layer.name, (kernel, check_numbers(f"{layer.name}_b", layer.arrays["b"])))


def kernel_from_theano(name: str, stored: Array, channels: int) -> Array:
    """Return the (length, in, out) kernel of Keras 3 that correlates as Theano convolves with `stored`.

    Raises:
        PresetError: if `stored` has neither layout for `channels` in.
    """
    if stored.shape[1] == 1 and stored.shape[2] == channels:
        kernel = stored[:, 0]
    elif stored.shape[3] == 1 and stored.shape[1] == channels:  # before Keras 1.0: (out, in, length, 1)
        kernel = stored[:, :, :, 0].transpose(2, 1, 0)
    else:
        raise PresetError(
            f"{name}_W has the shape {stored.shape}: it is no kernel over the {channels} channels below it, "
            f"(length, 1, {channels}, out); layers are swapped or of another architecture"
        )
    return np.ascontiguousarray(kernel[::-1])


def _batch_norm(layer: Keras1Layer) -> LayerArrays:
    _require(layer, _BATCH_NORM, ndim=1)
    arrays = [
        # The name is misleading: Keras 1 updates and uses it as the variance.
        check_numbers(f"{layer.name}_{role}", layer.arrays[role], variance=role == "running_std")
        for role in _BATCH_NORM
    ]
    return LayerArrays(layer.name, tuple(arrays))


def _dense(layer: Keras1Layer) -> LayerArrays:
    _require(layer, ["W", "b"], ndim=2)
    return LayerArrays(
        layer.name, tuple(check_numbers(f"{layer.name}_{role}", layer.arrays[role]) for role in ("W", "b"))
    )


def _require(layer: Keras1Layer, roles: list[str], *, ndim: int) -> None:
    if list(layer.arrays) != roles or layer.arrays[roles[0]].ndim != ndim:
        found = ", ".join(f"{role} {array.shape}" for role, array in layer.arrays.items())
        raise PresetError(
            f"layer {layer.name} should hold {', '.join(roles)} with {ndim} axes, it holds {found}: "
            "layers are swapped or of another architecture"
        )


def _arguments(kernels: Sequence[tuple[int, ...]], dense: Keras1Layer) -> dict[str, Any]:
    """Return what the arrays say of the network: a module pools by the size of its kernel."""
    *stages, top = kernels
    if top[0] != 1:
        raise PresetError(
            f"the last convolution should be of size 1, it is of {top[0]}: another architecture"
        )
    widths = [shape[2] for shape in stages]
    if top[2] != widths[-1]:
        raise PresetError(
            f"the 1x1 convolution has {top[2]} channels over {widths[-1]}: another architecture"
        )
    return {"m": [shape[0] for shape in stages], "widths": widths, "num_tags": dense.arrays["b"].size}


def _check_config(config: Mapping[str, Any], sizes: Sequence[int]) -> None:
    """Compare what the file's own configuration states with the network that is built."""
    try:
        inner = config["config"]
        layers = inner["layers"] if isinstance(inner, dict) else inner
        stated = [(layer["class_name"], layer["config"]) for layer in layers]
        _check_settings(stated, len(sizes) + 1)
        kernels = [part["filter_length"] for kind, part in stated if kind == "Convolution1D"]
        pools = [part["pool_length"] for kind, part in stated if kind == "MaxPooling1D"]
        stride = next(part["subsample_length"] for kind, part in stated if kind == "Convolution1D")
    except (KeyError, TypeError, StopIteration) as error:
        raise PresetError(f"the attribute model_config is not understood ({error!r})") from error
    if [stride, *pools] != list(sizes) or kernels != [*sizes, 1]:
        raise PresetError(
            f"the attribute model_config states kernels of {kernels}, a stride of {stride} and pools of "
            f"{pools}; a SampleCNN with these arrays has a stride and pools of {list(sizes)}"
        )


def _check_settings(stated: Sequence[tuple[str, Mapping[str, Any]]], stages: int) -> None:
    """Refuse a setting that no array shows: with another one the network gives other numbers."""
    for kind, part in stated:
        for name, known in _SETTINGS.get(kind, {}).items():
            if part[name] not in known:
                raise PresetError(
                    f"the attribute model_config states {name} {part[name]!r} of a {kind}; "
                    f"the networks of Lee et al. have {known[0]!r}"
                )
    borders = [part["border_mode"] for kind, part in stated if kind == "Convolution1D"]
    if borders[:1] != ["valid"] or set(borders[1:-1]) - {"same"}:
        raise PresetError(
            f"the attribute model_config states border modes {borders}; the networks of Lee et al. have "
            "'valid' in the first convolution and 'same' in the others"
        )
    found = [part["activation"] for kind, part in stated if kind in ("Activation", "Dense")]
    found = [name for name in found if name != "linear"]
    if found != [*["relu"] * stages, "sigmoid"]:
        raise PresetError(
            f"the attribute model_config states the activations {', '.join(found)}; "
            f"the networks of Lee et al. have relu {stages} times and sigmoid"
        )
