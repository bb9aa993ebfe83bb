"""A song map as a picture: a panel a level, and below it how closely each tag's clips lie together."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from samplecnn_zoo.formats import printable
from samplecnn_zoo.visualize import style
from samplecnn_zoo.visualize.maps import LevelMap, MapError, SongMap, Truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Sides, 0 of a polygon or 1 of a star, and by how many degrees it is turned left: as matplotlib has them.
# Two of the same colour, which are six apart, differ most.
SHAPES: tuple[tuple[int, Literal[0, 1], int], ...] = (
    (60, 0, 0), (4, 0, 45), (3, 0, 0), (4, 0, 0), (3, 0, 180), (5, 1, 0),
    (4, 1, 0), (3, 0, 90), (4, 1, 45), (3, 0, 270), (5, 0, 0), (6, 0, 0),
)  # fmt: skip
MOST_TAGS = len(SHAPES)  # told apart by colour and shape together
MOST_BESIDE = 2  # panels of a column's width


def draw(path: Path, song: SongMap) -> Path:
    """Draw a map, the levels in their order, two beside each other; clips without a tag are grey dots.

    A clip with several of the tags has the first one's sign, and the others' as rings about it.

    Args:
        path: Of the picture: .png, .svg or .pdf.
        song: The map.

    Raises:
        MapError: There are more than MOST_TAGS tags.
        ImportError: matplotlib is not installed.
        OSError: The picture can't be written.
    """
    check_tags(song.tags)
    beside = min(MOST_BESIDE, len(song.levels))
    rows = math.ceil(len(song.levels) / beside)

    def plot(*panels: "Axes") -> None:
        has = song.has()
        for axes, level in zip(panels, song.levels, strict=False):
            _panel(axes, level, has)
            _legend(axes, level, song.neighbours)
        for axes in panels[len(song.levels) :]:
            axes.set_axis_off()

    side = style.WIDTH / beside
    height = rows * (side + 0.5 + 0.15 * len(song.tags))
    return style.draw(path, height, plot, nrows=rows, ncols=beside)


def check_tags(tags: tuple[str, ...]) -> None:
    """Refuse more tags than can be told apart.

    Raises:
        MapError: There are.
    """
    if len(tags) > MOST_TAGS:
        raise MapError(f"a map tells {MOST_TAGS} tags apart, got {len(tags)}: name fewer")


def reach(index: int) -> float:
    """How far the corners of a shape are from its middle, where a circle of the same area has radius 1."""
    sides, star, _ = SHAPES[index]
    area = sides * math.sin(math.pi / sides) / 2 if star else sides * math.sin(2 * math.pi / sides) / 2
    return math.sqrt(math.pi / area)


def _panel(axes: "Axes", level: LevelMap, has: Truth) -> None:
    axes.set_title(f"level {str(level.level).replace('-', '−')}")
    size = float(np.clip(2400 / len(has), 6, 24))
    x, y = level.places.T
    without = ~has.any(axis=1)
    axes.scatter(x[without], y[without], s=size / 3, color=style.FAINT, linewidth=0)
    for index in range(has.shape[1]):
        color = style.CYCLE[index % len(style.CYCLE)]
        earlier = has[:, :index].sum(axis=1)
        first = has[:, index] & (earlier == 0)
        axes.scatter(
            x[first], y[first], marker=SHAPES[index], s=size * reach(index) ** 2, alpha=0.9,
            facecolor=color, edgecolor="white", linewidth=0.3, label=f"tag {index}",
        )  # fmt: skip
        rings = has[:, index] & (earlier > 0)
        sizes = size * (1.3 + 0.6 * earlier[rings]) ** 2
        axes.scatter(x[rings], y[rings], s=sizes, facecolor="none", edgecolor=color, linewidth=0.8)
    axes.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(style.PALE)


def _legend(axes: "Axes", level: LevelMap, neighbours: int) -> None:
    from matplotlib.lines import Line2D

    signs = [
        Line2D(
            [], [], linestyle="", marker=SHAPES[index], markersize=4.5 * reach(index), markeredgecolor="none",
            color=style.CYCLE[index % len(style.CYCLE)],
            label=f"{one.share:.2f} ({one.chance:.2f})  {style.shortened(printable(one.tag), 24)}",
        )
        for index, one in enumerate(level.closeness)
    ]  # fmt: skip
    axes.legend(
        handles=signs, loc="upper left", bbox_to_anchor=(-0.02, -0.01), alignment="left", handletextpad=0.2,
        title=f"share of {neighbours} nearest (by chance)", title_fontsize=style.FONT - 1,
    )  # fmt: skip
