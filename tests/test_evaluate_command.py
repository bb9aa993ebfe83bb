"""`samplecnn evaluate` as a user runs it: what it prints and writes, how it ends, and after a SIGKILL."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from samplecnn_zoo.cli import app
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.training.results import DRAWS
from samplecnn_zoo.visualize import style
from samplecnn_zoo.zoo import preset_info
from tests import evaluation_sets as sets
from tests.training_sets import TAGS

PICTURES = {"tags.png", "roc.png"}
NEEDS_PLOTS = pytest.mark.skipif(not style.can_draw(), reason="pictures need the extra plots")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return sets.prepared(tmp_path_factory.mktemp("sets") / "tones")


@pytest.fixture
def preset(tmp_path: Path, stored: Path) -> Path:
    """A preset that a test may write to, in the folder of a run with its log."""
    shutil.copytree(stored, tmp_path / "run" / "preset")
    (tmp_path / "run" / "log.csv").write_text(
        "epoch,loss,valid_loss,valid_accuracy\n1,0.7,0.6,\n2,0.5,0.5,\n"
    )
    return tmp_path / "run" / "preset"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("presets") / "tiny"
    sets.preset(folder)
    return folder


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def test_the_table_tells_every_tag(preset: Path, prepared: Prepared) -> None:
    code, out, err = run(preset, "--set", prepared.directory)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "tiny.tones on tones, test: 14 clips"
    assert any(line.startswith("all tags") for line in lines)
    assert {"low", "high", "loud"} <= {line.split()[0] for line in lines}
    assert lines[-1] == "Not scored, since no clip has it: never"


def test_json_is_the_record(preset: Path, prepared: Prepared, tmp_path: Path) -> None:
    code, out, _ = run(preset, "--set", prepared.directory, "--format", "json", "-o", tmp_path / "out")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "out" / "report.json").read_text())


@NEEDS_PLOTS
def test_a_report_is_a_page_with_pictures(preset: Path, prepared: Prepared, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, err = run(preset, "--set", prepared.directory, "-o", out)
    assert (code, err) == (0, f"report in {out}\n")
    assert {path.name for path in out.iterdir()} == {
        *PICTURES, "training.png", "report.json", "report.md", "scores.parquet",
    }  # fmt: skip
    page = (out / "report.md").read_text(encoding="utf-8")
    assert page.startswith("# tiny.tones on tones, test\n\n14 clips.")
    for name in (*PICTURES, "training.png"):
        assert f"]({name})" in page
    rows = parquet.read_table(out / "scores.parquet").to_pylist()
    assert list(rows[0]) == ["key", "tags", *(f"score: {tag}" for tag in TAGS)]
    assert [rows[1]["key"], rows[1]["tags"]] == ["clip3", ["high"]]


def test_without_matplotlib_the_numbers_are_there(
    preset: Path, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "can_draw", lambda: False)
    out = tmp_path / "out"
    code, _, err = run(preset, "--set", prepared.directory, "-o", out)
    assert code == 0
    assert err == f"report in {out}, without pictures: pip install 'samplecnn_zoo[plots]' brings them\n"
    assert {path.name for path in out.iterdir()} == {"report.json", "report.md", "scores.parquet"}
    assert "![" not in (out / "report.md").read_text(encoding="utf-8")


def test_a_report_is_replaced_only_when_asked(preset: Path, prepared: Prepared, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("report.json", "confusion.png"):
        (out / name).write_text("older")
    code, _, err = run(preset, "--set", prepared.directory, "-o", out)
    assert (code, err) == (2, f"samplecnn: {out}: a report is there; --overwrite replaces it\n")
    assert run(preset, "--set", prepared.directory, "-o", out, "--overwrite")[0] == 0
    assert json.loads((out / "report.json").read_text())["clips"] == 14
    assert not (out / "confusion.png").exists()  # it was of another set


def test_groups_come_from_files(preset: Path, prepared: Prepared, tmp_path: Path) -> None:
    tags, clips = tmp_path / "tags.json", tmp_path / "clips.csv"
    tags.write_text('{"pitch": ["low", "high"]}')
    clips.write_text("file,split,group\n" + "".join(f"clip{i},test,{i % 5}\n" for i in range(99)))
    code, out, _ = run(
        preset, "--set", prepared.directory, "--tag-groups", tags, "--clip-groups", clips, "--format", "json"
    )
    assert code == 0
    assert [group["name"] for group in json.loads(out)["groups"]] == ["all tags", "pitch"]
    assert f"{DRAWS} bootstrap draws of 5 groups" in json.loads(out)["interval"]


@pytest.mark.parametrize(
    ("option", "text", "why"),
    [
        ("--tag-groups", '["low"]', 'groups of tags are an object {"name": ["tag", ...]}'),
        ("--tag-groups", '{"x": [1]}', 'groups of tags are an object {"name": ["tag", ...]}'),
        ("--tag-groups", '{"x": ["lwo"]}', "tag group 'x' names unknown tags: lwo"),
        ("--clip-groups", "key,artist\n", "it has no column `group`"),
        ("--clip-groups", "key,group\nclip2,a\n", "13 of 14 clips have no group, such as 'clip3'"),
        ("--log", "loss\n1\n", "no log of a run: it wants a column epoch"),
    ],
)
def test_a_wrong_file_is_a_wrong_use(
    preset: Path, prepared: Prepared, tmp_path: Path, option: str, text: str, why: str
) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    code, _, err = run(preset, "--set", prepared.directory, option, file, "-o", tmp_path / "out")
    assert code == 2
    assert why in err and len(err.splitlines()) == 1


def test_what_cannot_be_evaluated_is_one_line(preset: Path, prepared: Prepared, tmp_path: Path) -> None:
    for arguments, code, why in (
        (("nothing", "--set", prepared.directory), 2, "nothing"),
        ((preset, "--set", tmp_path / "no set"), 2, "prepared.json is missing"),
        ((preset, "--set", prepared.directory, "--split", "valid"), 2, "has no clips in 'valid'"),
        ((preset, "--set", prepared.directory, "--tag-groups", tmp_path / "no"), 1, "No such file"),
        ((preset, "--set", prepared.directory, "-o", preset / "preset.json" / "x"), 2, "choose an output"),
        (("samplecnn_8k.midi50", "--set", prepared.directory, "--record"), 2, "--record wants the folder"),
    ):
        found, _, err = run(*arguments)
        assert found == code, err
        assert why in err and len(err.splitlines()) == 1


def test_scores_are_recorded_in_the_preset(preset: Path, prepared: Prepared) -> None:
    weights = preset_info(str(preset)).weights_sha256
    for _ in range(2):  # the second time they replace the first ones
        code, _, err = run(preset, "--set", prepared.directory, "--record")
        assert (code, err) == (0, f"2 scores in {preset}\n")
    record = preset_info(str(preset))
    assert record.weights_sha256 == weights
    assert [(score.metric, score.dataset, score.split) for score in record.scores] == [
        ("roc_auc", "tones", "test, 14 clips"), ("pr_auc", "tones", "test, 14 clips"),
    ]  # fmt: skip
    assert "roc_auc" in (preset / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")
def test_a_killed_evaluation_goes_on(stored: Path, tmp_path: Path) -> None:
    made = sets.prepared(tmp_path / "set", clips=1200)
    root = Path(__file__).parents[1]
    out, kept = tmp_path / "out", tmp_path / "out" / "scores.partial"
    command = [sys.executable, "-m", "samplecnn_zoo", "evaluate", str(stored), "--set", str(made.directory)]
    with subprocess.Popen([*command, "-o", str(out)], cwd=root, stdout=subprocess.PIPE) as process:
        while not (kept.exists() and kept.stat().st_size > 2000):
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = kept.read_bytes()
    subprocess.run([*command, "-o", str(out)], cwd=root, check=True, capture_output=True)
    assert not kept.exists()
    subprocess.run([*command, "-o", str(tmp_path / "undisturbed")], cwd=root, check=True, capture_output=True)
    assert (out / "report.json").read_bytes() == (tmp_path / "undisturbed" / "report.json").read_bytes()
    first = np.frombuffer(done.partition(b"\n")[2][:16], "<f4")
    assert list(parquet.read_table(out / "scores.parquet").to_pylist()[0].values())[2:] == first.tolist()
