"""Runs as processes of their own: this file as a script, on the backend of KERAS_BACKEND, one job a call.

`kills FOLDER` trains a run ten times killed and one that nobody disturbs; `resume FOLDER` breaks a run off
and goes on; `devices FOLDER` trains on one and on two virtual CPU devices, `apart FOLDER` the same but with
each device normalizing its own. Each prints a JSON line.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import h5py
import keras
import numpy as np

from samplecnn_zoo.training import BatchDone, Optimizer, network, train
from samplecnn_zoo.training.fit import Progress
from tests import training_sets as sets


def arrays(preset: Path) -> dict[str, Any]:
    """Every array of a preset's weights, by its place in the file."""
    found: dict[str, Any] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(preset / "model.weights.h5") as file:
        file.visititems(visit)
    return found


def difference(one: Path, other: Path) -> float:
    """The largest distance between two presets' weights; 0.0 only when all bits are equal."""
    first, second = arrays(one), arrays(other)
    if first.keys() != second.keys():
        return float("inf")
    return max(float(np.abs(first[key].astype(np.float64) - second[key]).max()) for key in first)


def figures(run: Path) -> list[list[str]]:
    """The rows of log.csv without the columns of time."""
    lines = (run / "log.csv").read_text(encoding="utf-8").splitlines()
    return [line.split(",")[:6] for line in lines]


def _tell(event: object, pipe: int) -> None:
    if isinstance(event, BatchDone):
        os.write(pipe, b".")


class Child:
    """A training in a child process that has Keras loaded already."""

    def __init__(self, work: Callable[[Progress], object]) -> None:
        reads, writes = os.pipe()
        self.begun = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                work(lambda event: _tell(event, writes))
                code = 0
            finally:
                os._exit(code)
        os.close(writes)
        self._pipe = reads

    def first_batch(self) -> float:
        """Wait for it, or for the end; return the seconds since the beginning."""
        os.read(self._pipe, 1)
        return time.monotonic() - self.begun

    def end(self) -> int:
        """Wait for it and return the status, negative for a signal."""
        while os.read(self._pipe, 4096):
            pass
        os.close(self._pipe)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def kills(folder: Path) -> dict[str, Any]:
    """Kill a run at ten random moments, eight of them after its first batch; let it end; compare."""
    prepared = sets.make(folder / "set", counts={"train": 64, "valid": 8, "test": 0})
    recipe = sets.recipe(epochs=8, keep="last", jit=False)

    def work(run: str) -> Callable[[Progress], object]:
        return lambda tell: train(recipe, prepared, folder / run, checkpoint_minutes=0.0005, progress=tell)

    whole = Child(work("whole"))
    start = whole.first_batch()
    assert whole.end() == 0
    span = time.monotonic() - whole.begun - start
    rng = random.Random(5)
    places: list[bool] = []
    complete: list[Path] = []
    while len(places) < 10:
        child = Child(work("killed"))
        if len(places) % 5:
            child.first_batch()
            time.sleep(rng.uniform(0, 0.4) * span)
        else:
            time.sleep(rng.uniform(0, 1) * start)
        os.kill(child.pid, signal.SIGKILL)
        if child.end() == 0:  # it had just ended: once more from the beginning
            complete.append(folder / f"complete{len(complete)}")
            os.rename(folder / "killed", complete[-1])
        else:
            places.append((folder / "killed" / "checkpoint" / "last.npz").exists())
    assert Child(work("killed")).end() == 0
    runs = [folder / "killed", *complete]
    return {
        "kills": len(places),
        "after_a_checkpoint": sum(places),
        "difference": max(difference(folder / "whole" / "preset", run / "preset") for run in runs),
        "same_log": all(figures(folder / "whole") == figures(run) for run in runs),
    }


class Stop(Exception):
    """Breaks a run off."""


def resume(folder: Path) -> dict[str, Any]:
    """Break a run off in its second epoch and go on, from arrays; compare with one through tf.data."""
    prepared = sets.make(folder / "set")
    recipe = sets.recipe(epochs=2, keep="last")

    def stop(event: object) -> None:
        if isinstance(event, BatchDone) and (event.epoch, event.batch) == (2, 3):
            raise Stop

    # TensorFlow compiles the two ways otherwise, since only tf.data states its batch size: other last bits.
    way = "arrays" if keras.backend.backend() == "tensorflow" else "tfdata"
    whole = train(recipe, prepared, folder / "whole", data=way)
    with contextlib.suppress(Stop):
        train(recipe, prepared, folder / "cut", data="arrays", checkpoint_minutes=0, progress=stop)
    lines: list[object] = []
    cut = train(recipe, prepared, folder / "cut", data="arrays", progress=lines.append)
    return {"going_on": lines[0], "difference": difference(whole, cut)}


def devices(folder: Path) -> dict[str, Any]:
    """Train on one and on two of this process' devices, without dropout, whose parts draw apart."""
    two_virtual_devices()
    prepared = sets.make(folder / "set")
    backend = keras.backend.backend()
    recipe = sets.recipe(
        arguments={**sets.NET, "dropout": 0.0},
        optimizer=Optimizer(kind="sgd"),
        learning_rate=0.05,
        keep="last",
        jit=backend == "jax",
    )
    one, two = (train(recipe, prepared, folder / str(count), devices=count) for count in (1, 2))
    config = (two / "config.json").read_text(encoding="utf-8")
    return {"difference": difference(one, two), "plain": '"synchronized": true' not in config}


def apart(folder: Path) -> dict[str, Any]:
    """As `devices`, on TensorFlow, with BatchNormalization that sees only its device's part of a batch."""
    plain = network.trainable_copy
    network.trainable_copy = lambda model, seed, *, synchronized=False: plain(model, seed)
    return devices(folder)


def two_virtual_devices() -> None:
    """On JAX the caller has set XLA_FLAGS."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


if __name__ == "__main__":
    job = {"kills": kills, "resume": resume, "devices": devices, "apart": apart}[sys.argv[1]]
    sys.stdout.write(json.dumps(job(Path(sys.argv[2]))) + "\n")
