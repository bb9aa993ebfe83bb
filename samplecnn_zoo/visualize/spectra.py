"""Spectra of what filters listen to, sorted by their peaks, and the curve of peaks beside mel and Bark.

Plain NumPy: waveforms in, arrays and numbers out (paper, section 7.1, Figures 3 and 4).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.files import replacing
from samplecnn_zoo.models.mel import hz_to_mel, mel_to_hz

Numbers = npt.NDArray[np.float64]


def log_spectra(waveforms: npt.ArrayLike) -> Numbers:
    """Return log10(1 + 10·|S|²), S the spectrum of the whole waveform as one frame under a Hann window.

    Args:
        waveforms: (…, samples); their means are taken off first.

    Returns:
        (…, samples // 2 + 1), from 0 Hz to half the sample rate.
    """
    x = np.asarray(waveforms, np.float64)
    samples = x.shape[-1]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)
    magnitude = np.abs(np.fft.rfft((x - x.mean(axis=-1, keepdims=True)) * hann))
    power: Numbers = np.log10(1 + 10 * magnitude**2)
    return power


def frequencies_hz(samples: int, sample_rate: float) -> Numbers:
    """Return the frequency of each number of a spectrum: (samples // 2 + 1,).

    >>> frequencies_hz(4, 8000)
    array([   0., 2000., 4000.])
    """
    return np.fft.rfftfreq(samples, 1 / sample_rate).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Spectra:
    """The spectra of a stage's filters in the order of their peaks, lowest first.

    Attributes:
        stage: its name.
        sample_rate: in Hz.
        filters: (risen,): which filter each row is of.
        power: (risen, bins): log10(1 + 10·|S|²).
        peaks_hz: (risen,): where each row is largest.
        frequencies_hz: (bins,).
        count: filters that the stage has; those for which nothing was found have no row.
    """

    stage: str
    sample_rate: float
    filters: npt.NDArray[np.intp]
    power: Numbers
    peaks_hz: Numbers
    frequencies_hz: Numbers
    count: int

    @property
    def highest_hz(self) -> float:
        """Half the sample rate."""
        return self.sample_rate / 2


def sorted_spectra(
    stage: str,
    waveforms: npt.ArrayLike,
    sample_rate: float,
    risen: npt.NDArray[np.bool_] | None = None,
) -> Spectra:
    """Take the spectra of waveforms and sort them by peak frequency.

    Args:
        stage: whose filters they are for.
        waveforms: (filters, samples).
        sample_rate: in Hz.
        risen: (filters,): False for waveforms to leave out; None leaves out none.
    """
    x = np.asarray(waveforms)
    kept = np.arange(len(x)) if risen is None else np.flatnonzero(risen)
    power = log_spectra(x[kept])
    scale = frequencies_hz(x.shape[-1], sample_rate)
    peaks = scale[power.argmax(axis=1)] if len(kept) else np.zeros(0)
    order = np.argsort(peaks, kind="stable")
    return Spectra(stage, sample_rate, kept[order], power[order], peaks[order], scale, len(x))


def _linear(share: Numbers, highest_hz: float) -> Numbers:
    return share * highest_hz


def _mel(share: Numbers, highest_hz: float) -> Numbers:
    return mel_to_hz(share * hz_to_mel(highest_hz))


def _bark(share: Numbers, highest_hz: float) -> Numbers:
    """Traunmüller's Bark, 26.81·f / (1960 + f) − 0.53, which is 0 where f is once it is shifted."""
    bark = share * highest_hz / (1960 + highest_hz)
    return 1960 * bark / (1 - bark)


SCALES: Mapping[str, Callable[[Numbers, float], Numbers]] = {"linear": _linear, "mel": _mel, "bark": _bark}
"""Name → the frequencies in Hz that stand at shares (0..1) of the scale from 0 Hz to the highest."""


def scale_curve(scale: str, filters: int, highest_hz: float) -> Numbers:
    """Return the peaks, lowest first, of so many filters spread evenly over a scale from 0 Hz to the highest.

    Raises:
        KeyError: a scale that is none of linear, mel and bark.
    """
    return SCALES[scale]((np.arange(filters) + 0.5) / max(1, filters), highest_hz)


@dataclass(frozen=True)
class Curve:
    """The curve of a stage's sorted peaks in numbers.

    Attributes:
        stage: its name.
        filters: that the stage has.
        risen: of which something was found; the rest of the numbers is about those.
        low_hz: a quarter of the peaks is at this or below.
        mid_hz: half of them.
        high_hz: three quarters of them.
        distance_hz: scale → mean distance of the curve from as many filters spread evenly over that scale.
        nearest: the scale of the least distance.
        straight: how straight the lower half of the curve is, R² of a line through it; None where all its
            peaks are one.
        bend: slope of the upper half of the curve, from the median to the 95th percentile, as a
            multiple of the lower half's, from the 5th: 1 is a line; None where the lower half is flat.
    """

    stage: str
    filters: int
    risen: int
    low_hz: float
    mid_hz: float
    high_hz: float
    distance_hz: Mapping[str, float]
    nearest: str
    straight: float | None
    bend: float | None


def curve(spectra: Spectra) -> Curve:
    """Sum up the peaks of a stage.

    Raises:
        ValueError: nothing was found for any filter of the stage.
    """
    peaks = spectra.peaks_hz
    if not len(peaks):
        raise ValueError(
            f"nothing was found for any of the {spectra.count} filters of {spectra.stage}: their activation "
            f"did not rise; try the target contrast, a longer input or more noise"
        )
    distance = {
        scale: float(np.mean(np.abs(peaks - scale_curve(scale, len(peaks), spectra.highest_hz))))
        for scale in SCALES
    }
    low, mid, high = (float(value) for value in np.percentile(peaks, (25, 50, 75)))
    nearest = min(distance, key=distance.__getitem__)
    straight = straightness(peaks[: -(-len(peaks) // 2)])
    return Curve(
        spectra.stage, spectra.count, len(peaks), low, mid, high, distance, nearest, straight, bend(peaks)
    )


def straightness(peaks: Numbers) -> float | None:
    """Return R² of a line through sorted peaks; None where all are one, and a line says nothing.

    >>> straightness(np.array([100.0, 200.0, 300.0]))
    1.0
    """
    if len(peaks) < 2 or peaks[0] == peaks[-1]:
        return None
    return float(np.corrcoef(np.arange(len(peaks)), peaks)[0, 1] ** 2)


def bend(peaks: Numbers) -> float | None:
    """Return how many times as steep the upper half of sorted peaks is as the lower; see `Curve`.

    >>> bend(np.array([0.0, 100.0, 200.0, 500.0, 800.0]))
    3.0
    """
    bottom, middle, top = np.percentile(peaks, (5, 50, 95))
    return float((top - middle) / (middle - bottom)) if middle > bottom else None


def reference_bends(highest_hz: float) -> dict[str, float]:
    """Return the bend of many filters spread evenly over each scale, to hold a stage's against."""
    return {scale: bend(scale_curve(scale, 1000, highest_hz)) or 1.0 for scale in SCALES}


def stacked(found: Sequence[Spectra]) -> dict[str, npt.NDArray[Any]]:
    """Return the numbers of stages under names for an .npz: `stage1_peaks_hz`, `stage1_power`, ….

    `distance_hz` of a stage stands in the order of `scales`.
    """
    arrays: dict[str, npt.NDArray[Any]] = {"scales": np.array(list(SCALES))}
    for spectra in found:
        arrays["sample_rate_hz"] = np.array(spectra.sample_rate)
        arrays[f"{spectra.stage}_filters"] = spectra.filters
        arrays[f"{spectra.stage}_power"] = spectra.power.astype(np.float32)
        arrays[f"{spectra.stage}_peaks_hz"] = spectra.peaks_hz
        arrays[f"{spectra.stage}_frequencies_hz"] = spectra.frequencies_hz
        arrays[f"{spectra.stage}_distance_hz"] = np.array(list(curve(spectra).distance_hz.values()))
    return arrays


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> Path:
    """Write arrays by name to an .npz, whole or not at all.

    Raises:
        OSError: The file can't be written.
    """
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return path
