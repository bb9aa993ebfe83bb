"""The pictures of filters: what is drawn is what was found, and all of it can be read."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from samplecnn_zoo.visualize import draw_rates, draw_spectra, draw_waveforms, sorted_spectra, style
from samplecnn_zoo.visualize.filter_figures import strongest
from samplecnn_zoo.visualize.spectra import Spectra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytest.importorskip("matplotlib", reason="pictures need the extra plots")

SPANS = {f"stage{index}": 3**index for index in range(1, 7)}
Draw = Callable[[Path], Path]


def waves(stage: int, filters: int = 17) -> np.ndarray:
    rng = np.random.default_rng(stage)
    time = np.arange(729)
    pitch = rng.uniform(0.01, 0.49, (filters, 1))
    bursts = np.exp(-(((time - rng.integers(0, 729, (filters, 1))) / 90) ** 2))
    wave: np.ndarray = np.sin(2 * np.pi * pitch * time) * bursts + rng.normal(0, 0.05, (filters, 729))
    return wave


def stages(count: int, rate: float = 22050) -> list[Spectra]:
    return [sorted_spectra(f"stage{index}", waves(index), rate) for index in range(1, count + 1)]


def spectra(path: Path) -> Path:
    return draw_spectra(path, stages(6))


def rates(path: Path) -> Path:
    return draw_rates(path, {f"{rate} Hz": stages(4, rate) for rate in (2000, 22050, 8000)})


def waveforms(path: Path) -> Path:
    inputs = {f"stage{index}": waves(index) for index in range(1, 7)}
    return draw_waveforms(path, stages(6), inputs, SPANS)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Draw], "Figure"]:
    """What a function draws, instead of a file of it."""

    def figure(draw: Draw) -> "Figure":
        figures: list[Any] = []
        monkeypatch.setattr(style, "_write", lambda figure, path: figures.append(figure))
        draw(tmp_path / "a.png")
        figures[0].draw_without_rendering()
        return figures[0]  # type: ignore[no-any-return]

    return figure


def test_figure_3_has_a_panel_a_stage_up_to_half_the_rate(drawn: Callable[[Draw], "Figure"]) -> None:
    panels = drawn(spectra).axes
    assert [one.get_title(loc="left") for one in panels] == list(SPANS)
    for one, found in zip(panels, stages(6), strict=True):
        [image] = one.get_images()
        np.testing.assert_array_equal(image.get_array(), found.power.T)
        assert tuple(image.get_extent()) == (0, 17, 0, 11025)
        assert image.origin == "lower"
        assert one.get_ylim() == (0, 11025)
    assert panels[0].get_ylabel() == "frequency (kHz)"
    assert panels[0].get_yticklabels()[-1].get_text() == "11.025"


def test_figure_4_has_a_row_a_model_each_to_half_its_own_rate(drawn: Callable[[Draw], "Figure"]) -> None:
    rows = np.reshape(np.array(drawn(rates).axes, dtype=object), (3, 4))
    for row, rate in zip(rows, (2000, 22050, 8000), strict=True):
        assert row[0].get_ylabel().startswith(f"{rate} Hz")
        assert all(one.get_ylim() == (0, rate / 2) for one in row)
        assert float(row[0].get_yticklabels()[-1].get_text()) * 1000 == rate / 2
    assert [one.get_title(loc="left") for one in rows[0]] == ["stage1", "stage2", "stage3", "stage4"]


def test_figure_2_shows_filters_from_low_to_high(drawn: Callable[[Draw], "Figure"]) -> None:
    rows = np.reshape(np.array(drawn(waveforms).axes, dtype=object), (6, 4))
    for index, (row, found) in enumerate(zip(rows, stages(6), strict=True), start=1):
        length = min(729, 24 * 3**index)
        assert row[0].get_ylabel() == f"stage{index}\n{1000 * length / 22050:.3g} ms"
        for one, place in zip(row, (2, 6, 10, 14), strict=True):
            [line] = one.get_lines()
            wave = strongest(waves(index)[found.filters[place]], length)
            np.testing.assert_allclose(line.get_ydata(), wave / np.abs(wave).max())
            hz = found.peaks_hz[place]
            text = f"{hz:.0f} Hz" if hz < 1000 else f"{hz / 1000:.1f} kHz"
            assert one.get_title(loc="right") == text


def test_the_strongest_stretch_holds_the_burst() -> None:
    wave = np.full(100, 5.0)
    wave[60:64] += [1, -1, 1, -1]
    np.testing.assert_allclose(strongest(wave, 4), [1, -1, 1, -1])
    assert len(strongest(wave, 100)) == 100


@pytest.mark.parametrize("draw", [spectra, rates, waveforms])
def test_all_that_is_written_can_be_read(draw: Draw, drawn: Callable[[Draw], "Figure"]) -> None:
    figure = drawn(draw)
    for one in figure.axes:
        for labels in (one.get_xticklabels(), one.get_yticklabels()):
            boxes = [label.get_window_extent() for label in labels if label.get_text()]
            assert not any(first.overlaps(second) for first, second in pairwise(boxes))
            assert all(float(label.get_fontsize()) >= style.SMALL for label in labels)
    edges = [
        label.get_window_extent()
        for one in figure.axes
        for label in one.get_xticklabels()
        if label.get_text()
    ]
    assert not any(first.overlaps(second) for first, second in pairwise(edges)), "panels beside each other"


@pytest.mark.parametrize("draw", [spectra, rates, waveforms])
def test_a_picture_is_whole_and_the_same_each_time(draw: Draw, tmp_path: Path) -> None:
    from matplotlib.image import imread

    first, second = draw(tmp_path / "a.png"), draw(tmp_path / "b.png")
    assert first.read_bytes() == second.read_bytes()
    image = imread(first)[:, :, :3]
    assert 0.9 * style.WIDTH * style.DPI < image.shape[1] < 1.1 * style.WIDTH * style.DPI
    for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
        assert edge.min() > 0.99, "something reaches the edge of the picture"
