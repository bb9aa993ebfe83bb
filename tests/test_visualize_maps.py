"""Songs on a plane: numbers against a slow computation and chance, the picture, the page in a browser."""

import csv
import html.parser
import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from samplecnn_zoo.cli import app
from samplecnn_zoo.visualize import map_figure, map_page, maps, style
from tests.presets import save_tiny
from tests.sounds import noise, tone, write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="needs chromium on the PATH, and: pip install playwright",
)
HOSTILE = "</script><script>alert(1)</script>&amp;<img src=x onerror=alert(2)>\u202e\u2028.mp3"


def clouds(seed: int = 0, clips: int = 60) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Features of two classes that lie apart, and a third tag given to clips by lot."""
    rng = np.random.default_rng(seed)
    own = np.arange(clips) % 2
    values = rng.normal(size=(clips, 12)) + 4 * own[:, np.newaxis] * (np.arange(12) < 5)
    held = [("low", "high")[one : one + 1] + (("lot",) if rng.random() < 0.4 else ()) for one in own]
    return values.astype(np.float32), held


def small_map(names: list[str] | None = None, **options: Any) -> maps.SongMap:
    values, held = clouds(clips=20)
    features: dict[int | str, Any] = {-3: values, -1: values[:, ::-1] + np.float32(0.1) * values}
    names = names or [f"music/{row}.wav" for row in range(20)]
    return maps.song_map(names, features, held, ["low", "high", "lot"], title="twenty", **options)


def slow_share(values: np.ndarray, own: np.ndarray, count: int) -> float:
    """As its definition says it, a pair of clips at a time."""
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    shares = []
    for clip in np.flatnonzero(own):
        near = []
        for other in range(len(values)):
            if other != clip:
                a, b = standard[clip], standard[other]
                near.append((-(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)), other))
        shares.append(np.mean([own[other] for _, other in sorted(near)[:count]]))
    return float(np.mean(shares))


def test_closeness_is_what_its_definition_says() -> None:
    values, held = clouds()
    tags = ["low", "high", "lot"]
    has = maps.has_tags(held, tags)
    found = maps.closeness(maps.neighbours_of(maps.directions(values), 7), has, tags)
    for one, own in zip(found, has.T, strict=True):
        assert one.share == pytest.approx(slow_share(values.astype(np.float64), own, 7))
        assert one.clips == own.sum() and one.chance == pytest.approx((own.sum() - 1) / 59)
    low, high, lot = found
    assert low.share > 0.95 > low.chance_high and high.share > 0.95 > high.chance_high
    assert lot.share < lot.chance_high


def test_tags_by_lot_are_as_close_as_chance() -> None:
    """Over many draws the mean is the chance that is stated, and one in forty is above its bound."""
    values, _ = clouds()
    neighbours = maps.neighbours_of(maps.directions(values), 5)
    rng = np.random.default_rng(7)
    has = np.argsort(rng.random((60, 300)), axis=0) < 15  # 300 tags of 15 clips
    found = maps.closeness(neighbours, has, [str(index) for index in range(300)], shuffles=400)
    shares = np.array([one.share for one in found])
    assert found[0].chance == pytest.approx(14 / 59)
    assert shares.mean() == pytest.approx(14 / 59, abs=4 * shares.std() / 300**0.5)
    above = np.mean([one.share > one.chance_high for one in found])
    assert 0 < above < 0.06


def test_scale_and_dead_channels_change_nothing() -> None:
    values, _ = clouds()
    nearest = maps.neighbours_of(maps.directions(values), 9)
    other = np.concatenate([values * 10.0 ** (np.arange(12) - 6), np.full((60, 4), 0.3)], axis=1)
    np.testing.assert_array_equal(maps.neighbours_of(maps.directions(other), 9), nearest)


def test_a_map_is_the_same_each_time_and_keeps_classes_apart() -> None:
    one, other = small_map(), small_map()
    for first, second in zip(one.levels, other.levels, strict=True):
        np.testing.assert_array_equal(first.places, second.places)
    assert not np.array_equal(one.levels[0].places, small_map(seed=1, perplexity=2).levels[0].places)
    places = one.levels[0].places
    assert np.abs(places).max() == 1.0
    low = one.has()[:, 0]
    middle = [places[part].mean(axis=0) for part in (low, ~low)]
    inside = np.linalg.norm(places - np.where(low[:, np.newaxis], *middle), axis=1)
    assert inside.mean() < np.linalg.norm(middle[0] - middle[1])


def test_what_makes_no_map_is_refused() -> None:
    values, held = clouds(clips=20)
    names = [str(row) for row in range(20)]
    with pytest.raises(maps.MapError, match="a map wants 5 clips or more, got 4"):
        maps.song_map(names[:4], {-1: values[:4]}, held[:4], ["low"])
    with pytest.raises(maps.MapError, match="none of the 20 clips has the tag 'oboe'"):
        maps.song_map(names, {-1: values}, held, ["low", "oboe"])
    with pytest.raises(maps.MapError, match="level -1 hears all clips alike"):
        maps.song_map(names, {-1: np.ones_like(values)}, held, ["low"])
    with pytest.raises(maps.MapError, match="must be 1 or more, got 0 and 30"):
        maps.song_map(names, {-1: values}, held, ["low"], neighbours=0)
    with pytest.raises(maps.MapError, match="tells 12 tags apart, got 13"):
        map_figure.check_tags(tuple(map(str, range(13))))


def test_the_picture_shows_every_clip_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra plots")
    figures: list[Any] = []
    monkeypatch.setattr(style, "_write", lambda figure, path: figures.append(figure))
    song = small_map()
    map_figure.draw(tmp_path / "a.png", song)
    figures[0].draw_without_rendering()
    assert [axes.get_title(loc="left") for axes in figures[0].axes] == ["level −3", "level −1"]
    for axes, level in zip(figures[0].axes, song.levels, strict=True):
        grey, low, _, high, _, lot, lot_rings = axes.collections
        assert len(grey.get_offsets()) == len(lot.get_offsets()) == 0  # each has low or high, and that first
        np.testing.assert_allclose(low.get_offsets(), level.places[song.has()[:, 0]])
        np.testing.assert_allclose(high.get_offsets(), level.places[song.has()[:, 1]])
        np.testing.assert_allclose(lot_rings.get_offsets(), level.places[song.has()[:, 2]])
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == [f"{one.share:.2f} ({one.chance:.2f})  {one.tag}" for one in level.closeness]
        assert axes.get_legend().get_title().get_text() == "share of 10 nearest (by chance)"
        box = figures[0].get_window_extent()
        assert axes.get_legend().get_window_extent().y0 > box.y0 - 1, "nothing is cut off"


class Page(html.parser.HTMLParser):
    """What a browser would make of a page: its elements, and the text of its data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self._inside = dict(attributes).get("id") == "data"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.data, self._inside = data, False


