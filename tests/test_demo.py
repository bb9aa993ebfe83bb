"""What the page knows, holds and draws, without a browser: see test_demo_browser for the page itself."""

import asyncio
import base64
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from samplecnn_zoo import AudioError, Tagger, Taggram
from samplecnn_zoo.cli import app
from samplecnn_zoo.demo import drawing, server, shelf
from samplecnn_zoo.demo.hearing import Heard, Limits, Refused, hear, outline, vector_of
from samplecnn_zoo.demo.shelf import Neighbour, Shelf
from samplecnn_zoo.demo.uploads import HELD_BYTES, Player, Uploads
from tests.presets import PRESET, RATE, edit, save_tiny
from tests.sounds import hostile, noise, tone, without_xing, write

ROOT = Path(__file__).parents[1]
LIMITS = Limits()


def fail(error: AudioError) -> None:
    raise error


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset, and three clips for the shelf."""
    folder = tmp_path_factory.mktemp("demo")
    save_tiny(folder / "tiny", name="tiny.one")
    (folder / "clips").mkdir()
    write(folder / "clips" / "low_tone.wav", tone(1.0, RATE, hz=110), RATE)
    write(folder / "clips" / "noise.flac", noise(1.0, RATE), RATE)
    write(folder / "clips" / "high_tone.wav", tone(1.0, RATE, hz=3000), RATE)
    return folder


@pytest.fixture(scope="module")
def tagger(folder: Path) -> Tagger:
    return Tagger(folder / "tiny")


@pytest.fixture(scope="module")
def heard(tagger: Tagger, folder: Path) -> Heard:
    return hear(tagger, folder / "clips" / "noise.flac", LIMITS)


# What it knows


def test_it_hears_what_the_tagger_hears(tagger: Tagger, folder: Path, heard: Heard) -> None:
    path = folder / "clips" / "noise.flac"
    clip = tagger.tag_file(path)
    assert [tag.tag for tag in heard.clip.tags] == [tag.tag for tag in clip.tags]
    np.testing.assert_allclose(
        [tag.score for tag in heard.clip.tags], [tag.score for tag in clip.tags], rtol=1e-5
    )
    assert heard.clip.duration_s == clip.duration_s == 1.0
    np.testing.assert_allclose(heard.vector, vector_of(tagger, path), rtol=1e-5)
    assert heard.preset == "tiny.one"


def test_an_even_rule_counts_for_the_score_and_not_over_time(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "tiny", tmp_path / "even")
    rule = {"kind": "even", "windows": 2}
    edit(tmp_path / "even" / PRESET, lambda record: record.update(segment_rule=rule))
    tagger = Tagger(tmp_path / "even")
    path = write(tmp_path / "long.wav", noise(3.0, RATE), RATE)
    heard = hear(tagger, path, LIMITS)
    scores = {tag.tag: tag.score for tag in tagger.tag_file(path).tags}
    assert {tag.tag: tag.score for tag in heard.clip.tags} == pytest.approx(scores, rel=1e-5)
    assert len(heard.taggram.start_s) > 30


def test_a_short_clip_is_heard_over_time_with_segments_that_overlap(tagger: Tagger, tmp_path: Path) -> None:
    path = write(tmp_path / "short.wav", noise(0.15, RATE), RATE)
    gram = hear(tagger, path, LIMITS).taggram
    assert gram.start_s[-1] + gram.segment_s == pytest.approx(0.15, abs=1e-4)
    assert gram.scores.shape == (len(gram.start_s), len(tagger.preset.tags))


def test_a_clip_above_the_limit_is_refused_by_its_header(tagger: Tagger, tmp_path: Path) -> None:
    path = write(tmp_path / "long.wav", noise(4.0, RATE), RATE)
    with pytest.raises(Refused, match=r"longer than 0\.05 minutes.*samplecnn tag, which has no limit"):
        hear(tagger, path, Limits(minutes=0.05))
    assert hear(tagger, path, Limits(minutes=4.01 / 60)).clip.duration_s == 4.0


def test_a_clip_above_the_limit_is_refused_when_its_header_says_nothing(
    tagger: Tagger, tmp_path: Path
) -> None:
    path = write(tmp_path / "whole.mp3", noise(20.0, RATE), RATE)
    path.write_bytes(without_xing(path.read_bytes()))
    with pytest.raises(Refused, match="longer than"):
        hear(tagger, path, Limits(minutes=0.1))


@pytest.mark.parametrize(
    "limits", [{"megabytes": 0}, {"minutes": -1}, {"minutes": float("nan")}, {"megabytes": float("inf")}]
)
def test_limits_are_above_zero(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="limits must be above 0 and finite"):
        Limits(**limits)


def test_a_bad_file_is_named_as_its_owner_knows_it(tagger: Tagger, tmp_path: Path) -> None:
    for kind, path in hostile(tmp_path).items():
        with pytest.raises(AudioError, match=rf"^{re.escape(path.name)}: ") as caught:
            hear(tagger, path, LIMITS)
        assert caught.value.kind == kind
        assert str(tmp_path) not in str(caught.value)


def test_the_outline_has_the_peak_of_each_part() -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 1003).astype(np.float32)
    parts = np.array_split(np.abs(samples), [at * 1003 // 7 for at in range(1, 7)])
    np.testing.assert_allclose(outline(samples, 7), [p.max() / np.abs(samples).max() for p in parts])
    assert len(outline(samples[:5], 7)) == 5


# The clips that it brings


def test_the_nearest_clip_is_the_same_clip(tagger: Tagger, folder: Path) -> None:
    clips = shelf.fill([tagger], folder / "clips", on_error=fail)
    assert [path.name for path in clips.paths] == ["high_tone.wav", "low_tone.wav", "noise.flac"]
    for path in clips.paths:
        vector = vector_of(tagger, path)
        first, *others = clips.nearest("tiny.one", vector)
        assert first.path == path and first.similarity == pytest.approx(1, abs=1e-5)
        assert [one.similarity for one in others] == sorted((o.similarity for o in others), reverse=True)
        assert path not in [one.path for one in clips.nearest("tiny.one", vector, but=path)]


def test_similarity_is_the_cosine(tagger: Tagger, folder: Path) -> None:
    clips = shelf.fill([tagger], folder / "clips", on_error=fail)
    ours, theirs = (vector_of(tagger, path).astype(float) for path in (clips.paths[0], clips.paths[2]))
    expected = ours @ theirs / np.sqrt((ours @ ours) * (theirs @ theirs))
    found = {one.path: one.similarity for one in clips.nearest("tiny.one", vector_of(tagger, clips.paths[0]))}
    assert found[clips.paths[2]] == pytest.approx(expected, abs=1e-5)


def test_a_bad_clip_is_told_and_left_out_of_the_shelf(tagger: Tagger, tmp_path: Path) -> None:
    write(tmp_path / "good.wav", noise(0.5, RATE), RATE)
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    shutil.copy(tmp_path / "good.wav", os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    errors: list[AudioError] = []
    clips = shelf.fill([tagger], tmp_path, on_error=errors.append)
    assert [path.name for path in clips.paths] == ["good.wav"]
    assert [error.path.name for error in errors] == ["bad.wav", "caf\udce9.wav"]
    assert str(errors[1]).endswith("its name is not UTF-8, and could not stand in a page; rename it")


def test_without_a_folder_the_shelf_is_empty(tagger: Tagger, heard: Heard) -> None:
    clips = shelf.fill([tagger], None, on_error=fail)
    assert clips == Shelf()
    assert clips.nearest("tiny.one", heard.vector) == []
    assert drawing.nearest([]) == ""


def test_clips_are_bundled() -> None:
    found = shelf.clips_dir()
    assert found is not None and len([*found.glob("*.ogg")]) >= 3


# What visitors bring


@pytest.fixture
def uploads() -> Any:
    made = Uploads()
    yield made
    made.close()
    assert not made.folder.exists()


def arrive(uploads: Uploads, data: bytes = b"data", name: str = "song.wav") -> Path:
    """Put an upload where gradio does."""
    path = uploads.folder / f"{zlib.crc32(data)}" / name
    path.parent.mkdir(exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=uploads.folder)
    os.write(handle, data)
    os.close(handle)
    os.rename(draft, path)
    return path


def left(uploads: Uploads) -> list[Path]:
    return [path for path in uploads.folder.rglob("*") if path.is_file()]


def test_an_upload_leaves_the_disk_and_can_be_opened_again(uploads: Uploads) -> None:
    path = arrive(uploads)
    for _ in range(2):
        with uploads.opened(path) as file:
            assert file.name == "song.wav" and file.read_bytes() == b"data"
        assert not left(uploads) and not file.exists()


def test_an_upload_leaves_the_disk_also_when_hearing_it_fails(uploads: Uploads) -> None:
    with pytest.raises(ZeroDivisionError), uploads.opened(arrive(uploads)):
        1 / 0  # noqa: B018
    assert not left(uploads)


def test_many_may_bring_the_same_clip_at_once(uploads: Uploads) -> None:
    path = arrive(uploads, b"x" * 10**6)
    seen: list[int] = []

    def visit() -> None:
        for _ in range(20):
            arrive(uploads, b"x" * 10**6)
            with uploads.opened(path) as file:
                seen.append(file.stat().st_size)

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [10**6] * 80
    uploads.data(path)
    assert not left(uploads)


def test_an_upload_is_forgotten_in_time() -> None:
    uploads = Uploads(held_s=0.05)
    path = arrive(uploads)
    uploads.data(path)
    time.sleep(0.1)
    uploads.sweep()
    with pytest.raises(Refused, match=r"has forgotten the clip.*drop it again"):
        uploads.data(path)
    uploads.close()


def test_those_heard_longest_ago_are_forgotten_when_memory_is_full() -> None:
    uploads = Uploads(held_bytes=25)
    one, two, three = (arrive(uploads, bytes([number]) * 10) for number in range(3))
    for path in (one, two, one, three):
        uploads.data(path)
    assert uploads.data(one) and uploads.data(three)
    with pytest.raises(Refused, match="has forgotten"):
        uploads.data(two)
    uploads.close()
    assert HELD_BYTES < 10**9


def test_only_uploads_and_own_clips_are_opened(tmp_path: Path) -> None:
    own, other = (tmp_path / name for name in ("own.wav", "other.wav"))
    for path in (own, other):
        path.write_bytes(b"mine")
    uploads = Uploads([own])
    with uploads.opened(own) as file:
        assert file == own
    around = uploads.folder / os.path.relpath(other, uploads.folder)
    assert around.is_relative_to(uploads.folder) and around.is_file()
    for path in (other, around, Path("/etc/passwd"), uploads.folder):
        with pytest.raises(Refused), uploads.opened(path):
            pytest.fail(f"{path} was opened")
    assert ask(uploads, f"/gradio_api/file={around}") == ["passed on"]  # to gradio, which refuses it
    uploads.close()
    assert own.exists() and other.exists()


def test_what_nobody_heard_is_swept_when_it_is_old(uploads: Uploads) -> None:
    old, new = arrive(uploads, b"old"), arrive(uploads, b"new")
    os.utime(old, (0, 0))
    uploads.sweep()
    assert left(uploads) == [new]


@pytest.mark.parametrize(
    "wanted, status, body",
    [
        ("", 200, b"0123456789"),
        ("bytes=0-", 206, b"0123456789"),
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-99", 206, b"789"),
        ("bytes=10-", 200, b"0123456789"),
        ("bytes=5-3", 200, b"0123456789"),
        (f"bytes={'9' * 5000}-", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
def test_the_player_gets_an_upload_from_memory(
    uploads: Uploads, wanted: str, status: int, body: bytes
) -> None:
    path = arrive(uploads, b"0123456789")
    begin, rest = ask(uploads, f"/gradio_api/file={path}", wanted)
    headers = {name.decode(): value.decode() for name, value in begin["headers"]}
    assert (begin["status"], rest["body"]) == (status, body)
    assert headers["content-length"] == str(len(body))
    assert headers["content-type"].startswith("audio/")
    assert not left(uploads)


def test_the_player_gets_no_page_and_nothing_that_was_forgotten(uploads: Uploads) -> None:
    begin, _ = ask(uploads, f"/gradio_api/file={arrive(uploads, b'<script>', 'evil.html')}")
    assert (b"content-type", b"application/octet-stream") in begin["headers"]
    begin, _ = ask(uploads, f"/gradio_api/file={uploads.folder}/0/never.wav")
    assert begin["status"] == 404
    assert ask(uploads, "/gradio_api/file=/etc/passwd") == ["passed on"]
    assert ask(uploads, "/") == ["passed on"]


def ask(uploads: Uploads, path: str, wanted: str = "") -> list[Any]:
    """The messages that answer a request."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    async def application(*_: object) -> None:
        sent.append("passed on")

    headers = [(b"range", wanted.encode())] if wanted else []
    scope = {"type": "http", "path": path, "method": "GET", "headers": headers}
    asyncio.run(Player(application, uploads)(scope, receive, send))
    return sent


