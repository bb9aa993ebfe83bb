"""A network of stock layers as an OpenVINO graph: one walk over its layers, BatchNormalization folded."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from samplecnn_zoo.engines.openvino_layers import Call, affine, number, write_layer
from samplecnn_zoo.engines.openvino_runtime import Node, op, ov
from samplecnn_zoo.zoo.network import Network
from samplecnn_zoo.zoo.weights import Arrays


def write_graph(
    network: Network,
    weights: Mapping[str, Arrays],
    segment_samples: int,
    levels: Mapping[str, str],
    *,
    pooling: str = "max",
) -> Any:
    """Return an openvino.Model from (batch, 1, segment_samples) to `scores` and the pooled `levels`.

    Args:
        network: what to write.
        weights: the arrays of each layer that has any.
        segment_samples: length of a segment.
        levels: name of an output (batch, channels) → the layer that is pooled over time for it.
        pooling: "max" or "mean".

    Raises:
        UnsupportedLayerError: if a layer or an option of one is unknown here.
        PresetError: if a layer's arrays do not fit its configuration.
    """
    folds = _foldable(network, keep={network.output, *levels.values()})
    source = op.parameter([-1, 1, segment_samples], ov.Type.f32, name="segments")
    tensors: dict[str, Node] = {network.input: source}
    for layer in network.layers:
        if layer.name == network.input:
            continue
        inputs = tuple(tensors[o] if isinstance(o, str) else number(o) for o in layer.operands)
        if layer.name in folds.values():
            tensors[layer.name] = inputs[0]
            continue
        norm = folds.get(layer.name)
        folded = affine(Call(network.layer(norm), weights.get(norm, ()), ())) if norm else None
        tensors[layer.name] = write_layer(Call(layer, weights.get(layer.name, ()), inputs, folded))
    results = {"scores": tensors[network.output]}
    reduce = op.reduce_max if pooling == "max" else op.reduce_mean
    results |= {output: reduce(tensors[layer], [2], False) for output, layer in levels.items()}
    return ov.Model([_result(node, name) for name, node in results.items()], [source], "samplecnn")


def _result(node: Node, name: str) -> Node:
    result = op.result(node)
    result.output(0).set_names({name})
    return result


def _foldable(network: Network, keep: set[str]) -> dict[str, str]:
    """Return convolution → the BatchNormalization that alone takes its output."""
    uses = Counter(name for layer in network.layers for name in layer.inputs)
    folds: dict[str, str] = {}
    for layer in network.layers:
        if layer.is_layer and layer.kind == "BatchNormalization":
            source = network.layer(layer.inputs[0])
            linear = source.kind == "Conv1D" and source.config.get("activation", "linear") == "linear"
            if linear and uses[source.name] == 1 and source.name not in keep:
                folds[source.name] = layer.name
    return folds
