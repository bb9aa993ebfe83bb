"""Draw a table that `train.py` made, beside the paper's figures on MagnaTagATune.

    python benchmarks/tables/plot.py docs/experiments/table5.csv -o docs/experiments/table5.png

A row a network; bars are 95 % intervals over test clips. Needs `pip install 'samplecnn_zoo[plots]'`.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

from samplecnn_zoo.visualize.style import BLUE, GREY, RED, draw, quiet

Line = dict[str, str]


def main() -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path, help="CSV")
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture")
    options = parser.parse_args()
    with open(options.table, newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    timed = all(line["paper_time"] for line in lines)
    panels = 1 + any(line["paper_roc_auc"] for line in lines) + timed
    height = 0.7 + 0.22 * len({line["network"] for line in lines})
    draw(options.output, height, lambda *axes: fill(axes, lines, timed), ncols=panels, sharey=True)


def fill(axes: tuple[Any, ...], lines: list[Line], timed: bool) -> None:
    """One panel of ours; where the paper has figures, one of those; where it has times, one of both."""
    names = {line["network"]: f"{int(line['rate_hz']):,} Hz" if timed else line["network"] for line in lines}
    places = {name: -row for row, name in enumerate(names)}
    ours = axes[0]
    for line in lines:
        low, value, high = (float(line[key]) for key in ("roc_auc_low", "roc_auc", "roc_auc_high"))
        ours.plot([low, high], [places[line["network"]]] * 2, color=BLUE, alpha=0.35, linewidth=3)
        ours.plot(value, places[line["network"]], "o", color=BLUE, markersize=4)
    ours.set_yticks([*places.values()], [*names.values()])
    ours.set_title("here")
    ours.set_xlabel("ROC-AUC")
    if len(axes) > 1:
        known = [line for line in lines if line["paper_roc_auc"]]
        axes[1].plot(*points(known, "paper_roc_auc", places), "s", color=GREY, markersize=4)
        axes[1].set_title("paper, MagnaTagATune")
        axes[1].set_xlabel("ROC-AUC")
        same_scale(ours, axes[1])
    if timed:
        times(axes[2], lines, places)
    for panel in axes:
        quiet(panel, grid="both")


def same_scale(*panels: Any) -> None:
    """Let an inch be as much ROC-AUC in one panel as in the other."""
    width = max(high - low for low, high in (panel.get_xlim() for panel in panels))
    for panel in panels:
        middle = sum(panel.get_xlim()) / 2
        panel.set_xlim(middle - width / 2, middle + width / 2)


def times(panel: Any, lines: list[Line], places: dict[str, int]) -> None:
    """Training time as a share of the longest, where it is known."""
    lines = [line for line in lines if line["train_ms_a_segment"]]
    longest = max((float(line["train_ms_a_segment"]) for line in lines), default=1.0)
    ratios = [float(line["train_ms_a_segment"]) / longest for line in lines]
    panel.plot(
        ratios, [places[line["network"]] for line in lines], "o", color=RED, markersize=4, label="here"
    )
    panel.plot(*points(lines, "paper_time", places), "s", color=GREY, markersize=4, label="paper")
    panel.set_xlim(0, 1.05)
    panel.set_title("training time")
    panel.set_xlabel("share of 22,050 Hz")
    panel.legend(loc="upper right")


def points(lines: list[Line], column: str, places: dict[str, int]) -> tuple[list[float], list[int]]:
    """Values of a column and where they stand."""
    return [float(line[column]) for line in lines], [places[line["network"]] for line in lines]


if __name__ == "__main__":
    main()
