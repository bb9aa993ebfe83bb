"""Whole runs on a few tones: what comes out, what is written down, how they go on, what is refused."""

import csv
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samplecnn_zoo import load_pretrained, preset_info
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.training import (
    About,
    BatchDone,
    EpochDone,
    LossError,
    Optimizer,
    Plateau,
    Recipe,
    TrainingError,
    network,
    train,
)
from samplecnn_zoo.training.feed import Feed, choose
from samplecnn_zoo.zoo import Normalization, Preset, Training, save_pretrained
from tests import training_sets as sets


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return sets.make(tmp_path_factory.mktemp("tones") / "set")


@pytest.fixture(scope="module")
def genres(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return sets.make(tmp_path_factory.mktemp("genres") / "set", single_label=True)


AUGMENTED = {"gain_db": (-6, 0), "polarity": 0.5, "mixup": 0.3}


@pytest.fixture(scope="module")
def whole(tones: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `undisturbed()` that nothing has happened to."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(undisturbed(), tones, run)
    return run


def undisturbed() -> Recipe:
    return quick(keep="last", augmentation=AUGMENTED)


def quick(**changes: Any) -> Recipe:
    return sets.recipe(**{"jit": False, "epochs": 2, **changes})


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "log.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def weights(preset: Path) -> list[np.ndarray]:
    return list(load_pretrained(preset).get_weights())


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


class Stop(Exception):
    """Stands in for a kill where the process has to live on."""


def stop_at(epoch: int, batch: int) -> Any:
    def progress(event: object) -> None:
        if isinstance(event, BatchDone) and (event.epoch, event.batch) == (epoch, batch):
            raise Stop

    return progress


def test_a_run_learns_and_becomes_a_preset(tones: Prepared, tmp_path: Path) -> None:
    events: list[Any] = []
    about = About(name="tones.test", license="CC0-1.0", command="samplecnn train …", machine="a test")
    recipe = quick(epochs=12, per_clip=4)
    preset = train(recipe, tones, tmp_path / "run", about=about, progress=events.append)
    assert preset == tmp_path / "run" / "preset"
    record = preset_info(preset)
    assert (record.name, record.license, record.tags) == ("tones.test", "CC0-1.0", tones.tags)
    assert (record.sample_rate, record.segment_samples) == (sets.RATE, 243)
    assert record.training is not None and record.training.command == "samplecnn train …"
    assert "24 clips of tones" in record.training_data
    (score,) = record.scores
    assert (score.metric, score.split, score.dataset) == ("ROC-AUC", "valid", "tones")
    assert score.value > 0.9
    model = load_pretrained(preset)
    assert model.output_shape == (None, 4)
    logged = rows(tmp_path / "run")
    assert [row["epoch"] for row in logged] == [str(epoch) for epoch in range(1, 13)]
    assert float(logged[-1]["loss"]) < 0.7 * float(logged[0]["loss"])
    kept = min(logged, key=lambda row: float(row["valid_loss"]))
    assert score.value == pytest.approx(float(kept["valid_roc_auc"]), abs=1e-6)
    batches = [event for event in events if isinstance(event, BatchDone)]
    assert [event.batch for event in batches[:12]] == list(range(1, 13))
    assert {event.batches for event in batches} == {12}
    assert len([event for event in events if isinstance(event, EpochDone)]) == 12


def test_the_same_call_gives_the_same_bits_and_another_seed_others(
    tones: Prepared, whole: Path, tmp_path: Path
) -> None:
    same = weights(train(undisturbed(), tones, tmp_path / "same"))
    other = weights(train(undisturbed(), tones, tmp_path / "other", seed=1))
    assert equal(weights(whole / "preset"), same)
    assert not equal(same, other)


@pytest.mark.parametrize(("epoch", "batch"), [(1, 2), (2, 3)])
def test_a_run_goes_on_in_the_middle_of_an_epoch(
    tones: Prepared, whole: Path, tmp_path: Path, epoch: int, batch: int
) -> None:
    recipe, cut = undisturbed(), tmp_path / "cut"
    with pytest.raises(Stop):
        train(recipe, tones, cut, checkpoint_minutes=0, progress=stop_at(epoch, batch))
    lines: list[Any] = []

    def slow(event: object) -> None:
        lines.append(event)
        time.sleep(0.1 * isinstance(event, BatchDone))

    train(recipe, tones, cut, checkpoint_minutes=0, progress=slow)
    assert lines[0] == f"going on in epoch {epoch} at batch {batch}"  # the one before it is in the checkpoint
    assert all(float(row["segments_per_s"]) <= 8 / 0.1 for row in rows(cut)[epoch - 1 :]), "batches of 8"
    assert equal(weights(whole / "preset"), weights(cut / "preset"))
    keys = ("epoch", "loss", "valid_loss", "valid_roc_auc", "learning_rate")
    assert [[row[key] for key in keys] for row in rows(whole)] == [
        [row[key] for key in keys] for row in rows(cut)
    ]


def test_a_complete_run_is_left_alone(tones: Prepared, whole: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in whole.rglob("*") if file.is_file()}
    lines: list[Any] = []
    assert train(undisturbed(), tones, whole, progress=lines.append) == whole / "preset"
    assert lines == [f"{whole / 'preset'}: this run is complete"]
    assert {file: file.stat().st_mtime_ns for file in whole.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"learning_rate": 0.02}, {}, r"begun with recipe\.optimizer\.learning_rate 0\.01, now it is 0\.02"),
        ({"epochs": 3}, {}, r"begun with recipe\.epochs 2, now it is 3"),
        ({}, {"seed": 5}, r"begun with seed 0, now it is 5; go on with what it began with, or give a new"),
        ({}, {"limit": 20}, r"begun with limit None, now it is 20"),
        ({}, {"data": "arrays"}, r"begun with data 'tfdata', now it is 'arrays'"),
    ],
)
def test_another_run_is_refused(
    tones: Prepared, whole: Path, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        train(undisturbed().but(**changes), tones, whole, **options)


def test_another_set_is_refused(genres: Prepared, whole: Path) -> None:
    with pytest.raises(TrainingError, match=r"begun with set\.shards_sha256"):
        train(undisturbed(), genres, whole)


def with_clip(prepared: Prepared, folder: Path, row: int, **changes: Any) -> Prepared:
    """A copy of a set in which the table says something else of a clip."""
    shutil.copytree(prepared.directory, folder)
    clips = pq.read_table(folder / "clips.parquet").to_pylist()
    clips[row].update(changes)
    pq.write_table(pa.Table.from_pylist(clips), folder / "clips.parquet")
    return Prepared.open(folder)


@pytest.mark.parametrize(("samples", "own"), [(2910, 11), (600, 2), (100, 1)])
def test_validation_hears_a_short_clip_once(tones: Prepared, tmp_path: Path, samples: int, own: int) -> None:
    feed = Feed(with_clip(tones, tmp_path / "set", 24 + 3, samples=samples), quick(), 243, "arrays")
    batches = list(feed.valid_segments())
    assert {(audio.shape, clips.shape) for audio, clips in batches} == {((8, 243, 1), (8,))}
    heard = np.concatenate([clips for _, clips in batches])
    assert np.bincount(heard[heard >= 0]).tolist() == [11, 11, 11, own, 11, 11, 11, 11]


def test_other_labels_of_the_same_sounds_are_refused(tones: Prepared, whole: Path, tmp_path: Path) -> None:
    other = with_clip(tones, tmp_path / "set", 5, tags=["never"])
    with pytest.raises(TrainingError, match=r"begun with set\.tags_of_clips_sha256 '.*', now it is"):
        train(undisturbed(), other, whole)


def test_a_run_that_has_not_trained_yet_may_become_another(tones: Prepared, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json.partial").write_text("{")  # killed at the very beginning
    with pytest.raises(TrainingError, match="don't fill one batch"):
        train(quick(batch_size=99), tones, tmp_path / "run")
    with pytest.raises(Stop):
        train(quick(), tones, tmp_path / "run", progress=stop_at(1, 1))
    assert (
        json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["recipe"]["batch_size"] == 8
    )


def test_a_folder_of_other_things_is_left_alone(tones: Prepared, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"holds other things and no run\.json; give a new folder"):
        train(quick(), tones, tmp_path)
    with pytest.raises(TrainingError, match="it is no folder"):
        train(quick(), tones, tmp_path / "notes.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_two_processes_do_not_train_in_one_folder(tones: Prepared, tmp_path: Path) -> None:
    def again(event: object) -> None:
        if isinstance(event, BatchDone):
            train(quick(), tones, tmp_path / "run")

    with pytest.raises(TrainingError, match="another process trains there"):
        train(quick(), tones, tmp_path / "run", progress=again)


def test_the_papers_schedule_goes_back_to_the_best_and_ends(tones: Prepared, tmp_path: Path) -> None:
    lines: list[str] = []
    recipe = quick(
        epochs=None,
        order="consecutive",
        per_clip=None,
        optimizer=Optimizer(kind="sgd"),
        learning_rate=0.4,
        schedule=Plateau(factor=5, rates=3, patience=1),
    )
    preset = train(
        recipe, tones, tmp_path / "run", progress=lambda e: lines.append(e) if isinstance(e, str) else None
    )
    logged = rows(tmp_path / "run")
    rates = [float(row["learning_rate"]) for row in logged]
    assert sorted(set(np.round(rates, 6)), reverse=True) == [0.4, 0.08, 0.016]
    assert rates == sorted(rates, reverse=True)
    assert lines == [
        f"no lower validation loss for 1 epochs: on from the best at {r:g}" for r in (0.08, 0.016)
    ]
    best = min(logged, key=lambda row: float(row["valid_loss"]))
    record = preset_info(preset)
    assert (
        record.training is not None
        and f"epoch {best['epoch']} of {len(logged)} was kept" in record.training.note
    )
    losses = [float(row["valid_loss"]) for row in logged]
    assert losses[-1] >= min(losses[:-1])  # it ends when the last rate has not led on


def test_going_back_takes_up_the_best_weights_and_forgets_the_momentum(
    tones: Prepared, tmp_path: Path
) -> None:
    from samplecnn_zoo.training.callbacks import go_back
    from samplecnn_zoo.training.checkpoint import weights_of

    model = network.build(quick(), rate=sets.RATE, tags=4, single_label=False)
    recipe = quick(optimizer=Optimizer(kind="sgd"), schedule=None)
    network.compile_model(model, recipe, steps=None, single_label=False, jit=False)
    best = weights_of(model)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 243, 1)).astype("float32"), np.ones((8, 4), "float32")
    model.train_on_batch(x, y)
    momenta = [v for v in model.optimizer.variables if "momentum" in v.path]
    assert any(np.asarray(v).any() for v in momenta)
    go_back(model, best)
    assert equal(weights_of(model), best)
    assert not any(np.asarray(v).any() for v in momenta)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_last_good_checkpoint(
    tones: Prepared, whole: Path, tmp_path: Path
) -> None:
    def poison(model: Any) -> Any:
        return lambda event: (
            model[0].layers[-1].bias.assign(np.full(4, np.nan))
            if isinstance(event, BatchDone) and (event.epoch, event.batch) == (2, 1)
            else None
        )

    made: list[Any] = []
    original = network.in_precision

    def remember(model: Any, precision: str) -> Any:
        made.append(original(model, precision))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "in_precision", remember)
        with pytest.raises(
            TrainingError, match="loss became nan in epoch 2, batch 2; try a learning rate of a tenth"
        ):
            train(undisturbed(), tones, tmp_path / "run", progress=poison(made))
    assert equal(weights(train(undisturbed(), tones, tmp_path / "run")), weights(whole / "preset"))


@pytest.mark.parametrize(
    ("changes", "valid", "message"),
    [
        ({"batch_size": 8}, 8, "the loss became nan in epoch 1, batch 2"),
        ({}, 8, "the validation loss became nan in epoch 1, batch 1; try a learning rate of a tenth"),
        ({"learning_rate": 1e39}, 0, "a weight became NaN or infinite in epoch 1, batch 1; try"),
    ],
)
def test_weights_that_a_step_has_destroyed_are_neither_checkpoint_nor_preset(
    tmp_path: Path, changes: dict[str, Any], valid: int, message: str
) -> None:
    prepared = sets.make(tmp_path / "set", counts={"train": 24, "valid": valid, "test": 0})
    minutes = 0.0 if "batch_size" in changes else 10.0
    plain = quick(epochs=1, optimizer=Optimizer(kind="sgd"), schedule=None, batch_size=24)
    wild = plain.but(**{"learning_rate": 1e30, **changes})
    with pytest.raises(LossError, match=message):
        train(wild, prepared, tmp_path / "run", checkpoint_minutes=minutes)
    assert not list(tmp_path.glob("run/checkpoint/*")) and not (tmp_path / "run" / "preset").exists()
    train(plain, prepared, tmp_path / "run")  # nothing was trained, so it may become another run


def test_limit_takes_a_part(tones: Prepared, tmp_path: Path) -> None:
    batches: list[Any] = []
    preset = train(quick(), tones, tmp_path / "run", limit=8, progress=batches.append)
    assert {event.batches for event in batches if isinstance(event, BatchDone)} == {1}
    assert "8 clips of tones" in preset_info(preset).training_data


def test_a_set_without_validation_keeps_the_last_epoch_and_refuses_plateaus(tmp_path: Path) -> None:
    prepared = sets.make(tmp_path / "set", counts={"train": 16, "valid": 0, "test": 0})
    lines: list[Any] = []
    preset = train(quick(), prepared, tmp_path / "run", progress=lines.append)
    assert lines[0] == "the set has no validation clips: the last epoch becomes the preset"
    assert preset_info(preset).scores == ()
    with pytest.raises(TrainingError, match="no validation clips, which the recipe's schedule watches"):
        train(quick(schedule=Plateau()), prepared, tmp_path / "other")


def test_too_few_clips_and_too_long_segments_are_refused(tones: Prepared, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"24 segments don't fill one batch of 25"):
        train(quick(batch_size=25), tones, tmp_path / "batch")
    with pytest.raises(TrainingError, match="the network takes 59049 samples, a prepared clip has 2910"):
        train(quick(arguments={"m": 3, "n": 9}), tones, tmp_path / "long")
    with pytest.raises(TrainingError, match="recipe tiny is for 8000 Hz, the prepared set has 100 Hz"):
        train(quick(arguments={**sets.NET, "sr": 8000}), tones, tmp_path / "rate")
    with pytest.raises(TrainingError, match=r"recipe tiny: SampleCNN: .*widths"):
        train(quick(arguments={**sets.NET, "widths": [1, 2, 3, 4]}), tones, tmp_path / "widths")
    with pytest.raises(TrainingError, match="data is one of auto, tfdata, arrays, got 'disk'"):
        choose("disk")


def test_genres_get_a_softmax_and_an_accuracy(genres: Prepared, tmp_path: Path) -> None:
    preset = train(quick(epochs=3, per_clip=4), genres, tmp_path / "run")
    model = load_pretrained(preset)
    scores = model.predict(np.zeros((1, 243, 1)), verbose=0)
    assert model.layers[-1].activation is keras.activations.softmax
    assert scores.sum() == pytest.approx(1.0, abs=1e-6)
    assert preset_info(preset).arguments["classifier_activation"] == "softmax"
    last = rows(tmp_path / "run")[-1]
    assert float(last["valid_accuracy"]) >= 0.5
    assert {score.metric for score in preset_info(preset).scores} == {"ROC-AUC", "accuracy"}


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_half_and_saves_whole(tones: Prepared, tmp_path: Path, precision: str) -> None:
    recipe = quick(precision=precision, epochs=1)
    plain = network.build(recipe, rate=sets.RATE, tags=4, single_label=False)
    mixed = network.in_precision(plain, precision)
    policies = {layer.name: layer.dtype_policy.name for layer in mixed.layers}
    assert policies.pop("tags") == policies.pop("waveform_100hz") == "float32"
    assert set(policies.values()) == {precision}
    assert equal(plain.get_weights(), mixed.get_weights())
    preset = train(recipe, tones, tmp_path / "run")
    assert {layer.dtype_policy.name for layer in load_pretrained(preset).layers} == {"float32"}


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_gradients_too_small_for_float16_arrive(precision: str) -> None:
    recipe = quick(precision=precision, optimizer=Optimizer(kind="sgd", momentum=0), learning_rate=1.0)
    model = network.build(recipe, rate=sets.RATE, tags=4, single_label=False)
    head = model.get_layer("tags")
    head.set_weights([1e-7 * head.get_weights()[0], head.get_weights()[1]])  # what passes down is below 1e-8
    first = model.get_layer("stage1_conv").get_weights()[0]
    model = network.in_precision(model, precision)
    network.compile_model(model, recipe, steps=None, single_label=False, jit=False)
    rng = np.random.default_rng(2)
    model.train_on_batch(rng.normal(0, 0.1, (8, 243, 1)), np.eye(4, dtype=np.float32)[np.arange(8) % 4])
    moved = model.get_layer("stage1_conv").get_weights()[0] - first
    assert 0 < np.abs(moved).max() < 1e-3


def test_a_run_in_float16_goes_on_with_its_loss_scale(tones: Prepared, tmp_path: Path) -> None:
    recipe = quick(precision="mixed_float16", keep="last", epochs=1)
    whole = train(recipe, tones, tmp_path / "whole")
    with pytest.raises(Stop):
        train(recipe, tones, tmp_path / "cut", checkpoint_minutes=0, progress=stop_at(1, 3))
    assert equal(weights(whole), weights(train(recipe, tones, tmp_path / "cut")))


def test_the_mel_front_end_stays_whole_in_mixed_precision() -> None:
    recipe = Recipe(
        name="mel", builder="FrameLevelMel", arguments={"window": 27, "hop": 9, "n": 2, "widths": [4, 5]}
    )
    mixed = network.in_precision(
        network.build(recipe, rate=8000, tags=3, single_label=False), "mixed_bfloat16"
    )
    policies = {
        layer.name: layer.dtype_policy.name for layer in mixed.layers if hasattr(layer, "dtype_policy")
    }
    assert {policies[name] for name in policies if name.startswith("stage1")} == {"float32"}
    assert policies["stage2_conv"] == "mixed_bfloat16"


def pretrained(folder: Path, tags: tuple[str, ...], **changes: Any) -> Path:
    keras.utils.set_random_seed(7)
    model = network.build(quick(), rate=sets.RATE, tags=len(tags), single_label=False)
    arguments = {**sets.NET, "sr": sets.RATE, "num_tags": len(tags)}
    fields: dict[str, Any] = {"name": "before", "builder": "SampleCNN", "arguments": arguments}
    fields |= {"sample_rate": sets.RATE, "segment_samples": 243, "tags": tags}
    fields |= {"license": "MIT", "training_data": "noise"}
    save_pretrained(model, folder, preset=Preset(**{**fields, **changes}))
    return folder


def test_starting_from_a_preset_of_the_same_tags_goes_on_from_its_weights(
    tones: Prepared, tmp_path: Path
) -> None:
    earlier = Training("make noise", 2.0, "a GPU", "")
    before = pretrained(
        tmp_path / "before", tones.tags, normalization=Normalization(0.01, 0.3), training=earlier
    )
    recipe = quick(epochs=1, keep="last", learning_rate=1e-12, optimizer=Optimizer(kind="sgd"))
    lines: list[Any] = []
    after = train(recipe, tones, tmp_path / "run", start_from=before, progress=lines.append)
    assert not any(isinstance(line, str) for line in lines)
    record = preset_info(after)
    assert record.normalization == Normalization(0.01, 0.3)
    assert record.training_data.endswith("the weights to begin with were trained on noise")
    assert record.training is not None and record.training.hours >= 2.0
    assert record.training.command.startswith("make noise\n")
    assert record.training.machine.startswith("a GPU; then ")
    ours, theirs = load_pretrained(after), load_pretrained(before)
    for layer in ours.layers:
        for one, other in zip(
            layer.trainable_weights, theirs.get_layer(layer.name).trainable_weights, strict=True
        ):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-7)


