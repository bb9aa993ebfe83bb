"""The examples of transfer learning run as they stand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.presets import save_tiny
from tests.sets import gtzan

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "transfer.ipynb"


def run(arguments: list[object], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("presets") / "tiny"
    save_tiny(folder)
    return folder


def test_the_notebook_runs_top_to_bottom(tmp_path: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells), "clear its outputs before it is committed"
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    shown = run(["-c", code], ROOT)
    assert "segments are told" in shown and "saints.ogg TagScore(tag='saints'" in shown


def test_similar_songs(preset: Path, tmp_path: Path) -> None:
    script, audio = ROOT / "examples" / "similar_songs.py", ROOT / "examples" / "audio"
    arguments = [script, audio, "--preset", preset, "--cache", tmp_path / "c", "--like", audio / "saints.ogg"]
    lines = [line for line in run(arguments, tmp_path).splitlines() if line.endswith(".ogg")]
    assert lines[0].endswith("saints.ogg") and len(lines) == 3
    cosines = [float(line.split()[0]) for line in lines[1:]]
    assert 1 > cosines[0] >= cosines[1] > -1


def test_finetune_gtzan_on_a_part_of_it(preset: Path, tmp_path: Path) -> None:
    gtzan(tmp_path / "data", tracks=range(12))
    arguments = [ROOT / "examples" / "finetune_gtzan.py", "--data", tmp_path / "data", "--preset", preset]
    shown = run([*arguments, "--folds", 3, "--seeds", 1, "-o", tmp_path / "out"], tmp_path)
    lines = [line for line in shown.splitlines() if " ± " in line]
    assert [line[:12].strip() for line in lines] == ["level -1", "level -2", "level -3", "last three"]
    assert [line.split()[5] for line in lines[:3]] == ["0.821", "0.811", "0.778"]  # the paper's
    assert "the fault-filtered split of 930 clips" in shown
    shown = run([*arguments, "--split", "filtered", "--seeds", 1, "-o", tmp_path / "out"], tmp_path)
    assert len([line for line in shown.splitlines() if " ± " in line]) == 4
