"""Features beside what they are to become: of a local copy of a data set, or of a prepared one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.datasets.collection import SPLITS, Collection
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.transfer.classifier import Part, Truth
from samplecnn_zoo.transfer.errors import TransferError
from samplecnn_zoo.transfer.extraction import Progress, extract, extract_prepared, no_progress
from samplecnn_zoo.transfer.scales import Scale
from samplecnn_zoo.transfer.table import FeatureTable


@dataclass(frozen=True, eq=False)
class Labelled:
    """A row a clip.

    Attributes:
        name: Of the set.
        table: Features; its keys are the set's.
        labels: (clips, tags) whether a clip has a tag.
        tags: In the order of the labels.
        single_label: Each clip has one tag.
        splits: (clips,) of "train", "valid" or "test".
        failed: The files that can't be heard, with the reason.
    """

    name: str
    table: FeatureTable
    labels: Truth
    tags: tuple[str, ...]
    single_label: bool
    splits: npt.NDArray[np.str_]
    failed: Mapping[str, str] = field(default_factory=dict)

    def part(self, *splits: str) -> Part:
        """Return features and labels of these splits."""
        rows = np.isin(self.splits, splits)
        return self.table.values[rows], self.labels[rows]

    def keys(self, split: str) -> list[str]:
        """Return the keys of a split's clips."""
        return [key for key, own in zip(self.table.keys, self.splits, strict=True) if own == split]

    def but(self, values: npt.NDArray[np.float32]) -> "Labelled":
        """Return it with other features of the same clips, such as some of the columns."""
        return replace(self, table=replace(self.table, values=values))


def label(
    scales: Sequence[Scale],
    source: Collection | Prepared,
    *,
    cache: str | Path | None = None,
    limit: int | None = None,
    progress: Progress = no_progress,
) -> Labelled:
    """Return the features and labels of all clips of a set that can be heard.

    Args:
        scales: The networks; their columns stand side by side.
        source: A local copy, whose files are decoded, or a prepared set.
        cache: A folder that keeps the features while they are made (`extract`).
        limit: Of a prepared set, take so many clips of each part.
        progress: Wraps the steps, one a clip and scale.

    Raises:
        TransferError: No clip can be heard, or as `extract` and `extract_prepared`.
        OSError: The cache can't be written, or a shard not read.
    """
    if isinstance(source, Prepared):
        return _of_prepared(scales, source, cache, limit, progress)
    table = extract(scales, [item.path for item in source.recordings], cache=cache, progress=progress)
    rows = {key: row for row, key in enumerate(table.keys)}
    heard = [item for item in source.recordings if str(item.path) in rows]
    if not heard:
        raise TransferError(f"{source.name}: none of {len(source.recordings)} files can be heard")
    values = table.values[[rows[str(item.path)] for item in heard]]
    table = replace(table, keys=tuple(item.key for item in heard), values=values)
    labels = _labels([item.tags for item in heard], source.tags)
    splits = np.array([item.split for item in heard])
    return Labelled(source.name, table, labels, source.tags, source.single_label, splits, table.failed)


def _of_prepared(
    scales: Sequence[Scale],
    prepared: Prepared,
    cache: str | Path | None,
    limit: int | None,
    progress: Progress,
) -> Labelled:
    there = [split for split in SPLITS if prepared.counts.get(split)]
    tables = [
        extract_prepared(scales, prepared, split, cache=cache, limit=limit, progress=progress)
        for split in there
    ]
    if not tables:
        raise TransferError(f"{prepared.directory}: the set has no clips")
    table = replace(
        tables[0],
        keys=tuple(key for one in tables for key in one.keys),
        values=np.concatenate([one.values for one in tables]),
    )
    labels = np.concatenate([prepared.labels(split)[:limit] for split in there]) > 0
    splits = np.repeat(there, [len(one.keys) for one in tables])
    return Labelled(prepared.name, table, labels, prepared.tags, prepared.single_label, splits)


def _labels(held: Sequence[Sequence[str]], tags: Sequence[str]) -> Truth:
    column = {tag: index for index, tag in enumerate(tags)}
    labels = np.zeros((len(held), len(tags)), np.bool_)
    for row, names in zip(labels, held, strict=True):
        row[[column[name] for name in names]] = True
    return labels