def test_starting_from_a_preset_of_other_tags_says_that_the_head_is_new(
    tones: Prepared, tmp_path: Path
) -> None:
    before = pretrained(tmp_path / "before", ("a", "b"))
    lines: list[Any] = []
    recipe = quick(epochs=1, freeze_below="head", keep="last")
    after = train(recipe, tones, tmp_path / "run", start_from=before, progress=lines.append)
    assert lines[0] == f"{before}: its tags are others, so the head is new and untrained"
    record, model = preset_info(after), load_pretrained(after)
    assert record.tags == tones.tags and record.arguments["num_tags"] == 4
    theirs = load_pretrained(before)
    for layer in model.layers[:-1]:  # frozen: kernels, gammas and moving statistics as they were
        assert equal(layer.get_weights(), theirs.get_layer(layer.name).get_weights()), layer.name
    assert all(layer.trainable for layer in model.layers)
    with pytest.raises(TrainingError, match=re.escape("is for 8000 Hz, the prepared set has 100 Hz")):
        train(recipe, tones, tmp_path / "r", start_from="samplecnn_8k.midi50")


def test_run_json_tells_what_the_run_is(whole: Path) -> None:
    record = json.loads((whole / "run.json").read_text(encoding="utf-8"))
    assert record["recipe"]["optimizer"]["learning_rate"] == 0.01
    assert record["set"]["name"] == "tones" and record["backend"] == keras.backend.backend()
