"""Every layer and operation that the OpenVINO engine knows, as a small function from tensors to a tensor.

A tensor that Keras holds as (batch, time, channels) is (batch, channels, time) here; one of (batch, features)
is the same on both sides. A BatchNormalization right after a Conv1D goes into that convolution's weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.engines.base import UnsupportedLayerError
from samplecnn_zoo.engines.openvino_runtime import Node, op, ov
from samplecnn_zoo.zoo.network import LayerRecord
from samplecnn_zoo.zoo.preset import PresetError
from samplecnn_zoo.zoo.weights import Arrays

Array = npt.NDArray[np.float32]
Affine = tuple[Array, Array]


@dataclass(frozen=True)
class Call:
    """What a layer's writer gets: the record, its arrays, its input tensors, the normalization to fold in."""

    layer: LayerRecord
    arrays: Arrays
    inputs: tuple[Node, ...]
    folded: Affine | None = None

    @property
    def input(self) -> Node:
        """The only input tensor.

        Raises:
            UnsupportedLayerError: if the layer takes another number of them.
        """
        if len(self.inputs) != 1:
            raise self.unsupported(f"takes {len(self.inputs)} tensors")
        return self.inputs[0]

    def require(self, option: str, *allowed: object) -> None:
        """Refuse an option that the graph would not honour.

        Raises:
            UnsupportedLayerError: if the layer's `option` is set and none of `allowed`.
        """
        value = self.layer.config.get(option, allowed[0])
        if value not in allowed:
            raise self.unsupported(f"has {option}={value!r}")

    def unsupported(self, what: str) -> UnsupportedLayerError:
        """Return the error that names this layer."""
        return UnsupportedLayerError(
            f"layer {self.layer.name!r} ({self.layer.kind}) {what}, which the OpenVINO engine does not do; "
            "use engine='keras'"
        )

    def take(self, *shapes: tuple[int, ...]) -> Arrays:
        """Return the layer's arrays.

        Raises:
            PresetError: if their shapes are not `shapes`.
        """
        found = [array.shape for array in self.arrays]
        if found != list(shapes):
            raise PresetError(
                f"layer {self.layer.name!r} needs arrays of shapes {list(shapes)}, its weights are {found}"
            )
        return self.arrays


def number(value: float) -> Node:
    """Return a constant that goes with a tensor of any shape."""
    return op.constant(np.float32(value))


def write_layer(call: Call) -> Node:
    """Write a layer, or an operation of keras.ops, and return the tensor that it gives.

    Raises:
        UnsupportedLayerError: if its kind, an option or the way it is called is unknown here.
        PresetError: if its arrays do not fit its configuration.
    """
    if not call.layer.is_layer:
        return _operation(call)
    if call.layer.kind not in _WRITERS:
        raise call.unsupported("is of a kind")
    _check_options(call)
    return _WRITERS[call.layer.kind](call)


def _check_options(call: Call) -> None:
    """Refuse what a layer of any kind may be told and the graph would not honour."""
    layer = call.layer
    policy = layer.config.get("dtype", "float32")
    name = policy["config"].get("name") if isinstance(policy, dict) else policy
    if name != "float32":
        raise call.unsupported(f"computes in {name}")
    if {name: value for name, value in layer.options.items() if (name, value) != ("training", False)}:
        raise call.unsupported(f"is called with {dict(layer.options)}")
    if len(layer.inputs) != len(layer.operands):
        raise call.unsupported("is called with numbers")
    call.require("data_format", "channels_last", None)


def _operation(call: Call) -> Node:
    """Write an operation of keras.ops on each element alone, so that the layout does not matter."""
    writer = _OPERATIONS.get((call.layer.kind, len(call.inputs)))
    if writer is None or call.layer.options:
        raise call.unsupported("is an operation")
    if len({_rank(node) for node in call.inputs} - {0}) > 1:
        raise call.unsupported("takes tensors of different ranks")
    return writer(*call.inputs)


