"""A small network in the format of a published one, with its record: what a server gives in a test."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from samplecnn_zoo.zoo.cache import git_blob
from samplecnn_zoo.zoo.preset import Score, Source
from samplecnn_zoo.zoo.published import Published

if TYPE_CHECKING:
    import keras

NAME = "tiny.published"
ARGUMENTS: dict[str, Any] = {
    "m": [3, 3, 3, 3, 3],
    "widths": [6, 7, 8, 9, 10],
    "num_tags": 4,
    "sr": 8000,
    "alignment": "theano",
}
TAGS = ("drums", "voice", "guitar", "quiet")
REPO, COMMIT, PATH = "someone/nets", "c" * 40, "weights/tiny net.hdf5"
URL_PATH = f"/{REPO}/{COMMIT}/{PATH}"


def write_stand_in(file: Path, seed: int = 0) -> "keras.Model":
    """Write a settled random network as Keras 1 on Theano would, and return it."""
    import keras  # here, so that a process that only downloads starts quickly

    from samplecnn_zoo.models import SampleCNN
    from tests.presets import settle

    keras.utils.set_random_seed(seed)
    model = settle(SampleCNN(**ARGUMENTS), seed)
    with h5py.File(file, "w") as opened:
        names = []
        for number, layer in enumerate(layer for layer in model.layers if layer.weights):
            kind = {"Conv1D": "convolution1d", "Dense": "dense"}.get(
                type(layer).__name__, "batchnormalization"
            )
            names.append(f"{kind}_{number}")
            _write_layer(opened.create_group(names[-1]), names[-1], layer.get_weights())
        opened.attrs["layer_names"] = [name.encode() for name in names]
    return model


def _write_layer(group: h5py.Group, name: str, arrays: list[Any]) -> None:
    if arrays[0].ndim == 3:  # turned around in time: Theano convolves
        arrays = [arrays[0][::-1, None], arrays[1]]
    roles = ("W", "b") if len(arrays) == 2 else ("gamma", "beta", "running_mean", "running_std")
    for role, array in zip(roles, arrays, strict=True):
        group.create_dataset(f"{name}_{role}", data=np.ascontiguousarray(array))
    group.attrs["weight_names"] = [f"{name}_{role}".encode() for role in roles]


def record(file: Path, **changes: Any) -> Published:
    """Return what is published of the file."""
    fields: dict[str, Any] = {
        "name": NAME,
        "source": Source(REPO, COMMIT, PATH, git_blob(file)),
        "format": "keras1_hdf5",
        "family": "lee",
        "arguments": ARGUMENTS,
        "parameters": 1234,
        "sample_rate": 8000,
        "segment_samples": 3**5,
        "tags": TAGS,
        "license": "MIT",
        "training_data": "nothing: random weights",
        "description": "a stand-in",
        "scores": (
            Score("ROC-AUC", 0.75, dataset="made up", split="test", note="published, not measured here"),
        ),
    }
    return Published(**fields | changes)
