"""`samplecnn finetune`, `tag` with what it made, and `experiment`, as a user gives them."""

import csv
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from samplecnn_zoo.cli import app
from samplecnn_zoo.transfer import read_head
from samplecnn_zoo.transfer.experiments import PAPER_TABLE4, PAPER_TABLE6
from tests import training_sets
from tests.presets import preset_for, save_tiny, tiny_model
from tests.sounds import noise, tone, write

needs_synth = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("mido", "tinysoundfont")),
    reason="needs the extra midi, and: pip install --no-deps tinysoundfont",
)


def quick(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("presets") / "tiny"
    save_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second scale: half the rate, segments twice as long."""
    from samplecnn_zoo.zoo import save_pretrained

    folder = tmp_path_factory.mktemp("presets") / "slow"
    model = tiny_model(seed=1, sr=4000)
    save_pretrained(model, folder, preset=preset_for(model, name="tiny.slow"))
    return folder


@pytest.fixture(scope="module")
def genres(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of twelve clips and one bad file."""
    folder = tmp_path_factory.mktemp("genres")
    for number in range(24):
        own = ("low", "high")[number % 2]
        (folder / own).mkdir(exist_ok=True)
        hz = (110.0, 1760.0)[number % 2] + number
        write(folder / own / f"{number:02d}.wav", tone(0.4, 8000, hz=hz), 8000)
    (folder / "low" / "bad.wav").write_bytes(b"no audio")
    return folder


def test_finetune_and_tag(preset: Path, other: Path, genres: Path, tmp_path: Path) -> None:
    out = tmp_path / "head"
    scales = ("-p", preset, "-p", other)
    code, stdout, stderr = quick("finetune", genres, "-o", out, *scales, "--levels", "-1,stage2")
    assert code == 1  # a file could not be heard
    assert "bad.wav: not audio" in stderr and f"--preset {out}" in stderr
    assert "logreg on 32 features, 2 tags; clips: 20 train, 2 valid, 2 test" in stdout
    assert "accuracy on held-out clips: 1.000 (95 % " in stdout
    about = read_head(out).about
    assert about["score"]["value"] == 1.0 and about["failed"] == 1 and len(about["held_out"]) == 2
    held = [genres / key for key in about["held_out"]]
    code, stdout, _ = quick("tag", *held, "--preset", out, "--format", "json", "--engine", "keras")
    assert code == 0
    for clip in json.loads(stdout):
        assert clip["tags"][0]["tag"] == Path(clip["path"]).parent.name
        assert sum(tag["score"] for tag in clip["tags"]) == pytest.approx(1, abs=1e-5)


def test_a_head_resumes_as_a_preset_does(preset: Path, genres: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "head", tmp_path / "tags.csv"
    assert quick("finetune", genres, "-o", out, "-p", preset, "--head", "svm")[0] == 1
    assert quick("tag", genres, "--preset", out, "-o", table)[0] == 1  # the bad file is bad again
    assert table.with_name("tags.csv.journal").exists()
    rows = list(csv.DictReader(table.open(newline="")))
    assert len(rows) == 24 and set(rows[0]) == {"path", "duration_s", "high", "low"}
    arguments = ("--preset", out, "-o", table, "--resume")
    assert quick("tag", genres, *arguments)[0] == 1
    assert quick("finetune", genres, "-o", out, "-p", preset, "--overwrite")[0] == 1
    code, _, stderr = quick("tag", genres, *arguments)
    assert code == 2 and "begun with preset_sha256" in stderr


def test_a_table_of_several_tags(preset: Path, tmp_path: Path) -> None:
    rows = ["path,tags,split"]
    for number in range(24):
        held = ["high" if number % 2 else "low", *(["loud"] if number % 3 == 0 else [])]
        hz, peak = (110.0, 1760.0)[number % 2] + number, 0.9 if "loud" in held else 0.1
        write(tmp_path / f"{number}.wav", tone(0.4, 8000, hz=hz, peak=peak), 8000)
        rows.append(f"{number}.wav,{'|'.join(held)},{'test' if number >= 16 else 'train'}")
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "head"
    code, stdout, _ = quick(
        "finetune", tmp_path / "clips.csv", "-o", out, "-p", preset, "--statistics", "mean,std"
    )
    assert code == 0 and "ROC-AUC on held-out clips: 1.000" in stdout
    code, stdout, _ = quick("tag", tmp_path / "21.wav", "--preset", out, "--format", "json")
    scores = {tag["tag"]: tag["score"] for tag in json.loads(stdout)[0]["tags"]}
    assert scores["high"] > 0.5 > scores["low"] and scores["loud"] > 0.5


def test_wrong_use_is_one_line(preset: Path, genres: Path, tmp_path: Path) -> None:
    def words(*arguments: object) -> str:
        code, _, stderr = quick(*arguments)
        assert code == 2
        return stderr

    out = tmp_path / "head"
    assert "has levels -5 to -1" in words("finetune", genres, "-o", out, "-p", preset, "--levels", "-1,top9")
    assert "pooling must be one of" in words("finetune", genres, "-o", out, "-p", preset, "--pooling", "min")
    assert "neither a directory nor" in words("finetune", genres, "-o", out, "-p", "nobody")
    assert "is no folder" in words("finetune", tmp_path / "none", "-o", out, "-p", preset)
    assert "there is no data set 'gtzam'" in words("finetune", genres, "-o", out, "--set", "gtzam")
    assert "train is one of none, last, all, stage1" in words(
        "finetune", genres, "-o", out, "-p", preset, "--train", "some"
    )
    assert "leave out --head, --balanced, of a classifier" in words(
        "finetune", genres, "-o", out, "--train", "last", "--head", "svm", "--plain"
    )
    assert not out.exists() or not (out / "head.json").exists()
    assert quick("finetune", genres, "-o", out, "-p", preset)[0] == 1
    assert "a head is there; --overwrite" in words("finetune", genres, "-o", out, "-p", preset)
    assert "is a head: samplecnn tag gives" in words("embed", genres, "--preset", out)
    (out / "classifier.npz").write_bytes(b"")
    assert "it is damaged or of another head" in words("tag", genres, "--preset", out)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
def test_a_killed_finetune_goes_on(preset: Path, tmp_path: Path) -> None:
    for number in range(24):
        folder = tmp_path / "genres" / ("a" if number % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"{number}.wav", noise(4.0, 8000, seed=number), 8000)
    out = tmp_path / "head"
    command = [sys.executable, "-m", "samplecnn_zoo", "finetune", str(tmp_path / "genres"), "-o", str(out)]
    command += ["-p", str(preset)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not (journals := list(out.glob("features/*"))) or journals[0].read_bytes().count(b"\n") < 4:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "head.json").exists() and 4 <= journals[0].read_bytes().count(b"\n") < 25
    assert quick(*command[3:])[0] == 0
    lines = journals[0].read_bytes().splitlines()
    assert len(lines) == 25 and len({json.loads(line)["path"] for line in lines[1:]}) == 24
    whole = tmp_path / "whole"
    assert quick("finetune", tmp_path / "genres", "-o", whole, "-p", preset)[0] == 0
    assert (whole / "classifier.npz").read_bytes() == (out / "classifier.npz").read_bytes()


def experiment(*arguments: object) -> dict[str, Any]:
    code, stdout, stderr = quick("experiment", *arguments, "--format", "json")
    assert code in (0, 1), stderr
    found: dict[str, Any] = json.loads(stdout)
    return found


def test_table_6_on_a_folder(preset: Path, other: Path, genres: Path) -> None:
    arguments = ("table6", genres, "-p", preset, "-p", other, "--head", "logreg")
    found = experiment(*arguments)
    assert [row["features"] for row in found["rows"]] == ["-3", "-2", "-1", "last three"]
    assert all(row["paper"] == PAPER_TABLE6[row["features"]] for row in found["rows"])
    assert (found["metric"], found["clips"], found["presets"]) == (
        "accuracy",
        2,
        ["tiny.random", "tiny.slow"],
    )
    assert all(row["low"] <= row["value"] <= row["high"] for row in found["rows"])
    _, stdout, _ = quick("experiment", *arguments, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(stdout)))
    assert rows[3]["features"] == "last three" and rows[3]["paper: gtzan"] == "0.8050"
    _, stdout, _ = quick("experiment", *arguments)
    assert "table6 on folder, 2 clips of test, logreg" in stdout and "a 3^9 network trained on MSD" in stdout


def test_table_4_on_a_prepared_set(tmp_path: Path) -> None:
    import keras

    from samplecnn_zoo import SampleCNN
    from samplecnn_zoo.zoo import save_pretrained
    from tests.presets import settle

    prepared = training_sets.make(tmp_path / "set")
    for name, plan in (("one", [9, 3, 3]), ("two", [3, 3, 3, 3])):
        keras.utils.set_random_seed(0)
        model = settle(SampleCNN(plan, widths=[4] * (len(plan) - 1), num_tags=4, sr=100))
        record = preset_for(model, name=f"tiny.{name}", arguments={"m": plan}, tags=prepared.tags)
        save_pretrained(model, tmp_path / name, preset=record)
    presets = ("-p", tmp_path / "one", "-p", tmp_path / "two")
    found = experiment(
        "table4", tmp_path / "set", *presets, "--head", "logreg", "--cache", tmp_path / "cache"
    )
    assert [row["features"] for row in found["rows"]] == ["tiny.one", "+ tiny.two"]
    papers = [{"magnatagatune": PAPER_TABLE4[count][1]} for count in (1, 2)]
    assert [row["paper"] for row in found["rows"]] == papers
    assert (found["metric"], found["dataset"], found["clips"]) == ("ROC-AUC", "tones", 4)
    assert len(list((tmp_path / "cache").iterdir())) == 6  # two networks, three parts
    code, _, stderr = quick(
        "experiment", "table4", tmp_path / "set", *presets, "--option", "split=stratified"
    )
    assert code == 2 and "is prepared, its options are chosen" in stderr


def rendered_set(folder: Path) -> Path:
    """Eight pieces of 32 s to train on and four to test on, drums in half, through a tiny soundfont."""
    from samplecnn_zoo.datasets import midi
    from tests.soundfonts import write_soundfont
    from tests.test_midi import write_midi

    artists = [f"artist{k}" for k in range(200)]
    names = {split: [name for name in artists if midi.split_of(name) == split] for split in ("train", "test")}
    rows = ["genre\tfile\tname"]
    for k, artist in enumerate([*names["train"][:8], *names["test"][:4]]):
        pitches = [(beat, 1.0, 0, 48 + (7 * beat + 5 * k) % (19 + k)) for beat in range(66)]
        drums = [(beat, 0.5, 9, 51) for beat in range(0, 66, 2)] if k % 2 else []
        write_midi(folder / "midi" / "jazz" / f"{k:04}.mid", [*pitches, *drums])
        rows.append(f"jazz\t{k:04}\t{artist} - Title.mid")
    (folder / "midi" / "index.tsv").write_text("\n".join(rows) + "\n")
    font = write_soundfont(folder / "font.sf2")
    midi.prepare(folder / "midi", folder / "out", font, workers=1)
    return folder / "out"


@needs_synth
def test_the_tables_run_on_the_rendered_midi_set(preset: Path, other: Path, tmp_path: Path) -> None:
    rendered = rendered_set(tmp_path)
    presets = ("-p", preset, "-p", other, "--head", "logreg", "--cache", tmp_path / "cache")
    for name, rows in (("table4", 2), ("table6", 4)):
        found = experiment(name, rendered, "--set", "midi", *presets)
        assert len(found["rows"]) == rows and found["clips"] == 4
        assert found["metric"] == "ROC-AUC" and found["dataset"] == "midi"
        assert all(0 <= row["low"] <= row["value"] <= row["high"] <= 1 for row in found["rows"])
