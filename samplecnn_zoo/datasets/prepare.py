"""From a collection to a prepared folder: every clip decoded once, into shards of 16-bit samples.

The plan comes first: which clip goes into which shard follows from the list of recordings alone, so the same
list gives the same bytes, on any machine and however often the work was interrupted. A file that can't be
decoded leaves its shard shorter; the others keep their row numbers. A shard takes its name when it is whole
and on the disk, and then a file in `journal/` says so.
"""

import csv
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from samplecnn_zoo import __version__
from samplecnn_zoo.datasets.collection import CLIP_S, SPLITS, Collection, Recording
from samplecnn_zoo.datasets.decoding import Decoded, Task, decode_all, stamp_of
from samplecnn_zoo.datasets.prepared import (
    CLIPS,
    FAILED,
    FORMAT_VERSION,
    RECORD,
    Description,
    Prepared,
    PreparedClip,
    PreparedError,
    Shard,
)
from samplecnn_zoo.datasets.records import record_dtype

if sys.platform != "win32":
    import fcntl

SHUFFLE_SEED = 2018  # of the order of clips on disk; the order in training is drawn anew in each epoch
PLAN = "plan.json"
LOCK = ".lock"
JOURNAL = "journal"

Step = str | None
Progress = Callable[[Iterable[Step], int], Iterable[Step]]


@dataclass(frozen=True)
class _ShardPlan:
    """A shard to be: its file, and the recordings in it with their row numbers."""

    file: str
    split: str
    rows: tuple[tuple[int, Recording], ...]


@dataclass(frozen=True)
class _Options:
    """What the bytes of a record depend on, beside the recording."""

    sample_rate: int
    clip_samples: int

    @property
    def record_bytes(self) -> int:
        return record_dtype(self.clip_samples).itemsize


def prepare(
    collection: Collection,
    out: str | Path,
    *,
    sample_rate: int,
    shard_clips: int = 256,
    workers: int | None = None,
    progress: Progress = lambda steps, _: steps,
) -> Prepared:
    """Decode, resample and cut every recording to its first 29.1 s, into shards of 16-bit samples in `out`.

    A shorter clip is repeated until it fills its record, and its real length is kept beside it. The clips of
    a split are shuffled once, by a fixed seed, so that shards are mixed. A killed run goes on with the same
    call where its last whole shard ended; on a complete set nothing is done, unless a file that had failed
    has changed since: its shard is made again. Memory is flat: a few clips a worker.

    Args:
        collection: What to decode.
        out: The folder to fill; new, empty, or begun with the same collection and options.
        sample_rate: Of the clips, in Hz.
        shard_clips: Clips in a shard.
        workers: Processes that decode, default one a core.
        progress: Wraps the steps (iterable, total), one a clip, for a progress bar; a step is None, or the
            line that says why a file gave no clip.

    Raises:
        PreparedError: `out` holds something else, was begun with another collection or options, or is being
            written by another run; the disk has too little room; or no file could be decoded.
        ValueError: A number is not positive, or the collection has no recording.
        OSError: `out` can't be written, or the disk is full; what is finished stays.
    """
    if min(sample_rate, shard_clips, 1 if workers is None else workers) < 1:
        raise ValueError(
            f"sample_rate, shard_clips and workers must be at least 1, "
            f"not {sample_rate}, {shard_clips} and {workers}"
        )
    if not collection.recordings:
        raise ValueError(f"{collection.name}: there is no recording to prepare")
    options = _Options(sample_rate, round(CLIP_S * sample_rate))
    folder = Path(out)
    plans = _plan(collection, shard_clips)
    identity = _identity(collection, options, shard_clips)
    _make_folder(folder)
    with _locked(folder):
        _check_plan(folder, identity)
        if not _is_complete(folder, plans, options):
            (folder / RECORD).unlink(missing_ok=True)  # until all is there again
            steps = _fill(folder, plans, options, workers or _cores())
            for _ in progress(steps, len(collection.recordings)):
                pass
            _finish(folder, collection, plans, options)
    return Prepared.open(folder)


