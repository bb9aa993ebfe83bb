"""Fetching by real processes: two at once, one that is killed, and the way from a name to tags."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from samplecnn_zoo.tagger import Tagger
from samplecnn_zoo.zoo.cache import git_blob
from tests.presets import segments
from tests.sounds import noise, write
from tests.stand_in import NAME, URL_PATH, record, write_stand_in
from tests.web_server import Fault, WebServer

ROOT = Path(__file__).parents[1]
# The record goes to the process as a file of the test; everything else is as a user has it.
START = """
import sys
from pathlib import Path
from samplecnn_zoo.zoo import fetch, find
from tests.stand_in import NAME, record
find.PUBLISHED = {NAME: record(Path(sys.argv[1]))}
fetch.FIRST_PAUSE_S = 0.01
"""
LOAD = (
    START
    + """
import numpy as np
from tests.presets import scores, segments
from samplecnn_zoo.zoo import load_pretrained
model = load_pretrained(NAME)
np.save(sys.argv[2], scores(model, segments(4, 243)))
"""
)
FETCH = START + "print(fetch.fetch(find.PUBLISHED[NAME]))"
COMMAND = (
    START
    + """
from samplecnn_zoo.cli import main
sys.argv = ["samplecnn", *sys.argv[2:]]
main()
"""
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("original") / "tiny.hdf5"
    write_stand_in(file)
    return file


@pytest.fixture
def server(original: Path) -> Iterator[WebServer]:
    with WebServer() as server:
        server.files[URL_PATH] = original.read_bytes()
        yield server


def start(code: str, server: WebServer, folder: Path, *arguments: str | Path) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if "OFFLINE" not in name}
    environment |= {
        "SAMPLECNN_ZOO_MIRROR": server.url,
        "SAMPLECNN_ZOO_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "hf"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(ROOT),
        "no_proxy": "127.0.0.1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: "subprocess.Popen[str]", code: int = 0) -> str:
    output, error = process.communicate(timeout=120)
    assert process.returncode == code, error
    return output


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until `condition()` holds, and fail when it does not in time."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it does not come"
        time.sleep(0.02)


def test_two_processes_at_once_download_once(server: WebServer, original: Path, tmp_path: Path) -> None:
    server.faults.append(Fault("GET", trickle_s=0.1))  # four seconds in which the other one comes
    outputs = [tmp_path / "one.npy", tmp_path / "two.npy"]
    for process in [start(LOAD, server, tmp_path, original, output) for output in outputs]:
        end(process)
    one, two = (np.load(output) for output in outputs)
    np.testing.assert_array_equal(one, two)
    assert len(server.asked) == 1
    presets = tmp_path / "cache" / "presets"
    assert len(list(presets.iterdir())) == 2  # the preset and its lock
    tagger = Tagger(next(presets.glob("*/")), engine="openvino")
    np.testing.assert_allclose(one, tagger.predict_segments(segments(4, 243)), rtol=0, atol=1e-4)
    assert tagger.preset.source == record(original).source


def test_a_killed_download_leaves_nothing_that_is_used(
    server: WebServer, original: Path, tmp_path: Path
) -> None:
    server.faults.append(Fault("GET", trickle_s=0.1))
    process = start(FETCH, server, tmp_path, original)
    files = tmp_path / "cache" / "files"
    wait_for(lambda: any(file.stat().st_size > 3000 for file in files.glob("*.part")))
    process.kill()
    process.wait()
    process.communicate()
    held = {file.suffix for file in files.iterdir()}
    assert held == {".part", ".lock"}  # no file under the final name
    partial = next(files.glob("*.part")).stat().st_size
    assert 3000 < partial < original.stat().st_size
    fetched = Path(end(start(FETCH, server, tmp_path, original)).strip())  # the lock died with its holder
    assert git_blob(fetched) == git_blob(original)
    assert server.ranges_asked == ["", f"bytes={partial}-"]


def test_from_a_name_to_tags(server: WebServer, original: Path, tmp_path: Path) -> None:
    server.faults += [Fault("GET", status=503), Fault("GET", cut_after=10000)]
    sound = write(tmp_path / "noise.wav", noise(2.0, 8000), 8000)
    arguments = (original, "tag", sound, "--preset", NAME, "--format", "json")
    clip = json.loads(end(start(COMMAND, server, tmp_path, *arguments)))[0]
    assert server.count("GET") == 3
    directory = next((tmp_path / "cache" / "presets").glob("*/"))
    wanted = Tagger(directory).tag_file(sound)
    assert [tag["tag"] for tag in clip["tags"]] == [tag.tag for tag in wanted.tags]
    np.testing.assert_allclose(
        [tag["score"] for tag in clip["tags"]], [tag.score for tag in wanted.tags], rtol=0, atol=1e-5
    )
    listed = end(start(COMMAND, server, tmp_path, original, "list"))
    line = next(line for line in listed.splitlines() if line.startswith(NAME))
    assert line.split()[1] == "cached"
    assert line.endswith("ROC-AUC 0.7500 made up test (published)")


def test_a_run_that_fetched_its_preset_is_resumed(server: WebServer, original: Path, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    write(tmp_path / "music" / "noise.wav", noise(1.0, 8000), 8000)
    (tmp_path / "music" / "bad.wav").write_bytes(b"no sound")
    arguments = (original, "tag", tmp_path / "music", "-p", NAME, "-o", tmp_path / "tags.json")
    end(start(COMMAND, server, tmp_path, *arguments), code=1)  # the bad file; its journal stays
    assert (tmp_path / "tags.json.journal").is_file()
    end(start(COMMAND, server, tmp_path, *arguments, "--resume"), code=1)  # and not 2: of another preset
    assert server.count("GET") == 1
