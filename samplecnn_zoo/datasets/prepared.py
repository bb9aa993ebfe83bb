"""A prepared set on disk: what `prepare` has written and everything downstream reads. No TensorFlow.

The folder holds `prepared.json` (what the set is, and its shards), `clips.parquet` (a row a clip),
`failed.csv` (the files that gave no clip) and the shards. `prepared.json` is written last: a folder without
it is not complete.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.datasets.collection import SPLITS
from samplecnn_zoo.datasets.records import Pcm, open_shard, record_dtype

FORMAT_VERSION = 1
RECORD = "prepared.json"
CLIPS = "clips.parquet"
FAILED = "failed.csv"
OPEN_SHARDS = 64  # mapped at a time, of a split: each map holds a file descriptor, and some systems give 256
AGAIN = "`samplecnn prepare` with the same options makes it again"


class PreparedError(ValueError):
    """A folder that holds no usable prepared set: one line with what is wrong and the way out."""


@dataclass(frozen=True)
class Shard:
    """A file of records: its name in the folder, the split and number of its clips, and its hash."""

    file: str
    split: str
    clips: int
    sha256: str


@dataclass(frozen=True)
class PreparedClip:
    """A row of `clips.parquet`.

    Attributes:
        row: The clip's number in the set, also in its record; rows of files that failed are missing.
        key: What names it in its set.
        path: The file that it was decoded from.
        split: One of `SPLITS`.
        tags: The tags that hold.
        shard: The file that holds it.
        position: Its place in the shard, from 0.
        samples: Its real length; the rest of its record repeats it from the start.
        source_size: Bytes of the source file.
        source_mtime_ns: When the source file was last changed.
        source_sha1: The hash of the source file.
    """

    row: int
    key: str
    path: str
    split: str
    tags: tuple[str, ...]
    shard: str
    position: int
    samples: int
    source_size: int
    source_mtime_ns: int
    source_sha1: str


@dataclass(frozen=True)
class Description:
    """What `prepared.json` says: `counts` are clips by split, `failed` the number of files that gave none."""

    name: str
    sample_rate: int
    clip_samples: int
    tags: tuple[str, ...]
    single_label: bool
    counts: dict[str, int]
    failed: int
    shards: tuple[Shard, ...]
    notes: tuple[str, ...]
    package_version: str
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """The text of `prepared.json`."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The reverse of `to_json`.

        Raises:
            PreparedError: It is no such text, or of a newer format.
        """
        try:
            fields = json.loads(text)
            version = fields["format_version"]
            shards = tuple(Shard(**shard) for shard in fields.pop("shards"))
            tags, notes = tuple(fields.pop("tags")), tuple(fields.pop("notes"))
            if version <= FORMAT_VERSION:
                return cls(tags=tags, notes=notes, shards=shards, **fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PreparedError(
                f"not what `samplecnn prepare` writes ({error!r}); prepare the set again"
            ) from error
        raise PreparedError(f"format {version} is newer than this samplecnn_zoo reads ({FORMAT_VERSION})")


class Prepared:
    """A prepared set; `open` one, or take what `prepare` returns.

    Attributes:
        directory: Where it is.
        description: What `prepared.json` says; its main fields are attributes here too.
    """

    def __init__(self, directory: Path, description: Description) -> None:
        self.directory = directory
        self.description = description
        self._labels: dict[str, npt.NDArray[np.float32]] = {}
        self._pcm: dict[str, ShardPcm] = {}

    @classmethod
    def open(cls, directory: str | Path) -> Self:
        """Read what the folder says of itself.

        Raises:
            PreparedError: There is no complete set, it is of a newer format, a shard is missing or has the
                wrong size, or the table of clips is missing or another one.
        """
        folder = Path(directory)
        try:
            text = (folder / RECORD).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise PreparedError(
                f"{folder}: no complete set, {RECORD} is missing; make it with `samplecnn prepare`"
            ) from error
        try:
            prepared = cls(folder, Description.from_json(text))
        except PreparedError as error:
            raise PreparedError(f"{folder / RECORD}: {error}") from error
        prepared._check_shards()
        prepared._check_table()
        return prepared

    @property
    def name(self) -> str:
        """The set's name."""
        return self.description.name

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, in the order of a network's outputs."""
        return self.description.tags

    @property
    def sample_rate(self) -> int:
        """Of all clips, in Hz."""
        return self.description.sample_rate

    @property
    def clip_samples(self) -> int:
        """Samples of every record: 29.1 s."""
        return self.description.clip_samples

    @property
    def single_label(self) -> bool:
        """Whether every clip has exactly one tag."""
        return self.description.single_label

    @property
    def counts(self) -> dict[str, int]:
        """Clips by split."""
        return dict(self.description.counts)

    def shards(self, split: str) -> tuple[Shard, ...]:
        """The shards of a split, in the order of its clips; each lies at `directory / shard.file`."""
        _check_split(split)
        return tuple(shard for shard in self.description.shards if shard.split == split)

    def clips(self, split: str) -> tuple[PreparedClip, ...]:
        """The clips of a split; the index of one here is its index in `labels` and `pcm` too."""
        _check_split(split)
        return tuple(clip for clip in self._clips if clip.split == split)

    def labels(self, split: str) -> npt.NDArray[np.float32]:
        """(clips, tags) of 0 and 1: one array for all who ask, which can't be written."""
        if split not in self._labels:
            self._labels[split] = self._marks(self.clips(split))
        return self._labels[split]

    def pcm(self, split: str) -> "ShardPcm":
        """The samples of a split's clips, read where they stand on disk; one object for all who ask."""
        if split not in self._pcm:
            shards = self.shards(split)
            files = [self.directory / shard.file for shard in shards]
            self._pcm[split] = ShardPcm(files, [shard.clips for shard in shards], self.clip_samples)
        return self._pcm[split]

    def _marks(self, clips: Sequence[PreparedClip]) -> npt.NDArray[np.float32]:
        column = {tag: index for index, tag in enumerate(self.tags)}
        marks = np.zeros((len(clips), len(column)), np.float32)
        for row, clip in zip(marks, clips, strict=True):
            row[[column[tag] for tag in clip.tags]] = 1.0
        marks.flags.writeable = False
        return marks

    @cached_property
    def _clips(self) -> list[PreparedClip]:
        import pyarrow.parquet

        path = self.directory / CLIPS
        try:
            rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
            return [PreparedClip(**{**row, "tags": tuple(row["tags"])}) for row in rows]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise PreparedError(
                f"{path}: it is damaged ({_reason(error)}); delete it, then {AGAIN}"
            ) from error

    def _check_shards(self) -> None:
        record = record_dtype(self.clip_samples).itemsize
        for shard in self.description.shards:
            path, wanted = self.directory / shard.file, shard.clips * record
            size = path.stat().st_size if path.is_file() else None
            if size != wanted:
                found = "missing" if size is None else f"{size} bytes long, not {wanted}"
                raise PreparedError(f"{path}: it is {found}; {AGAIN}")

    def _check_table(self) -> None:
        import pyarrow.parquet

        path, wanted = self.directory / CLIPS, sum(shard.clips for shard in self.description.shards)
        try:
            rows = pyarrow.parquet.read_metadata(path).num_rows
        except (OSError, ValueError) as error:
            raise PreparedError(f"{path}: it can't be read ({_reason(error)}); {AGAIN}") from error
        if rows != wanted:
            raise PreparedError(f"{path}: it has {rows} rows, the shards have {wanted} clips; {AGAIN}")


class ShardPcm(Sequence[Pcm]):
    """Clips over several shards as one sequence of (clip_samples,) int16 arrays that are read when used.

    Of many shards the ones used last are mapped; a map ends when no array of it is used any more.
    """

    def __init__(self, files: Sequence[Path], clips: Sequence[int], clip_samples: int) -> None:
        self._files = list(files)
        self._ends = np.cumsum(clips, dtype=np.int64)
        self.clip_samples = clip_samples
        self._open = lru_cache(OPEN_SHARDS)(lambda index: open_shard(self._files[index], clip_samples)["pcm"])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: Any) -> Any:
        """The samples of one clip; like any map of a file, they must not be written."""
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return self._open(shard)[index - self._ends[shard]]


def own_segments(clip: PreparedClip, segment_samples: int) -> int:
    """How many segments side by side are a clip's own sound, and not its repetition; at least one."""
    return max(1, clip.samples // segment_samples)


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise PreparedError(f"split is one of {', '.join(SPLITS)}, not {split!r}")


def _reason(error: Exception) -> str:
    """What went wrong, in one line: a system error's own words, where it has them."""
    return getattr(error, "strerror", None) or " ".join(str(error).split())
