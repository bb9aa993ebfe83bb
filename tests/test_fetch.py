"""Originals from a server: verified before use, resumed, retried, refused with a way out, never half-done."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from samplecnn_zoo.zoo import PresetError, cache, fetch, find, list_presets, load_pretrained, preset_info
from samplecnn_zoo.zoo.published import Published
from samplecnn_zoo.zoo.store import read_stored
from tests.presets import scores as scores_of
from tests.presets import segments
from tests.stand_in import NAME, TAGS, URL_PATH, record, write_stand_in
from tests.web_server import Fault, WebServer


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("original") / "tiny.hdf5"
    write_stand_in(file)
    return file


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, short pauses, and no other setting."""
    for name in ("HF_HUB_OFFLINE", "SAMPLECNN_ZOO_OFFLINE", "SAMPLECNN_ZOO_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAMPLECNN_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetch, "FIRST_PAUSE_S", 0.01)
    return tmp_path / "cache"


@pytest.fixture
def server(original: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    with WebServer() as server:
        server.files[URL_PATH] = original.read_bytes()
        monkeypatch.setenv("SAMPLECNN_ZOO_MIRROR", server.url)
        yield server


@pytest.fixture
def wanted(original: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    published = record(original)
    monkeypatch.setattr(find, "PUBLISHED", {NAME: published})
    return published


def part(published: Published) -> Path:
    target = fetch.original_path(published)
    assert target is not None
    return target.with_name(f"{target.name}.part")


def test_a_name_becomes_a_model(server: WebServer, wanted: Published, tmp_path: Path) -> None:
    model = load_pretrained(NAME)
    x = segments(3, 243)
    again = write_stand_in(tmp_path / "again.hdf5")
    assert abs(scores_of(model, x) - scores_of(again, x)).max() < 1e-6
    assert model.preset.tags == TAGS
    assert model.preset.source == wanted.source
    assert model.preset.scores == wanted.scores
    load_pretrained(NAME)
    assert server.asked == [f"GET {URL_PATH}"]


def test_the_bytes_are_those_of_the_server(server: WebServer, wanted: Published, original: Path) -> None:
    file = fetch.fetch(wanted)
    assert file.read_bytes() == original.read_bytes()
    assert not part(wanted).exists()
    assert fetch.fetch(wanted) == file
    assert server.count("GET") == 1


def test_what_is_cached_needs_no_network(
    server: WebServer, wanted: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch.fetch(wanted)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    directory = fetch.converted(wanted)
    assert read_stored(NAME).preset.name == NAME
    fetch.fetch(wanted).unlink()
    assert fetch.converted(wanted) == directory


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "SAMPLECNN_ZOO_OFFLINE"])
def test_offline_says_what_to_do(
    variable: str, server: WebServer, wanted: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(PresetError, match=rf"not in the cache .*forbids downloads.*convert FILE --as {NAME}"):
        load_pretrained(NAME)
    assert server.asked == []


@pytest.mark.parametrize("status", [500, 502, 503, 504, 507, 522, 429, 408])
def test_a_server_in_trouble_is_asked_again(status: int, server: WebServer, wanted: Published) -> None:
    server.faults.append(Fault("GET", status=status, times=2))
    fetch.fetch(wanted)
    assert server.count("GET") == 3


def test_a_server_that_says_when_is_heeded(
    server: WebServer, wanted: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("samplecnn_zoo.zoo.fetch.sleep", slept.append)
    server.faults.append(Fault("GET", status=503, headers={"Retry-After": "7"}))
    server.faults.append(Fault("GET", status=503, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}))
    server.faults.append(Fault("GET", status=503, headers={"Retry-After": "99999"}))
    fetch.fetch(wanted)
    assert slept == [7.0, 0.02, fetch.LONGEST_PAUSE_S]


def test_a_server_that_stays_in_trouble_is_left(server: WebServer, wanted: Published) -> None:
    server.faults.append(Fault("GET", status=503, times=99))
    with pytest.raises(PresetError, match=r"failed 5 times, at last with: HTTP 503.*next call goes on there"):
        fetch.fetch(wanted)
    assert server.count("GET") == fetch.FAILURES


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_a_refusal_is_final(status: int, server: WebServer, wanted: Published) -> None:
    server.faults.append(Fault("GET", status=status, times=99))
    with pytest.raises(PresetError, match=rf"HTTP {status}.*convert FILE --as {NAME}.*SAMPLECNN_ZOO_MIRROR"):
        fetch.fetch(wanted)
    assert server.count("GET") == 1


def test_no_server_at_all(wanted: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebServer() as gone:
        monkeypatch.setenv("SAMPLECNN_ZOO_MIRROR", gone.url)
    with pytest.raises(PresetError, match=r"failed 5 times, at last with: .*refused"):
        fetch.fetch(wanted)


def test_a_broken_connection_goes_on_where_it_ended(
    server: WebServer, wanted: Published, original: Path
) -> None:
    server.faults.append(Fault("GET", cut_after=9999))
    server.faults.append(Fault("GET", cut_after=5000))
    assert fetch.fetch(wanted).read_bytes() == original.read_bytes()
    assert server.ranges_asked == ["", "bytes=9999-", "bytes=14999-"]


def test_the_next_call_goes_on_where_the_last_ended(
    server: WebServer, wanted: Published, original: Path
) -> None:
    server.faults += [Fault("GET", cut_after=9999), Fault("GET", status=404)]
    with pytest.raises(PresetError, match="404"):
        fetch.fetch(wanted)
    assert part(wanted).stat().st_size == 9999
    assert fetch.fetch(wanted).read_bytes() == original.read_bytes()
    assert server.ranges_asked[-1] == "bytes=9999-"


def test_progress_resets_the_count_of_failures(
    server: WebServer, wanted: Published, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "PROGRESS_BYTES", 4000)
    server.faults.append(Fault("GET", cut_after=4000, times=8))
    assert fetch.fetch(wanted).read_bytes() == original.read_bytes()
    assert server.count("GET") == 9


def test_a_server_without_ranges_sends_all_again(
    server: WebServer, wanted: Published, original: Path
) -> None:
    server.ranges = False
    server.faults.append(Fault("GET", cut_after=9999))
    assert fetch.fetch(wanted).read_bytes() == original.read_bytes()


def test_a_partial_file_of_something_else_is_dropped(
    server: WebServer, wanted: Published, original: Path
) -> None:
    part(wanted).parent.mkdir(parents=True)
    part(wanted).write_bytes(bytes(5000))  # as a power cut may leave it
    assert fetch.fetch(wanted).read_bytes() == original.read_bytes()
    assert server.ranges_asked == ["bytes=5000-", ""]


@pytest.mark.parametrize("extra", [0, 10])
def test_a_partial_file_that_is_full_is_judged_by_its_hash(
    extra: int, server: WebServer, wanted: Published, original: Path
) -> None:
    part(wanted).parent.mkdir(parents=True)
    part(wanted).write_bytes(original.read_bytes() + bytes(extra))
    assert fetch.fetch(wanted).read_bytes() == original.read_bytes()
    assert server.count("GET") == (2 if extra else 1)


def test_a_range_that_was_not_asked_is_not_appended(
    server: WebServer, wanted: Published, original: Path
) -> None:
    part(wanted).parent.mkdir(parents=True)
    part(wanted).write_bytes(original.read_bytes()[:5000])
    server.faults.append(Fault("GET", status=206, headers={"Content-Range": "bytes 0-9/10"}))
    assert fetch.fetch(wanted).read_bytes() == original.read_bytes()
    assert server.ranges_asked == ["bytes=5000-", ""]


def test_a_flipped_bit_is_refused_and_not_kept(server: WebServer, wanted: Published, place: Path) -> None:
    server.faults.append(Fault("GET", flip=20000))
    with pytest.raises(PresetError, match=r"git blob id [0-9a-f]{40}, expected .*nothing was kept"):
        load_pretrained(NAME)
    assert [file.suffix for file in (place / "files").iterdir()] == [".lock"]
    assert not list(place.glob("presets/*/"))
    load_pretrained(NAME)


def test_a_page_of_a_firewall_is_refused(server: WebServer, wanted: Published) -> None:
    server.files[URL_PATH] = b"<html>please log in</html>"
    with pytest.raises(PresetError, match=r"gave 26 bytes .*another file"):
        fetch.fetch(wanted)


def test_a_server_that_never_ends_is_left(
    server: WebServer, wanted: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LARGEST_BYTES", 1000)
    with pytest.raises(PresetError, match="more than 1000 bytes"):
        fetch.fetch(wanted)


def test_a_silent_server_is_given_up(
    server: WebServer, wanted: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(fetch, "FAILURES", 2)
    server.faults.append(Fault("GET", delay_s=0.6, times=9))
    with pytest.raises(PresetError, match=r"failed 2 times, at last with: .*timed out"):
        fetch.fetch(wanted)


def test_a_slow_server_is_waited_for(
    server: WebServer, wanted: Published, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.3)
    server.faults.append(Fault("GET", trickle_s=0.02))  # 39 pieces: longer than the limit in all
    assert fetch.fetch(wanted).read_bytes() == original.read_bytes()
    assert server.count("GET") == 1


def test_a_damaged_original_in_the_cache_is_fetched_again(server: WebServer, wanted: Published) -> None:
    file = fetch.fetch(wanted)
    content = bytearray(file.read_bytes())
    content[20000] ^= 1
    file.write_bytes(content)
    assert cache.git_blob(fetch.fetch(wanted)) == wanted.source.blob


@pytest.mark.parametrize("name", ["model.weights.h5", "config.json", "preset.json"])
def test_a_damaged_conversion_is_made_again(
    name: str, server: WebServer, wanted: Published, caplog: pytest.LogCaptureFixture
) -> None:
    directory = fetch.converted(wanted)
    before = (directory / "config.json").read_bytes()
    (directory / name).write_bytes((directory / name).read_bytes()[:-30])
    with caplog.at_level(logging.WARNING):
        assert load_pretrained(NAME).preset.tags == TAGS
    assert "it is made again" in caplog.text
    assert (directory / "config.json").read_bytes() == before
    assert server.count("GET") == 1


def test_what_a_killed_conversion_left_is_swept(server: WebServer, wanted: Published) -> None:
    directory = fetch.converted_path(wanted)
    assert directory is not None
    stray = directory.parent / f".{directory.name}.abc" / "new"
    stray.mkdir(parents=True)
    fetch.converted(wanted)
    assert sorted(file.name for file in directory.parent.iterdir()) == [
        directory.name,
        f"{directory.name}.lock",
    ]


def test_another_version_converts_for_itself(
    server: WebServer, wanted: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch.converted(wanted)
    monkeypatch.setattr("samplecnn_zoo.__version__", "99.0")
    assert fetch.converted(wanted) != first
    assert server.count("GET") == 1


def test_a_record_without_blob_has_no_download(wanted: Published) -> None:
    local = replace(wanted, source=replace(wanted.source, blob=None))
    message = rf"no pinned download; get weights/tiny net.hdf5 from https://github.com/.*--as {NAME} -o"
    with pytest.raises(PresetError, match=message):
        fetch.converted(local)


def test_a_cache_that_cannot_be_written_is_named(
    server: WebServer, wanted: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SAMPLECNN_ZOO_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        PresetError, match=r"cache .*file cannot be written .*SAMPLECNN_ZOO_CACHE names another"
    ):
        load_pretrained(NAME)


def test_a_full_disk_is_one_line(
    server: WebServer, wanted: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch, "_copy", full)
    with pytest.raises(PresetError, match=rf"{NAME}: the cache .*No space left on device"):
        fetch.fetch(wanted)
    assert server.count("GET") == 1


def test_a_cache_to_be_read_only_serves(
    server: WebServer, wanted: Published, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch.converted(wanted)

    def no_lock(target: Path) -> None:
        raise AssertionError("a lock is written only where something is to be made")

    monkeypatch.setattr(fetch, "locked", no_lock)
    assert load_pretrained(NAME).preset.name == NAME
    assert fetch.fetch(wanted).is_file()


def test_another_process_that_does_not_end_is_named(
    server: WebServer, wanted: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "WAIT_S", 0.2)
    target = fetch.original_path(wanted)
    assert target is not None
    with cache.locked(target), pytest.raises(PresetError, match=r"has held .*\.lock for"):
        fetch.fetch(wanted)


def test_the_list_tells_where_a_preset_is(
    server: WebServer, wanted: Published, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(wanted, name="other.published", source=replace(wanted.source, blob="0" * 40))
    local = replace(wanted, name="local.published", source=replace(wanted.source, blob=None))
    monkeypatch.setattr(find, "PUBLISHED", {r.name: r for r in (local, other, wanted)})
    monkeypatch.setattr(find, "weights_dir", lambda: original.parent)

    def places() -> dict[str, str]:
        return {info.name: info.where for info in list_presets()}

    rest = {other.name: "downloadable", local.name: "local file"}
    assert places() == {**rest, NAME: "downloadable"}
    assert [info.size_bytes for info in list_presets()] == [4 * 1234] * 3
    fetch.fetch(wanted)
    assert places() == {NAME: "cached", **rest}
    load_pretrained(NAME)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    first = list_presets()[0]
    directory = fetch.converted_path(wanted)
    assert directory is not None
    assert (first.name, first.where, first.license, first.score) == (NAME, "cached", "MIT", wanted.scores[0])
    assert first.size_bytes == sum(file.stat().st_size for file in directory.iterdir())
    assert server.count("GET") == 1


def test_what_a_published_preset_wants_is_known_without_a_download(
    server: WebServer, wanted: Published
) -> None:
    assert preset_info(NAME).tags == TAGS
    assert preset_info(NAME).weights_sha256 is None
    assert server.asked == []
    load_pretrained(NAME)
    assert preset_info(NAME).weights_sha256 is not None


def test_a_bar_is_drawn_on_a_terminal_only(
    server: WebServer, wanted: Published, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch.fetch(wanted).unlink()
    assert capfd.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    fetch.fetch(wanted)
    assert NAME in capfd.readouterr().err or os.environ.get("NO_COLOR")
