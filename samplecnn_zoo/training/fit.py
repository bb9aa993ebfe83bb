"""One training run from beginning to end, wherever it was killed: data, model, epochs, preset."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from samplecnn_zoo.training import checkpoint as checkpoints
from samplecnn_zoo.training import network, run
from samplecnn_zoo.training.callbacks import (
    EveryBatch,
    EveryMinutes,
    RestoreMetrics,
    StopOnNaN,
    diverged,
    go_back,
)
from samplecnn_zoo.training.checkpoint import Arrays, Checkpoint, Standing, assign, weights_of
from samplecnn_zoo.training.distribution import data_parallel, normalizes_apart
from samplecnn_zoo.training.feed import Feed, Floats, choose
from samplecnn_zoo.training.logs import write_logs
from samplecnn_zoo.training.outcome import About, save_preset
from samplecnn_zoo.training.recipe import Plateau, Recipe, TrainingError
from samplecnn_zoo.training.schedule import PlateauState, plateau_rate
from samplecnn_zoo.training.validate import validate
from samplecnn_zoo.zoo import Normalization, preset_info

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.prepared import Prepared


@dataclass(frozen=True)
class BatchDone:
    """A batch was trained on; epoch and batch count from 1, `loss` is the epoch's mean so far."""

    epoch: int
    epochs: int | None
    batch: int
    batches: int
    loss: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch is in the checkpoint; `row` is its line of log.csv, `best` tells whether it leads."""

    row: Mapping[str, Any]
    best: bool


Progress = Callable[[BatchDone | EpochDone | str], None]
"""What `train` tells while it works: batches, epochs, and lines to show."""


def _silent(event: BatchDone | EpochDone | str) -> None:
    """Show nothing."""


def train(
    recipe: Recipe,
    prepared: "Prepared",
    out: str | Path,
    *,
    seed: int = 0,
    start_from: str | Path | None = None,
    limit: int | None = None,
    data: str = "auto",
    devices: int = 1,
    checkpoint_minutes: float = 10.0,
    about: About | None = None,
    progress: Progress = _silent,
) -> Path:
    """Train a network as the recipe says, and return the directory of the preset that comes out.

    The run lives in `out`: run.json, checkpoint/, log.csv, tensorboard/ and at the end preset/. When it is
    killed, the same call goes on from the last checkpoint, in the middle of an epoch too, and on a CPU ends
    with the same bits. When it is complete, the call returns at once. Sets Keras' random seed.

    Args:
        recipe: Network, optimizer, schedule, batches.
        prepared: The set; its rate, tags and kind of labels decide the network's input and head.
        out: The run's folder, new or begun by the same call.
        seed: Of weights, dropout, order of the segments and augmentation.
        start_from: A preset whose network and weights to begin with, instead of the recipe's network.
        limit: At most so many clips of each part, for a quick try.
        data: `tfdata`, `arrays` (without TensorFlow), or `auto`.
        devices: GPUs to spread each batch over.
        checkpoint_minutes: Time between checkpoints within an epoch; each epoch ends with one anyway.
        about: What the model card says besides.
        progress: Is told of every batch and epoch.

    Raises:
        TrainingError: The recipe does not fit the set, the folder holds another run, the checkpoint is
            damaged.
        LossError: The loss or a weight became NaN or infinite; the last good checkpoint stays.
        PresetError: `start_from` is no sound preset.
        OSError: The folder can't be written.
    """
    folder = Path(out)
    kind = choose(data)
    if recipe.stage_decay != 1 and devices > 1:
        raise TrainingError(f"stage_decay wants one device, got {devices}; leave it at 1")
    identity = {
        "run": 1,
        "recipe": recipe.facts(),
        "set": run.set_facts(prepared),
        "start_from": None if start_from is None else preset_info(start_from).weights_sha256,
        **{"seed": seed, "limit": limit, "data": kind, "devices": devices},
        "backend": keras.backend.backend(),
    }
    with run.opened(folder, identity):
        if (folder / run.PRESET).is_dir():
            progress(f"{folder / run.PRESET}: this run is complete")
            return folder / run.PRESET
        keras.utils.set_random_seed(seed)
        work = _Work(recipe, prepared, folder, progress)
        work.build(None if start_from is None else str(start_from))
        with data_parallel(devices, recipe.batch_size):
            work.prepare(seed, devices)
            work.feed_from(kind, seed, limit)
            work.take_up()
            work.epochs(checkpoint_minutes)
        return work.finish(about or About(), start_from)


class _Work:
    """The state of a run while it works."""

    def __init__(self, recipe: Recipe, prepared: "Prepared", folder: Path, progress: Progress) -> None:
        self.recipe, self.prepared, self.folder, self.progress = recipe, prepared, folder, progress
        self.standing = Standing()
        self.best: Arrays = []  # weights of standing.best
        self.sums: Arrays = []  # metrics of the epoch that a checkpoint was in
        self.held: Checkpoint | None = None  # not written before the next loss is a number

    def build(self, start_from: str | None) -> None:
        """Make the network as it will be saved."""
        data = self.prepared
        kind: dict[str, Any] = {"rate": data.sample_rate, "single_label": data.single_label}
        norm = self.recipe.normalization
        self.normalization = Normalization(*norm) if norm else None
        if start_from is None:
            self.plain = network.build(self.recipe, tags=len(data.tags), **kind)
        else:
            self.plain, new_head = network.from_preset(start_from, tags=data.tags, **kind)
            self.normalization = self.plain.preset.normalization
            if new_head:
                self.progress(f"{start_from}: its tags are others, so the head is new and untrained")

    def prepare(self, seed: int, devices: int) -> None:
        """Make the network as it is trained."""
        self.apart = normalizes_apart(devices)
        model = network.trainable_copy(self.plain, seed, synchronized=self.apart)
        self.model = network.in_precision(model, self.recipe.precision)

    def feed_from(self, kind: str, seed: int, limit: int | None) -> None:
        """Open the data, and compile for their number of steps."""
        samples = self.model.input_shape[1]
        if samples is None or samples > self.prepared.clip_samples:
            raise TrainingError(
                f"the network takes {samples} samples, a prepared clip has {self.prepared.clip_samples}"
            )
        self.feed = Feed(self.prepared, self.recipe, samples, kind, seed, limit, self.normalization)
        self.batches = self.feed.batches
        steps = None if self.recipe.epochs is None else self.recipe.epochs * self.batches
        single = self.prepared.single_label
        # torch.compile wants a C++ compiler; XLA can't compile what a MirroredStrategy exchanges on CPUs.
        jit = self.recipe.jit and keras.backend.backend() != "torch" and not self.apart
        network.compile_model(self.model, self.recipe, steps=steps, single_label=single, jit=jit)
        self.validates = len(self.feed.valid_labels) > 0
        if isinstance(self.recipe.schedule, Plateau) and not self.validates:
            raise TrainingError(
                f"{self.prepared.directory}: no validation clips, which the recipe's schedule watches; "
                "choose a recipe with a cosine, or prepare a set with a validation part"
            )
        if not self.validates:
            self.progress("the set has no validation clips: the last epoch becomes the preset")

    def take_up(self) -> None:
        """Go on from the checkpoint, where there is one."""
        found = checkpoints.load(self.folder / run.CHECKPOINTS)
        if found is None:
            return
        self.standing, self.best = found.standing, found.arrays.pop("best")
        self.sums = found.arrays["metrics"]
        checkpoints.restore(self.model, found.arrays)
        write_logs(self.folder, self.standing.history)
        place = f"epoch {self.standing.epoch + 1}"
        self.progress(
            f"going on in {place}" + f" at batch {self.standing.batch + 1}" * (self.standing.batch > 0)
        )

    def epochs(self, checkpoint_minutes: float) -> None:
        """Train to the end of the recipe."""
        while not self.ended():
            self.epoch(checkpoint_minutes)

    def ended(self) -> bool:
        """Whether all epochs are done, or the last plateau is over."""
        epochs, state = self.recipe.epochs, self.standing.schedule
        return (epochs is not None and self.standing.epoch >= epochs) or bool(state and state["stopped"])

    def epoch(self, checkpoint_minutes: float) -> None:
        """Train one epoch from its first or its next batch, validate, and put all into a checkpoint."""
        standing, first = self.standing, self.standing.batch
        started = time.monotonic()
        begun = started - standing.epoch_seconds  # as if nothing had come between

        def batch_done(batch: int, loss: float) -> None:
            standing.batch, standing.loss = batch, loss
            self.write_held()
            self.progress(BatchDone(standing.epoch + 1, self.recipe.epochs, batch, self.batches, loss))

        def hold(batch: int) -> None:
            standing.epoch_seconds = time.monotonic() - begun
            self.held = Checkpoint(replace(standing), self.arrays())

        if first < self.batches:
            callbacks = [
                RestoreMetrics(self.sums if first else []),
                StopOnNaN(first_batch=first),
                EveryBatch(batch_done, first_batch=first),
                EveryMinutes(checkpoint_minutes, hold, first_batch=first),
            ]
            self.model.fit(
                self.feed.training(standing.epoch, first),
                initial_epoch=standing.epoch,
                epochs=standing.epoch + 1,
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )
        if standing.batch != self.batches:
            raise TrainingError(
                f"epoch {standing.epoch + 1} ended after {standing.batch} of {self.batches} batches: "
                f"the set in {self.prepared.directory} was changed; prepare it again"
            )
        segments = (self.batches - first) * self.recipe.batch_size
        self.close_epoch(begun, segments / (time.monotonic() - started) if segments else None)

    def close_epoch(self, begun: float, segments_per_s: float | None) -> None:
        """Validate, let the schedule decide, and write checkpoint and logs."""
        standing = self.standing
        row: dict[str, Any] = {"epoch": standing.epoch + 1, "loss": standing.loss}
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["segments_per_s"] = segments_per_s and round(segments_per_s, 2)
        if self.validates:
            figures = validate(self.scorer(), self.feed)
            if not isfinite(figures.loss):
                raise diverged(f"the validation loss became {figures.loss}", standing.epoch, standing.batch)
            row |= {f"valid_{name}": value for name, value in asdict(figures).items()}
        row["time"] = time.time()
        row["seconds"] = round(time.monotonic() - begun, 2)
        leads = self.validates and (standing.best is None or row["valid_loss"] < standing.best["valid_loss"])
        if leads:
            standing.best, self.best = row, weights_of(self.model)
        if isinstance(self.recipe.schedule, Plateau):
            self.plateau(row["valid_loss"], self.recipe.schedule)
        arrays = self.arrays()
        standing.history.append(row)
        standing.epoch, standing.batch, standing.epoch_seconds = standing.epoch + 1, 0, 0.0
        self.held = Checkpoint(standing, arrays)
        self.write_held()
        write_logs(self.folder, standing.history)
        self.progress(EpochDone(row, leads))

    def scorer(self) -> Callable[[Floats], Floats]:
        """Segments to scores, with the weights of this moment."""
        if not self.apart:
            return lambda segments: np.asarray(self.model.predict_on_batch(segments), np.float32)
        # That would give every device the whole batch; the network as saved lives on one.
        network.copy_weights(self.model, self.plain)
        return lambda x: np.asarray(keras.ops.convert_to_numpy(self.plain(x, training=False)), np.float32)

    def plateau(self, valid_loss: float, plateau: Plateau) -> None:
        """Go back to the best weights and on at the next rate, when this one has had its patience."""
        before = PlateauState(**self.standing.schedule or {})
        after = before.after(valid_loss, plateau)
        self.standing.schedule = asdict(after)
        if after.rate > before.rate:
            rate = plateau_rate(self.recipe.optimizer.learning_rate, plateau, after.rate)
            go_back(self.model, self.best)
            self.model.optimizer.learning_rate = rate
            self.progress(
                f"no lower validation loss for {plateau.patience} epochs: on from the best at {rate:g}"
            )

    def arrays(self) -> dict[str, Arrays]:
        """Copy the arrays of a checkpoint.

        Raises:
            LossError: A weight is no number, so that nobody could go on from there.
        """
        arrays = {**checkpoints.capture(self.model), "best": self.best}
        if not all(np.isfinite(weights).all() for weights in arrays["weights"]):
            raise diverged("a weight became NaN or infinite", self.standing.epoch, self.standing.batch)
        return arrays

    def write_held(self) -> None:
        """Write the checkpoint that was taken, if one was."""
        if self.held is not None:
            checkpoints.save(self.folder / run.CHECKPOINTS, self.held)
            self.held = None

    def finish(self, about: About, start_from: str | Path | None) -> Path:
        """Save the preset of the epoch that the recipe keeps."""
        if self.recipe.keep == "best" and self.best:
            assign(self.model.weights, self.best, "best weights")
        network.copy_weights(self.model, self.plain)
        target = self.folder / run.PRESET
        for rest in self.folder.glob(f".{run.PRESET}.*"):  # of a kill while saving
            shutil.rmtree(rest)
        save_preset(self.plain, target, self.feed, self.standing, about=about, start_from=start_from)
        return target
