"""The HEAR interface against the long way round, and under hear-validator where that is installed."""

import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import soxr
import tensorflow as tf

from samplecnn_zoo import DEFAULT_PRESET
from samplecnn_zoo.hear import get_scene_embeddings, get_timestamp_embeddings, load_model
from samplecnn_zoo.hear.clips import centred_starts, stated_rate
from samplecnn_zoo.models import feature_model
from samplecnn_zoo.tagger import Tagger
from samplecnn_zoo.zoo import Normalization, PresetError, SegmentRule, load_pretrained, save_pretrained
from tests import sounds
from tests.presets import Floats, preset_for, tiny_model

SAMPLES = 729
SIZE = 9 + 9 + 8  # channels of the levels -1 (the 1x1 convolution), -2 and -3
HOP_MS = 20
# Rates of presets, the rate that each asks for, and rules of every kind. At 300 Hz a segment lasts 2.4 s.
ASKED = {300: 16000, 8000: 16000, 16000: 16000, 22050: 22050}
CHANGES: dict[int, dict[str, Any]] = {
    300: {},
    8000: {"normalization": Normalization(0.02, 0.4)},
    16000: {"segment_rule": SegmentRule("even", windows=4, to_end=False)},
    22050: {"segment_rule": SegmentRule(hop_samples=500)},
}
FIELDS = ("scenes", "embeddings", "timestamps")
RUN_TORCH = """
import sys
import numpy as np
import torch
from samplecnn_zoo.hear import get_scene_embeddings, get_timestamp_embeddings, load_model

model = load_model(sys.argv[1])
assert isinstance(model, torch.nn.Module) and len(list(model.parameters())) > 0
model.to("cpu")
audio = torch.from_numpy(np.load(sys.argv[2])).requires_grad_()
found = [get_scene_embeddings(audio, model), *get_timestamp_embeddings(audio, model)]
assert all(isinstance(one, torch.Tensor) and one.dtype == torch.float32 for one in found)
np.savez(sys.argv[3], **dict(zip(("scenes", "embeddings", "timestamps"), (one.numpy() for one in found))))
"""
WITH_A_HOP = """
from functools import partial
from samplecnn_zoo import hear
from samplecnn_zoo.hear import get_scene_embeddings, get_timestamp_embeddings
load_model = partial(hear.load_model, hop_ms=30, batch_size=64)
"""


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    found = {}
    for rate, changes in CHANGES.items():
        model = tiny_model(rate, sr=rate)
        found[rate] = tmp_path_factory.mktemp("zoo") / f"tiny.{rate}"
        save_pretrained(model, found[rate], preset=preset_for(model, **changes))
    return found


