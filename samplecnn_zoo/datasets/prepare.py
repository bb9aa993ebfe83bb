"""From a collection to a prepared folder: every clip decoded once, into shards of 16-bit samples.

The plan comes first: which clip goes into which shard follows from the list of recordings alone, so the same
list gives the same bytes, on any machine and however often the work was interrupted. A file that can't be
decoded leaves its shard shorter; the others keep their row numbers. `prepared.json` is written last.
"""

import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from samplecnn_zoo import __version__
from samplecnn_zoo.datasets.collection import CLIP_S, SPLITS, Collection, Recording
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
from samplecnn_zoo.datasets.shards import Entry, ShardPlan, ShardStore, Step, plan_shards
from samplecnn_zoo.files import partial_name, replacing, write_whole

if sys.platform != "win32":
    import fcntl

PLAN = "plan.json"
LOCK = ".lock"

Progress = Callable[[Iterable[Step], int], Iterable[Step]]


def no_progress(steps: Iterable[Step], total: int) -> Iterable[Step]:
    """Return the steps as they are."""
    return steps


def prepare(
    collection: Collection,
    out: str | Path,
    *,
    sample_rate: int,
    shard_clips: int = 256,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> Prepared:
    """Decode, resample and cut every recording to its first 29.1 s, into shards of 16-bit samples in `out`.

    A shorter clip is repeated until it fills its record, and its real length is kept beside it. The clips of
    a split are shuffled once, by a fixed seed, so that shards are mixed. A killed run goes on with the same
    call where its last whole shard ended; on a complete set nothing is done, unless a file that had failed
    has changed since: its shard is made again, if the other files of the shard are still good. Memory is
    flat: a few clips a worker.

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
        DecoderError: No decoder can be begun.
        OSError: `out` can't be written, or the disk is full; what is finished stays.
    """
    workers = _cores() if workers is None else workers
    for name, value in {"sample_rate": sample_rate, "shard_clips": shard_clips, "workers": workers}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    if not collection.recordings:
        raise ValueError(f"{collection.name}: there is no recording to prepare")
    store = ShardStore(Path(out), sample_rate, round(CLIP_S * sample_rate))
    plans = plan_shards(collection, shard_clips)
    _make_folder(store.folder)
    with _locked(store.folder):
        _check_plan(store.folder, _identity(collection, store, shard_clips))
        if not _is_complete(store, plans):
            (store.folder / RECORD).unlink(missing_ok=True)  # until all is there again
            for _ in progress(store.fill(plans, workers), len(collection.recordings)):
                pass
            _finish(store, collection, plans)
    return Prepared.open(store.folder)


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
    note = f"only {len(kept)} of {len(collection.recordings)} recordings, limited to {limit}"
    notes = (*collection.notes, note)
    return Collection(collection.name, collection.tags, tuple(kept), collection.single_label, notes)


def failures(prepared: Prepared) -> list[tuple[str, str]]:
    """The files that gave no clip: path and reason, as `failed.csv` lists them."""
    path = prepared.directory / FAILED
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [(row["path"], row["reason"]) for row in csv.DictReader(file)]


def _identity(collection: Collection, store: ShardStore, shard_clips: int) -> dict[str, Any]:
    """What the shards' bytes follow from, as JSON gives it back; where the audio lies is not among it."""
    listed = sorted((item.key, item.split, sorted(item.tags)) for item in collection.recordings)
    return {
        "format_version": FORMAT_VERSION,
        "set": collection.name,
        "sample_rate": store.sample_rate,
        "clip_samples": store.clip_samples,
        "shard_clips": shard_clips,
        "single_label": collection.single_label,
        "tags": list(collection.tags),
        "recordings": len(listed),
        "recordings_sha256": hashlib.sha256(json.dumps(listed).encode()).hexdigest(),
    }


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ours = {LOCK, partial_name(folder / PLAN).name}  # of a run that was killed at once
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
    """Write down what the folder is for, or refuse to go on with something else."""
    path = folder / PLAN
    if not path.exists():
        write_whole(path, json.dumps(identity, indent=1).encode())
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


def _is_complete(store: ShardStore, plans: Sequence[ShardPlan]) -> bool:
    """Whether nothing is missing, and no file that failed has come right; bytes are not compared."""
    try:
        Prepared.open(store.folder)
    except PreparedError:
        return False
    return (store.folder / FAILED).exists() and all(map(store.is_done, plans))


def _finish(store: ShardStore, collection: Collection, plans: Sequence[ShardPlan]) -> None:
    """Write the table, the list of failures and, last, the record that says that all is there."""
    entries = [(plan, _entry(store, plan)) for plan in plans]
    clips = [clip for _, entry in entries for clip in entry.clips]
    failed = [item for _, entry in entries for item in entry.failed]
    if not clips:
        raise PreparedError(f"none of {len(failed)} files gave a clip; the first: {failed[0].reason}")
    _write_clips(store.folder / CLIPS, clips)
    _write_failed(store.folder / FAILED, [(item.path, item.reason) for item in failed])
    description = Description(
        name=collection.name,
        sample_rate=store.sample_rate,
        clip_samples=store.clip_samples,
        tags=collection.tags,
        single_label=collection.single_label,
        counts={split: sum(clip.split == split for clip in clips) for split in SPLITS},
        failed=len(failed),
        shards=tuple(
            Shard(plan.file, plan.split, len(entry.clips), entry.sha256)
            for plan, entry in entries
            if entry.clips
        ),
        notes=collection.notes,
        package_version=__version__,
    )
    # Of a name that is no UTF-8, JSON holds the escapes.
    write_whole(store.folder / RECORD, description.to_json().encode(errors="backslashreplace"))


def _entry(store: ShardStore, plan: ShardPlan) -> Entry:
    entry = store.entry(plan)
    if entry is None:
        raise PreparedError(f"{store.folder}: {plan.file} has vanished; give the same command again")
    return entry


def _write_clips(path: Path, clips: Sequence[PreparedClip]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = {name: pa.string() for name in ("key", "path", "split", "shard", "source_sha1")}
    numbers = {name: pa.int64() for name in ("position", "samples", "source_size", "source_mtime_ns")}
    types = {"row": pa.int32(), "tags": pa.list_(pa.string()), **texts, **numbers}
    schema = pa.schema([(name, types[name]) for name in PreparedClip.__dataclass_fields__])
    rows = [{**asdict(clip), "key": _utf8(clip.key), "path": _utf8(clip.path)} for clip in clips]
    table = pa.Table.from_pylist(rows, schema)
    with replacing(path) as file:
        pq.write_table(table, file)


def _utf8(name: str) -> str:
    """A name as Parquet can hold it: bytes that are no UTF-8 become escapes, so that names stay apart."""
    return name.encode(errors="backslashreplace").decode()


def _write_failed(path: Path, failed: Iterable[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "reason"])
    writer.writerows(failed)
    write_whole(path, text.getvalue().encode(errors="surrogateescape"))  # the bytes of a name as they are


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
