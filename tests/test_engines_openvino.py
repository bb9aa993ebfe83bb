"""OpenVINO against Keras: every block, every layer, every option that the engine claims, to 1e-4."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from samplecnn_zoo.engines import (
    Engine,
    UnsupportedLayerError,
    available_levels,
    engine_for_model,
    engine_for_preset,
)
from samplecnn_zoo.engines.openvino_engine import OpenVINOEngine
from samplecnn_zoo.engines.openvino_runtime import hidden
from samplecnn_zoo.models import FrameLevelMel, FrameLevelRaw, SampleCNN, feature_model
from samplecnn_zoo.zoo import PresetError
from samplecnn_zoo.zoo.network import parse_network
from samplecnn_zoo.zoo.store import read_stored
from tests.presets import TAGS, preset_for, save_tiny, scores, segments, settle, sign, tiny_model

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-4


def openvino(model: keras.Model, levels: tuple[int, ...] = ()) -> Engine:
    preset = preset_for(model, tags=tuple(f"tag {i}" for i in range(model.output_shape[1])))
    return engine_for_model(model, preset, levels, engine="openvino")


def check(model: keras.Model, count: int = 3) -> None:
    """Compare scores, and say no to a comparison of constants."""
    x = segments(count, model.input_shape[1])
    wanted = scores(model, x)
    assert np.ptp(wanted, axis=0).max() > 10 * TOLERANCE
    np.testing.assert_allclose(openvino(model)(x)["scores"], wanted, rtol=0, atol=TOLERANCE)


def check_features(model: keras.Model, count: int = 3) -> None:
    """Compare the scores and the highest three levels."""
    levels = tuple(level for level in (-1, -2, -3) if level in available_levels(model_names(model)))
    x = segments(count, model.input_shape[1])
    outputs = feature_model(model, levels)(x, training=False)
    engine = openvino(model, levels)
    features = engine(x)
    assert engine.levels == levels
    assert set(features) == {"scores", *(f"level_{level}" for level in levels)}
    for level, output in zip(levels, outputs, strict=True):
        wanted = keras.ops.convert_to_numpy(keras.ops.max(output, axis=1))
        assert np.ptp(wanted) > 10 * TOLERANCE
        np.testing.assert_allclose(features[f"level_{level}"], wanted, rtol=1e-4, atol=TOLERANCE)


def model_names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    "basic": lambda: SampleCNN(3, 4, widths=[5, 6, 7, 8]),
    "even sizes, TensorFlow": lambda: SampleCNN((4, 2, 4, 2), widths=[5, 6, 7]),
    "even sizes, Theano": lambda: SampleCNN((4, 2, 4, 2), widths=[5, 6, 7], alignment="theano"),
    "multi-level": lambda: SampleCNN(3, 4, widths=[5, 6, 7, 8], multi_level=True),
    "flexible": lambda: SampleCNN(3, 4, widths=[5, 6, 7, 8], flexible=True),
    "softmax": lambda: SampleCNN(3, 3, widths=[5, 6, 7], classifier_activation="softmax"),
    "logits": lambda: SampleCNN(3, 3, widths=[5, 6, 7], classifier_activation=None, dropout=0.0),
    "two stages": lambda: SampleCNN(3, 1, widths=[5]),
    "won sample": lambda: SampleCNN(3, 3, 16000, widths=[5, 6, 7], input_padding=1),
    **{
        f"{block}{' multi' if multi else ''}": partial(
            SampleCNN, 3, 3, widths=[5, 5, 7], block=block, multi_level=multi, se_ratio=2
        )
        for block in ("se", "res1", "res2", "rese1", "rese2", "rese_won")
        for multi in (False, True)
    },
    "raw": lambda: FrameLevelRaw(9, 9, 3, widths=[5, 6, 7]),
    "raw, window over hop": lambda: FrameLevelRaw(27, 9, 3, widths=[5, 6, 7]),
    "raw, odd padding": lambda: FrameLevelRaw(8, 3, 3, widths=[5, 6, 7]),
    "mel": lambda: FrameLevelMel(81, 27, 3, widths=[16, 5, 6, 7], mean=0.2, std=0.4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_agrees(name: str) -> None:
    model = settle(NETWORKS[name](), seed=1)
    if name == "flexible":
        check_fixed_length(model, 243)
    else:
        check_features(model)
        check(model)


def check_fixed_length(model: keras.Model, samples: int) -> None:
    preset = preset_for(model, segment_samples=samples, tags=tuple(f"tag {i}" for i in range(50)))
    x = segments(3, samples)
    found = engine_for_model(model, preset, engine="openvino")(x)["scores"]
    np.testing.assert_allclose(found, scores(model, x), rtol=0, atol=TOLERANCE)


def layer_model(*steps: Any, samples: int = 24, channels: int = 3, tail: bool = True) -> keras.Model:
    """Return a model of `steps` on (samples, channels) that a convolution makes from the waveform."""
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((samples, 1), name="waveform")
    x = layers.Conv1D(channels, 3, padding="same", name="into")(x)
    for step in steps:
        x = step(x)
    if tail:
        x = layers.Flatten(name="out")(x)
    return settle(keras.Model(inputs, x), seed=3)


STEPS: dict[str, tuple[Any, ...]] = {
    "same, even, strided": (layers.Conv1D(4, 4, strides=3, padding="same"),),
    "same, odd, strided": (layers.Conv1D(4, 5, strides=2, padding="same"),),
    "same, dilated": (layers.Conv1D(4, 3, dilation_rate=2, padding="same"),),
    "causal": (layers.Conv1D(4, 4, dilation_rate=2, padding="causal"),),
    "valid, strided": (layers.Conv1D(4, 4, strides=3),),
    "no bias": (layers.Conv1D(4, 3, use_bias=False), layers.BatchNormalization()),
    "activation inside": (layers.Conv1D(4, 3, activation="relu"), layers.BatchNormalization()),
    "norm alone": (layers.ReLU(), layers.BatchNormalization(epsilon=0.1)),
    "norm without scale": (layers.Conv1D(4, 3), layers.BatchNormalization(scale=False)),
    "norm without center": (layers.Conv1D(4, 3), layers.BatchNormalization(center=False)),
    "norm of features": (layers.Flatten(), layers.Dense(5), layers.BatchNormalization()),
    "tanh": (layers.Activation("tanh"),),
    "softmax in time steps": (layers.Activation("softmax"),),
    "dense in time steps": (layers.Dense(4, activation="sigmoid"),),
    "dense without bias": (layers.Flatten(), layers.Dense(4, use_bias=False)),
    "max pooling": (layers.MaxPooling1D(3),),
    "max pooling, same": (layers.MaxPooling1D(5, strides=2, padding="same"),),
    "average pooling": (layers.AveragePooling1D(4, strides=3),),
    "average pooling, same": (layers.AveragePooling1D(5, strides=2, padding="same"),),
    "global average": (layers.GlobalAveragePooling1D(), layers.Dense(4)),
    "global maximum, kept": (layers.GlobalMaxPooling1D(keepdims=True), layers.Dense(4)),
    "padding": (layers.ZeroPadding1D((1, 3)), layers.Conv1D(4, 3)),
    "dropouts": (layers.Dropout(0.5), layers.SpatialDropout1D(0.5), layers.Conv1D(4, 3)),
    "flatten": (layers.Flatten(), layers.Dense(4)),
    "reshape to features": (layers.Reshape((-1,)), layers.Dense(4)),
    "reshape": (layers.Reshape((9, 8)), layers.Conv1D(4, 3)),
    "squeeze, excite": (
        lambda x: layers.Multiply()(
            [x, layers.Reshape((1, 3))(layers.Dense(3, activation="sigmoid")(layers.GlobalMaxPooling1D()(x)))]
        ),
    ),
    "add three": (lambda x: layers.Add()([x, layers.ReLU()(x), layers.Activation("tanh")(x)]),),
    "concatenate": (lambda x: layers.Concatenate()([x, layers.Conv1D(4, 3, padding="same")(x)]),),
    "concatenate in time": (lambda x: layers.Concatenate(axis=1)([x, layers.MaxPooling1D(2)(x)]),),
    "concatenate features": (
        lambda x: layers.Concatenate()([layers.Flatten()(x), layers.Flatten()(2.0 - x)]),
    ),
    "a convolution used twice": (lambda x: layers.Add()([layers.BatchNormalization()(x), layers.ReLU()(x)]),),
    "operations": (
        lambda x: keras.ops.log1p(keras.ops.sqrt(keras.ops.maximum(keras.ops.square(x), 0.01) / 3.0)),
    ),
    "more operations": (lambda x: keras.ops.minimum(1.0 - keras.ops.absolute(x), x) * x + 0.5,),
    "normalization": (layers.Normalization(axis=None, mean=0.3, variance=0.04),),
}


@pytest.mark.parametrize("name", STEPS)
def test_every_layer_and_option_agrees(name: str) -> None:
    check(layer_model(*STEPS[name]))


REFUSED: dict[str, tuple[Any, str]] = {
    "kind": (layers.LeakyReLU(), r"'\w+' \(LeakyReLU\) is of a kind, which the OpenVINO engine does not do"),
    "activation": (layers.Activation("mish"), "has activation='mish'.*; use engine='keras'"),
    "clipped relu": (layers.ReLU(max_value=6.0), "has max_value=6.0"),
    "leaky relu": (layers.ReLU(negative_slope=0.1), "has negative_slope=0.1"),
    "groups": (layers.Conv1D(3, 3, groups=3), "has groups=3"),
    "axis": (layers.BatchNormalization(axis=1), "has axis=1"),
    "training": (lambda x: layers.Dropout(0.5)(x, training=True), "is called with {'training': True}"),
    "axes": (layers.Reshape((3, 4, 6)), "gives 3 axes"),
    "operation": (lambda x: keras.ops.cos(x), "'cos' .Cos. is an operation"),
    "inverse": (layers.Normalization(axis=None, mean=0.3, variance=0.04, invert=True), "has invert=True"),
    "adapted": (layers.Normalization(axis=-1), "has axis="),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_engine_does_not_do_it_refuses(name: str) -> None:
    step, message = REFUSED[name]
    with pytest.raises(UnsupportedLayerError, match=message):
        openvino(layer_model(step))


def test_another_precision_is_refused() -> None:
    model = layer_model(layers.Conv1D(3, 3, dtype="mixed_bfloat16"))
    network = parse_network(json.loads(model.to_json()))
    weights = {layer.name: tuple(layer.get_weights()) for layer in model.layers if layer.weights}
    with pytest.raises(UnsupportedLayerError, match="computes in mixed_bfloat16"):
        OpenVINOEngine(network, weights, 24)


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_any_number_of_segments_runs(count: int) -> None:
    model = tiny_model()
    x = segments(count)
    found = openvino(model)(x)["scores"]
    assert found.shape == (count, len(TAGS))
    np.testing.assert_allclose(found, scores(model, x), rtol=0, atol=TOLERANCE)


def test_a_result_is_not_overwritten_by_the_next() -> None:
    engine = openvino(tiny_model(), (-1,))
    first = engine(segments(2))
    kept = {name: rows.copy() for name, rows in first.items()}
    engine(segments(2, seed=1))
    for name, rows in kept.items():
        np.testing.assert_array_equal(first[name], rows)


def test_the_callers_segments_are_left_alone() -> None:
    x = segments(2)
    openvino(tiny_model())(x)
    np.testing.assert_array_equal(x, segments(2))


def test_threads_get_their_own_results() -> None:
    engine = openvino(tiny_model(), (-1, -2, -3))
    batches = [segments(1 + index % 4, seed=index) for index in range(40)]
    alone = [engine(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(engine, batches))
    for one, other in zip(alone, together, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_a_level_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"has levels -5 to -1, not \[-6\]"):
        openvino(tiny_model(), (-1, -6))


def test_arrays_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_tiny(tmp_path / "p")
    with h5py.File(tmp_path / "p" / "model.weights.h5", "a") as file:
        group = file["layers/dense/vars"]
        kernel = group["0"][()]
        del group["0"]
        group["0"] = kernel.T
    sign(tmp_path / "p")
    with pytest.raises(
        PresetError, match=r"'tags' needs arrays of shapes \[\(9, 5\), \(5,\)\], .* are \[\(5, 9\)"
    ):
        engine_for_preset(read_stored(tmp_path / "p"))


RUN = """
import sys
import numpy as np
from samplecnn_zoo.tagger import Tagger

