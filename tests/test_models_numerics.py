"""Whole networks and the mel front end against slow, direct computation in NumPy."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from samplecnn_zoo.models import FrameLevelMel, FrameLevelRaw, SampleCNN, feature_model, sample_plan
from samplecnn_zoo.models.frame_level import FFT_SIZE, mel_filters
from samplecnn_zoo.models.plans import Plan, Stage

Array = NDArray[np.float64]
Weights = dict[str, list[Array]]


def shake(model: keras.Model, seed: int = 0) -> Weights:
    """Give every weight, BatchNorm's statistics too, its own random value; return them by layer."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if not layer.name.startswith("stage1_mel") and layer.trainable:
            layer.set_weights(
                [rng.uniform(0.2, 1, w.shape) * rng.choice([-1, 1], w.shape) for w in layer.get_weights()]
            )
        if hasattr(layer, "moving_variance"):
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
    return {layer.name: [w.astype(float) for w in layer.get_weights()] for layer in model.layers}


def convolve(x: Array, weights: list[Array], stride: int, pad: tuple[int, int]) -> Array:
    """Slide every filter over (time, channels), one multiplication at a time but for the last two axes."""
    kernel, bias = weights
    x = np.concatenate([np.zeros((pad[0], x.shape[1])), x, np.zeros((pad[1], x.shape[1]))])
    starts = range(0, len(x) - len(kernel) + 1, stride)
    return np.array([sum(x[start + k] @ kernel[k] for k in range(len(kernel))) + bias for start in starts])


def normalize(x: Array, weights: list[Array], epsilon: float = 1e-5) -> Array:
    gamma, beta, mean, variance = weights
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def pool(x: Array, size: int) -> Array:
    return np.array([x[i : i + size].max(axis=0) for i in range(0, len(x) - size + 1, size)])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def excite(x: Array, w: Weights, name: str) -> Array:
    hidden = np.maximum(x.mean(axis=0) @ w[f"{name}_se_hidden"][0] + w[f"{name}_se_hidden"][1], 0)
    return x * sigmoid(hidden @ w[f"{name}_se_gate"][0] + w[f"{name}_se_gate"][1])


def plain(x: Array, w: Weights, row: Stage) -> Array:
    name = row.name
    x = normalize(convolve(x, w[f"{name}_conv"], row.stride, row.pad), w[f"{name}_bn"])
    x = pool(np.maximum(x, 0), row.pool)
    return excite(x, w, name) if f"{name}_se_gate" in w else x


def residual(x: Array, w: Weights, row: Stage) -> Array:
    name = row.name
    y = normalize(convolve(x, w[f"{name}_conv1"], row.stride, row.pad), w[f"{name}_bn1"])
    if f"{name}_conv2" in w:
        y = normalize(convolve(np.maximum(y, 0), w[f"{name}_conv2"], 1, row.same), w[f"{name}_bn2"])
    if f"{name}_se_gate" in w:
        y = excite(y, w, name)
    if f"{name}_shortcut_conv" in w:
        shortcut = w[f"{name}_shortcut_conv"]
        pad = row.pad if len(shortcut[0]) > 1 else (0, 0)
        x = normalize(convolve(x, shortcut, row.stride, pad), w[f"{name}_shortcut_bn"])
    return pool(np.maximum(x + y, 0), row.pool)


def expect(plan: Plan, w: Weights, x: Array) -> tuple[dict[str, Array], Array]:
    """Compute the outputs of all stages and the scores of one segment (samples, 1)."""
    stages = {}
    for row in (*plan.stages, *([plan.top] if any(name.startswith("top") for name in w) else [])):
        x = stages[row.name] = (residual if f"{row.name}_conv1" in w else plain)(x, w, row)
    levels = [name for name in ("head_pool3", "head_pool2", "head_pool1") if name in w]
    x = np.concatenate([stage.max(axis=0) for stage in list(stages.values())[-len(levels) :]])
    if "head_dense" in w:
        x = np.maximum(normalize(x @ w["head_dense"][0] + w["head_dense"][1], w["head_bn"]), 0)
    return stages, sigmoid(x @ w["tags"][0] + w["tags"][1])


def check(model: keras.Model, plan: Plan) -> None:
    weights = shake(model)
    x = np.random.default_rng(1).uniform(-1, 1, (2, plan.segment_samples, 1))
    names = [row.name for row in plan.stages] + (["top"] if "top" in "".join(weights) else [])
    *stages, scores = feature_model(model, names, include_scores=True).predict(x, verbose=0)
    for clip in range(2):
        expected, expected_scores = expect(plan, weights, x[clip])
        for name, stage in zip(names, stages, strict=True):
            np.testing.assert_allclose(stage[clip], expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(scores[clip], expected_scores, atol=1e-4)


@pytest.mark.parametrize("alignment", ["tensorflow", "theano"])
@pytest.mark.parametrize("m", [2, 4, (3, 5, 2, 4)], ids=str)
def test_stages_of_the_paper(m: Any, alignment: str) -> None:
    n, widths = (None, (3, 5, 6, 8)) if isinstance(m, tuple) else (2, (3, 5, 6))
    plan = sample_plan(m, n, widths, alignment=alignment)
    check(SampleCNN(m, n, num_tags=7, widths=widths, alignment=alignment), plan)


def test_alignments_differ_for_even_filters_only() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (2, 64, 1))
    for m, differ in ((4, True), (3, False)):
        scores = []
        for alignment in ("tensorflow", "theano"):
            model = SampleCNN(m, 2, num_tags=7, widths=(5, 6), alignment=alignment, flexible=True)
            shake(model)
            scores.append(model.predict(x, verbose=0))
        assert bool(np.abs(scores[0] - scores[1]).max() > 1e-3) is differ


