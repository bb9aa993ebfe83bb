"""Saliency under its waveform, with the tag's score over time; and the same as a table."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samplecnn_zoo.formats import printable
from samplecnn_zoo.visualize import style
from samplecnn_zoo.visualize.outline import draw_wave, time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from samplecnn_zoo.visualize.saliency import Saliency

NAMES = {"integrated": "integrated gradients", "gradient": "gradient × input"}


def draw(path: Path, found: "Saliency", title: str) -> Path:
    """Draw a waveform, below it what raised (blue, up) and lowered (orange, down) a tag, and its score.

    Args:
        path: Of the picture: .png, .svg or .pdf.
        found: What drove the tag.
        title: File, tag and method.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: The picture can't be written.
    """

    def plot(above: "Axes", middle: "Axes", below: "Axes") -> None:
        draw_wave(above, found.wave)
        above.set_title(style.shortened(printable(title), style.LONGEST_TITLE))
        above.set_yticks([])
        _contributions(middle, found)
        _score(below, found)
        time_axis(below, found.wave.samples / found.wave.sample_rate)
        for axes in (above, middle):
            axes.tick_params(axis="x", length=0)

    return style.draw(path, 3.4, plot, nrows=3, sharex=True, height_ratios=[0.8, 1.2, 0.7])


def _contributions(axes: "Axes", found: "Saliency") -> None:
    edges, (net,) = found.net.edges_s, found.net.rows
    for sign, color, label in ((1, style.BLUE, "raises it"), (-1, style.ORANGE, "lowers it")):
        height = np.where(net * sign > 0, net, 0)
        axes.stairs(height, edges, fill=True, color=color, linewidth=0, label=label)
    axes.axhline(0, color=style.GREY, linewidth=0.5)
    low, high = min(float(net.min()), 0.0), max(float(net.max()), 0.0)
    room = max(high - low, 1e-12)
    axes.set(ylim=(low - 0.05 * room, high + 0.3 * room), ylabel=f"log-odds\nper {_width(found)}")
    axes.legend(ncols=2, loc="upper right", fontsize=style.SMALL, handlelength=1)
    style.quiet(axes, grid="y")


def _width(found: "Saliency") -> str:
    """How much time a column has."""
    column_s = float(np.diff(found.net.edges_s)[0])
    return f"{1e3 * column_s:.3g} ms" if column_s < 1 else f"{column_s:.3g} s"


def _score(axes: "Axes", found: "Saliency") -> None:
    duration_s = found.wave.samples / found.wave.sample_rate
    heard_s = min(found.segment_s, duration_s)
    middles = np.array([one.start_s + heard_s / 2 for one in found.segments])
    edges = np.concatenate([[0.0], (middles[1:] + middles[:-1]) / 2, [duration_s]])
    odds = np.array([one.log_odds for one in found.segments])
    axes.axhline(_sigmoid(found.silence), color=style.GREY, linestyle=style.DASHES[3], label="of silence")
    axes.stairs(_sigmoid(odds), edges, baseline=None, color=style.INK, linewidth=1.2, label="of the clip")
    axes.legend(ncols=2, loc="best", fontsize=style.SMALL)
    axes.set(ylim=(-0.02, 1.02), yticks=[0, 0.5, 1], ylabel="score")
    style.quiet(axes, grid="y")


def _sigmoid(odds: Any) -> Any:
    return 0.5 * (1 + np.tanh(odds / 2))  # of any size: exp would overflow


def to_csv(found: "Saliency") -> str:
    """Return a row a column of the picture: start_s, end_s, and what its samples contributed together."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["start_s", "end_s", "contribution"])
    edges = found.net.edges_s.round(6).tolist()
    for row in zip(edges, edges[1:], found.net.rows[0], strict=False):
        writer.writerow([*row[:2], f"{row[2]:.6g}"])
    return stream.getvalue()


def to_json(found: "Saliency", about: dict[str, Any]) -> str:
    """Return an object: `about`, the log-odds of silence, the gap, segments, and columns as in csv."""
    edges = found.net.edges_s.round(6).tolist()
    record = {
        **about,
        "segment_s": round(found.segment_s, 6),
        "silence_log_odds": round(found.silence, 5),
        "gap": round(found.gap, 5),
        "segments": [
            {"start_s": round(one.start_s, 6), "log_odds": round(one.log_odds, 5), "sum": round(one.total, 5)}
            for one in found.segments
        ],
        "columns": {
            "edges_s": edges,
            "contribution": [float(f"{value:.6g}") for value in found.net.rows[0]],
        },
    }
    return json.dumps(record) + "\n"
