"""The pictures of an evaluation: figures by tag, ROC curves, the confusion matrix, how training went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.visualize import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = npt.NDArray[np.floating]

MOST_TOLD_APART = 6  # lines of a picture that have a colour and a name each
MOST_COUNTED = 16  # tags on a side of a matrix that has room for numbers


@dataclass(frozen=True, eq=False)
class Bars:
    """One figure of every tag, (tags,) each, with its interval and the value that guessing has."""

    name: str
    value: Numbers
    low: Numbers
    high: Numbers
    chance: Numbers


@dataclass(frozen=True, eq=False)
class Curve:
    """The ROC curve of a tag: corners, and the area below."""

    tag: str
    false: Numbers
    true: Numbers
    area: float


def tag_bars(path: Path, tags: Sequence[str], clips: Sequence[int], figures: Sequence[Bars]) -> Path:
    """Draw the figures of every tag beside each other, a line a tag, the best of the first figure on top.

    Args:
        path: Of the picture.
        tags: Their names.
        clips: How many clips have each.
        figures: One panel each.
    """
    order = np.argsort(figures[0].value, kind="stable")
    labels = [f"{style.shortened(tags[i])} ({clips[i]:,})" for i in order]

    def plot(*panels: "Axes") -> None:
        for axes, bars in zip(panels, figures, strict=True):
            _bars(axes, bars, order)
        panels[0].set_yticks(np.arange(len(order)), labels)
        panels[0].set_ylabel("tag (clips that have it)")

    height = 0.9 + 0.155 * len(order)
    return style.draw(path, height, plot, ncols=len(figures), sharey=True)


def _bars(axes: "Axes", bars: Bars, order: npt.NDArray[np.intp]) -> None:
    """Bars from chance to the value: their length is what was learned."""
    rows = np.arange(len(order))
    value, chance = bars.value[order], bars.chance[order]
    # Below chance is another colour and, since the bar then ends left of its beginning, another side.
    colors = [style.BLUE if high else style.ORANGE for high in value >= chance]
    axes.barh(rows, value - chance, left=chance, height=0.7, color=colors)
    reach = np.maximum(0.0, [value - bars.low[order], bars.high[order] - value])
    axes.errorbar(value, rows, xerr=reach, fmt="none", ecolor=style.INK, elinewidth=0.7)
    axes.vlines(chance, rows - 0.45, rows + 0.45, color=style.GREY, linewidth=0.8)
    low = min(0.5, float(np.floor(bars.low.min() * 10) / 10)) if (chance == 0.5).all() else 0.0
    axes.set(xlim=(low, 1.0), ylim=(-0.7, len(order) - 0.3), xlabel=f"{bars.name}\n(from chance)")
    style.quiet(axes, grid="x")


def roc_curves(path: Path, curves: Sequence[Curve], macro: float) -> Path:
    """Draw the ROC curves; of many, all in grey, and by name the mean, the best three and the worst three.

    Args:
        path: Of the picture.
        curves: One a tag.
        macro: The mean of their areas.
    """

    def plot(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.8, linestyle=(0, (1, 2)))
        named = _told_apart(curves)
        for curve in curves:
            if curve not in named:
                axes.plot(curve.false, curve.true, color=style.FAINT, linewidth=0.7)
        for place, curve in enumerate(named):
            look: dict[str, Any] = {"color": style.CYCLE[place], "linestyle": style.DASHES[place // 3]}
            axes.plot(
                curve.false, curve.true, label=f"{curve.area:.3f}  {style.shortened(curve.tag)}", **look
            )
        label = f"{macro:.3f}  mean of {len(curves)} tags"
        axes.plot(*_mean_curve(curves), color=style.INK, linewidth=2.2, label=label)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set_xlabel("false positive rate (share of the clips without the tag)")
        axes.set_ylabel("true positive rate (share of the clips with it)")
        axes.legend(title="area below", loc="lower right", alignment="left")
        style.quiet(axes, grid="both")

    return style.draw(path, style.WIDTH, plot)


def _mean_curve(curves: Sequence[Curve]) -> tuple[list[float], list[float]]:
    """The mean of the true positive rates at each false positive rate."""
    grid = np.linspace(0, 1, 201)
    mean = np.mean([np.interp(grid, curve.false, curve.true) for curve in curves], axis=0)
    return [0.0, *grid.tolist()], [0.0, *mean.tolist()]


def _told_apart(curves: Sequence[Curve]) -> list[Curve]:
    """The curves to name, best first: all of a few, else the three at each end."""
    ranked = sorted(curves, key=lambda curve: -curve.area)
    return ranked if len(ranked) <= MOST_TOLD_APART else [*ranked[:3], *ranked[-3:]]


def confusion_matrix(path: Path, tags: Sequence[str], counts: npt.NDArray[np.integer]) -> Path:
    """Draw how many clips of each tag (row) were taken for each (column), shaded by their share of the row.

    Args:
        path: Of the picture.
        tags: Their names.
        counts: (tags, tags).
    """
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    tags = [style.shortened(tag) for tag in tags]

    def plot(axes: "Axes") -> None:
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        places = np.arange(len(tags))
        axes.set_xticks(places, tags, rotation=90)
        axes.set_yticks(
            places, [f"{tag} ({total:,})" for tag, total in zip(tags, counts.sum(1), strict=True)]
        )
        axes.set(xlabel="heard", ylabel="is (clips)")
        if len(tags) <= MOST_COUNTED:
            _count(axes, counts, shares)
        style.quiet(axes, grid="none")
        axes.spines[:].set_visible(False)
        bar = axes.figure.colorbar(image, ax=axes, label="share of the row's clips", fraction=0.05, aspect=30)
        bar.ax.spines[:].set_visible(False)

    names = style.LETTER * max(len(tag) for tag in tags)  # they take room beside the square and below it
    side = max(1.5, 0.17 * len(tags), min(0.4 * len(tags), style.WIDTH - names - 1.6))
    return style.draw(path, side + names + 0.4, plot, width=side + names + 1.6)


def _count(axes: "Axes", counts: npt.NDArray[np.integer], shares: Numbers) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.55 else style.INK
            axes.text(column, row, f"{count}", ha="center", va="center", color=color, fontsize=style.SMALL)


@dataclass(frozen=True)
class Panel:
    """Columns of a log on one axis: its label, and what the lines are called."""

    label: str
    columns: Mapping[str, str]
    logarithmic: bool = False


PANELS = (
    Panel("loss", {"loss": "training", "valid_loss": "validation"}),
    Panel("validation", {"valid_roc_auc": "ROC-AUC", "valid_accuracy": "accuracy"}),
    Panel("learning rate", {"learning_rate": "learning rate"}, logarithmic=True),
)
"""What there is to see in the log of a run."""


def training_curves(path: Path, log: Mapping[str, Sequence[float]], panels: Sequence[Panel]) -> Path:
    """Draw columns of a run's log over its epochs, one panel under the other.

    Args:
        path: Of the picture.
        log: Column → a number an epoch; `epoch` counts from 1. NaN is a gap.
        panels: What to draw; columns that the log lacks are passed over, and panels that are then empty.
    """
    shown = [panel for panel in panels if any(name in log for name in panel.columns)]

    def plot(*axes: "Axes") -> None:
        for one, panel in zip(axes, shown, strict=True):
            _over_epochs(one, log, panel)
        axes[-1].set(xlabel="epoch", xlim=(0.5, max(log["epoch"]) + 0.5))
        axes[-1].locator_params(axis="x", integer=True)

    return style.draw(path, 0.6 + 1.4 * len(shown), plot, nrows=len(shown), sharex=True)


def _over_epochs(axes: "Axes", log: Mapping[str, Sequence[float]], panel: Panel) -> None:
    known = [name for name in panel.columns if name in log]
    for place, name in enumerate(known):
        axes.plot(
            log["epoch"], np.asarray(log[name], np.float64), label=panel.columns[name],
            color=style.CYCLE[place], linestyle=style.DASHES[place % 4],
            marker="o", markersize=2.5 if len(log["epoch"]) <= 40 else 0,
        )  # fmt: skip
    axes.set_ylabel(panel.label)
    if panel.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    if len(known) > 1:
        axes.legend()
    style.quiet(axes)
