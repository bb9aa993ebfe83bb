"""Where a run stands, in one file that is whole or not there: arrays and state, read without running code.

Keras' own means leave out the states of the dropout's random numbers and write in place
(BackupAndRestore), so that a kill can cost the run or change its numbers. One file holds all here, the best
weights among it, because two files could be of two moments.
"""

import contextlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samplecnn_zoo.training.recipe import TrainingError

if TYPE_CHECKING:
    import keras

FORMAT = 1
FILE = "last.npz"
_STATE = "state.json"

Arrays = list[np.ndarray]


@dataclass
class Standing:
    """Where a run stands besides its arrays; plain values that JSON keeps exactly.

    Attributes:
        epoch: Epochs that are done.
        batch: Batches of the next one that are done.
        history: A row of figures for each epoch that is done.
        schedule: The fields of a `PlateauState`; None for other schedules.
        best: The row whose weights are kept as the best; None before the first.
        loss: The mean over the batches of the epoch that is not done.
        epoch_seconds: That this epoch has taken.
    """

    epoch: int = 0
    batch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    schedule: dict[str, Any] | None = None
    best: dict[str, Any] | None = None
    loss: float = 0.0
    epoch_seconds: float = 0.0


@dataclass
class Checkpoint:
    """A run at one moment.

    Attributes:
        standing: Its plain values.
        arrays: `weights`, `optimizer`, `seeds`, `metrics` as `capture` takes them, and `best`, the weights of
            the best epoch (empty before the first).
    """

    standing: Standing
    arrays: dict[str, Arrays]


def capture(model: "keras.Model") -> dict[str, Arrays]:
    """Copy all that decides how training goes on: weights, optimizer, random seeds, sums of metrics."""
    return {name: [_array(v) for v in variables] for name, variables in _variables(model).items()}


def weights_of(model: "keras.Model") -> Arrays:
    """Copy the weights alone, BatchNormalization's moving statistics among them."""
    return [_array(variable) for variable in model.weights]


def restore(model: "keras.Model", arrays: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Put back what `capture` took, into a model built and compiled in the same way.

    Raises:
        TrainingError: A group has more, fewer or other arrays than the model.
    """
    for name, variables in _variables(model).items():
        assign(variables, arrays[name], name)


def assign(variables: Sequence[Any], arrays: Sequence[np.ndarray], what: str) -> None:
    """Give each variable its array.

    Raises:
        TrainingError: Their number or a shape differs.
    """
    wanted, found = [tuple(v.shape) for v in variables], [array.shape for array in arrays]
    if wanted != found:
        raise TrainingError(
            f"the checkpoint's {what} are of another network: {len(found)} arrays for {len(wanted)} variables"
            + next((f", {b} for {a}" for a, b in zip(wanted, found, strict=False) if a != b), "")
            + "; start a new run in another folder"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _variables(model: "keras.Model") -> dict[str, list[Any]]:
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    weights = {id(variable) for variable in model.weights}
    return {
        "weights": list(model.weights),
        "optimizer": list(optimizer.variables),
        "seeds": [variable for variable in model.variables if id(variable) not in weights],
        "metrics": list(model.metrics_variables),
    }


def _array(variable: Any) -> np.ndarray:
    import keras

    return np.array(keras.ops.convert_to_numpy(variable))  # a copy: some backends hand out their memory


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of `folder` beside the old one, which it then replaces.

    Raises:
        OSError: The disk is full or the folder can't be written; the old checkpoint stays good.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{FILE}.partial"
    try:
        with open(partial, "wb") as file:
            _write(file, checkpoint)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / FILE)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a write knows no name
            error.filename = error.filename or str(partial)
        raise


def _write(file: Any, checkpoint: Checkpoint) -> None:
    state = {
        "format": FORMAT,
        "standing": asdict(checkpoint.standing),
        "arrays": {name: len(arrays) for name, arrays in checkpoint.arrays.items()},
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as bundle:
        bundle.writestr(_STATE, json.dumps(state))
        for name, arrays in checkpoint.arrays.items():
            for index, array in enumerate(arrays):
                with bundle.open(f"{name}/{index}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)


def load(folder: Path) -> Checkpoint | None:
    """Return the checkpoint of `folder`, or None when there is none yet.

    Raises:
        TrainingError: The file is damaged, or of a newer version of this package.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as bundle:
            return _read(bundle)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
        raise TrainingError(
            f"{path}: this checkpoint can't be read ({error}); delete it to start the run anew"
        ) from error


def _read(bundle: zipfile.ZipFile) -> Checkpoint:
    state = json.loads(bundle.read(_STATE))
    if state["format"] != FORMAT:
        raise ValueError(f"format {state['format']}, this version reads {FORMAT}")
    arrays = {
        name: [_member(bundle, f"{name}/{index}.npy") for index in range(count)]
        for name, count in state["arrays"].items()
    }
    return Checkpoint(Standing(**state["standing"]), arrays)


def _member(bundle: zipfile.ZipFile, name: str) -> np.ndarray:
    with bundle.open(name) as member:
        array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
        member.read()  # to the end, where the checksum is compared
    return array
