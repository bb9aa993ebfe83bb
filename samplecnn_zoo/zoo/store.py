"""Presets out of their directories: no file is parsed before its hash is right, arrays go by name."""

import copy
import hashlib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplecnn_zoo.zoo.find import CONFIG_FILE, WEIGHTS_FILE, read_preset, resolve
from samplecnn_zoo.zoo.network import Network, parse_network
from samplecnn_zoo.zoo.preset import Preset, PresetError
from samplecnn_zoo.zoo.weights import Arrays, parse_weights

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class StoredPreset:
    """A preset whose files were checked: the record, the network of config.json and each layer's arrays."""

    preset: Preset
    config: Mapping[str, Any]
    network: Network
    weights: Mapping[str, Arrays]


def read_stored(name_or_path: str | Path, *, revision: str | None = None) -> StoredPreset:
    """Read and check a preset without Keras.

    Both hashes are compared before the bytes that they belong to are parsed; the same bytes are then used.

    Raises:
        PresetError: if there is no such preset, a file is missing, a hash differs, the weights do not belong
            to the layers of the configuration, or tags and segment length do not fit the network.
    """
    directory = resolve(name_or_path, revision=revision)
    preset = read_preset(directory)
    config_bytes = _read_hashed(directory / CONFIG_FILE, preset.config_sha256)
    weight_bytes = _read_hashed(directory / WEIGHTS_FILE, preset.weights_sha256)
    try:
        config = json.loads(config_bytes)
        network = parse_network(config)
        stored = StoredPreset(preset, config, network, parse_weights(weight_bytes, network))
        check_input(preset, network.input, network.input_shape)
        if network.output_width is not None:
            check_output(preset, (None, network.output_width))
    except ValueError as error:
        raise PresetError(f"{directory}: {error}") from error
    return stored


def _read_hashed(file: Path, sha256: str | None) -> bytes:
    if sha256 is None:
        raise PresetError(
            f"{file}: preset.json states no sha256 for it; save the preset with save_pretrained"
        )
    try:
        content = file.read_bytes()
    except OSError as error:
        raise PresetError(f"{file}: it cannot be read ({error.strerror}); fetch the preset again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise PresetError(
            f"{file}: its sha256 is {found}, preset.json states {sha256}: "
            "it is damaged, incomplete or of another preset; fetch the preset again"
        )
    return content


def check_model(preset: Preset, model: "keras.Model") -> None:
    """Refuse a model that does not take the preset's segments or give its tags.

    Raises:
        PresetError: if its input or output has another shape, or its input states another sample rate.
    """
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1:
        raise PresetError(
            f"preset {preset.name!r} is for a functional model with one input, this one has {len(inputs)}"
        )
    check_input(preset, inputs[0].name, model.input_shape)
    check_output(preset, model.output_shape)


def check_input(preset: Preset, name: str, shape: Sequence[int | None]) -> None:
    """Refuse a network that does not take segments of (preset.segment_samples, 1) at its rate.

    The models of this package state their rate in the name of their input, `waveform_22050hz`.

    Raises:
        PresetError: if `name` states another rate, or `shape`, with its batch axis, is another one; None as
            length takes any.
    """
    stated = re.fullmatch(r"waveform_(\d+)hz", name)
    if stated and int(stated[1]) != preset.sample_rate:
        raise PresetError(
            f"preset {preset.name!r} has a sample rate of {preset.sample_rate} Hz, "
            f"the network is for {stated[1]} Hz"
        )
    if len(shape) != 3 or shape[2] != 1 or shape[1] not in (None, preset.segment_samples):
        raise PresetError(
            f"preset {preset.name!r} has segments of {preset.segment_samples} samples, "
            f"the network takes {tuple(shape)} instead of (None, {preset.segment_samples}, 1)"
        )


def check_output(preset: Preset, shape: Sequence[int | None]) -> None:
    """Refuse a network that does not give one score a tag.

    Raises:
        PresetError: if `shape`, with its batch axis, is not (None, number of tags).
    """
    if len(shape) != 2 or shape[1] != len(preset.tags):
        raise PresetError(
            f"preset {preset.name!r} names {len(preset.tags)} tags, the network's output is {tuple(shape)} "
            f"instead of (None, {len(preset.tags)})"
        )


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
        arguments={**stored.preset.arguments, "num_tags": len(tags)},
        description=f"{stored.preset.name} with a new head",
        weights_sha256=None,
        config_sha256=None,
    )
    config = copy.deepcopy(dict(stored.config))
    head = next(entry for entry in config["config"]["layers"] if entry["name"] == stored.network.output)
    if head["class_name"] != "Dense":
        raise PresetError(
            f"a new head takes the place of a Dense layer, {head['name']!r} is {head['class_name']}"
        )
    head["config"]["units"] = len(tags)
    weights = {name: arrays for name, arrays in stored.weights.items() if name != head["name"]}
    return StoredPreset(preset, config, parse_network(config), weights)