# What it draws


def gram(starts: npt.ArrayLike, scores: npt.ArrayLike, segment_s: float, duration_s: float) -> Taggram:
    rows = np.array(scores, np.float32)[:, None]
    return Taggram(Path("a.wav"), np.array(starts), rows, ("tag",), segment_s, duration_s)


def test_each_moment_has_the_scores_of_the_nearest_segment() -> None:
    # Middles at 1, 3, 5 and, of the last segment which ends with the clip, 5.5: borders at 2, 4 and 5.25 s.
    four = gram([0, 2, 4, 4.5], [0.1, 0.2, 0.3, 0.4], 2.0, 6.5)
    columns = drawing.over_time(four, 26)[:, 0]  # a quarter of a second each
    assert columns.tolist() == pytest.approx([0.1] * 8 + [0.2] * 8 + [0.3] * 5 + [0.4] * 5)


def test_a_column_over_many_segments_has_their_mean() -> None:
    many = gram(range(100), np.arange(100) / 100, 1.0, 100.0)
    assert drawing.over_time(many, 10)[:, 0].tolist() == pytest.approx(np.arange(10) / 10 + 0.045)


def test_a_clip_shorter_than_a_segment_has_one_score() -> None:
    assert set(drawing.over_time(gram([0], [0.5], 3.0, 0.2), 600)[:, 0]) == {0.5}


