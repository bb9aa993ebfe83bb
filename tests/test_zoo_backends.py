"""One preset under the other backends of Keras, each in a process of its own: same scores and weights."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samplecnn_zoo.tagger import Tagger
from samplecnn_zoo.zoo import Normalization
from samplecnn_zoo.zoo.store import read_stored
from tests.presets import save_tiny, segments

RUN = """
import sys
import keras
import numpy as np
from samplecnn_zoo.tagger import Tagger
from samplecnn_zoo.zoo import load_pretrained, save_pretrained

source, target = sys.argv[1:]
x = np.load(target + ".npy")
model = load_pretrained(source)
held = Tagger(source, engine="keras").predict_segments(x)
given = Tagger(model).predict_segments(x)
np.savez(target + ".npz", held=held, given=given)
save_pretrained(model, target)
print(keras.backend.backend())
"""


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("zoo") / "tiny.random"
    save_tiny(directory, normalization=Normalization(0.02, 0.4))
    return directory


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_preset_loads_runs_and_is_saved_under(backend: str, preset: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    target = tmp_path / "again"
    np.save(f"{target}.npy", segments(5))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(preset), str(target)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, backend), done.stderr
    wanted = Tagger(preset, engine="openvino").predict_segments(segments(5))
    with np.load(f"{target}.npz") as found:
        np.testing.assert_allclose(found["held"], wanted, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found["given"], wanted, rtol=0, atol=1e-4)
    before, after = read_stored(preset), read_stored(target)
    assert before.weights.keys() == after.weights.keys()
    for layer, arrays in before.weights.items():
        for one, other in zip(arrays, after.weights[layer], strict=True):
            np.testing.assert_array_equal(one, other)
    assert before.preset.config_sha256 == after.preset.config_sha256
