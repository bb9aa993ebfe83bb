"""Pictures of learned filters: waveforms (paper, Figure 2), spectra of stages (3) and of sample rates (4)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.visualize import style
from samplecnn_zoo.visualize.spectra import Spectra, scale_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADES = "magma"  # its lightness rises evenly: read by any colour vision, and in grey
FLOOR, CEILING = 10, 100  # percentiles of a panel's numbers that are its darkest and its lightest

SORTED = (
    "filter, sorted by the frequency of its peak\n"
    "bright: log10(1 + 10·power), by each panel's own range; dashed: filters spread evenly over mel"
)
FRAMES = 24  # of a stage that a waveform is drawn long

Waveforms = Mapping[str, npt.NDArray[np.floating]]


def draw_waveforms(
    path: Path, found: Sequence[Spectra], waveforms: Waveforms, spans: Mapping[str, int], *, examples: int = 4
) -> Path:
    """Draw inputs that filters answer most, a row a stage, from low filters on the left to high ones.

    The examples stand evenly in the order of peaks. Of each the strongest stretch is drawn, as long as
    `FRAMES` frames of its stage, and to its own height, since the ascent knows no loudest sound.

    Args:
        path: Of the picture.
        found: The stages, the first on top.
        waveforms: Stage → (filters, samples).
        spans: Stage → the samples of a frame.
        examples: Filters a stage.
    """

    def plot(*axes: "Axes") -> None:
        panels = iter(axes)
        for spectra in found:
            inputs = waveforms[spectra.stage]
            length = min(inputs.shape[1], FRAMES * spans[spectra.stage])
            for place, row in enumerate(_spread(len(spectra.filters), examples)):
                one = next(panels)
                _waveform(one, strongest(inputs[spectra.filters[row]], length))
                one.set_title(hertz(spectra.peaks_hz[row]), fontsize=style.SMALL, loc="right", pad=2)
                if place == 0:
                    label = f"{spectra.stage}\n{1000 * length / spectra.sample_rate:.3g} ms"
                    one.set_ylabel(label, rotation=0, ha="right", va="center")
        axes[0].figure.supxlabel("time; above each its filter's peak frequency", fontsize=style.FONT)

    return style.draw(path, 0.3 + 0.62 * len(found), plot, nrows=len(found), ncols=examples)


def _spread(count: int, examples: int) -> npt.NDArray[np.intp]:
    """Places in the order of peaks: the middles of as many equal parts."""
    return ((np.arange(examples) + 0.5) * count / examples).astype(np.intp)


def strongest(waveform: npt.NDArray[np.floating], length: int) -> npt.NDArray[np.floating]:
    """Return the stretch of a waveform (samples,) that has the most power, its mean taken off before."""
    wave = waveform - waveform.mean()
    power = np.concatenate([[0], np.cumsum(wave**2)])
    begin = int(np.argmax(power[length:] - power[: len(power) - length]))
    stretch: npt.NDArray[np.floating] = wave[begin : begin + length]
    return stretch


def _waveform(axes: "Axes", wave: npt.NDArray[np.floating]) -> None:
    axes.plot(wave / max(1e-9, np.abs(wave).max()), color=style.BLUE, linewidth=0.6)
    axes.set(ylim=(-1.1, 1.1), xlim=(0, len(wave) - 1), xticks=[], yticks=[])
    style.quiet(axes, grid="none")
    axes.spines[:].set_visible(False)


def draw_spectra(path: Path, found: Sequence[Spectra]) -> Path:
    """Draw the spectra of the filters of several stages side by side, sorted by their peaks.

    Args:
        path: Of the picture.
        found: The stages, the first on the left; of one sample rate.
    """

    def plot(*axes: "Axes") -> None:
        for one, spectra in zip(axes, found, strict=True):
            _spectra(one, spectra)
            one.set_title(spectra.stage)
        _label_hertz(axes[0], found[0])
        axes[0].set_ylabel("frequency (kHz)")
        axes[0].figure.supxlabel(SORTED, fontsize=style.SMALL)

    return style.draw(path, 2.6, plot, ncols=len(found), sharey=True)


def draw_rates(path: Path, found: Mapping[str, Sequence[Spectra]]) -> Path:
    """Draw the spectra of the same stages of several models, a row a model, each up to half its sample rate.

    Args:
        path: Of the picture.
        found: What a model is called → its stages, as many for each.
    """
    stages = len(next(iter(found.values())))

    def plot(*axes: "Axes") -> None:
        grid = np.reshape(np.array(axes, dtype=object), (len(found), stages))
        for row, (name, spectra) in zip(grid, found.items(), strict=True):
            for one, stage in zip(row, spectra, strict=True):
                _spectra(one, stage)
            _label_hertz(row[0], spectra[0])
            row[0].set_ylabel(f"{name}\nfrequency (kHz)")
        for one, stage in zip(grid[0], next(iter(found.values())), strict=True):
            one.set_title(stage.stage)
        figure = axes[0].figure
        figure.align_ylabels(grid[:, 0].tolist())
        figure.supxlabel(SORTED, fontsize=style.SMALL)

    grid: dict[str, Any] = {"nrows": len(found), "ncols": stages, "sharey": "row"}
    return style.draw(path, 0.6 + 1.45 * len(found), plot, **grid)


def _spectra(axes: "Axes", spectra: Spectra) -> None:
    """One stage: filters from left to right, frequencies from below, and the curve that mel would have."""
    filters = len(spectra.filters)
    low, high = np.percentile(spectra.power, (FLOOR, CEILING))
    axes.imshow(
        spectra.power.T, origin="lower", aspect="auto", cmap=SHADES, vmin=low, vmax=high,
        extent=(0, filters, 0, spectra.highest_hz), interpolation="antialiased", rasterized=True,
    )  # fmt: skip
    places = np.arange(filters) + 0.5
    axes.plot(
        places, scale_curve("mel", filters, spectra.highest_hz), color="white", linewidth=0.9,
        linestyle="--",
    )  # fmt: skip
    axes.set(xlim=(0, filters), ylim=(0, spectra.highest_hz), xticks=[0, filters])
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")  # within the panel: those of the next one are near
    last.set_horizontalalignment("right")
    style.quiet(axes, grid="none")


def _label_hertz(axes: "Axes", spectra: Spectra) -> None:
    """Mark quarters up to half the sample rate: the top of the axis is the highest frequency there is."""
    ticks = _round_ticks(spectra.highest_hz)
    axes.set_yticks(ticks, [f"{tick / 1000:g}" for tick in ticks])


def _round_ticks(highest: float) -> npt.NDArray[np.float64]:
    """Round numbers from 0 up, about four, and the highest frequency itself."""
    quarter = highest / 4
    power = 10.0 ** np.floor(np.log10(quarter))
    step = power * max(size for size in (1, 2, 2.5, 5) if size * power <= quarter)
    return np.append(np.arange(0, highest - 0.35 * step, step), highest)


def hertz(value: float) -> str:
    """Write a frequency shortly.

    >>> hertz(86.4), hertz(2666.7)
    ('86 Hz', '2.7 kHz')
    """
    return f"{value:.0f} Hz" if value < 1000 else f"{value / 1000:.1f} kHz"
