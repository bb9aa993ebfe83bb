"""A signal of any length as a few columns, and the axes that it is drawn on: time, a waveform's outline."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.visualize import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.floating]

MOST_COLUMNS = 1000  # of a picture a column of text wide: about as many as it has pixels
CLOCK_FROM_S = 600  # from here on people count minutes
MOST_TICKS = 8
_TICKS_S = (60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14400, 28800, 86400)


class Columns:
    """A signal that comes in blocks, gathered into columns of equal length, whatever its length.

    When there are twice as many columns as wanted, each two become one: memory does not grow, and the length
    need not be known before.

    Args:
        sample_rate: of the signal in Hz.
        gathers: what a column keeps of its samples, one row each: `np.minimum`, `np.maximum`, `np.add`, …
        most: columns; there are at most twice as many.
    """

    def __init__(self, sample_rate: int, gathers: Iterable[np.ufunc], most: int = MOST_COLUMNS) -> None:
        self.sample_rate = sample_rate
        self.samples = 0
        self._gathers = tuple(gathers)
        self._rows = np.empty((len(self._gathers), 2 * most))
        self._count = 0
        self._step = 1  # samples of a column
        self._rest = np.empty(0)  # of a column that is not full

    def watch(self, blocks: Iterable[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the blocks as they are, and gather them in passing."""
        for block in blocks:
            self.add(block)
            yield block

    def add(self, block: npt.NDArray[np.floating]) -> None:
        """Gather (n,) samples."""
        self.samples += len(block)
        left = np.concatenate([self._rest, block])
        while len(left) >= self._step:
            whole = min(len(left) // self._step, self._rows.shape[1] - self._count)
            self._append(left[: whole * self._step].reshape(whole, self._step))
            left = left[whole * self._step :]
            if self._count == self._rows.shape[1]:
                self._halve()
        self._rest = left

    def _append(self, columns: Floats) -> None:
        end = self._count + len(columns)
        for row, gather in zip(self._rows, self._gathers, strict=True):
            row[self._count : end] = gather.reduce(columns, axis=1)
        self._count = end

    def _halve(self) -> None:
        half = self._count // 2
        for row, gather in zip(self._rows, self._gathers, strict=True):
            row[:half] = gather(row[0 : self._count : 2], row[1 : self._count : 2])
        self._count, self._step = half, 2 * self._step

    @property
    def edges_s(self) -> npt.NDArray[np.float64]:
        """(columns + 1,) where columns begin, and where the last one ends."""
        whole = np.arange(self._count + 1) * self._step
        edges = np.append(whole, self.samples) if len(self._rest) else whole
        return edges / self.sample_rate

    @property
    def rows(self) -> npt.NDArray[np.float64]:
        """(gathers, columns) what is kept."""
        rows = self._rows[:, : self._count]
        if not len(self._rest):
            return rows.copy()
        last = np.array([[gather.reduce(self._rest)] for gather in self._gathers])
        return np.concatenate([rows, last], axis=1)


def outline(sample_rate: int) -> Columns:
    """Return columns that keep the lowest and the highest sample: what is seen of a waveform."""
    return Columns(sample_rate, (np.minimum, np.maximum))


def draw_wave(axes: "Axes", wave: Columns) -> None:
    """Fill the `outline` of a waveform, symmetric about zero."""
    low, high = wave.rows
    reach = 1.05 * max(-low.min(), high.max(), 1e-3)
    if len(low) == wave.samples:  # a column a sample: nothing but a line to see
        axes.plot(wave.edges_s[:-1], low, color=style.GREY, linewidth=0.6)
    else:
        axes.stairs(high, wave.edges_s, baseline=low, fill=True, color=style.GREY, linewidth=0)
    axes.set(ylim=(-reach, reach), ylabel="wave")
    style.quiet(axes, grid="none")
    axes.spines[:].set_visible(False)


def time_axis(axes: "Axes", duration_s: float) -> None:
    """Let the x axis span a clip: in seconds, and in minutes where there are many of them."""
    axes.set_xlim(0, duration_s)
    if duration_s < CLOCK_FROM_S:
        axes.set_xlabel("time (s)")
        return
    step = next((step for step in _TICKS_S if duration_s / step <= MOST_TICKS), _TICKS_S[-1])
    axes.set_xticks(np.arange(0, duration_s, step))
    clock = _hours if duration_s >= 3600 else _minutes
    axes.xaxis.set_major_formatter(clock)
    axes.set_xlabel("time (h:min)" if clock is _hours else "time (min:s)")


def _minutes(seconds: float, _: Any) -> str:
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"


def _hours(seconds: float, _: Any) -> str:
    return f"{seconds // 3600:.0f}:{seconds % 3600 // 60:02.0f}"
