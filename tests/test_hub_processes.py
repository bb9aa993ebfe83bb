"""The Hub as users meet it: commands, environment variables, and Keras without this package."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.hub_server import HubServer
from tests.presets import save_tiny, scores, segments

ROOT = Path(__file__).parents[1]
REPO = "someone/tiny"
PLAIN = """
import sys
sys.modules["samplecnn_zoo"] = None  # importing it would fail
import keras
import numpy as np
model = keras.saving.load_model("hf://someone/tiny")
np.save(sys.argv[1], keras.ops.convert_to_numpy(model(np.load(sys.argv[2]), training=False)))
assert not [name for name in sys.modules if name.startswith("samplecnn_zoo.")]
"""


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hub") / "tiny.random"
    save_tiny(directory)
    return directory


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


def run(
    server: HubServer, folder: Path, *arguments: str | Path, **variables: str
) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": "hf_right",
        "HF_HUB_DISABLE_XET": "1",
        "SAMPLECNN_ZOO_CACHE": str(folder / "own"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(ROOT),
        "no_proxy": "127.0.0.1",
    }
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment | variables,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_pushed_preset_loads_in_keras_alone(preset: Path, server: HubServer, tmp_path: Path) -> None:
    done = run(server, tmp_path, "-m", "samplecnn_zoo", "push", preset, REPO)
    assert done.returncode == 0, done.stderr
    repo = server.repos[REPO]
    assert done.stdout == f"hf://{REPO}@{repo.branches['main']}\n"
    x = segments(3)
    np.save(tmp_path / "x.npy", x)
    plain = run(server, tmp_path, "-c", PLAIN, tmp_path / "y.npy", tmp_path / "x.npy", PYTHONPATH="")
    assert plain.returncode == 0, plain.stderr
    from samplecnn_zoo.zoo import load_pretrained

    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), scores(load_pretrained(preset), x))


def test_commands_take_the_hub_and_its_cache(preset: Path, server: HubServer, tmp_path: Path) -> None:
    run(server, tmp_path, "-m", "samplecnn_zoo", "push", preset, REPO, "--private", "--revision", "v1")
    assert server.repos[REPO].private
    command = ("-m", "samplecnn_zoo", "info", f"hf://{REPO}@v1")
    shown = run(server, tmp_path, *command)
    assert shown.returncode == 0, shown.stderr
    assert "tiny.random" in shown.stdout
    asked = len(server.asked)
    assert run(server, tmp_path, *command, HF_HUB_OFFLINE="1").stdout == shown.stdout
    assert len(server.asked) == asked
    refused = run(server, tmp_path, *command, HF_TOKEN="hf_wrong", HF_HOME=str(tmp_path / "other"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
    assert "HTTP 401" in refused.stderr
    listed = run(server, tmp_path, "-m", "samplecnn_zoo", "list").stdout
    assert any(line.split()[:2] == [f"hf://{REPO}@v1", "cached"] for line in listed.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("push", "PRESET", "tiny"), 2, "hf://org/name"),
        (("push", "nowhere", REPO), 2, "preset.json"),
        (("push", "PRESET", REPO), 1, "HTTP 401"),
        (("card", "nowhere"), 2, "preset.json"),
    ],
)
def test_what_goes_wrong_is_one_line(
    arguments: tuple[str, ...], code: int, message: str, preset: Path, server: HubServer, tmp_path: Path
) -> None:
    given = [str(preset) if part == "PRESET" else part for part in arguments]
    done = run(server, tmp_path, "-m", "samplecnn_zoo", *given, HF_TOKEN="hf_wrong")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert message in done.stderr
    assert "hf_wrong" not in done.stderr