scores = Tagger(sys.argv[1], engine="openvino").predict_segments(np.zeros((1, 729, 1), np.float32))
print(scores.shape, sorted({"keras", "tensorflow", "jax", "torch", "openvino_telemetry"} & set(sys.modules)))
"""


def test_neither_keras_nor_tensorflow_is_imported(tmp_path: Path) -> None:
    save_tiny(tmp_path / "p")
    assert run(tmp_path / "p", tmp_path) == "(1, 5) []"


def run(preset: Path, home: Path) -> str:
    """Run a preset as a user would: elsewhere than in CI, where openvino keeps quiet by itself."""
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    command = [sys.executable, "-c", RUN, str(preset)]
    env |= {"HOME": str(home), "LOCALAPPDATA": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert done.stderr == ""
    return done.stdout.strip()


def test_openvino_sends_no_telemetry_and_leaves_nothing_in_the_home(tmp_path: Path) -> None:
    save_tiny(tmp_path / "p")
    (tmp_path / "home").mkdir()
    run(tmp_path / "p", tmp_path / "home")
    assert not list((tmp_path / "home").iterdir())


def test_a_hidden_module_is_there_again_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seldom_seen.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with hidden("seldom_seen"), pytest.raises(ImportError):
        importlib.import_module("seldom_seen")
    assert importlib.import_module("seldom_seen").__name__ == "seldom_seen"
    with hidden("json"):
        assert importlib.import_module("json") is json
