"""Segments read from clips into batches, with labels, augmentation and normalisation: plain NumPy.

`pipeline` (tf.data) and `arrays` (keras.utils.PyDataset) are two shells around this one, so they give the
same batches bit for bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.datasets.augment import Augmentation
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.datasets.records import FULL_SCALE, Pcm
from samplecnn_zoo.datasets.segments import Plan, Segments, Share, consecutive_plan, epoch_plan

Floats = npt.NDArray[np.float32]
BATCHES = 3  # what random numbers are drawn for, beside those of `segments`

ALIGNMENT = 64  # bytes


class Normalizing(Protocol):
    """What is done to every sample at the end: (x - mean) / std."""

    @property
    def mean(self) -> float: ...  # noqa: D102

    @property
    def std(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips in memory or on disk, all of one length: (clip_samples,) int16 each, and (clips, tags) labels."""

    pcm: Sequence[Pcm] | Pcm
    labels: Floats
    clip_samples: int

    def limited(self, limit: int | None) -> "Clips":
        """The first `limit` clips.

        Raises:
            ValueError: The limit is not positive.
        """
        if limit is None:
            return self
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        return Clips(self.pcm, self.labels[:limit], self.clip_samples)

    def __len__(self) -> int:
        return len(self.labels)


def clips_of(prepared: Prepared, split: str) -> Clips:
    """The clips of a split, read from the shards when used."""
    return Clips(prepared.pcm(split), prepared.labels(split), prepared.clip_samples)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How epochs of training batches are drawn from clips; the same fields give the same batches."""

    clips: Clips
    segments: Segments
    batch_size: int
    seed: int = 0
    augmentation: Augmentation | None = None
    normalization: Normalizing | None = None
    shard: tuple[int, int] = (0, 1)
    shuffle_segments: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")
        if self.shuffle_segments is not None and self.shuffle_segments < 1:
            raise ValueError(f"shuffle_segments must be at least 1, not {self.shuffle_segments}")
        self.batches()

    def batches(self) -> int:
        """Full batches in an epoch of one share.

        Raises:
            ValueError: There is not even one.
        """
        per_clip = self.segments.count(self.clips.clip_samples)
        total = len(self._share().indices()) * per_clip
        if total < self.batch_size:
            raise ValueError(
                f"{total} segments don't fill one batch of {self.batch_size}; take a smaller batch_size"
            )
        return total // self.batch_size

    def epoch(self, epoch: int) -> Callable[[int], tuple[Floats, Floats]]:
        """The function that reads batch i of an epoch: (batch, segment_samples, 1) and (batch, tags)."""
        plan = epoch_plan(
            self._share(),
            self.segments,
            self.clips.clip_samples,
            seed=self.seed,
            epoch=epoch,
            window=self.shuffle_segments,
        )
        return lambda batch: self._batch(plan, epoch, batch)

    def _share(self) -> Share:
        return Share(len(self.clips), *self.shard)

    def _batch(self, plan: Plan, epoch: int, batch: int) -> tuple[Floats, Floats]:
        chosen = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        rows, starts = plan.clips[chosen], plan.starts[chosen]
        labels = self.clips.labels[rows]
        if self.augmentation is None:
            audio = read_segments(self.clips, rows, starts, self.segments.segment_samples)
        else:
            rng = np.random.default_rng([self.seed, epoch, *self.shard, batch, BATCHES])
            last = self.clips.clip_samples - self.segments.segment_samples
            starts = self.augmentation.shifted(starts, last, rng)
            audio = read_segments(self.clips, rows, starts, self.segments.segment_samples)
            audio, labels = self.augmentation.apply(audio, labels, rng)
        return normalized(audio, self.normalization)[..., None], labels


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All consecutive segments of some clips, in order; the last batch may be smaller."""

    clips: Clips
    segment_samples: int
    batch_size: int
    normalization: Normalizing | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")
        Segments(self.segment_samples, "consecutive").count(self.clips.clip_samples)

    def batches(self) -> int:
        """Batches of one pass, the last one counted."""
        per_clip = self.clips.clip_samples // self.segment_samples
        return -(-len(self.clips) * per_clip // self.batch_size)

    def read(self, batch: int) -> tuple[Floats, npt.NDArray[np.int32]]:
        """(b, segment_samples, 1) audio and (b,) the index of each segment's clip in the split."""
        plan = self._plan
        chosen = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        rows = plan.clips[chosen]
        audio = read_segments(self.clips, rows, plan.starts[chosen], self.segment_samples)
        return normalized(audio, self.normalization)[..., None], rows.astype(np.int32)

    @cached_property
    def _plan(self) -> Plan:
        return consecutive_plan(len(self.clips), self.segment_samples, self.clips.clip_samples)


def read_segments(
    clips: Clips, rows: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], segment_samples: int
) -> Floats:
    """(b, segment_samples) float32 in ±1: each sample is read once and written once."""
    audio = _aligned(len(rows), segment_samples)
    for out, row, start in zip(audio, rows, starts, strict=True):
        np.multiply(clips.pcm[row][start : start + segment_samples], np.float32(1 / FULL_SCALE), out=out)
    return audio


def _aligned(rows: int, columns: int) -> Floats:
    """An empty array that begins where TensorFlow takes it as it is; from elsewhere it would make a copy."""
    raw = np.empty(4 * rows * columns + ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % ALIGNMENT
    return raw[first : first + 4 * rows * columns].view(np.float32).reshape(rows, columns)


def normalized(audio: Floats, normalization: Normalizing | None) -> Floats:
    """(x - mean) / std in place; None leaves the audio as it is."""
    if normalization is not None:
        audio -= np.float32(normalization.mean)
        audio /= np.float32(normalization.std)
    return audio