def hostile_map() -> maps.SongMap:
    values, held = clouds(clips=20)
    held[3] = ("low", "<b>bold</b>")
    names = [f"music/{row}.wav" for row in range(20)]
    names[3] = HOSTILE
    return maps.song_map(names, {-3: values, -1: values}, held, ["low", "<b>bold</b>"], title=HOSTILE)


def test_names_are_text_in_the_page_and_nothing_is_fetched() -> None:
    text = map_page.page(hostile_map())
    page, plain = Page(text), Page(map_page.page(small_map()))
    assert page.elements == plain.elements, "a name made an element"
    assert not any({"src", "href"} & own.keys() for _, own in page.elements)
    assert not re.search(r"@import|url\(|fetch\(|https?://(?!www\.w3\.org/)", text)
    policy = next(own["content"] for tag, own in page.elements if own.get("http-equiv"))
    assert policy and policy.startswith("default-src 'none'")
    data = json.loads(page.data)
    assert data["clips"][3]["name"] == HOSTILE.replace("\u202e", "\ufffd").replace("\u2028", "\ufffd")
    assert data["clips"][3]["tags"] == ["low", "<b>bold</b>"] and data["clips"][3]["of"] == [0, 1]
    song = hostile_map()
    x, y = song.levels[1].places[3]
    assert data["clips"][3]["at"][1] == pytest.approx([x, -y], abs=1e-4)
    share = song.levels[0].closeness[0].share
    assert data["levels"][0]["closeness"][0][2] == f"{share:.2f}" and data["levels"][0]["name"] == "−3"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@needs_browser
def test_pointing_at_a_clip_names_it_in_both_maps(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "map.html").write_text(map_page.page(hostile_map()), encoding="utf-8")
    page = browser.new_context(offline=True, color_scheme="dark").new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.goto((tmp_path / "map.html").as_uri())
    assert page.locator("svg.map").count() == 2 and page.locator("svg.map .clip").count() == 40
    heard, halos = page.locator("#heard"), page.locator(".halo.on")
    assert "arrow keys" in heard.inner_text() and halos.count() == 0

    page.locator("svg.map [data-clip='3']").first.hover(force=True)
    assert heard.locator("b").inner_text().startswith("</script><script>alert(1)")
    assert heard.locator("span").inner_text() == "low, <b>bold</b>"
    assert halos.count() == 2, "the other map shows it, too"
    page.mouse.move(1, 1)
    assert halos.count() == 0

    page.locator("svg.map").nth(1).focus()
    page.keyboard.press("ArrowRight")
    first = heard.locator("b").inner_text()
    page.keyboard.press("ArrowRight")
    assert heard.locator("b").inner_text() != first and halos.count() == 2
    page.keyboard.press("Escape")
    assert halos.count() == 0

    page.get_by_role("button", name="low").click()
    assert page.locator("svg.map .clip path").count() == 2, "one clip has the other tag, in two maps"
    page.get_by_role("searchbox").fill("music/1")
    assert page.locator(".clip:not(.dim)").count() == 2 * 11  # 1, and 10 to 19
    assert troubles == []


