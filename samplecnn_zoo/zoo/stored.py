"""A preset's directory, read and checked: no file is parsed before its hash is right, arrays go by name."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplecnn_zoo.zoo.network import Network, parse_network
from samplecnn_zoo.zoo.preset import Preset, PresetError
from samplecnn_zoo.zoo.weights import Arrays, parse_weights

if TYPE_CHECKING:
    import keras

CONFIG_FILE = "config.json"
METADATA_FILE = "metadata.json"
WEIGHTS_FILE = "model.weights.h5"
PRESET_FILE = "preset.json"
CARD_FILE = "README.md"


@dataclass(frozen=True)
class StoredPreset:
    """A preset whose files were checked: the record, the network of config.json and each layer's arrays."""

    preset: Preset
    config: Mapping[str, Any]
    network: Network
    weights: Mapping[str, Arrays]


def read_preset(directory: Path) -> Preset:
    """Return the record in `directory`, its weights unread.

    Raises:
        PresetError: if preset.json is missing, unreadable or breaks a rule.
    """
    file = directory / PRESET_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PresetError(f"{file}: it cannot be read ({error}); fetch the preset again") from error
    return Preset.from_json(text, where=str(file))


def read_directory(directory: Path) -> StoredPreset:
    """Read and check a preset without Keras.

    Both hashes are compared before the bytes that they belong to are parsed; the same bytes are then used.

    Raises:
        PresetError: if a file is missing, a hash differs, the weights do not belong to the layers of the
            configuration, or tags and segment length do not fit the network.
    """
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
