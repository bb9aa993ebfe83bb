"""The ascent finds what filters answer, with the network as it tags: BatchNorm in inference mode."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from samplecnn_zoo.models import FrameLevelMel, FrameLevelRaw, SampleCNN, stage_outputs
from samplecnn_zoo.visualize import ascend, ascent, log_spectra, shorten, sorted_spectra
from samplecnn_zoo.visualize.ascent import Ascent
from tests.presets import RATE, scores, segments, settle, tiny_model

Numbers = npt.NDArray[np.floating]

BANDS_HZ = (350.0, 900.0, 1500.0, 2400.0, 3300.0)


@pytest.fixture(scope="module")
def band_passes() -> keras.Model:
    """A network whose first stage, a frame a sample, has a band-pass at each of BANDS_HZ."""
    model = FrameLevelRaw(81, 1, 2, sr=RATE, num_tags=3, widths=[len(BANDS_HZ), 4, 6])
    time = (np.arange(81) - 40) / RATE
    kernels = np.hanning(81)[:, None] * np.cos(2 * np.pi * time[:, None] * np.array(BANDS_HZ))
    model.get_layer("stage1_conv").set_weights([kernels[:, None, :], np.zeros(len(BANDS_HZ))])
    return model


@pytest.mark.parametrize("target", ["contrast", "after"])
def test_band_passes_are_found_at_their_frequencies(band_passes: keras.Model, target: str) -> None:
    found = ascend(band_passes, "stage1", settings=Ascent(target=target))
    assert found.waveforms.shape == (len(BANDS_HZ), 729)
    spectra = sorted_spectra("stage1", found.waveforms, RATE, found.risen)
    assert spectra.filters.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(spectra.peaks_hz, BANDS_HZ, atol=0.5 * RATE / 81)


@pytest.mark.parametrize("target", ascent.TARGETS)
def test_the_activation_rises_at_every_step(band_passes: keras.Model, target: str) -> None:
    activation = ascend(band_passes, "stage1", settings=Ascent(target=target)).activation
    assert activation.shape == (19, len(BANDS_HZ))
    assert (np.diff(activation, axis=0) > 0).all()


# BatchNorm in inference mode


def first_step(model: keras.Model, noise: Numbers, target: str) -> tuple[Numbers, Numbers]:
    """One step of the first stage by the formulas: activations (filters,) and inputs (filters, samples)."""
    kernel, bias = model.get_layer("stage1_conv").get_weights()
    gamma, beta, mean, variance = model.get_layer("stage1_bn").get_weights()
    scale = gamma / np.sqrt(variance + model.get_layer("stage1_bn").epsilon)
    activations, inputs = [], []
    for index, x in enumerate(noise):
        frames = x.reshape(-1, len(kernel))
        own = kernel[:, 0, index] * scale[index]
        y = frames @ own + (bias[index] - mean[index]) * scale[index] + beta[index]
        active = (y > 0).astype(float)
        if target == "contrast":
            active = (y > y.mean()).astype(float) if active.min() == active.max() else active
            active -= active.mean()
        elif target == "before":
            active[:] = 1
        slope = (active[:, None] * own / len(y)).ravel()
        activations.append((y if target == "before" else np.maximum(y, 0)).mean())
        inputs.append(x + 0.5 * slope / (np.sqrt(np.mean(slope**2)) + 1e-9))
    return np.array(activations), np.array(inputs)


def check_first_step(model: keras.Model, target: str) -> None:
    settings = Ascent(target=target, steps=1, step=0.5, noise=0.4, seed=3)
    found = ascend(model, "stage1", samples=270, settings=settings)
    noise = np.random.default_rng(3).uniform(-0.4, 0.4, (len(found.waveforms), 270))
    activation, inputs = first_step(model, noise, target)
    np.testing.assert_allclose(found.activation[0], activation, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.waveforms, inputs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("target", ascent.TARGETS)
def test_a_step_is_what_the_formulas_give_with_the_statistics_of_training(target: str) -> None:
    check_first_step(tiny_model(), target)


@pytest.mark.parametrize("target", ascent.TARGETS)
def test_in_training_mode_that_test_fails(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class InTraining:
        def __init__(self, *arguments: Any) -> None:
            self.network = shorten.shortened(*arguments)
            self.output_shape = self.network.output_shape

        def __call__(self, x: Any, training: bool) -> Any:
            return self.network(x, training=not training)

    monkeypatch.setattr(ascent, "shortened", InTraining)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_first_step(tiny_model(), target)


def test_filters_of_a_batch_do_not_know_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    together = ascend(model, "stage3", settings=Ascent(steps=4))
    # A batch a filter, and no more of them though an input alone is too long.
    monkeypatch.setattr(ascent, "MOST_SAMPLES", together.waveforms.shape[1] // 2)
    alone = ascend(model, "stage3", settings=Ascent(steps=4))
    np.testing.assert_allclose(alone.waveforms, together.waveforms, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(alone.activation, together.activation, rtol=1e-3, atol=1e-5)


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_model()
    weights, outputs = model.get_weights(), {name: x.shape for name, x in stage_outputs(model).items()}
    ascend(model, "top", settings=Ascent(steps=2))
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    assert {name: x.shape for name, x in stage_outputs(model).items()} == outputs


def test_a_seed_gives_the_same_and_another_gives_another() -> None:
    model = tiny_model()
    one, same, other = (ascend(model, "stage2", settings=Ascent(steps=2, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.waveforms, same.waveforms)
    assert np.abs(one.waveforms - other.waveforms).max() > 0.01


# Filters that a plain ascent is lost for


def biased(beta: float) -> keras.Model:
    """A network of stages of size 3 whose first stage is silent on noise, or never silent."""
    model = settle(SampleCNN(3, 2, sr=RATE, num_tags=3, widths=[6, 5, 4]))
    layer = model.get_layer("stage1_bn")
    gamma, old, mean, variance = layer.get_weights()
    layer.set_weights([gamma, np.full_like(old, beta), np.zeros_like(mean), variance])
    return model


def test_a_silent_filter_wakes_only_by_contrast() -> None:
    found = ascend(biased(-1.0), "stage1", settings=Ascent(target="after"))
    assert not found.risen.any()
    assert np.abs(found.waveforms).max() <= 0.015  # still the noise
    assert ascend(biased(-1.0), "stage1").risen.all()


def test_a_filter_that_is_never_silent_shows_more_than_the_frame_rate_only_by_contrast() -> None:
    power = {
        target: log_spectra(ascend(biased(20.0), "stage1", settings=Ascent(target=target)).waveforms)
        for target in ("after", "contrast")
    }
    bin_of_third = 729 // 3
    assert (power["after"].argmax(axis=1) == bin_of_third).all()
    assert (power["contrast"].argmax(axis=1) != bin_of_third).all()


# The three bands of filters of size 3


def strongest_third(power: Numbers) -> npt.NDArray[np.intp]:
    """Which third of the frequencies has most of the power: low 0, middle 1, high 2."""
    thirds = np.array_split(power, 3, axis=-1)
    strongest: npt.NDArray[np.intp] = np.stack([third.mean(axis=-1) for third in thirds]).argmax(axis=0)
    return strongest


def test_filters_of_size_3_show_their_three_bands() -> None:
    """Low, middle and high ones, 10 of each: an input has most power in its filter's third of the band."""
    rng = np.random.default_rng(0)
    shapes = np.repeat([[1, 1, 1], [1, 0, -1], [1, -2, 1]], 10, axis=0) + rng.normal(0, 0.1, (30, 3))
    model = SampleCNN(3, 2, sr=RATE, num_tags=3, widths=[30, 5, 4])
    model.get_layer("stage1_conv").set_weights([shapes.T[:, None, :], np.zeros(30)])
    found = ascend(model, "stage1")
    linear = 10 ** log_spectra(found.waveforms)
    assert strongest_third(linear).tolist() == [0] * 10 + [1] * 10 + [2] * 10
    peaks = sorted_spectra("stage1", found.waveforms, RATE)
    assert set(peaks.filters[:10]) == set(range(10)), "the ten with the lowest peaks are the low ones"
    assert set(peaks.filters[-10:]) == set(range(20, 30)), "the ten with the highest are the high ones"


