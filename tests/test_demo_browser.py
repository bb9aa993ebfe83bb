"""The page as visitors have it: a served one in a real browser, nothing of it faked but the microphone."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from samplecnn_zoo import Tagger
from samplecnn_zoo.cli import app
from tests.presets import RATE, TAGS, save_tiny
from tests.sounds import noise, tone, write

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = [name for name in ("gradio", "playwright") if find_spec(name) is None]
MISSING += [] if BROWSER else ["chromium"]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems"),
]

OTHER_TAGS = ("violin", "voice", "rain", "thunder", "whale")
SPACE = Path(__file__).parents[1] / "examples" / "space"
RESULT = ".zoo-taggram, #zoo-over-time .zoo-error"
TIMEOUT_MS = 60_000  # of a machine that is busy


@dataclass(frozen=True)
class Server:
    """A page that is served, what runs it, and the folder of all its temporary files."""

    url: str
    process: subprocess.Popen[str]
    temporary: Path

    def files(self) -> list[Path]:
        return [path for path in self.temporary.rglob("*") if path.is_file()]


@contextmanager
def serve(temporary: Path, *command: object, **environment: str) -> Iterator[Server]:
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        env={**os.environ, "TMPDIR": str(temporary), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            told.append(line)
            if "the page is at" in line:
                yield Server(line.split(" at ")[1].split()[0], process, temporary)
                return
        pytest.fail(f"it ended before there was a page:\n{''.join(told)}")
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two presets with other tags, clips of the page, and the files of its visitors."""
    folder = tmp_path_factory.mktemp("page")
    save_tiny(folder / "one", name="tiny.one")
    save_tiny(folder / "two", seed=1, name="tiny.two", tags=OTHER_TAGS)
    (folder / "clips").mkdir()
    write(folder / "clips" / "low_tone.wav", tone(1.0, RATE, hz=110), RATE)
    write(folder / "clips" / "white_noise.ogg", noise(1.0, RATE), RATE)
    write(folder / "song.wav", noise(2.0, RATE, seed=1), RATE)
    write(folder / "other.mp3", tone(3.0, 44100, channels=2), 44100)
    write(folder / "long.wav", noise(70.0, RATE), RATE)
    (folder / "text.mp3").write_text("This is no music.\n" * 500)
    data = (folder / "other.mp3").read_bytes()
    (folder / "corrupt.mp3").write_bytes(bytes(byte ^ 0x5A for byte in data))
    with open(folder / "large.wav", "wb") as file:
        file.truncate(200 * 1024**2)
    return folder


def command(folder: Path, *options: object) -> list[object]:
    presets = [folder / "one", folder / "two"]
    return ["-m", "samplecnn_zoo", "demo", *presets, "--clips", folder / "clips", *options]


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    limits = ["--max-mb", 3, "--max-minutes", 1]
    with serve(folder / "temporary", *command(folder, *limits)) as server:
        yield server
        assert_nothing_is_left(server, signal.SIGINT, 130)


