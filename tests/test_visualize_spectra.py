"""Spectra, their order, and the curve of peaks, each held against a direct computation."""

from pathlib import Path

import numpy as np
import pytest

from samplecnn_zoo.models.mel import hz_to_mel
from samplecnn_zoo.visualize import curve, log_spectra, reference_bends, sorted_spectra, stacked, write_arrays
from samplecnn_zoo.visualize.spectra import SCALES, Spectra, scale_curve

RATE = 8000


def tones(*hz: float, samples: int = 729, rate: float = RATE) -> np.ndarray:
    return np.array([np.sin(2 * np.pi * one * np.arange(samples) / rate) for one in hz])


def test_a_spectrum_is_what_the_formula_says() -> None:
    x = np.random.default_rng(0).normal(3.0, 1.0, (2, 27))
    found = log_spectra(x)
    assert found.shape == (2, 14)
    for wave, row in zip(x - x.mean(axis=1, keepdims=True), found, strict=True):
        for index, value in enumerate(row):
            time = np.arange(27)
            window = np.sin(np.pi * time / 27) ** 2
            power = abs(np.sum(wave * window * np.exp(-2j * np.pi * index * time / 27))) ** 2
            assert value == pytest.approx(np.log10(1 + 10 * power))


@pytest.mark.parametrize("rate", [8000, 22050])
def test_filters_stand_in_the_order_of_their_peaks(rate: int) -> None:
    shares = [0.31, 0.02, 0.47, 0.1]  # of the sample rate
    waves = tones(*(share * rate for share in shares), rate=rate)
    spectra = sorted_spectra("stage4", waves, rate)
    assert spectra.filters.tolist() == [1, 3, 0, 2]
    np.testing.assert_allclose(spectra.peaks_hz, np.sort(shares) * rate, atol=0.5 * rate / 729)
    np.testing.assert_array_equal(spectra.power, log_spectra(waves)[[1, 3, 0, 2]])
    assert (spectra.frequencies_hz[0], spectra.highest_hz) == (0, rate / 2)


def test_filters_of_which_nothing_was_found_have_no_row() -> None:
    risen = np.array([True, False, True])
    spectra = sorted_spectra("stage2", tones(3000, 500, 1000), RATE, risen)
    assert (spectra.filters.tolist(), spectra.count) == ([2, 0], 3)
    assert (curve(spectra).risen, curve(spectra).filters) == (2, 3)
    with pytest.raises(ValueError, match="nothing was found for any of the 3 filters of stage2"):
        curve(sorted_spectra("stage2", tones(3000, 500, 1000), RATE, np.zeros(3, bool)))


def test_scales_are_evenly_spaced_by_their_own_formulas() -> None:
    mel = [hz_to_mel(hz) for hz in scale_curve("mel", 40, 11025)]
    f = scale_curve("bark", 40, 11025)
    bark = 26.81 * f / (1960 + f) - 0.53
    for steps in (np.diff(mel), np.diff(bark), np.diff(scale_curve("linear", 40, 11025))):
        np.testing.assert_allclose(steps, steps[0], rtol=1e-9)
    for scale in SCALES:
        np.testing.assert_allclose(SCALES[scale](np.array([0.0, 1.0]), 11025), [0, 11025], atol=1e-9)


def with_peaks(peaks: np.ndarray) -> Spectra:
    power, bins = np.zeros((len(peaks), 3)), np.array([0, 5512.5, 11025])
    return Spectra("stage3", 22050, np.arange(len(peaks)), power, peaks, bins, len(peaks))


@pytest.mark.parametrize("scale", SCALES)
def test_filters_on_a_scale_are_told_to_be_on_it(scale: str) -> None:
    found = curve(with_peaks(scale_curve(scale, 128, 11025)))
    assert found.nearest == scale
    assert found.distance_hz[scale] == pytest.approx(0, abs=1e-6)
    assert min(value for name, value in found.distance_hz.items() if name != scale) > 200
    assert found.bend == pytest.approx(reference_bends(11025)[scale], rel=0.02)


def test_a_curve_that_is_steeper_above_bends_and_its_lower_half_is_straight() -> None:
    found = curve(with_peaks(np.concatenate([np.linspace(0, 1000, 64), np.linspace(1100, 11000, 64)])))
    assert found.straight == pytest.approx(1.0)
    assert found.bend is not None and 8 < found.bend < 12
    assert (found.low_hz, found.high_hz) == pytest.approx((504, 6000), rel=0.05)


def test_peaks_that_are_one_have_neither() -> None:
    found = curve(with_peaks(np.full(6, 80.0)))
    assert (found.straight, found.bend, found.mid_hz) == (None, None, 80.0)


def test_arrays_come_back_from_their_file(tmp_path: Path) -> None:
    spectra = sorted_spectra("stage1", tones(3000, 500), RATE)
    with np.load(write_arrays(tmp_path / "a.npz", stacked([spectra]))) as arrays:
        assert arrays["stage1_filters"].tolist() == [1, 0]
        np.testing.assert_allclose(arrays["stage1_power"], spectra.power, rtol=1e-6)
        np.testing.assert_array_equal(arrays["stage1_peaks_hz"], spectra.peaks_hz)
        assert arrays["scales"].tolist() == ["linear", "mel", "bark"]
        assert arrays["stage1_distance_hz"][1] == pytest.approx(curve(spectra).distance_hz["mel"])
        assert arrays["sample_rate_hz"] == RATE
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_arrays(tmp_path / "folder", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "folder"]
