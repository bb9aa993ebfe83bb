"""Tags over time: every segment in its place, long clips in bounded room, what is drawn is what is there."""

import csv
import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from samplecnn_zoo.cli import app
from samplecnn_zoo.tagger import Taggram
from samplecnn_zoo.visualize import style
from samplecnn_zoo.visualize import taggram as pictures
from samplecnn_zoo.visualize.outline import Columns, outline
from tests.presets import TAGS, save_tiny
from tests.sounds import tone, write

LONG = "a tag with a very long name indeed: $100 & more <tags>"


def made(segments: int, *, duration_s: float | None = None, tags: tuple[str, ...] = TAGS) -> Taggram:
    """Segments of 2 s, one every second."""
    scores = np.random.default_rng(0).uniform(0, 1, (segments, len(tags))).astype(np.float32)
    starts = np.arange(segments, dtype=np.float64)
    return Taggram(Path("a $ong.mp3"), starts, scores, tags, 2.0, duration_s or segments + 1.0)


@pytest.mark.parametrize("most", [1, 4, 50])
@pytest.mark.parametrize("samples", [1, 7, 8, 9, 1000, 4097])
def test_columns_are_those_of_the_whole_signal(samples: int, most: int) -> None:
    """However the blocks come: against slices of the whole."""
    signal = np.random.default_rng(1).normal(size=samples)
    columns = Columns(100, (np.minimum, np.maximum, np.add), most)
    for block in np.split(signal, sorted({1, samples // 3, samples // 2} & set(range(1, samples)))):
        columns.add(block)
    edges = np.round(columns.edges_s * 100).astype(int)
    assert len(edges) - 1 <= 2 * most + 1 and edges[0] == 0 and edges[-1] == samples == columns.samples
    assert len(set(np.diff(edges)[:-1])) <= 1, "all columns but the last are equally long"
    parts = [signal[start:end] for start, end in pairwise(edges)]
    wanted = [[part.min() for part in parts], [part.max() for part in parts], [part.sum() for part in parts]]
    np.testing.assert_allclose(columns.rows, wanted)


def test_a_segment_stands_about_its_middle() -> None:
    edges, scores = pictures.merged(made(5))
    assert edges.tolist() == [0, 1.5, 2.5, 3.5, 4.5, 6]
    np.testing.assert_array_equal(scores, made(5).scores)
    one = made(1, duration_s=0.7)
    assert pictures.merged(one)[0].tolist() == [0, 0.7]


def test_of_many_segments_neighbours_are_averaged() -> None:
    taggram = made(23)
    edges, scores = pictures.merged(taggram, most=8)  # three each, and two
    assert len(scores) == 8 and edges.tolist() == [0, 3.5, 6.5, 9.5, 12.5, 15.5, 18.5, 21.5, 24]
    np.testing.assert_allclose(scores[1], taggram.scores[3:6].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scores[-1], taggram.scores[21:].mean(axis=0), rtol=1e-6)


def drawn(taggram: Taggram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    pytest.importorskip("matplotlib", reason="pictures need the extra plots")
    figures: list[Any] = []
    monkeypatch.setattr(style, "_write", lambda figure, path: figures.append(figure))
    wave = outline(100)
    wave.add(np.sin(np.arange(round(100 * taggram.duration_s))))
    pictures.draw(tmp_path / "a.png", taggram, wave, **options)
    figures[0].draw_without_rendering()
    return figures[0]


def test_the_picture_has_all_that_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taggram = made(9, tags=(*TAGS, LONG))
    figure = drawn(taggram, tmp_path, monkeypatch, top=4)
    wave, heat, bar = figure.axes
    order = np.argsort(-taggram.scores.mean(axis=0))[:4]
    labels = [label.get_text() for label in heat.get_yticklabels()]
    assert labels == [taggram.tags[index] for index in order]
    (mesh,) = heat.collections
    np.testing.assert_allclose(mesh.get_array(), taggram.scores[:, order].T, rtol=1e-6)
    assert heat.get_ylim()[0] > heat.get_ylim()[1], "the first tag stands on top"
    assert heat.get_xlabel() == "time (s)" and wave.get_xlim() == heat.get_xlim() == (0, 10)
    assert bar.get_ylabel() == "score" and mesh.get_clim() == (0, 1)
    assert wave.get_title(loc="left") == "a $ong.mp3"
    one, other = (axes.get_window_extent() for axes in (wave, heat))
    assert one.x0 == pytest.approx(other.x0, abs=1) and one.x1 == pytest.approx(other.x1, abs=1)
    assert figure.get_tightbbox().width < 1.6 * style.WIDTH


def test_a_long_clip_counts_minutes_and_says_what_a_column_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = drawn(made(1500), tmp_path, monkeypatch)
    _, heat, bar = figure.axes
    assert heat.get_xlabel() == "time (min:s)" and bar.get_ylabel() == "score, mean of 4 segments"
    assert [label.get_text() for label in heat.get_xticklabels()] == [f"{m}:00" for m in range(0, 26, 5)]
    assert heat.collections[0].get_array().shape == (len(TAGS), 375)
    hours = drawn(made(9000), tmp_path, monkeypatch).axes[1]
    assert hours.get_xlabel() == "time (h:min)"
    assert hours.get_xticklabels()[1].get_text() == "0:20"


def test_faint_scores_get_the_whole_range_of_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taggram = made(9)
    taggram.scores[:] *= 0.15
    assert drawn(taggram, tmp_path, monkeypatch).axes[1].collections[0].get_clim() == (0, 0.2)


def test_tables_give_every_segment() -> None:
    taggram = made(4, duration_s=4.5)
    rows = list(csv.DictReader(io.StringIO(pictures.to_csv(taggram))))
    assert [(row["start_s"], row["end_s"]) for row in rows][1] == ("1.0", "3.0")
    found = np.array([[row[tag] for tag in TAGS] for row in rows], np.float32)
    np.testing.assert_array_equal(found, taggram.scores)
    record = json.loads(pictures.to_json(taggram))
    np.testing.assert_array_equal(np.array(record["scores"], np.float32), taggram.scores)
    assert (record["tags"], record["segment_s"], record["start_s"]) == (list(TAGS), 2.0, [0, 1, 2, 3])
    with pytest.raises(ValueError, match="top must be at least 1"):
        pictures.top_tags(taggram, 0)


def quick(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["visualize", "taggram", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taggrams")
    save_tiny(folder / "tiny")
    write(folder / "a.wav", tone(1.0, 16000, hz=700), 16000)
    (folder / "bad.wav").write_bytes(b"no audio")
    return folder


def test_the_command(place: Path) -> None:
    asked = (place / "a.wav", "--preset", place / "tiny")
    both = [place / "new" / f"a.{ending}" for ending in ("json", "csv")]
    code, told = quick(*asked, "-o", both[0], "-o", both[1], "--top", 2)
    assert (code, told) == (0, f"{both[0]} and {both[1]}\n")
    assert len(both[1].read_text().splitlines()[0].split(",")) == 2 + 2
    record = json.loads((place / "new" / "a.json").read_text())
    assert len(record["tags"]) == 2 and record["duration_s"] == 1.0
    np.testing.assert_allclose(np.diff(record["start_s"])[:-1], 729 / 8000 / 4, atol=1e-4)
    assert quick(*asked, "-o", place / "a.csv", "--hop", 0.05)[0] == 0
    assert (place / "a.csv").read_text().startswith("start_s,end_s,guitar,")
    pytest.importorskip("matplotlib", reason="pictures need the extra plots")
    for ending, head in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        assert quick(*asked, "-o", place / f"a.{ending}")[0] == 0
        assert (place / f"a.{ending}").read_bytes().startswith(head)
    assert quick(*asked, "-o", place / "a.png", "--overwrite")[0] == 0


def test_wrong_use_is_one_line(place: Path) -> None:
    tiny = ("--preset", place / "tiny")
    (place / "there.csv").write_text("mine")
    for arguments, code, words in (
        ((place / "a.wav", *tiny, "-o", place / "x.bmp"), 2, "ends in one of .png, .svg, .pdf, .csv, .json"),
        ((place / "a.wav", *tiny, "-o", place / "there.csv"), 2, "there.csv: it is there; --overwrite"),
        ((place / "a.wav", *tiny, "-o", place / "x.csv", "--hop", 9), 2, "hop_s must be above 0"),
        ((place / "a.wav", "--preset", "nobody", "-o", place / "x.csv"), 2, "nobody"),
        ((place / "bad.wav", *tiny, "-o", place / "x.csv"), 1, "bad.wav: not audio"),
        ((place / "gone.wav", *tiny, "-o", place / "x.csv"), 1, "there is no such file"),
    ):
        found, stderr = quick(*arguments)
        assert found == code and words in stderr and stderr.count("\n") == 1, stderr
    assert not (place / "x.csv").exists() and (place / "there.csv").read_text() == "mine"