@pytest.mark.parametrize(
    "keywords",
    [
        {"block": "se"},
        {"block": "res1"},
        {"block": "res2", "multi_level": True},
        {"block": "rese1", "multi_level": True},
        {"block": "rese2", "se_ratio": 0.5},
        {"block": "rese_won"},
        {"head": "conv1x1+dense"},
        {"multi_level": True, "head": "conv1x1"},
    ],
    ids=str,
)
def test_stages_of_the_successors(keywords: dict[str, Any]) -> None:
    widths = (3, 5, 5, 6)  # a stage that changes its width, one that doesn't
    plan = sample_plan((3, 2, 3, 4), None, widths, input_padding=1)
    check(SampleCNN((3, 2, 3, 4), num_tags=7, widths=widths, input_padding=1, **keywords), plan)


def test_raw_frames_see_a_window_in_the_middle_of_their_hop() -> None:
    model = FrameLevelRaw(9, 4, 2, num_tags=7, widths=(5, 6, 8))
    kernel, bias = shake(model)["stage1_conv"]
    x = np.random.default_rng(1).uniform(-1, 1, (1, 36, 1))
    frames = keras.Model(model.inputs, model.get_layer("stage1_conv").output).predict(x, verbose=0)[0]
    np.testing.assert_allclose(frames, convolve(x[0], [kernel, bias], 4, (2, 3)), atol=1e-5)
    assert frames.shape == (9, 5)


@pytest.mark.parametrize(("window", "hop", "n"), [(729, 729, 1), (729, 243, 2), (243, 81, 2), (81, 81, 2)])
def test_the_mel_front_end(window: int, hop: int, n: int) -> None:
    model = FrameLevelMel(window, hop, n, num_tags=7, widths=(5, 6)[:n], mean=0.3, std=1.7)
    samples = hop * 3**n
    time = np.arange(samples) / 22050
    x = 0.5 * np.sin(2 * np.pi * 440 * time) + 0.05 * np.random.default_rng(0).standard_normal(samples)
    x[: hop // 2] = 0
    front = feature_model(model, ("stage1",)).predict(x[None, :, None], verbose=0)[0]
    np.testing.assert_allclose(front, (slow_log_mel(x, window, hop) - 0.3) / 1.7, atol=1e-4)
    assert front.shape == (3**n, 128)


def slow_log_mel(x: Array, window: int, hop: int) -> Array:
    """Frame, window, Fourier-transform and filter, a frame at a time."""
    around = (window - hop) // 2
    padded = np.concatenate([np.zeros(around), x, np.zeros(window - hop - around)])
    hann = np.sin(np.pi * np.arange(window) / window) ** 2
    rows, bands = [], slow_mel_bands()
    for start in range(0, len(x), hop):
        magnitude = np.abs(np.fft.rfft(padded[start : start + window] * hann, FFT_SIZE))
        rows.append([np.log(1 + 10 * (magnitude * band).sum()) for band in bands.T])
    return np.array(rows)


def slow_mel_bands(bands: int = 128, sr: int = 22050) -> Array:
    """Triangles between neighbors on Slaney's mel scale, each divided by half its base in Hz."""

    def mel(hz: float) -> float:
        return 3 * hz / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)

    def hz(mels: float) -> float:
        return 200 * mels / 3 if mels < 15 else 1000 * 6.4 ** ((mels - 15) / 27)

    edges = [hz(mel(sr / 2) * edge / (bands + 1)) for edge in range(bands + 2)]
    filters = np.zeros((365, bands))
    for band, (low, center, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for k in range(365):
            f = k * sr / FFT_SIZE
            height = (f - low) / (center - low) if f < center else (high - f) / (high - center)
            filters[k, band] = max(0.0, height) / ((high - low) / 2)
    return filters


def test_mel_filters_are_slaneys_and_none_is_empty() -> None:
    np.testing.assert_allclose(mel_filters(128, 22050), slow_mel_bands(), atol=1e-7)
    assert mel_filters(128, 22050).max(axis=0).min() > 0


def test_digital_silence_has_a_finite_gradient() -> None:
    model = FrameLevelMel(9, 3, 2, num_tags=7, widths=(5, 6))
    x = keras.Variable(np.zeros((1, 27, 1), "float32"))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = keras.ops.sum(model(x.value, training=False))
    assert np.isfinite(tape.gradient(loss, x.value).numpy()).all()
