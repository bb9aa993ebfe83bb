"""The networks of Won et al. 2020 (PyTorch), plain and with squeeze-and-excitation, as stages of `SampleCNN`.

PyTorch correlates, as Keras does: kernels (out, in, length) only change their axes. The first convolution
pads one zero on both sides, which is the builder's `input_padding=1`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samplecnn_zoo.zoo.converters.checkpoint import Checkpoint, LayerArrays
from samplecnn_zoo.zoo.converters.state import State, check_sizes
from samplecnn_zoo.zoo.converters.torch_files import read_state_dict
from samplecnn_zoo.zoo.preset import PresetError


def read(file: Path) -> Checkpoint:
    """Read one of Won's state_dicts, of either network.

    Raises:
        PresetError: if it is no whole checkpoint of PyTorch, or its names are not those of the networks.
    """
    state = State(read_state_dict(file))
    count = 0
    while any(f"layer{count + 1}.{name}.weight" in state for name in ("conv", "conv_1")):
        count += 1
    if count < 3:
        raise PresetError(
            f"a SampleCNN of Won et al. has layer1.conv or layer1.conv_1 and more; this file has {state}"
        )
    layers: dict[str, LayerArrays] = {}
    for row in range(1, count + 1):
        stage = f"stage{row}" if row < count else "top"
        layers.update(_stage(state, f"layer{row}.", stage))
    layers.update(_head(state))
    state.check_empty()
    return Checkpoint(layers, _arguments(layers, count))


def _stage(state: State, source: str, stage: str) -> Iterator[tuple[str, LayerArrays]]:
    if f"{source}conv.weight" in state:
        yield f"{stage}_conv", state.conv(f"{source}conv")
        yield f"{stage}_bn", state.batch_norm(f"{source}bn")
        return
    for row in (1, 2):
        yield f"{stage}_conv{row}", state.conv(f"{source}conv_{row}")
        yield f"{stage}_bn{row}", state.batch_norm(f"{source}bn_{row}")
    yield f"{stage}_se_hidden", state.dense(f"{source}dense1")
    yield f"{stage}_se_gate", state.dense(f"{source}dense2")
    if f"{source}conv_3.weight" in state:
        yield f"{stage}_shortcut_conv", state.conv(f"{source}conv_3")
        yield f"{stage}_shortcut_bn", state.batch_norm(f"{source}bn_3")


def _head(state: State) -> Iterator[tuple[str, LayerArrays]]:
    if "dense.weight" in state:
        yield "tags", state.dense("dense")
        return
    yield "head_dense", state.dense("dense1")
    yield "head_bn", state.batch_norm("bn")
    yield "tags", state.dense("dense2")


def _arguments(layers: dict[str, LayerArrays], count: int) -> dict[str, Any]:
    plain = "stage1_conv" in layers
    kernels = [layers[f"stage{row}_conv{'' if plain else 1}"].arrays[0].shape for row in range(1, count)]
    check_sizes(kernels)
    found = {
        "m": [kernel[0] for kernel in kernels],
        "widths": [kernel[2] for kernel in kernels],
        "num_tags": layers["tags"].arrays[1].size,
    }
    return found if plain else found | {"block": "rese_won"}