@pytest.fixture(scope="module", params=ASKED)
def rate(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def model(presets: dict[int, Path], rate: int) -> Any:
    return load_model(str(presets[rate]), hop_ms=HOP_MS, batch_size=3)


def noise(model: Any, seconds: float = 2.0, sounds: int = 2) -> Floats:
    rng = np.random.default_rng(1)
    return rng.uniform(-1, 1, (sounds, round(seconds * model.sample_rate))).astype(np.float32)


def at_rate(clip: Floats, model: Any) -> Floats:
    preset = model.embedder.preset
    resampled: Floats = soxr.resample(clip, model.sample_rate, preset.sample_rate, quality="HQ")
    return np.clip(resampled, -1, 1)


def embedded(path: Path, windows: list[Floats], levels: tuple[int, ...] = (-1, -2, -3)) -> Floats:
    """(windows, size): normalized, run, the maximum over time of each level, side by side."""
    network = load_pretrained(path)
    normalization = network.preset.normalization or Normalization(0, 1)
    stack = (np.stack(windows)[..., None] - normalization.mean) / normalization.std
    outputs = feature_model(network, levels)(stack.astype(np.float32), training=False)
    return np.concatenate([np.asarray(output).max(axis=1) for output in outputs], axis=1)


def cut_by_hand(clip: Floats, rate: int) -> list[Floats]:
    """The segments of the rules in CHANGES."""
    if len(clip) < SAMPLES:
        return [np.concatenate([clip] * math.ceil(SAMPLES / len(clip)))[:SAMPLES]]
    if rate == 16000:
        hop = (len(clip) - SAMPLES) // 4
        return [clip[row * hop : row * hop + SAMPLES] for row in range(4)]
    starts = list(range(0, len(clip) - SAMPLES + 1, 500 if rate == 22050 else SAMPLES))
    if starts[-1] + SAMPLES < len(clip):
        starts.append(len(clip) - SAMPLES)
    return [clip[start : start + SAMPLES] for start in starts]


def around(clip: Floats, centre: float) -> Floats:
    """The window with this centre in samples, beyond the edges mirrored, or repeated if the clip is short."""
    index = np.arange(SAMPLES) + round(centre - SAMPLES / 2)
    last = len(clip) - 1
    mirrored = np.where(index > last, 2 * last - index, np.abs(index))
    return clip[index % len(clip) if len(clip) < SAMPLES else mirrored]


def test_the_model_says_what_hear_asks(model: Any, rate: int) -> None:
    assert isinstance(model, tf.Module)
    assert model.sample_rate == ASKED[rate]
    assert (model.scene_embedding_size, model.timestamp_embedding_size) == (SIZE, SIZE)
    assert len(model.variables) == len(model.network.variables) > 0


def test_scenes_are_the_mean_over_segments(model: Any, presets: dict[int, Path], rate: int) -> None:
    audio = noise(model)
    found = get_scene_embeddings(tf.constant(audio), model)
    assert (found.dtype, found.shape) == (tf.float32, (2, SIZE))
    for clip, row in zip(audio, found.numpy(), strict=True):
        segments = cut_by_hand(at_rate(clip, model), rate)
        assert (len(segments) == 1) == (rate == 300)
        wanted = embedded(presets[rate], segments).mean(axis=0)
        np.testing.assert_allclose(row, wanted, rtol=1e-4, atol=1e-5)


def test_scenes_are_what_the_tagger_gives(model: Any, presets: dict[int, Path], tmp_path: Path) -> None:
    audio = noise(model, seconds=0.7, sounds=1)
    file = sounds.write(
        tmp_path / "noise.wav", audio[0].astype(np.float64), model.sample_rate, subtype="FLOAT"
    )
    (clip,) = Tagger(presets[model.embedder.preset.sample_rate], engine="keras").embed(file)
    wanted = np.concatenate([clip.levels[level] for level in (-1, -2, -3)])
    np.testing.assert_allclose(get_scene_embeddings(audio, model)[0].numpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seconds", [0.3, 2.0])
def test_timestamps_are_centres_of_windows(
    model: Any, presets: dict[int, Path], rate: int, seconds: float
) -> None:
    audio = noise(model, seconds)
    embeddings, timestamps = get_timestamp_embeddings(tf.constant(audio), model)
    count = math.ceil(seconds * 1000 / HOP_MS)
    assert (embeddings.dtype, embeddings.shape) == (tf.float32, (2, count, SIZE))
    assert (timestamps.dtype, timestamps.shape) == (tf.float32, (2, count))
    times = timestamps.numpy()
    np.testing.assert_array_equal(times[0], times[1])
    np.testing.assert_allclose(np.diff(times[0]), HOP_MS, rtol=0, atol=1e-3)
    samples_ms = 1000 / rate
    assert 0 < times[0, 0] <= HOP_MS / 2 + samples_ms
    assert times[0, 0] + times[0, -1] == pytest.approx(1000 * seconds, abs=1.5 * samples_ms)
    for row, clip in enumerate(audio):
        windows = [around(at_rate(clip, model), time / samples_ms) for time in times[row]]
        wanted = embedded(presets[rate], windows)
        np.testing.assert_allclose(embeddings[row].numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_a_batch_is_its_clips_one_by_one(model: Any) -> None:
    audio = noise(model, sounds=3)
    scenes, (embeddings, _) = get_scene_embeddings(audio, model), get_timestamp_embeddings(audio, model)
    for row in range(3):
        alone = audio[row : row + 1]
        np.testing.assert_allclose(get_scene_embeddings(alone, model)[0], scenes[row], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            get_timestamp_embeddings(alone, model)[0][0], embeddings[row], rtol=1e-4, atol=1e-5
        )


def test_the_hop_is_the_segments_unless_another_is_asked_for(presets: dict[int, Path]) -> None:
    hops = {rate: load_model(str(path)).embedder.hop_samples for rate, path in presets.items()}
    assert hops == {300: SAMPLES, 8000: SAMPLES, 16000: SAMPLES, 22050: 500}
    model = load_model(str(presets[22050]), hop_ms=4.9)
    assert model.embedder.hop_samples == 108  # 108.045
    _, timestamps = get_timestamp_embeddings(noise(model, 0.2), model)
    np.testing.assert_allclose(np.diff(timestamps), 108 / 22.05, atol=1e-3)


def test_levels_stand_in_the_order_asked_for(presets: dict[int, Path]) -> None:
    model = load_model(str(presets[8000]), levels=[-3, -1])
    assert model.scene_embedding_size == 8 + 9
    clip = noise(model, 0.15, sounds=1)
    windows = cut_by_hand(at_rate(clip[0], model), 8000)
    wanted = embedded(presets[8000], windows, levels=(-3, -1)).mean(axis=0)
    np.testing.assert_allclose(get_scene_embeddings(clip, model)[0], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "size", "hop"), [(1000, 100, 7), (1000, 99, 100), (35, 64, 9), (5, 9, 9)]
)
def test_centred_windows_leave_no_sample_far_from_one(samples: int, size: int, hop: int) -> None:
    centres = np.array(centred_starts(samples, size, hop)) + size / 2
    assert (np.diff(centres) == hop).all()
    assert centres[0] <= hop / 2
    assert 0 <= samples - centres[-1] - centres[0] <= 1
    assert len(centres) == math.ceil(samples / hop)


def test_the_default_is_the_bundled_preset() -> None:
    model = load_model()
    assert model.embedder.preset.name == DEFAULT_PRESET
    assert model.sample_rate == stated_rate(model.embedder.preset.sample_rate) == 22050
    assert model.embedder.hop_samples == model.embedder.preset.segment_samples


def wrong(audio: Floats) -> dict[str, tuple[Any, str]]:
    missing = audio.copy()
    missing[1, 5] = np.nan
    return {
        "one clip": (audio[0], r"shape \(n_sounds, n_samples\) of mono clips, got \(3200,\)"),
        "channels": (audio[..., None], r"got \(2, 3200, 1\)"),
        "no clip": (audio[:0], r"got \(0, 3200\)"),
        "integers": ((audio * 9).astype(np.int16), "floating-point in -1 to 1, got int16"),
        "short": (audio[:, :1599], "0.1 s at least, 1600 samples at 16000 Hz, got 1599"),
        "nan": (missing, "finite, got nan at sample 5 of clip 1"),
        "not scaled": (audio * 32768, "peak of 3.*: divide by full scale"),
    }


@pytest.mark.parametrize(
    "name", ["one clip", "channels", "no clip", "integers", "short", "nan", "not scaled"]
)
def test_audio_that_is_no_batch_of_clips(presets: dict[int, Path], name: str) -> None:
    model = load_model(str(presets[8000]))
    audio, message = wrong(noise(model, 0.2))[name]
    for embed in (get_scene_embeddings, get_timestamp_embeddings):
        with pytest.raises(ValueError, match=message):
            embed(audio, model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": (-1, -9)}, r"network's, -5 to -1, each once, such as \(-1, -2, -3\); got \(-1, -9\)"),
        ({"levels": (-1, -1)}, r"each once.*got \(-1, -1\)"),
        ({"levels": ()}, r"one or more.*got \(\)"),
        ({"hop_ms": 0.1}, "hop_ms must be from a sample, 0.125 ms, to a segment, 91.1 ms.*got 0.1"),
        ({"hop_ms": 92}, "got 92"),
        ({"hop_ms": math.nan}, "got nan"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_options_out_of_range(presets: dict[int, Path], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_model(str(presets[8000]), **options)


def test_what_is_no_preset_and_what_is_no_model(presets: dict[int, Path]) -> None:
    with pytest.raises(PresetError, match="neither a directory nor the name"):
        load_model("no-such-preset")
    network = load_pretrained(presets[8000])
    with pytest.raises(TypeError, match=r"from samplecnn_zoo\.hear\.load_model, got Functional"):
        get_scene_embeddings(np.zeros((1, 16000), np.float32), network)


def test_other_backends_are_refused(presets: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="Keras runs on jax: set KERAS_BACKEND=tensorflow or"):
        load_model(str(presets[8000]))


def run(arguments: list[str], backend: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*map(str, folders), str(Path(__file__).parents[1])])
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": path}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_torch_gives_the_same(presets: dict[int, Path], tmp_path: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    model = load_model(str(presets[8000]))
    audio = noise(model, 0.5)
    np.save(tmp_path / "audio.npy", audio)
    files = [str(tmp_path / name) for name in ("audio.npy", "found.npz")]
    done = run(["-c", RUN_TORCH, str(presets[8000]), *files], "torch")
    assert done.returncode == 0, done.stderr
    wanted = (get_scene_embeddings(audio, model), *get_timestamp_embeddings(audio, model))
    with np.load(files[1]) as found:
        for name, tensor in zip(FIELDS, wanted, strict=True):
            np.testing.assert_allclose(found[name], tensor.numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("backend", "module"), [("tensorflow", "samplecnn_zoo.hear"), ("torch", "with_a_hop")]
)
def test_the_validator_passes(backend: str, module: str, presets: dict[int, Path], tmp_path: Path) -> None:
    if importlib.util.find_spec("hearvalidator") is None:
        pytest.skip("hearvalidator is not installed (pip install 'samplecnn_zoo[hear]')")
    (tmp_path / "with_a_hop.py").write_text(WITH_A_HOP)
    line = ["-m", "hearvalidator.validate", module, "--model", str(presets[22050]), "--device", "cpu"]
    done = run(line, backend, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Received {backend} Module" in done.stdout
    assert done.stdout.endswith("Looks good!\n")