def test_faint_scores_get_all_of_the_colour_and_it_is_said_how_much_that_is(heard: Heard) -> None:
    faint = replace(heard.taggram, scores=np.full_like(heard.taggram.scores, 0.15))
    assert "the surer, up to 20 %." in drawing.taggram(replace(heard, taggram=faint))
    sure = replace(heard.taggram, scores=np.full_like(heard.taggram.scores, 0.9))
    assert "the surer, up to 100 %." in drawing.taggram(replace(heard, taggram=sure))


def test_the_files_hold_all_that_was_heard(heard: Heard, tagger: Tagger) -> None:
    near = [Neighbour(Path("/somewhere/clip.ogg"), 0.51239)]
    links = re.findall(r'download="([^"]+)" href="data:([^"]+);base64,([^"]+)"', drawing.files(heard, near))
    assert [name for name, _, _ in links] == ["noise.json", "noise.csv"]
    told, table = (base64.b64decode(data).decode() for _, _, data in links)
    results = json.loads(told)
    assert (results["preset"], results["path"], results["duration_s"]) == ("tiny.one", "noise.flac", 1.0)
    assert [tag["tag"] for tag in results["tags"]] == [tag.tag for tag in heard.clip.tags]
    assert results["taggram"]["tags"] == list(tagger.preset.tags)
    scores = np.array(results["taggram"]["scores"], np.float32)
    assert (scores == heard.taggram.scores).all()
    assert results["nearest"] == [{"clip": "clip.ogg", "similarity": 0.5124}]
    rows = [*csv.reader(io.StringIO(table))]
    assert rows[0] == ["start_s", "end_s", *tagger.preset.tags]
    assert (np.array([row[2:] for row in rows[1:]], np.float32) == heard.taggram.scores).all()
    assert [float(row[0]) for row in rows[1:]] == results["taggram"]["start_s"]