def assert_nothing_is_left(server: Server, sent: signal.Signals, code: int) -> None:
    """End a server, and see that an upload that nobody heard goes with it."""
    (uploaded,) = post(server, "unheard.wav", b"unheard")
    assert Path(uploaded) in server.files()
    server.process.send_signal(sent)
    _, told = server.process.communicate(timeout=60)
    assert server.process.returncode == code
    assert "Traceback" not in told
    assert not [path for path in server.temporary.iterdir() if path.name.startswith("samplecnn-demo-")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", *microphone])
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser of their own, who notes every request that it makes."""

    def __init__(self, chromium: Any, server: Server, **options: Any) -> None:
        self.server = server
        self.context = chromium.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(server.url)
        self.page.wait_for_selector("#zoo-audio input[type=file]", state="attached")

    def bring(self, path: Path) -> None:
        """Choose a file, in place of the one that is there."""
        clear = self.page.locator("#zoo-audio button[aria-label=Clear]")
        if clear.count():
            clear.click()
            self.page.wait_for_selector("#zoo-over-time .zoo-hint")
        self.page.set_input_files("#zoo-audio input[type=file]", path)

    def sees(self) -> Any:
        """Wait until there is a result, an error among them, and return the page."""
        self.page.wait_for_selector(RESULT)
        return self.page

    def bars(self) -> dict[str, int]:
        """Tags and their scores in per cent, as the page has them."""
        self.page.wait_for_selector(".zoo-bars")
        rows = self.page.locator(".zoo-bars li").all_inner_texts()
        return {row.split("\n")[0]: int(row.split("\n")[-1].removesuffix(" %")) for row in rows}

    def error(self) -> str:
        return str(self.page.locator("#zoo-over-time .zoo-error").inner_text())

    def download(self, label: str) -> str:
        with self.page.expect_download() as saved:
            self.page.get_by_text(label).click()
        return Path(saved.value.path()).read_text(encoding="utf-8")

    def choose(self, preset: str) -> None:
        self.page.locator("#zoo-preset input").click()
        self.page.get_by_role("option", name=preset).click()


@pytest.fixture
def visitor(chromium: Any, server: Server) -> Iterator[Visitor]:
    visitor = Visitor(chromium, server)
    yield visitor
    visitor.context.close()
    # Whatever a test did: no request left this machine, the server runs on, and no file is left.
    elsewhere = [url for url in visitor.asked if not url.startswith((server.url, "data:", "blob:"))]
    assert not elsewhere and len(visitor.asked) > 5
    assert server.process.poll() is None
    assert not server.files()


@cache
def tagger(preset: Path) -> Tagger:
    return Tagger(preset)


def percents(preset: Path, path: Path) -> dict[str, int]:
    return {tag.tag: round(100 * tag.score) for tag in tagger(preset).tag_file(path).tags}


@pytest.mark.parametrize("name", ["song.wav", "other.mp3"])
def test_what_is_heard_is_seen_and_can_be_kept(visitor: Visitor, folder: Path, name: str) -> None:
    visitor.bring(folder / name)
    page = visitor.sees()
    assert visitor.bars() == pytest.approx(percents(folder / "one", folder / name), abs=1)
    assert page.locator(".zoo-row").count() == len(TAGS)
    assert page.locator(".zoo-nearest li").count() == 2
    results = json.loads(visitor.download("Everything (JSON)"))
    clip = tagger(folder / "one").tag_file(folder / name)
    assert (results["preset"], results["path"]) == ("tiny.one", name)
    assert results["duration_s"] == pytest.approx(clip.duration_s, abs=1e-6)
    assert {tag["tag"]: tag["score"] for tag in results["tags"]} == pytest.approx(
        {tag.tag: tag.score for tag in clip.tags}, rel=1e-4
    )
    shape = np.array(results["taggram"]["scores"]).shape
    assert shape == (len(results["taggram"]["start_s"]), len(TAGS))
    assert {one["clip"] for one in results["nearest"]} == {"low_tone.wav", "white_noise.ogg"}
    assert visitor.download("Tags over time (CSV)").splitlines()[0] == ",".join(["start_s", "end_s", *TAGS])


def test_another_preset_hears_the_same_clip_without_another_upload(visitor: Visitor, folder: Path) -> None:
    visitor.bring(folder / "song.wav")
    visitor.sees()
    assert set(visitor.bars()) == set(TAGS)
    sent = sum("/upload" in url for url in visitor.asked)
    visitor.choose("tiny.two")
    visitor.page.wait_for_selector(f"text={OTHER_TAGS[0]}")
    assert visitor.bars() == pytest.approx(percents(folder / "two", folder / "song.wav"), abs=1)
    assert sum("/upload" in url for url in visitor.asked) == sent
    assert json.loads(visitor.download("Everything (JSON)"))["preset"] == "tiny.two"


def test_the_line_in_the_taggram_goes_with_the_player(visitor: Visitor, folder: Path) -> None:
    visitor.bring(folder / "song.wav")
    page = visitor.sees()
    page.wait_for_function("document.querySelector('#zoo-audio audio[src]').readyState > 0")
    strips = page.locator(".zoo-strips")
    box = strips.bounding_box()
    strips.click(position={"x": 0.75 * box["width"], "y": 20})
    page.wait_for_selector(".zoo-cursor:not([hidden])")
    assert page.evaluate("document.querySelector('#zoo-audio audio[src]').currentTime") == pytest.approx(
        1.5, abs=0.02
    )
    cursor = page.locator(".zoo-cursor").bounding_box()
    assert cursor["x"] - box["x"] == pytest.approx(0.75 * box["width"], abs=3)
    assert page.locator(".zoo-now").first.inner_text().endswith("%")


@pytest.mark.parametrize("name", ["text.mp3", "corrupt.mp3"])
def test_a_bad_file_is_one_clear_line_and_the_page_goes_on(visitor: Visitor, folder: Path, name: str) -> None:
    visitor.bring(folder / name)
    visitor.sees()
    assert visitor.error().startswith(f"{name}: ") and "convert it to wav or flac" in visitor.error()
    assert "\n" not in visitor.error() and str(folder) not in visitor.error()
    visitor.bring(folder / "song.wav")
    assert set(visitor.bars()) == set(TAGS)


def test_a_large_file_is_refused_before_it_is_sent(visitor: Visitor, folder: Path) -> None:
    visitor.bring(folder / "large.wav")
    refusal = visitor.page.locator("#zoo-refusal")
    refusal.wait_for()
    assert "large.wav has 200 MB, and this page takes up to 3 MB" in refusal.inner_text()
    assert not any("/upload" in url for url in visitor.asked)
    visitor.bring(folder / "song.wav")
    visitor.sees()
    assert not refusal.is_visible()


def test_a_long_clip_is_refused(visitor: Visitor, folder: Path) -> None:
    visitor.bring(folder / "long.wav")
    visitor.sees()
    assert "longer than 1 minutes, the most that this page takes" in visitor.error()


def test_the_clips_of_the_page_can_be_tried_and_played(visitor: Visitor, folder: Path) -> None:
    visitor.page.get_by_role("button", name="White noise").click()
    page = visitor.sees()
    expected = percents(folder / "one", folder / "clips" / "white_noise.ogg")
    assert visitor.bars() == pytest.approx(expected, abs=1)
    assert page.locator(".zoo-nearest strong").all_inner_texts() == ["Low tone"]
    source = page.locator(".zoo-nearest audio").evaluate("audio => audio.src")
    assert urllib.request.urlopen(source).read() == (folder / "clips" / "low_tone.wav").read_bytes()


def test_a_recording_is_heard(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#zoo-audio button[aria-label='Record audio']").click()
    page.locator("#zoo-audio button.record-button").click()
    page.wait_for_timeout(1500)
    page.locator("#zoo-audio button.stop-button:visible").click()
    visitor.sees()
    assert set(visitor.bars()) == set(TAGS)


def test_two_visitors_at_once_get_their_own(chromium: Any, server: Server, folder: Path) -> None:
    visitors = [Visitor(chromium, server) for _ in range(4)]
    names = ["song.wav", "other.mp3", "song.wav", "song.wav"]
    for visitor, name in zip(visitors, names, strict=True):
        visitor.bring(folder / name)  # nobody waits for the one before
    for visitor, name in zip(visitors, names, strict=True):
        page = visitor.sees()
        assert name in page.locator(".zoo-bars .zoo-about").inner_text()
        assert visitor.bars() == pytest.approx(percents(folder / "one", folder / name), abs=1)
        page.wait_for_function("document.querySelector('#zoo-audio audio[src]').duration > 1.9")
    for visitor in visitors:
        visitor.context.close()
    assert not server.files()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_one_column_that_fits(chromium: Any, server: Server, folder: Path, scheme: str) -> None:
    phone = Visitor(chromium, server, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    phone.bring(folder / "song.wav")
    page = phone.sees()
    page.wait_for_selector(".zoo-files")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    strips, bars = (page.locator(name).bounding_box() for name in (".zoo-strips", ".zoo-bars"))
    assert bars["y"] > strips["y"] + strips["height"] and strips["width"] > 300
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    shade = sum(int(part) for part in background[4:-1].split(",")[:3])
    assert shade < 150 if scheme == "dark" else shade > 600
    phone.context.close()


# Without a browser


def post(server: Server, name: str, data: bytes) -> list[str]:
    """Upload as the page does; return where the server has put it."""
    parts = [
        f'--sep\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode(),
        data,
        b"\r\n--sep--\r\n",
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=sep"}
    request = urllib.request.Request(f"{server.url}gradio_api/upload", b"".join(parts), headers)
    with urllib.request.urlopen(request) as answer:
        return [str(path) for path in json.load(answer)]


def test_the_server_itself_refuses_a_large_file(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError, match="413"):
        post(server, "large.wav", bytes(4 * 1024**2))
    assert not server.files()


def test_it_listens_on_this_computer_alone(server: Server) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(f"{server.url}config") as answer:
        config = json.load(answer)
    assert config["analytics_enabled"] is False and not config.get("share")


def test_a_port_that_is_taken_is_one_line(server: Server) -> None:
    port = server.url.rstrip("/").rpartition(":")[2]
    run = CliRunner().invoke(app, ["demo", "--port", port])
    assert run.exit_code == 2
    assert run.stderr == f"samplecnn: 127.0.0.1, port {port}: Address already in use\n"


def test_the_space_serves_the_page_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    with serve(tmp_path / "temporary", SPACE / "app.py", **address) as server:
        assert server.url == f"http://127.0.0.1:{port}/"
        with urllib.request.urlopen(server.url) as answer:
            assert "What does it hear in your music?" in answer.read().decode()
        assert_nothing_is_left(server, signal.SIGTERM, 143)
