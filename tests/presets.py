"""Small networks with settled statistics, and presets of them."""

import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from samplecnn_zoo.models import SampleCNN
from samplecnn_zoo.zoo import Preset, save_pretrained

WEIGHTS, CONFIG, PRESET = "model.weights.h5", "config.json", "preset.json"

Floats = npt.NDArray[np.float32]

RATE = 8000
TAGS = ("guitar", "no vocals", "bösendorfer", "drums", "loud")


def settle(model: keras.Model, seed: int = 0) -> keras.Model:
    """Give every BatchNormalization and bias its own numbers, as training would: initial ones hide errors."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        arrays = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            *affine, mean, variance = arrays
            scaled = [rng.uniform(0.5, 1.5, array.shape) for array in affine]
            arrays = [*scaled, rng.normal(0, 0.2, mean.shape), rng.uniform(0.3, 2.0, variance.shape)]
        elif layer.trainable and len(arrays) == 2:
            arrays = [arrays[0], rng.normal(0, 0.1, arrays[1].shape)]
        layer.set_weights(arrays)
    return model


def tiny_model(seed: int = 0, **design: Any) -> keras.Model:
    """Return a network of four stages for segments of 729 samples at 8 kHz, every width another one."""
    options: dict[str, Any] = {"widths": [6, 7, 8, 9], "num_tags": len(TAGS), "sr": RATE} | design
    keras.utils.set_random_seed(seed)
    return settle(SampleCNN((27, 3, 3, 3), **options), seed)


def preset_for(model: keras.Model, **changes: Any) -> Preset:
    """Return a record that fits `model`."""
    rate = re.fullmatch(r"waveform_(\d+)hz", model.inputs[0].name)
    fields: dict[str, Any] = {
        "name": "tiny.random",
        "builder": "SampleCNN",
        "arguments": {"m": [27, 3, 3, 3]},
        "sample_rate": int(rate[1]) if rate else RATE,
        "segment_samples": model.input_shape[1] or 729,
        "tags": TAGS[: model.output_shape[1]],
        "license": "CC0-1.0",
        "training_data": "none: random weights",
    }
    return Preset(**fields | changes)


def save_tiny(directory: Path, *, seed: int = 0, **changes: Any) -> keras.Model:
    """Write a preset of a tiny model with settled random weights; return the model."""
    model = tiny_model(seed)
    save_pretrained(model, directory, preset=preset_for(model, **changes))
    return model


def edit(file: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file in place."""
    value = json.loads(file.read_text(encoding="utf-8"))
    change(value)
    file.write_text(json.dumps(value), encoding="utf-8")


def sign(directory: Path) -> None:
    """State the hashes that the files have now, as somebody who means harm or repairs by hand would."""

    def change(value: dict[str, Any]) -> None:
        value["weights_sha256"] = sha256((directory / WEIGHTS).read_bytes()).hexdigest()
        value["config_sha256"] = sha256((directory / CONFIG).read_bytes()).hexdigest()

    edit(directory / PRESET, change)


def scores(model: keras.Model, x: Floats) -> Floats:
    """Return what `model` gives for `x` without compiling anything."""
    return np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))


def segments(count: int, samples: int = 729, seed: int = 0) -> Floats:
    """Return (count, samples, 1) float32 noise in -1 to 1."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, samples, 1)).astype(np.float32)
