"""Pictures are whole files, the same for the same numbers, readable, and leave matplotlib as it was."""

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from samplecnn_zoo.visualize import report, style
from samplecnn_zoo.visualize.report import Bars, Curve

matplotlib = pytest.importorskip("matplotlib", reason="pictures need the extra plots")

LONG = "a tag with a very long name indeed: $100 & more <tags>"
Log = dict[str, list[float]]
NAMES = [LONG, *(f"tag {index}" for index in range(19))]


def tag_bars(path: Path) -> Path:
    value = np.linspace(0.3, 1.0, len(NAMES))
    bars = [
        Bars("ROC-AUC", value, value - 0.2, np.minimum(1, value + 0.2), np.full(len(NAMES), 0.5)),
        Bars("PR-AUC", value / 2, value / 3, value, np.linspace(0, 0.2, len(NAMES))),
    ]
    return report.tag_bars(path, NAMES, range(1, 21), bars)


def roc_curves(path: Path) -> Path:
    steps = np.array([0, 0, 0.5, 1.0])
    curves = [Curve(name, steps, steps ** (1 + index), 0.5) for index, name in enumerate(NAMES)]
    return report.roc_curves(path, curves, 0.5)


def confusion_matrix(path: Path) -> Path:
    counts = np.random.default_rng(0).integers(0, 9, (12, 12))
    return report.confusion_matrix(path, NAMES[:12], counts)


def training_curves(path: Path) -> Path:
    log: Log = {
        "epoch": [1, 2, 3],
        "loss": [0.7, 0.6, 0.5],
        "valid_loss": [0.8, np.nan, 0.7],
        "learning_rate": [1e-2] * 3,
    }
    return report.training_curves(path, log, report.PANELS)


PICTURES = [tag_bars, roc_curves, confusion_matrix, training_curves]
Draw = Callable[[Path], Path]


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    image: np.ndarray = imread(path)
    return image[:, :, :3]


@pytest.mark.parametrize("draw", PICTURES)
def test_a_picture_is_a_column_wide_and_the_same_each_time(draw: Draw, tmp_path: Path) -> None:
    first, second = draw(tmp_path / "new" / "a.png"), draw(tmp_path / "b.png")
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
    height, width, _ = pixels(first).shape
    assert 0.5 * style.WIDTH * style.DPI < width < 2 * style.WIDTH * style.DPI
    assert height < 3 * width


@pytest.mark.parametrize("draw", PICTURES)
def test_nothing_is_cut_off_at_the_edges(draw: Draw, tmp_path: Path) -> None:
    image = pixels(draw(tmp_path / "a.png"))
    for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
        assert edge.min() > 0.99, "something reaches the edge of the picture"


@pytest.mark.parametrize("draw", PICTURES)
def test_all_that_is_written_can_be_read(draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No two labels of an axis overlap, and no letter is smaller than it should be."""
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(style, "_write", lambda figure, path: figures.append(figure))
    draw(tmp_path / "a.png")
    figures[0].draw_without_rendering()
    for axes in figures[0].axes:
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            boxes = [
                label.get_window_extent() for label in labels if label.get_visible() and label.get_text()
            ]
            assert not any(one.overlaps(two) for one, two in pairwise(boxes))
            assert all(float(label.get_fontsize()) >= style.SMALL for label in labels)
        assert axes.get_xlabel() or axes.get_ylabel()


def test_names_of_any_length_leave_a_picture_as_wide_as_a_column(tmp_path: Path) -> None:
    value = np.array([0.7, 0.8])
    bars = [Bars(name, value, value, value, np.full(2, 0.5)) for name in ("ROC-AUC", "PR-AUC")]
    names = ["first " + "long " * 40 + "last", "b"]
    path = report.tag_bars(tmp_path / "a.png", names, [1, 2], bars)
    assert pixels(path).shape[1] < 1.05 * style.WIDTH * style.DPI


def test_matplotlib_is_left_as_it_was(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    tag_bars(tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys; from pathlib import Path; from tests.test_visualize_report import roc_curves; "
        f"roc_curves(Path({str(tmp_path / 'b.png')!r})); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout == "False\n"


def test_columns_that_a_log_lacks_take_no_room(tmp_path: Path) -> None:
    whole = pixels(training_curves(tmp_path / "a.png"))
    log: Log = {"epoch": [1, 2], "loss": [0.7, 0.6]}
    alone = pixels(report.training_curves(tmp_path / "b.png", log, report.PANELS))
    assert len(alone) < 0.7 * len(whole)


def test_a_format_is_asked_for_by_the_name(tmp_path: Path) -> None:
    assert tag_bars(tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert tag_bars(tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_a_failed_picture_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError, match=r"a\.png"):
        tag_bars(tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_without_matplotlib_the_way_to_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "can_draw", lambda: False)
    with pytest.raises(ImportError, match=r"pip install 'samplecnn_zoo\[plots\]'"):
        tag_bars(tmp_path / "a.png")


# What people without one kind of cones see, as a matrix on linear RGB (Machado et al. 2009, severity 1).
SIGHT = {
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize("sight", SIGHT)
def test_lines_beside_each_other_differ_to_any_eye(sight: str) -> None:
    """Those of one dash pattern, three at a time, by their colours."""
    from matplotlib.colors import to_rgb

    seen = [
        np.clip(SIGHT[sight] @ np.array(to_rgb(color)) ** 2.2, 0, 1) ** (1 / 2.2) for color in style.CYCLE[:6]
    ]
    for group in (seen[:3], seen[3:]):
        for index, one in enumerate(group):
            for other in group[index + 1 :]:
                assert np.linalg.norm(one - other) > 0.15
