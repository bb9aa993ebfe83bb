"""A run's folder: what the run is, so that no other one goes on with it; a lock against a second process."""

import contextlib
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from samplecnn_zoo.training.recipe import TrainingError

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.prepared import Prepared
if sys.platform != "win32":
    import fcntl

RECORD = "run.json"
CHECKPOINTS = "checkpoint"
PRESET = "preset"
LOG = "log.csv"
TENSORBOARD = "tensorboard"
_LOCK = ".lock"
_OURS = {_LOCK, f"{RECORD}.partial"}  # what a kill at the very beginning leaves

_log = logging.getLogger(__name__)


def set_facts(prepared: "Prepared") -> dict[str, Any]:
    """Return what a run takes from a set: the samples and the tags of the clips that it sees."""
    shards, tags = hashlib.sha256(), hashlib.sha256()
    for split in ("train", "valid"):
        for shard in prepared.shards(split):
            shards.update(shard.sha256.encode())
        tags.update(json.dumps([(clip.row, clip.tags) for clip in prepared.clips(split)]).encode())
    return {
        "name": prepared.name,
        "sample_rate": prepared.sample_rate,
        "tags": list(prepared.tags),
        "single_label": prepared.single_label,
        "shards_sha256": shards.hexdigest(),
        "tags_of_clips_sha256": tags.hexdigest(),
    }


@contextlib.contextmanager
def opened(folder: Path, identity: Mapping[str, Any]) -> Iterator[Path]:
    """Begin the run in `folder`, or take it up when it is the same one; nobody else does so meanwhile.

    Raises:
        TrainingError: The folder holds another run or other things, or another process trains there.
        OSError: The folder can't be written.
    """
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder}: it is no folder; give the name of a new one")
    if folder.is_dir() and not (folder / RECORD).exists() and set(os.listdir(folder)) - _OURS:
        raise TrainingError(f"{folder}: it holds other things and no {RECORD}; give a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _check(folder / RECORD, identity)
        yield folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / _LOCK, "ab") as file:
        _lock(file, folder)
        yield


def _lock(file: IO[bytes], folder: Path) -> None:
    if sys.platform == "win32":  # no such lock: there, two runs in one folder are the user's to avoid
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TrainingError(f"{folder}: another process trains there; let it end, or stop it") from error
    except OSError as error:  # some network file systems have no locks
        _log.warning("%s: can't be locked (%s); start no second run in it", folder, error.strerror)


def _check(path: Path, identity: Mapping[str, Any]) -> None:
    wanted = json.loads(json.dumps(identity))  # as it will read back: tuples are lists
    if not any((path.parent / name).exists() for name in (CHECKPOINTS, PRESET)):  # nothing was trained yet
        write_text(path, json.dumps(wanted, indent=1, ensure_ascii=False) + "\n")
        return
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: it can't be read ({error}); give a new folder") from error
    differs = next(_differences(begun, wanted), None)
    if differs:
        raise TrainingError(
            f"{path.parent}: begun with {differs}; go on with what it began with, or give a new folder"
        )


def _differences(begun: Any, now: Any, name: str = "") -> Iterator[str]:
    """Yield each place where two JSON values differ: `optimizer.learning_rate 0.01, now it is 0.1`."""
    if isinstance(begun, dict) and isinstance(now, dict):
        for key in sorted({*begun, *now}):
            yield from _differences(begun.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif begun != now:
        yield f"{name} {begun!r}, now it is {now!r}"


def write_text(path: Path, text: str) -> None:
    """Write a file whole: beside its place first."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole: beside its place first.

    Raises:
        OSError: It can't be written; what was there stays.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = error.filename or str(partial)
        raise
