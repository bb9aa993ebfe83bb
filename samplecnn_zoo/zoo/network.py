"""The network that a config.json describes, read without Keras: layers, links and the places of weights."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from samplecnn_zoo.zoo.preset import PresetError

_LAYERS_MODULE = "keras.layers"
# Stock layers that hold code, other frameworks' models, or read files that their configuration names.
_NOT_PLAIN = {
    *("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
    *("StringLookup", "IntegerLookup", "TextVectorization"),
}
_CODE = {"__lambda__", "__bytes__", "__callable__", "function"}


@dataclass(frozen=True)
class LayerRecord:
    """One call of one stock layer (or of a `keras.ops` operation) in a functional model.

    `operands` are what it takes in order, tensors by the names of their layers; `options` are the keyword
    arguments of the call that are not None.
    """

    name: str
    kind: str
    module: str
    config: Mapping[str, Any]
    operands: tuple[str | float, ...]
    options: Mapping[str, Any]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers whose outputs it takes."""
        return tuple(operand for operand in self.operands if isinstance(operand, str))

    @property
    def is_layer(self) -> bool:
        """True for a stock layer, False for a bare `keras.ops` operation, which holds no weights."""
        return self.module == _LAYERS_MODULE


@dataclass(frozen=True)
class Network:
    """A functional model with one input and one output, its layers in the order of config.json."""

    layers: tuple[LayerRecord, ...]
    input: str
    output: str

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the input with the batch axis first, None where any length goes."""
        shape: list[int | None] = self.layer(self.input).config["batch_shape"]
        return tuple(shape)

    @property
    def output_width(self) -> int | None:
        """Numbers a segment that leave the network, None where only building it tells."""
        layer = self.layer(self.output)
        while layer.kind in ("Activation", "Softmax") and len(layer.inputs) == 1:
            layer = self.layer(layer.inputs[0])
        return layer.config["units"] if layer.kind == "Dense" else None

    def layer(self, name: str) -> LayerRecord:
        """Return the layer called `name`."""
        return next(layer for layer in self.layers if layer.name == name)

    def weight_groups(self) -> dict[str, str]:
        """Return for each layer the group of model.weights.h5 where Keras 3 looks for its arrays.

        Keras counts the layers of a class in the model's order (`layers/conv1d`, `layers/conv1d_1`, …) and
        never looks at names, which is why two swapped layers of one shape would load without a word.
        """
        groups: dict[str, str] = {}
        seen: dict[str, int] = {}
        for layer in self.layers:
            if layer.is_layer:
                stem = _snake_case(layer.kind)
                count = seen.get(stem, 0)
                seen[stem] = count + 1
                groups[layer.name] = f"layers/{stem}_{count}" if count else f"layers/{stem}"
        return groups


def parse_network(config: object) -> Network:
    """Return the network that the parsed config.json describes.

    Raises:
        PresetError: if it is no flat functional Keras 3 model of stock layers with one input and one output.
    """
    if not isinstance(config, dict) or config.get("class_name") != "Functional":
        kind = config.get("class_name") if isinstance(config, dict) else type(config).__name__
        raise PresetError(f"config.json: a functional Keras model is needed, got {kind}")
    try:
        inner = config["config"]
        layers = tuple(_layer(entry) for entry in inner["layers"])
        ends = [_only_end(inner[key], key) for key in ("input_layers", "output_layers")]
    except (KeyError, TypeError, IndexError) as error:
        raise PresetError(f"config.json: this is no Keras 3 configuration ({error!r})") from error
    _check_links(layers, ends)
    return Network(layers=layers, input=ends[0], output=ends[1])


def _layer(entry: Mapping[str, Any]) -> LayerRecord:
    name, module, kind = entry["name"], entry["module"], entry["class_name"]
    stock = module == _LAYERS_MODULE or str(module).startswith("keras.src.ops.")
    if not stock or kind in _NOT_PLAIN:
        raise PresetError(
            f"config.json: layer {name!r} is a {module}.{kind}; "
            "a preset holds stock Keras layers only, without code or files, so that it loads everywhere"
        )
    for stranger in _strangers(entry["config"]):
        raise PresetError(f"config.json: layer {name!r} names {stranger}, which is no part of Keras")
    nodes = entry["inbound_nodes"]
    if len(nodes) > 1:
        raise PresetError(
            f"config.json: layer {name!r} is used {len(nodes)} times; a preset uses each layer once"
        )
    operands: tuple[str | float, ...] = ()
    options: dict[str, Any] = {}
    if nodes:
        operands = tuple(_operands(nodes[0]["args"]))
        options = {key: value for key, value in nodes[0]["kwargs"].items() if value is not None}
    return LayerRecord(name, kind, module, entry["config"], operands, options)


def _strangers(value: object) -> Iterator[str]:
    """Yield what nested configuration would have Keras look up outside of itself, or unpack as code."""
    if isinstance(value, dict):
        module, kind = value.get("module"), value.get("class_name")
        if kind in _CODE:
            yield str(kind)
        elif kind is not None and module is not None and str(module).partition(".")[0] != "keras":
            yield f"{module}.{kind}"
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from _strangers(part)


def _operands(value: object) -> Iterator[str | float]:
    """Yield the layer name of each tensor and each number inside nested call arguments, in order."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value["config"]["keras_history"][0]
    elif isinstance(value, dict):
        for part in value.values():
            yield from _operands(part)
    elif isinstance(value, list):
        for part in value:
            yield from _operands(part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)


def _only_end(value: list[Any], key: str) -> str:
    """Return the one layer of `input_layers` or `output_layers`, written flat or as a list of one."""
    end = value[0] if len(value) == 1 else value
    if len(end) != 3 or not isinstance(end[0], str):
        raise PresetError(f"config.json: a preset has one input and one output, {key} is {value}")
    return end[0]


def _check_links(layers: tuple[LayerRecord, ...], ends: list[str]) -> None:
    names = [layer.name for layer in layers]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise PresetError(f"config.json: several layers are called {', '.join(repeated)}")
    seen: set[str] = set()
    for layer in layers:
        unknown = sorted(set(layer.inputs) - seen)
        if unknown:
            raise PresetError(
                f"config.json: layer {layer.name!r} takes {', '.join(unknown)}, not seen before it"
            )
        seen.add(layer.name)
    if not set(ends) <= seen:
        raise PresetError(f"config.json: its input or output is none of its layers: {', '.join(ends)}")


def _snake_case(name: str) -> str:
    """Spell a class name as Keras does in weight files: MaxPooling1D → max_pooling1d, ReLU → re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
