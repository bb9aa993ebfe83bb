"""The command `samplecnn train`: what it makes, says and refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import samplecnn_zoo.training as training
from samplecnn_zoo.cli import app
from samplecnn_zoo.cli.models import NETWORKS
from samplecnn_zoo.training import RECIPES, LossError, Recipe, get_recipe, network
from tests import training_sets as sets


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones") / "set"
    sets.make(folder)
    return folder


def samplecnn(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, words)])


def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every recipe's network one that fits the tones."""
    monkeypatch.setattr(
        "samplecnn_zoo.training.get_recipe", lambda name: get_recipe(name).but(arguments=sets.NET, jit=False)
    )


def asked(monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[Recipe, dict[str, Any]]:
    """The recipe and options that a command line comes to, nothing trained."""
    calls: list[Any] = []

    def train(recipe: Recipe, *_: object, **options: Any) -> Path:
        calls.append((recipe, options))
        return Path("RUN/preset")

    monkeypatch.setattr(training, "train", train, raising=False)
    result = samplecnn(*words)
    assert result.exit_code == 0, result.output
    recipe, options = calls[0]
    return recipe, options


def test_a_run_becomes_a_preset_and_goes_on_by_the_same_command(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(monkeypatch)
    monkeypatch.setattr("sys.argv", ["/usr/bin/samplecnn", "train", "small_set", "--set", "tones"])
    words = (
        "small_set",
        "--set",
        tones,
        "-o",
        tmp_path / "run",
        "--epochs",
        2,
        "--name",
        "my.tones",
        "--license",
        "MIT",
    )
    first = samplecnn(*words)
    assert first.exit_code == 0, first.output
    lines = first.stderr.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["epoch 1", "epoch 2"]
    assert "valid loss" in lines[0] and "ROC-AUC" in lines[0] and first.stdout == ""
    record = json.loads((tmp_path / "run" / "preset" / "preset.json").read_text(encoding="utf-8"))
    assert (record["name"], record["license"]) == ("my.tones", "MIT")
    assert record["training"]["command"] == "samplecnn train small_set --set tones"
    again = samplecnn(*words)
    assert again.exit_code == 0 and "this run is complete" in again.stderr
    other = samplecnn(*words, "--seed", 3)
    assert other.exit_code == 2 and "begun with seed 0, now it is 3" in other.stderr


def test_options_change_the_recipe(tones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (
        "--epochs 5 --batch 4 --learning-rate 0.5 --weight-decay 0.1 --clip-norm 2 --per-clip 3 --keep last"
    )
    more = (
        "--label-smoothing 0.1 --precision mixed_bfloat16 --no-jit --freeze-below stage3 --devices 2 --seed 7"
    )
    recipe, options = asked(
        monkeypatch, "modern", "--set", tones, "-o", "RUN", *words.split(), *more.split(), "--limit", 9,
        "--augment", "gain_db=-6,6", "--augment", "time_shift=80",
    )  # fmt: skip
    assert (recipe.epochs, recipe.batch_size, recipe.per_clip, recipe.keep) == (5, 4, 3, "last")
    steps = recipe.optimizer
    assert (steps.learning_rate, steps.weight_decay, steps.clip_norm) == (0.5, 0.1, 2.0)
    assert (recipe.label_smoothing, recipe.precision, recipe.jit) == (0.1, "mixed_bfloat16", False)
    assert recipe.augmentation == {"gain_db": (-6.0, 6.0), "time_shift": 80}
    assert recipe.freeze_below == "stage3"
    assert (options["devices"], options["seed"], options["limit"]) == (2, 7, 9)


def test_a_model_alone_is_trained_by_the_recipe_for_small_sets(
    tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, _ = asked(monkeypatch, "--set", tones, "-o", "RUN", "--model", "samplecnn_res2_multi")
    assert recipe.name == "small_set" and recipe.arguments["block"] == "res2"
    recipe, options = asked(monkeypatch, "--set", tones, "-o", "RUN", "--start-from", "samplecnn_8k.midi50")
    assert recipe == RECIPES["small_set"] and options["start_from"] == "samplecnn_8k.midi50"


@pytest.mark.parametrize(
    "name", ["samplecnn_3x9", "samplecnn_8k", "samplecnn_se", "samplecnn_won_se", "framelevel_mel_729_243"]
)
def test_named_models_are_networks(name: str) -> None:
    builder, arguments = NETWORKS[name]
    recipe = Recipe(name=name, builder=builder, arguments=arguments)
    rate = arguments.get("sr", 22050)
    assert network.build(recipe, rate=rate, tags=3, single_label=False).output_shape == (None, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["modern"], "train wants a prepared set and a folder for the run"),
        (["--set", "{set}", "-o", "RUN"], "give a recipe (samplecnn train --list shows them), --model or"),
        (["papr", "--set", "{set}", "-o", "RUN"], "there is no recipe 'papr'"),
        (["--set", "{set}", "-o", "RUN", "--model", "samplecn_8k"], "did you mean samplecnn_8k?"),
        (
            ["--set", "{set}", "-o", "RUN", "--model", "samplecnn_8k", "--start-from", "x"],
            "leave out --model",
        ),
        (["modern", "--set", "nowhere", "-o", "RUN"], "nowhere"),
        (
            ["modern", "--set", "{set}", "-o", "RUN", "--augment", "gain_db=loud"],
            "NAME=NUMBER or NAME=LOW,HIGH",
        ),
        (["modern", "--set", "{set}", "-o", "RUN", "--augment", "reverb=1"], "no change 'reverb'"),
        (
            ["modern", "--set", "{set}", "-o", "RUN", "--augment", "time_shift=100,200"],
            "time_shift is a whole number of samples, not (100.0, 200.0)",
        ),
        (["modern", "--set", "{set}", "-o", "RUN", "--augment", "time_shift=inf"], "samples, not inf"),
        (
            ["modern", "--set", "{set}", "-o", "RUN", "--augment", "mixup=1,2"],
            "mixup is a single number, not",
        ),
        (["modern", "--set", "{set}", "-o", "RUN", "--augment", "gain_db=3"], "number of dB, not 3.0"),
        (["modern", "--set", "{set}", "-o", "RUN", "--precision", "int8"], "precision is one of float32"),
        (
            ["modern", "--set", "{set}", "-o", "RUN"],
            "the network takes 59049 samples, a prepared clip has 2910",
        ),
        (
            ["--set", "{set}", "-o", "RUN", "--start-from", "nobody"],
            "'nobody' is neither a directory nor",
        ),
    ],
)
def test_wrong_use_gets_one_line(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = samplecnn(*(str(tones) if word == "{set}" else word for word in words))
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_damaged_table_is_wrong_use(tones: Path, tmp_path: Path) -> None:
    shutil.copytree(tones, tmp_path / "set")
    table = tmp_path / "set" / "clips.parquet"
    data = table.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    table.write_bytes(data[:4] + bytes(len(data) - footer - 4) + data[-footer:])
    result = samplecnn("modern", "--set", tmp_path / "set", "-o", tmp_path / "run")
    assert result.exit_code == 2 and f"{table}: it is damaged (" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (LossError("the loss became nan in epoch 1, batch 2; try"), 1, "the loss became nan"),
        (
            OSError(28, "No space left on device", "RUN/x"),
            1,
            "RUN/x: No space left on device; the last checkpoint",
        ),
        (OSError("the volume is gone"), 1, "RUN: the volume is gone; the last checkpoint stays good"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on from the last checkpoint in RUN"),
    ],
)
def test_what_ends_a_run_has_its_exit_code(
    tones: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def train(*_: object, **__: object) -> Path:
        raise error

    monkeypatch.setattr(training, "train", train, raising=False)
    result = samplecnn("modern", "--set", tones, "-o", "RUN")
    assert result.exit_code == code
    assert message in result.stderr


def test_the_recipes_are_listed() -> None:
    listed = samplecnn("--list").stdout
    for recipe in RECIPES.values():
        assert recipe.command in listed and recipe.hardware in listed
    assert "not measured" in listed