def _conv1d(call: Call) -> Node:
    config, channels = call.layer.config, _channels(call.input)
    call.require("groups", 1)
    (size,), filters = config["kernel_size"], config["filters"]
    kernel, *bias = call.take((size, channels, filters), *[(filters,)] * bool(config["use_bias"]))
    offset = bias[0] if bias else np.zeros(filters, np.float32)
    if call.folded is not None:
        scale, shift = call.folded
        kernel, offset = kernel * scale, offset * scale + shift
    node = op.convolution(
        call.input,
        op.constant(np.ascontiguousarray(kernel.transpose(2, 1, 0))),  # (filters, channels, size)
        config["strides"],
        *_padding(call, (size - 1) * config["dilation_rate"][0]),
        config["dilation_rate"],
        **_auto_pad(call),
    )
    return _activation(call, op.add(node, op.constant(offset[None, :, None])))


def _padding(call: Call, reach: int) -> tuple[list[int], list[int]]:
    """Return the zeros before and after: `reach` before for 'causal', else none or what _auto_pad finds."""
    return ([reach] if call.layer.config["padding"] == "causal" else [0]), [0]


def _auto_pad(call: Call) -> dict[str, str]:
    """OpenVINO's same_upper is TensorFlow's 'same': the odd zero goes to the end."""
    return {"auto_pad": "same_upper" if call.layer.config["padding"] == "same" else "explicit"}


def _dense(call: Call) -> Node:
    config, channels = call.layer.config, _channels(call.input)
    call.require("quantization_config", None)
    units = config["units"]
    kernel, *bias = call.take((channels, units), *[(units,)] * bool(config["use_bias"]))
    offset = bias[0] if bias else np.zeros(units, np.float32)
    if _rank(call.input) == 2:
        node = op.add(op.matmul(call.input, op.constant(kernel), False, False), op.constant(offset[None]))
    else:  # at every time step, which is a convolution of size 1
        weights = op.constant(np.ascontiguousarray(kernel.T)[:, :, None])
        node = op.convolution(call.input, weights, [1], [0], [0], [1])
        node = op.add(node, op.constant(offset[None, :, None]))
    return _activation(call, node)


def _batch_norm(call: Call) -> Node:
    axes = (1, _channels(call.input)) + (1,) * (_rank(call.input) - 2)
    scale, shift = (op.constant(array.reshape(axes)) for array in affine(call))
    return op.add(op.multiply(call.input, scale), shift)


def affine(call: Call) -> Affine:
    """Return scale and shift, each (channels,), of a BatchNormalization with its final statistics.

    Raises:
        UnsupportedLayerError: if an option is unknown here.
        PresetError: if its arrays do not fit its configuration.
    """
    _check_options(call)
    config = call.layer.config
    call.require("axis", -1, [-1])
    call.require("renorm", False)
    channels = call.arrays[0].shape if call.arrays else ()
    arrays = list(call.take(*[channels] * (2 + bool(config["scale"]) + bool(config["center"]))))
    gamma = arrays.pop(0).astype(np.float64) if config["scale"] else 1.0
    beta = arrays.pop(0) if config["center"] else 0.0
    mean, variance = arrays
    scale = gamma / np.sqrt(variance.astype(np.float64) + config["epsilon"])
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _normalization(call: Call) -> Node:
    """Write a Normalization that states one mean and one variance, which is what the mel front end has."""
    config = call.layer.config
    call.require("axis", [], None)
    call.require("invert", False)
    mean, variance = config.get("mean"), config.get("variance")
    if not isinstance(mean, (int, float)) or not isinstance(variance, (int, float)):
        raise call.unsupported("has no single stated mean and variance")
    call.take()
    std = max(float(np.sqrt(variance)), 1e-7)  # as Keras keeps it off zero
    return op.divide(op.subtract(call.input, number(mean)), number(std))


def _relu(call: Call) -> Node:
    call.require("max_value", None)
    call.require("negative_slope", 0.0)
    call.require("threshold", 0.0)
    return op.relu(call.input)


_ACTIVATIONS: dict[str, Callable[[Node], Node]] = {
    "linear": lambda node: node,
    "relu": op.relu,
    "sigmoid": op.sigmoid,
    "tanh": op.tanh,
    "softmax": lambda node: op.softmax(node, 1),  # the channels, whatever the rank
}


def _activation(call: Call, node: Node) -> Node:
    call.require("activation", *_ACTIVATIONS)
    return _ACTIVATIONS[call.layer.config.get("activation", "linear")](node)


