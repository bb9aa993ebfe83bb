"""Shards on disk: the plan of which clip goes where, and how each shard is made once.

A finished shard has a file in `journal/` that says what is in it; it is written after the shard has taken its
name. So a shard is done when the journal has it and its bytes are those that the journal names.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from samplecnn_zoo.datasets.collection import SPLITS, Collection, Recording
from samplecnn_zoo.datasets.decoding import Decoded, Stamp, Task, decode_all, stamp_of
from samplecnn_zoo.datasets.prepared import PreparedClip, PreparedError
from samplecnn_zoo.datasets.records import record_dtype
from samplecnn_zoo.files import replacing, write_whole

SHUFFLE_SEED = 2018  # of the order of clips on disk; the order in training is drawn anew in each epoch
JOURNAL = "journal"

Step = str | None
"""What became of a clip: None, or the line that says why its file gave none."""


@dataclass(frozen=True)
class ShardPlan:
    """A shard to be: its file, and the recordings in it with their row numbers."""

    file: str
    split: str
    rows: tuple[tuple[int, Recording], ...]


@dataclass(frozen=True)
class Failure:
    """A file that gave no clip; `stamp` is its size and time (ns), None where it can't be asked."""

    row: int
    path: str
    reason: str
    stamp: Stamp | None


@dataclass(frozen=True)
class Entry:
    """What the journal says of a shard."""

    sha256: str
    clips: tuple[PreparedClip, ...]
    failed: tuple[Failure, ...]

    @classmethod
    def from_json(cls, data: bytes) -> "Entry":
        """The reverse of `json.dumps(asdict(entry))`; raises ValueError, KeyError or TypeError."""
        fields: dict[str, Any] = json.loads(data)
        clips = tuple(PreparedClip(**{**clip, "tags": tuple(clip["tags"])}) for clip in fields["clips"])
        failed = tuple(
            Failure(**{**item, "stamp": item["stamp"] and tuple(item["stamp"])}) for item in fields["failed"]
        )
        return cls(fields["sha256"], clips, failed)


def plan_shards(collection: Collection, shard_clips: int) -> list[ShardPlan]:
    """Which clip goes into which shard: a function of the recordings' keys and splits alone."""
    plans: list[ShardPlan] = []
    first_row = 0
    for number, split in enumerate(SPLITS):
        own = sorted(
            (item for item in collection.recordings if item.split == split), key=lambda item: item.key
        )
        order = np.random.default_rng([SHUFFLE_SEED, number]).permutation(len(own)).tolist()
        rows = [(first_row + place, own[index]) for place, index in enumerate(order)]
        first_row += len(rows)
        for first in range(0, len(rows), shard_clips):
            file = f"{split}-{first // shard_clips:05d}.tfrecord"
            plans.append(ShardPlan(file, split, tuple(rows[first : first + shard_clips])))
    return plans


class _Lost(Exception):
    """A shard would be replaced by one that lacks a clip of it."""


