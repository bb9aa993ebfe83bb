"""Draw the tags of a file over time.

    python examples/plot_taggram.py examples/audio/saints.ogg -o taggram.png

Needs matplotlib: pip install 'samplecnn_zoo[benchmarks]'.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("agg")
import matplotlib.pyplot as plt

from samplecnn_zoo import Tagger, Taggram
from samplecnn_zoo.audio import load

SHOWN_RATE = 1000  # Hz; enough for the outline of a waveform


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("taggram.png"))
    parser.add_argument("--preset", default="samplecnn_8k.midi50")
    parser.add_argument("--top", type=int, default=12, help="tags to show, by their mean score")
    parser.add_argument("--hop", type=float, default=0.5, help="seconds from row to row")
    options = parser.parse_args()
    taggram = Tagger(options.preset, hop_s=options.hop).taggram(options.file)
    draw(taggram, load(options.file, SHOWN_RATE), options.top, options.output)


def draw(taggram: Taggram, waveform: np.ndarray, top: int, output: Path) -> None:
    """The waveform, and below it the `top` tags: dark where a segment's score is high."""
    order = np.argsort(-taggram.scores.mean(axis=0))[:top]
    centers = taggram.start_s + taggram.segment_s / 2
    figure, (wave, tags) = plt.subplots(
        2, 1, figsize=(8, 1.6 + 0.26 * top), sharex=True, height_ratios=[1, 0.32 * top], layout="constrained"
    )
    wave.plot(np.arange(len(waveform)) / SHOWN_RATE, waveform, color="0.4", linewidth=0.4)
    wave.set(yticks=[], title=f"{taggram.path.name}: what is heard when")
    wave.spines[:].set_visible(False)
    image = tags.pcolormesh(
        _edges(centers, taggram.duration_s), np.arange(top + 1), taggram.scores[:, order].T,
        cmap="Blues", vmin=0, vmax=1,
    )  # fmt: skip
    tags.set(yticks=np.arange(top) + 0.5, yticklabels=[taggram.tags[i] for i in order], xlabel="time (s)")
    tags.invert_yaxis()
    figure.colorbar(image, ax=tags, label="score", pad=0.01)
    figure.savefig(output, dpi=150)


def _edges(centers: np.ndarray, duration_s: float) -> np.ndarray:
    """Borders between columns, half-way between the centers of segments."""
    return np.concatenate([[0.0], (centers[1:] + centers[:-1]) / 2, [duration_s]])


if __name__ == "__main__":
    main()