def limited(collection: Collection, limit: int) -> Collection:
    """About `limit` recordings, evenly over the keys of every split, for a quick try.

    Raises:
        ValueError: The limit is not positive.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    share = min(1.0, limit / max(1, len(collection.recordings)))
    kept: list[Recording] = []
    for split in SPLITS:
        own = sorted(
            (item for item in collection.recordings if item.split == split), key=lambda item: item.key
        )
        wanted = min(len(own), max(1, round(share * len(own))))
        kept += [own[index] for index in np.linspace(0, len(own) - 1, wanted).round().astype(int)]
    note = f"only {len(kept)} of {len(collection.recordings)} recordings, by --limit {limit}"
    return Collection(
        collection.name,
        collection.tags,
        tuple(kept),
        single_label=collection.single_label,
        notes=(*collection.notes, note),
    )


def failures(prepared: Prepared) -> list[tuple[str, str]]:
    """The files that gave no clip: path and reason, as `failed.csv` lists them."""
    with open(prepared.directory / FAILED, newline="", encoding="utf-8") as file:
        return [(row["path"], row["reason"]) for row in csv.DictReader(file)]


def _plan(collection: Collection, shard_clips: int) -> list[_ShardPlan]:
    plans: list[_ShardPlan] = []
    row = 0
    for number, split in enumerate(SPLITS):
        own = sorted(
            (item for item in collection.recordings if item.split == split), key=lambda item: item.key
        )
        order = np.random.default_rng([SHUFFLE_SEED, number]).permutation(len(own))
        rows = [(row + place, own[index]) for place, index in enumerate(order.tolist())]
        row += len(rows)
        for first in range(0, len(rows), shard_clips):
            file = f"{split}-{first // shard_clips:05d}.tfrecord"
            plans.append(_ShardPlan(file, split, tuple(rows[first : first + shard_clips])))
    return plans


def _identity(collection: Collection, options: _Options, shard_clips: int) -> dict[str, Any]:
    """What the shards' bytes follow from, as JSON gives it back; where the audio lies is not among it."""
    listed = sorted((item.key, item.split, sorted(item.tags)) for item in collection.recordings)
    return {
        "format_version": FORMAT_VERSION,
        "set": collection.name,
        "sample_rate": options.sample_rate,
        "clip_samples": options.clip_samples,
        "shard_clips": shard_clips,
        "single_label": collection.single_label,
        "tags": list(collection.tags),
        "recordings": len(listed),
        "recordings_sha256": hashlib.sha256(json.dumps(listed).encode()).hexdigest(),
    }


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ours = {LOCK, f"{PLAN}.partial"}  # of a run that was killed at once
    strangers = sorted({entry.name for entry in folder.iterdir()} - ours)
    if strangers and not (folder / PLAN).exists():
        raise PreparedError(f"{folder}: it holds other files ({strangers[0]}); name a new or an empty folder")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep a second run out, where the system can; the lock ends with the process however that ends."""
    with open(folder / LOCK, "ab") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise PreparedError(f"{folder}: another run is writing it; let it end, or stop it") from error
            except OSError:  # some network file systems have no locks
                pass
        yield


def _check_plan(folder: Path, identity: dict[str, Any]) -> None:
    path = folder / PLAN
    if not path.exists():
        _write_whole(path, json.dumps(identity, indent=1).encode())
        return
    try:
        begun = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise PreparedError(f"{path}: not what `samplecnn prepare` writes; name another folder") from error
    for name in [*identity, *begun]:
        if begun.get(name) != identity.get(name):
            raise PreparedError(
                f"{folder}: begun with {name} {_short(begun.get(name))}, "
                f"now it is {_short(identity.get(name))}; prepare into another folder"
            )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]}..."


def _is_complete(folder: Path, plans: Sequence[_ShardPlan], options: _Options) -> bool:
    """Whether nothing is to be done: all there by name and size, and no failed file has changed since."""
    return (folder / RECORD).exists() and all(_done(folder, plan, options) for plan in plans)


def _done(folder: Path, plan: _ShardPlan, options: _Options, *, hashed: bool = False) -> bool:
    """Whether the shard is what the journal says it is, and no file that failed has changed since."""
    entry = _entry(folder, plan)
    if entry is None or any(stamp_of(item["path"]) != item["stamp"] for item in entry["failed"]):
        return False
    path, clips = folder / plan.file, len(entry["clips"])
    if not clips:
        return True
    if not path.is_file() or path.stat().st_size != clips * options.record_bytes:
        return False
    if not hashed:
        return True
    with open(path, "rb") as file:
        return bool(hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"])


def _entry(folder: Path, plan: _ShardPlan) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        entry: dict[str, Any] = json.loads(_journal(folder, plan).read_bytes())
        for item in entry["failed"]:
            item["stamp"] = None if item["stamp"] is None else (item["stamp"][0], item["stamp"][1])
        return entry
    return None


def _journal(folder: Path, plan: _ShardPlan) -> Path:
    return folder / JOURNAL / f"{plan.file}.json"


def _fill(folder: Path, plans: Sequence[_ShardPlan], options: _Options, workers: int) -> Iterator[Step]:
    """Make every shard that is not there yet; yields a step a clip, those of finished shards first."""
    (folder / JOURNAL).mkdir(exist_ok=True)
    for stale in [*folder.glob("*.partial"), *(folder / JOURNAL).glob("*.partial")]:
        stale.unlink()
    todo: list[_ShardPlan] = []
    for plan in plans:
        if _done(folder, plan, options, hashed=True):
            yield from [None] * len(plan.rows)
        else:
            _journal(folder, plan).unlink(missing_ok=True)
            todo.append(plan)
    clips = [(row, recording) for plan in todo for row, recording in plan.rows]
    _check_room(folder, len(clips) * options.record_bytes)
    tasks = (Task(row, str(item.path), options.sample_rate, options.clip_samples) for row, item in clips)
    outcomes = decode_all(tasks, min(workers, max(1, len(clips))))
    with closing(outcomes):
        for plan in todo:
            yield from _write_shard(folder, plan, islice(outcomes, len(plan.rows)))


def _check_room(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise PreparedError(
            f"{folder}: {wanted / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free; "
            "make room, name a folder on another disk, or take a lower --rate"
        )


def _write_shard(folder: Path, plan: _ShardPlan, outcomes: Iterable[Decoded]) -> Iterator[Step]:
    """Write one shard and its line in the journal: each whole or not at all."""
    clips: list[PreparedClip] = []
    failed: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    path = folder / plan.file
    with _replacing(path) as file:
        for (row, recording), decoded in zip(plan.rows, outcomes, strict=True):
            if decoded.error is None and decoded.stamp is not None:
                file.write(decoded.record)
                digest.update(decoded.record)
                clips.append(_prepared_clip(row, recording, plan, len(clips), decoded))
            else:
                path_text = str(recording.path)
                failed.append(
                    {"row": row, "path": path_text, "reason": decoded.error, "stamp": decoded.stamp}
                )
            yield decoded.error
    if not clips:
        path.unlink()  # no reader likes an empty file
    entry = {"sha256": digest.hexdigest(), "clips": [asdict(clip) for clip in clips], "failed": failed}
    _write_whole(_journal(folder, plan), json.dumps(entry).encode())


def _prepared_clip(
    row: int, recording: Recording, plan: _ShardPlan, position: int, decoded: Decoded
) -> PreparedClip:
    size, mtime_ns = decoded.stamp or (0, 0)
    return PreparedClip(
        row=row,
        key=recording.key,
        path=str(recording.path),
        split=recording.split,
        tags=recording.tags,
        shard=plan.file,
        position=position,
        samples=decoded.samples,
        source_size=size,
        source_mtime_ns=mtime_ns,
        source_sha1=decoded.sha1,
    )


def _finish(folder: Path, collection: Collection, plans: Sequence[_ShardPlan], options: _Options) -> None:
    """Write the table, the list of failures and, last, the record that says that all is there."""
    entries = []
    for plan in plans:
        entry = _entry(folder, plan)
        if entry is None:
            raise PreparedError(f"{_journal(folder, plan)}: it has vanished; give the same command again")
        entries.append((plan, entry))
    rows = [clip for _, entry in entries for clip in entry["clips"]]
    failed = [item for _, entry in entries for item in entry["failed"]]
    if not rows:
        raise PreparedError(
            f"{folder}: none of {len(failed)} files gave a clip; the first: {failed[0]['reason']}"
        )
    _write_clips(folder / CLIPS, rows)
    _write_failed(folder / FAILED, failed)
    shards = [
        Shard(plan.file, plan.split, len(entry["clips"]), entry["sha256"])
        for plan, entry in entries
        if entry["clips"]
    ]
    counts = {split: sum(shard.clips for shard in shards if shard.split == split) for split in SPLITS}
    description = Description(
        name=collection.name,
        sample_rate=options.sample_rate,
        clip_samples=options.clip_samples,
        tags=collection.tags,
        single_label=collection.single_label,
        counts=counts,
        failed=len(failed),
        shards=tuple(shards),
        notes=collection.notes,
        package_version=__version__,
    )
    _write_whole(folder / RECORD, description.to_json().encode())


def _write_clips(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = {name: pa.string() for name in ("key", "path", "split", "shard", "source_sha1")}
    numbers = {name: pa.int64() for name in ("position", "samples", "source_size", "source_mtime_ns")}
    types = {"row": pa.int32(), "tags": pa.list_(pa.string()), **texts, **numbers}
    schema = pa.schema([(name, types[name]) for name in PreparedClip.__dataclass_fields__])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer)
    _write_whole(path, buffer.getvalue())


def _write_failed(path: Path, failed: list[dict[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "reason"])
    writer.writerows([item["path"], item["reason"]] for item in failed)
    _write_whole(path, text.getvalue().encode())


def _write_whole(path: Path, data: bytes) -> None:
    with _replacing(path) as file:
        file.write(data)


@contextmanager
def _replacing(path: Path) -> Iterator[io.BufferedWriter]:
    """A file that takes its name when it is whole and on the disk; nothing is left of one that fails."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a write knows no name
            error.filename = error.filename or str(partial)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a renamed entry of a folder outlast a power cut, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