def test_random_filters_of_size_3_fill_all_three_bands_each_its_own() -> None:
    keras.utils.set_random_seed(0)
    model = SampleCNN(3, 2, sr=RATE, num_tags=3, widths=[128, 5, 4])
    kernels = model.get_layer("stage1_conv").get_weights()[0][:, 0, :].T
    own = strongest_third(np.abs(np.fft.rfft(kernels, 729)) ** 2)
    shown = strongest_third(10 ** log_spectra(ascend(model, "stage1").waveforms))
    assert np.bincount(shown, minlength=3).min() >= 0.1 * 128
    assert (shown == own).mean() > 0.9


# Which stages, and how long an input


@pytest.mark.parametrize(
    ("m", "n", "stages", "samples"), [(2, 10, 6, 704), (3, 6, 6, 729), (4, 5, 5, 1024), (5, 4, 4, 625)]
)
def test_as_many_stages_as_a_frame_holds(m: int, n: int, stages: int, samples: int) -> None:
    model = SampleCNN(m, n, num_tags=3, widths=[4] * n)
    lowest = shorten.lowest_stages(model)
    assert lowest == [f"stage{index}" for index in range(1, stages + 1)]
    assert shorten.frame_samples(model, lowest) == samples


@pytest.mark.parametrize("block", ["basic", "se", "res2", "rese2", "rese_won"])
def test_a_frame_spans_what_the_model_itself_says(block: str) -> None:
    model = SampleCNN((3, 2, 4, 3), num_tags=3, widths=[4, 5, 6], block=block)
    frames = {name: output.shape[1] for name, output in stage_outputs(model).items()}
    assert shorten.stage_strides(model) == {name: 72 // count for name, count in frames.items()}
    found = ascend(model, "stage3", samples=144, settings=Ascent(steps=1))
    assert found.waveforms.shape == (5, 144)


@pytest.mark.parametrize("stage", ["stage1", "stage3", "stage4", "top"])
def test_a_shortened_model_is_the_model(stage: str) -> None:
    model = settle(SampleCNN((3, 2, 4, 3), num_tags=3, widths=[4, 5, 6, 7]))
    before = model.get_layer(f"{stage}_relu").input
    x = segments(5, samples=72)
    wanted = scores(keras.Model(model.inputs[0], before), x)
    np.testing.assert_allclose(scores(shorten.shortened(model, stage, 72), x), wanted, atol=1e-5)
    if stage != "top":  # 5 samples more are no frame of it
        longer = np.pad(x[:, :24], ((0, 0), (0, 5), (0, 0)))
        assert shorten.shortened(model, stage, 29)(longer).shape[1] == 29 // (72 // wanted.shape[1])


def test_one_frame_is_enough() -> None:
    """Frames have nothing to differ in; the ascent is then that of the activation itself."""
    model = settle(FrameLevelRaw(81, 81, 2, sr=RATE, num_tags=3, widths=[5, 4, 6]))
    found = ascend(model, "stage1", samples=81)
    assert found.risen.all()


def test_bad_stages_and_lengths_are_told() -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match=r"no stage 'stage9' in .*: its stages are stage1, .*, top"):
        ascend(model, "stage9")
    with pytest.raises(
        ValueError, match=r"a frame of stage4 .* spans 243 samples; got an input of 100: take"
    ):
        ascend(model, "stage4", samples=100)
    with pytest.raises(ValueError, match="got an input of 0"):
        ascend(model, "stage4", samples=0)
    mel = FrameLevelMel(27, 9, 2, num_tags=3, widths=[4, 6, 8])
    with pytest.raises(ValueError, match="does not hear the waveform through learned filters"):
        ascend(mel, "stage2")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"target": "max"}, "unknown target 'max': take one of contrast, after, before"),
        ({"steps": 0}, "steps must be 1 or more; got 0"),
        ({"step": 0.0}, "step must be finite and more than 0; got 0.0"),
        ({"noise": float("nan")}, "noise must be finite and more than 0; got nan"),
    ],
)
def test_bad_settings_are_told(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ascent(**setting)


# Backends

RUN = """
import sys
import numpy as np
from samplecnn_zoo.visualize import Ascent, ascend
from samplecnn_zoo.zoo import load_pretrained

model = load_pretrained(sys.argv[1])
found = {target: ascend(model, "stage3", settings=Ascent(target=target, steps=4)) for target in sys.argv[3:]}
np.savez(sys.argv[2], **{target: one.waveforms for target, one in found.items()})
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_agree(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'samplecnn_zoo[backends]'")
    from tests.presets import save_tiny

    model = save_tiny(tmp_path / "tiny")
    done = subprocess.run(
        [sys.executable, "-c", RUN, tmp_path / "tiny", tmp_path / "found.npz", *ascent.TARGETS],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "found.npz") as theirs:
        for target in ascent.TARGETS:
            ours = ascend(model, "stage3", settings=Ascent(target=target, steps=4)).waveforms
            np.testing.assert_allclose(theirs[target], ours, atol=1e-3, err_msg=target)
