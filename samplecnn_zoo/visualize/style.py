"""One quiet style for every picture: its colours, sizes and how it comes to the disk.

Figures are drawn without pyplot: no window, no global state, any thread.
"""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.2  # inches: a column of text; a letter of FONT points is then about as large as the text's
FONT = 8.5
SMALL = FONT - 1.5
LETTER = 0.07  # inches: about what a letter of a tick's label is wide
LONGEST_NAME, LONGEST_TITLE = 32, 60  # letters: a longer name would leave no room for what it names
DPI = 200
INSTALL = "pip install 'samplecnn_zoo[plots]'"

# Okabe and Ito's colours, told apart by people with any colour vision; black is for what is all there is.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
INK, GREY, FAINT, PALE = "#222222", "#767676", "#BDBDBD", "#DEDEDE"
CYCLE = (BLUE, RED, ORANGE, GREEN, PURPLE, SKY)  # each three differ most to anybody
DASHES = ("-", "--", "-.", ":")  # with the colour, so that no line is known by its colour alone

_RULES: dict[str, Any] = {
    "font.size": FONT,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere, and it knows most letters
    "axes.titlesize": FONT + 0.5,
    "axes.titlelocation": "left",
    "axes.labelsize": FONT,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": FONT - 1,
    "ytick.labelsize": FONT - 1,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": True,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.borderaxespad": 0.2,
    "legend.fontsize": FONT - 1,
    "lines.linewidth": 1.4,
    "text.parse_math": False,  # a tag may hold a dollar sign
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "savefig.bbox": "tight",  # whatever a label's length, it is not cut off
    "savefig.pad_inches": 0.03,
}


def can_draw() -> bool:
    """Tell whether matplotlib is installed, without importing it."""
    return find_spec("matplotlib") is not None


def draw(path: Path, height: float, plot: Callable[..., None], *, width: float = WIDTH, **grid: Any) -> Path:
    """Make a figure of `height` inches in the style, let `plot` fill its axes, and write it to `path`.

    A file takes its place whole. The format is the name's: png, svg, pdf.

    Args:
        path: Of the picture; its folder is made.
        height: Inches.
        plot: Gets the axes, as many as the grid has.
        width: Inches.
        grid: As for matplotlib's `Figure.subplots`: nrows, ncols, sharex, width_ratios, …

    Raises:
        ImportError: matplotlib is not installed; the message says how to get it.
        OSError: The file can't be written.
    """
    if not can_draw():
        raise ImportError(f"pictures need matplotlib: {INSTALL}")
    import matplotlib
    import numpy as np
    from matplotlib.figure import Figure

    # To look at the backend would choose one, and with it import pyplot.
    plain = {
        name: matplotlib.rcParamsDefault[name] for name in matplotlib.rcParamsDefault if name != "backend"
    }
    rules: dict[Any, Any] = {**plain, **_RULES}
    with matplotlib.rc_context(rules):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(**grid)
        plot(*np.atleast_1d(axes).ravel())
        _write(figure, path)
    return path


def _write(figure: "Figure", path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    # No date and no version: the same numbers give the same file.
    metadata = {"Software": None} if path.suffix == ".png" else None
    try:
        figure.savefig(partial, format=path.suffix[1:], metadata=metadata)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def quiet(axes: "Axes", *, grid: str = "y") -> None:
    """Leave an axis only the grid lines that help to read it: "x", "y" or "none"."""
    axes.grid(False)
    if grid != "none":
        axes.grid(True, axis=grid)  # type: ignore[arg-type]
    axes.tick_params(length=2)


def shortened(text: str, letters: int = LONGEST_NAME) -> str:
    """Return a text with its middle left out where it has too many letters: names differ at their ends.

    >>> shortened("01 - a very long name.mp3", 15)
    '01 - a … me.mp3'
    """
    if len(text) <= letters:
        return text
    end = (letters - 3) // 2
    return f"{text[: letters - 3 - end].rstrip()} … {text[-end:].lstrip()}"