def _max_pooling(call: Call) -> Node:
    size, strides = call.layer.config["pool_size"], call.layer.config["strides"]
    return op.max_pool(
        call.input, strides, [1], [0], [0], size, index_element_type="i64", **_auto_pad(call)
    ).output(0)


def _average_pooling(call: Call) -> Node:
    size, strides = call.layer.config["pool_size"], call.layer.config["strides"]
    return op.avg_pool(call.input, strides, [0], [0], size, exclude_pad=True, **_auto_pad(call))


def _global_max(call: Call) -> Node:
    return op.reduce_max(call.input, [2], bool(call.layer.config.get("keepdims", False)))


def _global_average(call: Call) -> Node:
    return op.reduce_mean(call.input, [2], bool(call.layer.config.get("keepdims", False)))


def _zero_padding(call: Call) -> Node:
    before, after = call.layer.config["padding"]
    return op.pad(call.input, [0, 0, before], [0, 0, after], "constant", op.constant(np.float32(0)))


def _flatten(call: Call) -> Node:
    if _rank(call.input) == 2:
        return call.input
    return op.reshape(_channels_last(call.input), [0, -1], True)


def _reshape(call: Call) -> Node:
    target = list(call.layer.config["target_shape"])
    if len(target) not in (1, 2):
        raise call.unsupported(f"gives {len(target)} axes")
    node = op.reshape(_channels_last(call.input), [0, *target], True)
    return node if len(target) == 1 else op.transpose(node, [0, 2, 1])


def _channels_last(node: Node) -> Node:
    """Return a tensor as Keras lays it out, which is what Flatten and Reshape count in."""
    return node if _rank(node) == 2 else op.transpose(node, [0, 2, 1])


def _merge(combine: Callable[[Node, Node], Node]) -> Callable[[Call], Node]:
    def write(call: Call) -> Node:
        if len({_rank(node) for node in call.inputs}) > 1:
            raise call.unsupported("takes tensors of different ranks")
        first, *others = call.inputs
        for other in others:
            first = combine(first, other)
        return first

    return write


def _concatenate(call: Call) -> Node:
    rank = _rank(call.inputs[0])
    axis = call.layer.config.get("axis", -1) % rank
    call.require("axis", -1, rank - 1, 1)
    return op.concat(list(call.inputs), 1 if axis == rank - 1 else 2)


def _identity(call: Call) -> Node:
    return call.input


def _rank(node: Node) -> int:
    return len(_shape(node))


def _channels(node: Node) -> int:
    channels: int = _shape(node)[1].get_length()
    return channels


def _shape(node: Node) -> Any:
    return (node if isinstance(node, ov.Output) else node.output(0)).get_partial_shape()


_WRITERS: dict[str, Callable[[Call], Node]] = {
    "Activation": lambda call: _activation(call, call.input),
    "Add": _merge(op.add),
    "AveragePooling1D": _average_pooling,
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenate,
    "Conv1D": _conv1d,
    "Dense": _dense,
    "Dropout": _identity,
    "Flatten": _flatten,
    "GlobalAveragePooling1D": _global_average,
    "GlobalMaxPooling1D": _global_max,
    "MaxPooling1D": _max_pooling,
    "Multiply": _merge(op.multiply),
    "Normalization": _normalization,
    "ReLU": _relu,
    "Reshape": _reshape,
    "SpatialDropout1D": _identity,
    "ZeroPadding1D": _zero_padding,
}

_OPERATIONS: dict[tuple[str, int], Callable[..., Node]] = {
    ("Absolute", 1): op.absolute,
    ("Add", 2): op.add,
    ("Divide", 2): op.divide,
    ("Log1p", 1): lambda node: op.log(op.add(node, number(1.0))),
    ("Maximum", 2): op.maximum,
    ("Minimum", 2): op.minimum,
    ("Multiply", 2): op.multiply,
    ("Sqrt", 1): op.sqrt,
    ("Square", 1): lambda node: op.multiply(node, node),
    ("Subtract", 2): op.subtract,
    ("TrueDivide", 2): op.divide,
}
"""keras.ops by class and number of operands."""
