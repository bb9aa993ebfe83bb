"""Which engine runs what, and the Keras engine's own promises."""

import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from samplecnn_zoo.engines import UnsupportedLayerError, engine_for_model, engine_for_preset
from samplecnn_zoo.engines.keras_engine import KerasEngine
from samplecnn_zoo.zoo import PresetError, save_pretrained
from samplecnn_zoo.zoo.network import parse_network
from samplecnn_zoo.zoo.store import StoredPreset, read_stored
from tests.presets import TAGS, preset_for, save_tiny, scores, segments, settle, tiny_model


def leaky_model() -> keras.Model:
    """Return a network with a layer that OpenVINO's table does not hold."""
    x = inputs = keras.Input((729, 1), name="waveform_8000hz")
    x = layers.Conv1D(4, 27, strides=27, name="stage1_conv")(x)
    x = layers.LeakyReLU(name="stage1_leaky")(x)
    x = layers.GlobalMaxPooling1D(name="head_pool1")(x)
    return settle(keras.Model(inputs, layers.Dense(len(TAGS), activation="sigmoid", name="tags")(x)))


@pytest.fixture
def leaky(tmp_path: Path) -> StoredPreset:
    model = leaky_model()
    save_pretrained(model, tmp_path / "p", preset=preset_for(model, name="tiny.leaky"))
    return read_stored(tmp_path / "p")


def test_a_preset_runs_on_openvino_and_a_model_on_keras(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "p")
    stored = read_stored(tmp_path / "p")
    assert engine_for_preset(stored).name == "openvino"
    assert engine_for_preset(stored, engine="keras").name == "keras"
    assert engine_for_model(model, stored.preset).name == "keras"
    assert engine_for_model(model, stored.preset, engine="openvino").name == "openvino"


def test_what_openvino_cannot_do_falls_to_keras_with_a_word(
    leaky: StoredPreset, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        engine = engine_for_preset(leaky)
    assert engine.name == "keras"
    assert "tiny.leaky runs on Keras: layer 'stage1_leaky' (LeakyReLU) is of a kind" in caplog.text
    assert engine(segments(2))["scores"].shape == (2, len(TAGS))
    with pytest.raises(UnsupportedLayerError, match="use engine='keras'"):
        engine_for_preset(leaky, engine="openvino")


def test_without_openvino_keras_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save_tiny(tmp_path / "p")
    stored = read_stored(tmp_path / "p")
    monkeypatch.setitem(sys.modules, "samplecnn_zoo.engines.openvino_engine", None)  # as if not installed
    assert engine_for_preset(stored).name == "keras"
    assert "tiny.random runs on Keras: " in caplog.text
    with pytest.raises(ImportError):
        engine_for_preset(stored, engine="openvino")


def test_an_unknown_engine_is_refused(leaky: StoredPreset) -> None:
    with pytest.raises(ValueError, match="engine must be one of auto, keras, openvino, got 'onnx'"):
        engine_for_preset(leaky, engine="onnx")
    with pytest.raises(ValueError, match="engine must be one of"):
        engine_for_model(leaky_model(), leaky.preset, engine="")


def test_a_network_whose_width_only_shows_when_built_is_compared_with_the_tags() -> None:
    x = inputs = keras.Input((729, 1), name="waveform_8000hz")
    model = keras.Model(inputs, layers.GlobalMaxPooling1D()(layers.Conv1D(4, 3)(x)))
    network = parse_network(json.loads(model.to_json()))
    assert network.output_width is None
    weights = {layer.name: tuple(layer.get_weights()) for layer in model.layers if layer.weights}
    preset = preset_for(model, tags=TAGS)
    for engine in ("openvino", "keras"):
        with pytest.raises(PresetError, match=r"names 5 tags, the network's output is \(None, 4\)"):
            engine_for_preset(
                StoredPreset(preset, json.loads(model.to_json()), network, weights), engine=engine
            )


def test_keras_gives_scores_and_levels_for_any_number_of_segments() -> None:
    model = tiny_model()
    engine = KerasEngine(model, (-1, -3), batch_size=3)
    for count in (1, 3, 5):
        x = segments(count, seed=count)
        found = engine(x)
        assert set(found) == {"scores", "level_-1", "level_-3"}
        assert found["level_-3"].shape == (count, 8)
        np.testing.assert_allclose(found["scores"], scores(model, x), rtol=0, atol=1e-6)


def test_keras_hears_later_training() -> None:
    model = tiny_model()
    engine = engine_for_model(model, preset_for(model))
    before = engine(segments(2))["scores"]
    kernel, bias = model.get_layer("tags").get_weights()
    model.get_layer("tags").set_weights([kernel, bias + 1.0])
    after = engine(segments(2))["scores"]
    assert (after > before).all()
    np.testing.assert_allclose(after, scores(model, segments(2)), rtol=0, atol=1e-6)


def test_keras_serves_several_threads() -> None:
    engine = KerasEngine(tiny_model(), (-1,), batch_size=4)
    batches = [segments(1 + index % 4, seed=index) for index in range(16)]
    alone = [engine(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(engine, batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one["scores"], other["scores"])
        np.testing.assert_array_equal(one["level_-1"], other["level_-1"])