def test_a_picture_of_a_strip_is_as_opaque_as_the_score_is_high() -> None:
    image = drawing._png(drawing._pixels(np.array([0.0, 0.5, 1.0])))
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    at = image.index(b"IDAT")
    size = int.from_bytes(image[at - 4 : at], "big")
    pixels = np.frombuffer(zlib.decompress(image[at + 4 : at + 4 + size])[1:], np.uint8).reshape(3, 4)
    assert pixels[:, 3].tolist() == [0, 128, 255]


def test_names_cannot_become_markup(tagger: Tagger, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>.wav"
    heard = hear(tagger, write(tmp_path / name, noise(0.5, RATE), RATE), LIMITS)
    near = [Neighbour(Path(f'/clips/"{name}'), 0.5)]
    drawn = drawing.bars(heard) + drawing.taggram(heard) + drawing.nearest(near) + drawing.files(heard, near)
    drawn += drawing.message(name)
    assert "<img" not in drawn and "&lt;img" in drawn
    assert name in unescape(drawn)


# The command


def quick(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["demo", *map(str, arguments)])
    return result.exit_code, result.stderr


def test_help_and_the_package_import_no_gradio() -> None:
    code = (
        "import sys\nfrom samplecnn_zoo.cli import app\nimport samplecnn_zoo.demo.server\n"
        "try: app(['demo', '--help'])\nexcept SystemExit: pass\n"
        "print('heavy:', *{'gradio', 'keras', 'tensorflow', 'pandas', 'fastapi'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "Serve a web page" in run.stdout and "127.0.0.1" in run.stdout
    assert run.stdout.endswith("heavy:\n")
    assert "share" not in run.stdout


def test_a_missing_gradio_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    assert quick() == (2, "samplecnn: the page needs gradio: pip install 'samplecnn_zoo[demo]'\n")
    with pytest.raises(ImportError, match=r"pip install 'samplecnn_zoo\[demo\]'"):
        server.serve([], Shelf())


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["no_such_preset"], "'no_such_preset' is neither a directory nor the name of a preset"),
        (["--clips", "/no/such"], "--clips /no/such: there is no such folder"),
        (["--max-mb", "0"], "limits must be above 0 and finite, got 0 MB and 15 minutes"),
    ],
)
def test_wrong_use_is_one_line(monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: True)
    code, told = quick(*arguments)
    assert code == 2 and line in told and told.count("\n") == 1


def test_two_presets_of_one_name_are_refused(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: True)
    shutil.copytree(folder / "tiny", tmp_path / "twin")
    code, told = quick(folder / "tiny", tmp_path / "twin")
    assert code == 2 and "more than one of the presets is called tiny.one" in told


# The Space


def test_the_space_says_what_it_is() -> None:
    from huggingface_hub import metadata_load

    space = ROOT / "examples" / "space"
    header = metadata_load(space / "README.md")
    assert header is not None
    assert header["sdk"] == "gradio" and (space / header["app_file"]).is_file()
    assert re.fullmatch(r"\d+\.\d+\.\d+", header["sdk_version"])
    assert header["license"] == "mit" and len(header["short_description"]) <= 60
    needs = (space / "requirements.txt").read_text().splitlines()
    assert any(need.startswith("samplecnn_zoo[demo") for need in needs)
