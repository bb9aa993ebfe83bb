"""From shards, or from arrays of one's own, to batches for `model.fit`, without TensorFlow.

The same batches as from `pipeline`, bit for bit, as `keras.utils.PyDataset` for any backend of Keras.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from samplecnn_zoo.datasets.augment import Augmentation
from samplecnn_zoo.datasets.batches import Clips, Evaluation, Floats, Normalizing, Training, clips_of
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.datasets.records import Pcm
from samplecnn_zoo.datasets.segments import Segments

__all__ = ["ClipArray", "EvaluationSequence", "SegmentSequence", "Segments"]

AHEAD = 4  # batches
READERS = 2  # threads, for all sequences together


class ClipArray:
    """Clips of one's own in one array, in memory or in a `.npy` file: what stands in for a prepared set.

    Args:
        pcm: (clips, clip_samples) int16, or the `.npy` file that holds it; the file is read where it is used.
        labels: (clips, tags) float32 of 0 and 1, or its `.npy` file.

    Raises:
        ValueError: A shape or type is another one, or there are not as many labels as clips.
    """

    def __init__(self, pcm: Pcm | str | Path, labels: Floats | str | Path) -> None:
        samples, marks = _array(pcm), np.asarray(_array(labels))
        if samples.ndim != 2 or samples.dtype != np.int16:
            raise ValueError(
                f"pcm wants (clips, clip_samples) int16, not {samples.shape} {samples.dtype}; "
                "scale samples in ±1 by 32768 and round them"
            )
        if marks.ndim != 2 or len(marks) != len(samples):
            raise ValueError(f"labels want (clips, tags) for {len(samples)} clips, not {marks.shape}")
        self.clips = Clips(samples, marks.astype(np.float32), samples.shape[1])


class SegmentSequence(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """Shuffled segments with the labels of their clips, in full batches: one epoch, then the next one.

    Its elements are ((batch, segment_samples, 1) float32 in ±1, (batch, tags) float32), a function of the
    arguments alone. After all of them have been read, Keras' call of `on_epoch_end` goes on to the next
    epoch. `model.fit(sequence, shuffle=False)` keeps this order; without it Keras shuffles the batches once
    more. Read in order, batches are read ahead by threads of its own: the `workers` of PyDataset stay 1,
    since more of them mix up epochs when Keras looks at a batch before it trains.

    Args:
        source: A prepared set, or a `ClipArray`.
        split: Of the prepared set; None for a `ClipArray`.
        segments: How clips are cut.
        batch_size: Segments in a batch, for this share.
        seed: Of the run.
        epoch: The epoch that comes first.
        skip_batches: Batches of that epoch that are left out.
        augmentation: Changes to the segments; None makes none.
        normalization: What the network wants done to samples, `preset.normalization`.
        limit: Only the first clips.
        shard: (index, count) of this host or replica.
        shuffle_segments: Segments that are shuffled among each other; None is the whole epoch.
        options: Of PyDataset.

    Raises:
        ValueError: An argument is out of range, a segment is longer than a clip, or no batch is full.
    """

    def __init__(
        self,
        source: Prepared | ClipArray,
        split: str | None,
        segments: Segments,
        *,
        batch_size: int,
        seed: int = 0,
        epoch: int = 0,
        skip_batches: int = 0,
        augmentation: Augmentation | None = None,
        normalization: Normalizing | None = None,
        limit: int | None = None,
        shard: tuple[int, int] = (0, 1),
        shuffle_segments: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._training = Training(
            clips=_clips(source, split).limited(limit),
            segments=segments,
            batch_size=batch_size,
            seed=seed,
            augmentation=augmentation,
            normalization=normalization,
            shard=shard,
            shuffle_segments=shuffle_segments,
        )
        if not 0 <= skip_batches <= self._training.batches():
            raise ValueError(
                f"an epoch has {self._training.batches()} batches, {skip_batches} can't be skipped"
            )
        self._count = 0
        self._begin(epoch, skip_batches)

    def __len__(self) -> int:
        return self._training.batches() - self._skipped

    def __getitem__(self, index: int) -> tuple[Floats, Floats]:
        """Batch `index` of this epoch, counted from the first that is not skipped."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        self._count += 1
        return self._batches.get(index + self._skipped)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch if this one was read; Keras also calls this after a look at a batch."""
        if self._count >= len(self):
            self._begin(self._epoch + 1, 0)
        self._count = 0

    def _begin(self, epoch: int, skipped: int) -> None:
        self._epoch, self._skipped = epoch, skipped
        self._batches = _ReadAhead(self._training.epoch(epoch), self._training.batches())


class _ReadAhead:
    """Batches by number; while they are asked for in order, the next ones are read in the background."""

    def __init__(self, read: Callable[[int], tuple[Floats, Floats]], count: int) -> None:
        self._read, self._count = read, count
        self._ready: dict[int, Future[tuple[Floats, Floats]]] = {}
        self._last = -1
        self._lock = Lock()

    def get(self, number: int) -> tuple[Floats, Floats]:
        with self._lock:
            in_order, self._last = number == self._last + 1, number
            future = self._ready.pop(number, None)
            wanted = range(number + 1, min(number + 1 + AHEAD, self._count)) if in_order else range(0)
            self._ready = {n: self._ready.get(n) or _readers().submit(self._read, n) for n in wanted}
        return future.result() if future else self._read(number)


class EvaluationSequence(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """All consecutive segments of every clip, clip after clip.

    Its elements are ((b, segment_samples, 1) float32 in ±1, (b,) int32), the second one the index of each
    segment's clip in the split. The last batch may be smaller.

    Args:
        source: A prepared set, or a `ClipArray`.
        split: Of the prepared set; None for a `ClipArray`.
        segments: Only its length is used.
        batch_size: Segments in a batch.
        normalization: What the network wants done to samples.
        limit: Only the first clips.
        options: Of PyDataset.

    Raises:
        ValueError: An argument is out of range, or a segment is longer than a clip.
    """

    def __init__(
        self,
        source: Prepared | ClipArray,
        split: str | None,
        segments: Segments,
        *,
        batch_size: int,
        normalization: Normalizing | None = None,
        limit: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._evaluation = Evaluation(
            clips=_clips(source, split).limited(limit),
            segment_samples=segments.segment_samples,
            batch_size=batch_size,
            normalization=normalization,
        )

    def __len__(self) -> int:
        return self._evaluation.batches()

    def __getitem__(self, index: int) -> tuple[Floats, npt.NDArray[np.int32]]:
        """Batch `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        return self._evaluation.read(index)


@lru_cache(maxsize=1)
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, "samplecnn-reader")


def _array(source: Any) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(source, mmap_mode="r") if isinstance(source, str | Path) else source
    return array


def _clips(source: Prepared | ClipArray, split: str | None) -> Clips:
    if isinstance(source, ClipArray):
        if split is not None:
            raise ValueError(f"an array has no splits: split is None, not {split!r}")
        return source.clips
    if split is None:
        raise ValueError("a prepared set has splits: name train, valid or test")
    return clips_of(source, split)
