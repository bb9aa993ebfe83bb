"""Presets by name into Keras models: every array assigned by its layer's name, or an error."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplecnn_zoo.zoo.find import resolve
from samplecnn_zoo.zoo.network import parse_network
from samplecnn_zoo.zoo.preset import PresetError
from samplecnn_zoo.zoo.stored import StoredPreset, check_model, check_output, read_directory
from samplecnn_zoo.zoo.weights import Arrays

if TYPE_CHECKING:
    import keras

__all__ = ["StoredPreset", "build_model", "check_model", "check_output", "load_pretrained", "read_stored"]


def read_stored(name_or_path: str | Path, *, revision: str | None = None) -> StoredPreset:
    """Find a preset, read and check it, without Keras.

    Raises:
        PresetError: if there is no such preset, or as `read_directory`.
    """
    return read_directory(resolve(name_or_path, revision=revision))


def load_pretrained(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    num_tags: int | None = None,
    tags: Sequence[str] | None = None,
) -> "keras.Model":
    """Return the trained model of a preset, with the record on `.preset`.

    With `tags` (or `num_tags`, which calls them tag_0, tag_1, …) everything but the last layer is trained:
    the head is new, has that many outputs, and a warning says so.

    Raises:
        PresetError: as `read_stored`, and if an array's shape is not its layer's, or a new head is asked
            for and the network does not end in a Dense layer.
        ValueError: if both `num_tags` and `tags` are given.
    """
    stored = read_stored(name_or_path, revision=revision)
    if num_tags is not None or tags is not None:
        stored = _with_new_head(stored, _new_tags(num_tags, tags))
        warnings.warn(
            f"the head of {str(name_or_path)!r} is new: its {len(stored.preset.tags)} outputs are untrained",
            UserWarning,
            stacklevel=2,
        )
    try:
        return build_model(stored)
    except PresetError as error:
        raise PresetError(f"{name_or_path}: {error}") from error


def build_model(stored: StoredPreset) -> "keras.Model":
    """Return the Keras model of a checked preset, each layer's arrays assigned by its name.

    Raises:
        PresetError: if Keras cannot build it, or a layer's arrays are fewer, more or of another shape.
    """
    import keras

    config = {**copy.deepcopy(dict(stored.config)), "compile_config": None}  # Keras takes it apart
    try:
        model: keras.Model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    except Exception as error:  # Keras raises whatever a layer's constructor raises
        raise PresetError(
            f"config.json: Keras {keras.__version__} cannot build it: {_first_line(error)}"
        ) from error
    check_output(stored.preset, model.output_shape)
    for layer in model.layers:
        arrays = stored.weights.get(layer.name)
        if arrays is not None or layer.name not in _untrained(stored):
            _assign(layer, arrays or ())
    model.preset = stored.preset
    return model


def _first_line(error: Exception) -> str:
    """Return what went wrong without the whole configuration, which Keras prints after it."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _assign(layer: "keras.Layer", arrays: Arrays) -> None:
    wanted = [tuple(variable.shape) for variable in layer.weights]
    found = [array.shape for array in arrays]
    if wanted != found:
        raise PresetError(
            f"model.weights.h5: layer {layer.name!r} needs arrays of shapes {wanted}, got {found}"
        )
    layer.set_weights(arrays)


def _untrained(stored: StoredPreset) -> set[str]:
    """Return the layers that are meant to have no stored arrays: the head, when it is a new one."""
    return {stored.network.output} if stored.preset.weights_sha256 is None else set()


def _new_tags(num_tags: int | None, tags: Sequence[str] | None) -> tuple[str, ...]:
    if num_tags is not None and tags is not None:
        raise ValueError(f"give num_tags or tags, not both; got {num_tags} and {len(tags)} tags")
    if tags is not None:
        return tuple(tags)
    return tuple(f"tag_{index}" for index in range(num_tags or 0))


def _with_new_head(stored: StoredPreset, tags: tuple[str, ...]) -> StoredPreset:
    """Return the preset with an output layer of other tags, whose arrays are left out."""
    preset = replace(
        stored.preset,
        name=f"{stored.preset.name}-new-head",
        tags=tags,
        scores=(),  # figures and history are those of the old head
        training=None,
        arguments=_with_tags(stored.preset.arguments, len(tags)),
        description=f"{stored.preset.name} with a new head",
        weights_sha256=None,
        config_sha256=None,
    )
    config = copy.deepcopy(dict(stored.config))
    if stored.preset.is_encoder:
        _append_head(config["config"], stored, len(tags))
        return StoredPreset(preset, config, parse_network(config), stored.weights)
    head = next(entry for entry in config["config"]["layers"] if entry["name"] == stored.network.output)
    if head["class_name"] != "Dense":
        raise PresetError(
            f"a new head takes the place of a Dense layer, {head['name']!r} is {head['class_name']}"
        )
    head["config"]["units"] = len(tags)
    weights = {name: arrays for name, arrays in stored.weights.items() if name != head["name"]}
    return StoredPreset(preset, config, parse_network(config), weights)


def _with_tags(arguments: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return the builder's arguments for a network that ends in `count` tags."""
    return {name: value for name, value in arguments.items() if name != "include_top"} | {"num_tags": count}


def _append_head(config: dict[str, Any], stored: StoredPreset, count: int) -> None:
    """Put a Dense layer for `count` tags on an encoder, in its configuration."""
    tensor = {
        "class_name": "__keras_tensor__",
        "config": {
            "shape": [None, len(stored.preset.tags)],
            "dtype": "float32",
            "keras_history": [stored.network.output, 0, 0],
        },
    }
    head = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": "tags", "units": count, "activation": "sigmoid"},
        "registered_name": None,
        "build_config": {"input_shape": [None, len(stored.preset.tags)]},
        "name": "tags",
        "inbound_nodes": [{"args": [tensor], "kwargs": {}}],
    }
    config["layers"].append(head)
    config["output_layers"] = [["tags", 0, 0]]