def quick(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["visualize", "map", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset, two classes of six clips, a bad file, and a table of some of them."""
    folder = tmp_path_factory.mktemp("maps")
    save_tiny(folder / "tiny")
    for number in range(12):
        own = ("hum", "hiss")[number % 2]
        (folder / "music" / own).mkdir(parents=True, exist_ok=True)
        sound = noise(0.3, 8000, seed=number) if number % 2 else tone(0.3, 8000, hz=200 + 9 * number)
        write(folder / "music" / own / f"{number:02d}.wav", sound, 8000)
    (folder / "music" / "hum" / "bad.wav").write_bytes(b"no audio")
    rows = ["path,tags", "music/hum/00.wav,hum|calm", "music/hiss/01.wav,hiss", "music/hum/02.wav,calm"]
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_the_command_maps_a_folder_by_its_labels(place: Path) -> None:
    outputs = [place / "out" / f"map.{ending}" for ending in ("html", "csv", "json", "npz")]
    asked = (
        place / "tiny",
        "--labels",
        place / "music",
        *(word for path in outputs for word in ("-o", path)),
    )
    code, stdout, stderr = quick(*asked)
    assert code == 1 and "bad.wav: not audio" in stderr
    assert stderr.splitlines()[1:] == [" and ".join(map(str, [*outputs, place / "out" / "map.tags.csv"]))]
    assert "of a clip's 10 nearest neighbours" in stdout and re.search(r"hiss +6 +\d\.\d\d", stdout)
    with outputs[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and list(rows[0])[2:] == ["level_-3_x", "level_-3_y", "level_-1_x", "level_-1_y"]
    assert all(row["tags"] == Path(row["path"]).parent.name for row in rows)
    with outputs[1].with_name("map.tags.csv").open(newline="") as file:
        numbers = list(csv.DictReader(file))
    assert [(row["tag"], row["level"]) for row in numbers[:3]] == [
        ("hiss", "-3"),
        ("hum", "-3"),
        ("hiss", "-1"),
    ]
    record = json.loads(outputs[2].read_text())
    assert record["tags"][0]["share"] == float(numbers[0]["share"]) and len(record["clips"]) == 12
    with np.load(outputs[3]) as arrays:
        assert arrays["level_-1"].shape == (12, 2) and arrays["has"].sum() == 12
    assert len(json.loads(Page(outputs[0].read_text()).data)["clips"]) == 12

    assert "--overwrite replaces it" in quick(*asked)[2]
    outputs[1].unlink()
    assert "map.tags.csv: it is there" in quick(*asked[:3], "-o", outputs[1])[2]
    (place / "music" / "hiss" / "01.wav").touch()  # one is heard again, the others are in the cache
    journal = next((place / "out" / "map.features").glob("*.journal"))
    before = len(journal.read_bytes().splitlines())
    assert quick(*asked, "--overwrite")[0] == 1
    assert len(journal.read_bytes().splitlines()) == before + 2, "the touched file and the bad one"


def test_labels_may_be_a_table_or_the_presets_own_tags(place: Path) -> None:
    out = place / "table.json"
    code, _, _ = quick(
        place / "tiny", place / "music", "--labels", place / "clips.csv", "--tags", "calm", "-o", out,
        "--levels", "stage2",
    )  # fmt: skip
    record = json.loads(out.read_text())
    assert code == 1 and record["tags"][0]["clips"] == 2 and record["tags"][0]["level"] == "stage2"
    assert sum(clip["tags"] != "" for clip in record["clips"]) == 3

    out = place / "own.json"
    assert quick(place / "tiny", place / "music", "-o", out, "--threshold", 0.2)[0] == 1
    from samplecnn_zoo import Tagger

    tagger = Tagger(place / "tiny")
    for clip in json.loads(out.read_text())["clips"][::5]:
        wanted = {tag.tag for tag in tagger.tag_file(clip["path"]).tags if tag.score >= 0.2}
        assert set(clip["tags"].split("|")) - {""} == wanted


def test_wrong_use_is_one_line(place: Path) -> None:
    tiny, music, out = place / "tiny", place / "music", ("-o", place / "x.html")
    labels = ("--labels", music)
    few = [music / "hum" / f"0{number}.wav" for number in (0, 2, 4)]
    for arguments, words in (
        ((tiny, *out), "name audio files or folders"),
        ((tiny, *few, *out), "a map wants 5 clips or more, found 3"),
        ((tiny, music, "-o", place / "x.gif"), "ends in one of .html, .png"),
        ((tiny, music, *out, "--labels", place / "none.csv"), "none.csv"),
        ((tiny, *labels, *out, "--levels", "-9"), "-9"),
        (("nobody", *labels, *out), "nobody"),
    ):
        code, _, stderr = quick(*arguments)
        assert code == 2 and words in stderr and stderr.count("\n") == 1, stderr
    for arguments, words in (  # these hear the bad file, too
        ((tiny, *labels, *out, "--tags", "oboe"), "no clip has 'oboe'; there are hiss, hum"),
        ((tiny, music, *out, "--threshold", 1), "lower --threshold, or give --labels"),
        ((tiny, music, *out, "--threshold", 0.99, "--tags", "loud"), "lower --threshold"),
    ):
        code, _, stderr = quick(*arguments)
        assert code == 2 and words in stderr.splitlines()[-1] and stderr.count("\n") <= 2, stderr
    assert not (place / "x.html").exists()
