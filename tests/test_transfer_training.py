"""Further training of a preset: which stages learn, how fast each, and when it ends."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from samplecnn_zoo import SampleCNN, load_pretrained
from samplecnn_zoo.cli import app
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.training import Plateau, TrainingError, tuning
from samplecnn_zoo.training.finetuning import by_stage, stage_factors
from samplecnn_zoo.zoo import save_pretrained
from tests import training_sets as sets
from tests.presets import preset_for, segments, settle, tiny_model
from tests.sounds import tone, write

FACTORS = {"stage1": 0.5**5, "stage2": 0.5**4, "stage3": 0.5**3, "stage4": 0.5**2, "top": 0.5, "tags": 1.0}


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return sets.make(tmp_path_factory.mktemp("sets") / "tones")


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for the tones, with tags of its own."""
    keras.utils.set_random_seed(2)
    model = settle(SampleCNN([27, 3, 3], widths=[4, 5], num_tags=2, sr=sets.RATE))
    folder = tmp_path_factory.mktemp("presets") / "before"
    record = preset_for(model, name="before", arguments={"m": [27, 3, 3], "widths": [4, 5]}, tags=("a", "b"))
    save_pretrained(model, folder, preset=record)
    return folder


def after_a_step(optimizer: str, decay: float | None) -> tuple[keras.Model, list[Any]]:
    """A network after one step, and its weights before."""
    model = tiny_model()
    made: Any = {
        "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    }[optimizer]()
    if decay is not None:
        made = by_stage(made, model.trainable_variables, stage_factors(model, decay))
    model.compile(made, "binary_crossentropy", jit_compile=False)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables]
    model.train_on_batch(segments(4), np.eye(5, dtype=np.float32)[:4])
    return model, before


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_each_stage_takes_its_part_of_the_step(optimizer: str) -> None:
    plain, before = after_a_step(optimizer, None)
    scaled, same = after_a_step(optimizer, 0.5)
    names = [layer.name for layer in plain.layers for _ in layer.trainable_variables]
    assert {name.partition("_")[0] for name in names} == FACTORS.keys()
    for name, start, other, whole, part in zip(
        names, before, same, plain.trainable_variables, scaled.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(start, other)
        full = keras.ops.convert_to_numpy(whole) - start
        assert np.abs(full).max() > 0 or start.ndim == 1  # a bias below BatchNormalization takes no step
        wanted = FACTORS[name.partition("_")[0]] * full
        np.testing.assert_allclose(keras.ops.convert_to_numpy(part) - start, wanted, atol=2e-6)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_each_stage_takes_its_part_on_other_backends(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'samplecnn_zoo[backends]'")
    name = f"{__file__}::{test_each_stage_takes_its_part_of_the_step.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_recipes_of_tuning(preset: Path) -> None:
    below = {train: tuning(preset, train=train).freeze_below for train in ("none", "last", "all", "stage3")}
    assert below == {"none": "head", "last": "stage2", "all": None, "stage3": "stage3"}
    assert tuning("samplecnn_8k.midi50", train="last").freeze_below == "stage9"
    recipe = tuning(preset)
    assert recipe.schedule == Plateau(factor=5.0, rates=2, patience=5) and recipe.keep == "best"
    assert recipe.facts()["stage_decay"] == 0.7 and "stage_decay" not in recipe.but(stage_decay=1.0).facts()
    with pytest.raises(TrainingError, match=r"train is one of none, last, all, stage1, stage2, stage3, top"):
        tuning(preset, train="stage9")
    with pytest.raises(TrainingError, match=r"stage_decay must be more than 0 and at most 1, got 1\.5"):
        recipe.but(stage_decay=1.5)
    with pytest.raises(TrainingError, match="mixed_float16 leaves steps out"):
        recipe.but(precision="mixed_float16")


def test_last_stages_learn_and_the_rest_stands_still(preset: Path, tones: Prepared, tmp_path: Path) -> None:
    options = ("--preset", preset, "--train", "stage3", "--epochs", 2)
    arguments = ("finetune", tones.directory, "-o", tmp_path / "out", *options)
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.stderr
    assert "ROC-AUC on held-out clips: " in result.stdout
    after, before = load_pretrained(tmp_path / "out" / "run" / "preset"), load_pretrained(preset)
    assert after.preset.tags == tones.tags
    for layer in before.layers[:-1]:
        ours = after.get_layer(layer.name).get_weights()
        same = [np.array_equal(a, b) for a, b in zip(ours, layer.get_weights(), strict=True)]
        if layer.name.startswith(("stage1_", "stage2_")):
            assert all(same), layer.name  # kernels, and the statistics of BatchNormalization
        elif ours:
            assert not any(same), layer.name


def test_a_folder_becomes_an_ordinary_preset(tmp_path: Path) -> None:
    model = tiny_model()
    save_pretrained(model, tmp_path / "before", preset=preset_for(model))
    for number in range(24):
        folder = tmp_path / "genres" / ("low", "high")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        hz = (110.0, 1760.0)[number % 2] + number
        write(folder / f"{number}.wav", tone(0.5, 8000, hz=hz), 8000)
    out = tmp_path / "out"
    options = ("--preset", tmp_path / "before", "--train", "none", "--epochs", 1)
    result = CliRunner().invoke(app, [*map(str, ("finetune", tmp_path / "genres", "-o", out, *options))])
    assert result.exit_code == 0, result.stderr
    assert "accuracy on held-out clips: " in result.stdout
    found = load_pretrained(out / "run" / "preset")
    assert found.preset.tags == ("high", "low") and found.layers[-1].activation.__name__ == "softmax"
    tag = ("tag", tmp_path / "genres" / "low", "--preset", out / "run" / "preset")
    assert CliRunner().invoke(app, [*map(str, tag)]).exit_code == 0
