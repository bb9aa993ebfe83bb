"""Models come back from a configuration, weights and `.keras` files bit for bit, without this package."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from samplecnn_zoo.models import FrameLevelMel, FrameLevelRaw, SampleCNN, stated_rate

SMALL: dict[str, Any] = {"num_tags": 7, "widths": (3, 5, 6, 8)}
FAMILIES: dict[str, Callable[[], keras.Model]] = {
    "paper": lambda: SampleCNN(3, 3, 16000, **SMALL),
    "rates": lambda: SampleCNN((3, 3, 2, 4), sr=8000, **SMALL, alignment="theano"),
    "raw": lambda: FrameLevelRaw(9, 3, 3, **SMALL),
    "mel": lambda: FrameLevelMel(27, 9, 3, **SMALL, mean=0.25, std=1.5),
    "kim": lambda: SampleCNN(3, 3, **SMALL, block="rese2", multi_level=True),
    "won": lambda: SampleCNN(3, 3, **SMALL, block="rese_won", input_padding=1),
    "flexible": lambda: SampleCNN(3, 3, **SMALL, flexible=True, classifier_activation="softmax"),
}
LOADER = """
import sys, keras, numpy as np
for family in ("mel", "won"):
    model = keras.saving.load_model(f"{family}.keras")
    np.save(f"{family}_scores.npy", model.predict(np.load(f"{family}.npy"), verbose=0))
sys.exit(any(name.startswith("samplecnn") for name in sys.modules))
"""


def segments(count: int = 3) -> Any:
    return np.random.default_rng(0).uniform(-1, 1, (count, 243, 1)).astype("float32")


def scores(model: keras.Model) -> Any:
    samples = model.input_shape[1] or 243
    return model.predict(segments()[:, :samples], verbose=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trips_are_bit_equal(family: str, tmp_path: Path) -> None:
    model = FAMILIES[family]()
    expected = scores(model)
    rebuilt = keras.Model.from_config(model.get_config())
    rebuilt.set_weights(model.get_weights())
    np.testing.assert_array_equal(scores(rebuilt), expected)
    model.save(tmp_path / "net.keras")
    reloaded = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(scores(reloaded), expected)
    assert reloaded.to_json() == model.to_json()
    assert [layer.name for layer in reloaded.layers] == [layer.name for layer in model.layers]
    assert [w.trainable for w in reloaded.weights] == [w.trainable for w in model.weights]


def test_a_saved_model_states_its_rate(tmp_path: Path) -> None:
    FAMILIES["rates"]().save(tmp_path / "net.keras")
    reloaded = keras.saving.load_model(tmp_path / "net.keras")
    assert stated_rate(layer.name for layer in reloaded.layers) == 8000


def test_a_fresh_process_loads_without_this_package(tmp_path: Path) -> None:
    expected = {}
    for family in ("mel", "won"):
        model = FAMILIES[family]()
        model.save(tmp_path / f"{family}.keras")
        np.save(tmp_path / f"{family}.npy", segments()[:, : model.input_shape[1]])
        expected[family] = scores(model)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", LOADER], cwd=tmp_path, env=environment, check=True)
    for family, again in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{family}_scores.npy"), again)


def test_a_mel_front_end_without_its_weights_is_silent() -> None:
    rebuilt = keras.Model.from_config(FAMILIES["mel"]().get_config())
    front = keras.Model(rebuilt.inputs, rebuilt.get_layer("stage1_norm").output)
    assert np.unique(front.predict(segments(), verbose=0)).size == 1


@pytest.mark.parametrize("family", ["paper", "mel"])
def test_mixed_precision_scores_in_float32(family: str) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = FAMILIES[family]()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("stage2_conv").compute_dtype == "bfloat16"
    assert scores(model).dtype == np.float32
    plain = FAMILIES[family]()
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(scores(model), scores(plain), atol=0.05)
