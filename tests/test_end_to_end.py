"""A synthetic MagnaTagATune through the real commands: prepare, train, evaluate, tag."""

import csv
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from samplecnn_zoo.training import get_recipe, recipes
from tests.sounds import noise, tone, write

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MP3_RATE = 16000  # as the real clips have
RATE = 2000
SECONDS = 29.3
# Column → the folders' clips that have it, by their number in the folder.
TAGS = {"guitar": {0, 1}, "no vocals": {0, 2}, "strange": set[int](), "slow": {1}}
FOLDERS = "012abcdef"  # train, train, …, valid (c), test (d to f)


def samplecnn(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    command = [sys.executable, "-m", "samplecnn_zoo", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """annotations_final.csv as it is published (tabs, every cell in quotes), and mp3 files in folders."""
    root = tmp_path_factory.mktemp("mtat")
    with open(root / "annotations_final.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        table.writerow(["clip_id", *TAGS, "mp3_path"])
        for index, (folder, number) in enumerate((f, n) for f in FOLDERS for n in range(3)):
            path = f"{folder}/artist-album-{number:02d}-song-{number}-29.mp3"
            table.writerow([index, *(int(number in has) for has in TAGS.values()), path])
            (root / folder).mkdir(exist_ok=True)
            sound = tone(SECONDS, MP3_RATE, hz=200 * (1 + number)) + noise(
                SECONDS, MP3_RATE, peak=0.05, seed=index
            )
            write(root / path, sound, MP3_RATE)
    return root


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with shards/, run/ and report/ that the commands leave."""
    folder = tmp_path_factory.mktemp("run")
    done = samplecnn("prepare", "magnatagatune", "--root", root, "-o", folder / "shards", "--rate", RATE)
    assert "15 train, 3 valid, 9 test clips" in done.stderr
    options = (
        "--model",
        f"samplecnn_{RATE // 1000}k",
        "--epochs",
        2,
        "--batch",
        6,
        "--per-clip",
        1,
        "--no-jit",
    )
    samplecnn("train", "--set", folder / "shards", "-o", folder / "run", *options)
    preset = folder / "run" / "preset"
    samplecnn("evaluate", preset, "--set", folder / "shards", "-o", folder / "report", "--record")
    return folder


def test_the_report_knows_the_tags_and_the_clips(run: Path) -> None:
    report = json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["dataset"] == "magnatagatune"
    assert report["clips"] == 9
    assert report["segments_a_clip"] == int(29.1 * RATE) // 5184 == 11
    assert [item["tag"] for item in report["by_tag"]] == ["guitar", "noVocals", "slow"]
    assert [item["clips"] for item in report["by_tag"]] == [6, 6, 3]
    assert report["left_out"] == {"strange": "no clip has it"}
    page = (run / "report" / "report.md").read_text(encoding="utf-8")
    assert "Not scored, since no clip has it: strange" in page


def test_the_preset_states_what_was_measured(run: Path) -> None:
    record = json.loads((run / "run" / "preset" / "preset.json").read_text(encoding="utf-8"))
    report = json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))
    score = record["scores"][0]
    assert (score["metric"], score["dataset"], score["split"]) == (
        "roc_auc",
        "magnatagatune",
        "test, 9 clips",
    )
    assert score["value"] == round(report["groups"][0]["roc_auc"]["value"], 4)


def test_tagging_a_file_gives_what_was_evaluated(run: Path, root: Path) -> None:
    """From the mp3 itself, with windows to its very end: nearly the same scores as from the shards."""
    preset = run / "run" / "preset"
    files = sorted(root.glob("[def]/*.mp3"))
    done = samplecnn("tag", *files, "--preset", preset, "--format", "json", "--top", len(TAGS))
    rows = {row["key"]: row for row in parquet.read_table(run / "report" / "scores.parquet").to_pylist()}
    for file, clip in zip(files, json.loads(done.stdout), strict=True):
        evaluated = rows[file.relative_to(root).with_suffix("").as_posix()]
        assert {item["tag"] for item in clip["tags"]} == {"guitar", "noVocals", "slow", "strange"}
        for item in clip["tags"]:
            assert item["score"] == pytest.approx(evaluated[f"score: {item['tag']}"], abs=0.02)


def test_scores_differ_from_sound_to_sound(run: Path) -> None:
    """A network that hears nothing would pass the other tests."""
    rows = parquet.read_table(run / "report" / "scores.parquet").to_pylist()
    scores = np.array([row["score: guitar"] for row in rows])
    sounds = np.array([row["key"].split("-")[2] for row in rows])
    within = np.mean([scores[sounds == sound].std() for sound in np.unique(sounds)])
    between = np.std([scores[sounds == sound].mean() for sound in np.unique(sounds)])
    assert between > 2 * within


Example = Callable[..., list[str]]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Example:
    """Runs a script of examples/ with arguments, and gives what it prints."""

    eager = {"small_set": get_recipe("small_set").but(jit=False)}  # XLA compiles longer than is trained here
    monkeypatch.setattr(recipes, "RECIPES", eager)

    def run(name: str, *arguments: object) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name))["main"]()
        return capsys.readouterr().out.splitlines()

    return run


def test_the_example_for_magnatagatune_runs(example: Example, root: Path, tmp_path: Path) -> None:
    recipe = ("--recipe", "small_set", "--rate", 8000, "--epochs", 1)
    out = example("train_magnatagatune.py", root, "-o", tmp_path, *recipe, "--limit", 18)
    assert out[-1].startswith("ROC-AUC ")
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["clips"] == 6
    assert (tmp_path / "run" / "preset" / "preset.json").is_file()


def test_the_example_for_a_folder_runs_and_goes_on(example: Example, tmp_path: Path) -> None:
    for name, hz in (("high", 800), ("low", 100)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(4):
            write(tmp_path / "data" / name / f"{index}.wav", tone(3, RATE, hz=hz + 5 * index), RATE)
    options = ("--rate", RATE, "--epochs", 1, "--per-clip", 2, "--batch", 4)
    script = ("train_my_folder.py", tmp_path / "data", "-o", tmp_path / "runs", *options)
    out = example(*script)
    report = tmp_path / "runs" / "split" / "report" / "report.json"
    accuracy = json.loads(report.read_text(encoding="utf-8"))["accuracy"]["value"]
    assert out[-1] == f"accuracy {accuracy:.3f}"
    before = report.stat().st_mtime_ns
    assert example(*script) == [f"accuracy {accuracy:.3f}"]
    with pytest.raises(SystemExit, match=r"begun with other options, see .*options\.json; name"):
        example(*script, "--batch", 2)
    assert report.stat().st_mtime_ns == before


def test_the_example_cross_validates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every fold of every seed is tested on once, and the spread is that of the seeds."""
    example = runpy.run_path(str(EXAMPLES / "train_my_folder.py"))
    asked = []

    def accuracy_of(options: object, split: str, out: Path, seed: int) -> float:
        asked.append((split, out.name, seed))
        return 0.2 + 0.2 * seed + 0.1 * (split[5] == "2")

    monkeypatch.setitem(example["main"].__globals__, "accuracy_of", accuracy_of)
    monkeypatch.setattr(sys, "argv", ["", "data", "-o", "runs", "--folds", "4", "--seeds", "2"])
    example["main"]()
    assert asked == [(f"fold:{k + 1}/4:{seed}", f"{seed}_{k}", seed) for seed in range(2) for k in range(4)]
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "seed 0: accuracy 0.225, by fold 0.200 0.300 0.200 0.200"
    assert out[-1] == "accuracy 0.325 ± 0.100 over 2 seeds"
