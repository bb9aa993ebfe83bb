"""Tags over time: the waveform of a clip, below it what is heard in it when; and the same as a table."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.formats import printable, shortest
from samplecnn_zoo.tagger import Taggram, check_top
from samplecnn_zoo.visualize import style
from samplecnn_zoo.visualize.outline import Columns, draw_wave, time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEFAULT_TOP = 12
MOST_COLUMNS = 400  # more are narrower than a point of print
_CEILINGS = (0.1, 0.2, 0.5)


def top_tags(taggram: Taggram, top: int | None) -> Taggram:
    """Return a taggram with the `top` tags alone, None for all, the highest mean over time first.

    Raises:
        ValueError: `top` is below 1.
    """
    check_top(top)
    order = np.argsort(-taggram.scores.mean(axis=0), kind="stable")[:top]
    return replace(
        taggram, scores=taggram.scores[:, order], tags=tuple(taggram.tags[index] for index in order)
    )


def merged(
    taggram: Taggram, most: int = MOST_COLUMNS
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return a taggram as at most `most` columns side by side, to be drawn.

    A segment stands for the time about its middle: it ends half-way to its neighbour's. Where there are too
    many, as many neighbours as it takes become one column, whose score is their mean, as a clip's is.

    Returns:
        (columns + 1,) borders in seconds, from 0 to the end of the clip; (columns, tags) scores.
    """
    middles = taggram.start_s + min(taggram.segment_s, taggram.duration_s) / 2
    edges = np.concatenate([[0.0], (middles[1:] + middles[:-1]) / 2, [taggram.duration_s]])
    together = -(-len(middles) // most)
    firsts = np.arange(0, len(middles), together)
    counts = np.diff(np.append(firsts, len(middles)))
    scores = np.add.reduceat(taggram.scores.astype(np.float64), firsts, axis=0) / counts[:, np.newaxis]
    return np.append(edges[firsts], edges[-1]), scores


def draw(path: Path, taggram: Taggram, wave: Columns, *, top: int | None = DEFAULT_TOP) -> Path:
    """Draw a waveform, and below it the tags: dark where a score is high.

    The colours reach to 1, or to 0.5, 0.2 or 0.1 where no score drawn is above that.

    Args:
        path: Of the picture: .png, .svg or .pdf.
        taggram: What is heard when.
        wave: The `outline` of the same clip.
        top: How many tags, those of the highest mean over time; None draws all.

    Raises:
        ValueError: `top` is below 1.
        ImportError: matplotlib is not installed.
        OSError: The picture can't be written.
    """
    shown = top_tags(taggram, top)

    def plot(above: "Axes", below: "Axes") -> None:
        draw_wave(above, wave)
        above.set_title(style.shortened(printable(taggram.path.name), style.LONGEST_TITLE))
        above.set_yticks([])
        _heat(below, shown)
        time_axis(below, taggram.duration_s)
        above.tick_params(axis="x", length=0)

    tags = 0.4 + 0.165 * len(shown.tags)
    return style.draw(path, 1.05 + tags, plot, nrows=2, sharex=True, height_ratios=[0.55, tags])


def ceiling(scores: npt.NDArray[np.floating]) -> float:
    """Where the colours end: 1, or 0.5, 0.2 or 0.1 where no score is above that."""
    return next((top for top in _CEILINGS if scores.max() <= top), 1.0)


def _heat(axes: "Axes", taggram: Taggram) -> None:
    edges, scores = merged(taggram)
    highest = ceiling(scores)
    rows = np.arange(len(taggram.tags) + 1) - 0.5
    image = axes.pcolormesh(edges, rows, scores.T, cmap="Blues", vmin=0, vmax=highest, rasterized=True)
    axes.set_yticks(rows[:-1] + 0.5, [style.shortened(printable(tag)) for tag in taggram.tags])
    axes.set_ylim(rows[-1], rows[0])
    style.quiet(axes, grid="none")
    axes.tick_params(axis="y", length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    together = -(-len(taggram.start_s) // len(scores))
    label = "score" if together == 1 else f"score, mean of {together} segments"
    bar = axes.figure.colorbar(image, ax=axes, label=label, fraction=0.05, pad=0.02, aspect=30)
    bar.outline.set_visible(False)


def to_csv(taggram: Taggram) -> str:
    """Return a row a segment: where it starts and ends in seconds, and a column a tag."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["start_s", "end_s", *taggram.tags])
    for start, row in zip(taggram.start_s, taggram.scores, strict=True):
        times = (round(float(time), 6) for time in (start, start + _heard_s(taggram)))
        writer.writerow([*times, *map(shortest, row)])
    return stream.getvalue()


def to_json(taggram: Taggram) -> str:
    """Return an object: path, duration_s, segment_s, tags, start_s, and scores, a list a segment."""
    record = {
        "path": str(taggram.path),
        "duration_s": round(taggram.duration_s, 6),
        "segment_s": round(_heard_s(taggram), 6),
        "tags": taggram.tags,
        "start_s": [round(float(start), 6) for start in taggram.start_s],
        "scores": [[shortest(score) for score in row] for row in taggram.scores],
    }
    return json.dumps(record) + "\n"


def _heard_s(taggram: Taggram) -> float:
    """How much of the clip a segment hears: one that is shorter is repeated."""
    return min(taggram.segment_s, taggram.duration_s)