class ShardStore:
    """The shards of a folder: which are done, and how the others are made.

    Args:
        folder: Where they are.
        sample_rate: Of the clips, in Hz.
        clip_samples: Samples of a record.
    """

    def __init__(self, folder: Path, sample_rate: int, clip_samples: int) -> None:
        self.folder = folder
        self.sample_rate = sample_rate
        self.clip_samples = clip_samples
        self._record_bytes = record_dtype(clip_samples).itemsize

    def entry(self, plan: ShardPlan) -> Entry | None:
        """What the journal says of a shard; None when it says nothing that can be read."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return Entry.from_json(self._journal(plan).read_bytes())
        return None

    def is_done(self, plan: ShardPlan, *, hashed: bool = False) -> bool:
        """Whether the shard is what the journal says it is, and no file that failed has come right since."""
        entry = self.entry(plan)
        return entry is not None and not _mended(plan, entry) and self._is_whole(plan, entry, hashed=hashed)

    def fill(self, plans: Sequence[ShardPlan], workers: int) -> Iterator[Step]:
        """Make every shard that is not done; yields a step a clip, those of finished shards first.

        Raises:
            PreparedError: The disk has too little room for what is missing.
            OSError: A shard can't be written; the finished ones stay.
        """
        (self.folder / JOURNAL).mkdir(exist_ok=True)
        for stale in [*self.folder.glob("*.partial"), *(self.folder / JOURNAL).glob("*.partial")]:
            stale.unlink()
        todo: list[ShardPlan] = []
        for plan in plans:
            if self.is_done(plan, hashed=True):
                yield from self._steps_of_done(plan)
            else:
                todo.append(plan)
        yield from self._make(todo, workers)

    def _make(self, todo: Sequence[ShardPlan], workers: int) -> Iterator[Step]:
        clips = [clip for plan in todo for clip in plan.rows]
        self._check_room(len(clips))
        tasks = (Task(row, str(item.path), self.sample_rate, self.clip_samples) for row, item in clips)
        with closing(decode_all(tasks, min(workers, max(1, len(clips))))) as outcomes:
            for plan in todo:
                yield from self._write(plan, islice(outcomes, len(plan.rows)))

    def _write(self, plan: ShardPlan, outcomes: Iterable[Decoded]) -> Iterator[Step]:
        """Write one shard and then its file in the journal, each whole or not at all.

        A whole shard stays where the new one would lack a clip of it, whose file has been lost since.
        """
        clips: list[PreparedClip] = []
        failed: list[Failure] = []
        digest = hashlib.sha256()
        path, there = self.folder / plan.file, self._rows_there(plan)
        try:
            with replacing(path) as file:
                for (row, recording), decoded in zip(plan.rows, outcomes, strict=True):
                    if decoded.error is None:
                        file.write(decoded.record)
                        digest.update(decoded.record)
                        clips.append(_prepared_clip(recording, plan.file, len(clips), decoded))
                    else:
                        failed.append(Failure(row, str(recording.path), decoded.error, decoded.stamp))
                    yield decoded.error
                if there - {clip.row for clip in clips}:
                    raise _Lost
        except _Lost:
            return
        if not clips:
            path.unlink()  # no reader likes an empty file
        entry = Entry(digest.hexdigest(), tuple(clips), tuple(failed))
        write_whole(self._journal(plan), json.dumps(asdict(entry)).encode())

    def _rows_there(self, plan: ShardPlan) -> set[int]:
        """The rows of a shard that is whole."""
        entry = self.entry(plan)
        whole = entry is not None and self._is_whole(plan, entry, hashed=True)
        return {clip.row for clip in entry.clips} if entry and whole else set()

    def _is_whole(self, plan: ShardPlan, entry: Entry, *, hashed: bool) -> bool:
        path = self.folder / plan.file
        if not entry.clips:
            return True
        if not path.is_file() or path.stat().st_size != len(entry.clips) * self._record_bytes:
            return False
        return not hashed or _sha256(path) == entry.sha256

    def _steps_of_done(self, plan: ShardPlan) -> Iterator[Step]:
        entry = self.entry(plan)
        reasons: list[Step] = [item.reason for item in entry.failed] if entry else []
        yield from reasons
        yield from [None] * (len(plan.rows) - len(reasons))

    def _check_room(self, clips: int) -> None:
        wanted, free = clips * self._record_bytes, shutil.disk_usage(self.folder).free
        if wanted > free:
            raise PreparedError(
                f"{self.folder}: {wanted / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free; "
                "make room, name a folder on another disk, or take a lower rate"
            )

    def _journal(self, plan: ShardPlan) -> Path:
        return self.folder / JOURNAL / f"{plan.file}.json"


def _mended(plan: ShardPlan, entry: Entry) -> bool:
    """Whether a file that failed is another one now, and the files of the clips are there to go with it."""
    stamps = {row: stamp_of(str(recording.path)) for row, recording in plan.rows} if entry.failed else {}
    mended = any(stamps[item.row] not in (None, item.stamp) for item in entry.failed)
    return mended and all(stamps[clip.row] for clip in entry.clips)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prepared_clip(recording: Recording, shard: str, position: int, decoded: Decoded) -> PreparedClip:
    size, mtime_ns = decoded.stamp or (0, 0)
    return PreparedClip(
        row=decoded.row,
        key=recording.key,
        path=str(recording.path),
        split=recording.split,
        tags=recording.tags,
        shard=shard,
        position=position,
        samples=decoded.samples,
        source_size=size,
        source_mtime_ns=mtime_ns,
        source_sha1=decoded.sha1,
    )
