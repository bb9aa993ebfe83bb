"""From shards to batches as a `tf.data.Dataset`, for `model.fit` under any backend of Keras.

Every batch is read by its number, from the place in the shards where its segments stand: no shuffle buffer
has to fill, memory does not grow, and a run goes on in the middle of an epoch at once. `arrays` gives the
same batches without TensorFlow.
"""

import atexit
import os
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from threading import Lock
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from samplecnn_zoo.datasets.augment import Augmentation
from samplecnn_zoo.datasets.batches import Evaluation, Floats, Normalizing, Training, clips_of
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.datasets.segments import Segments

READERS = min(8, os.cpu_count() or 1)  # batches that are read at the same time, and that wait to be used
QUIET_S = 0.1  # without a call, after which none is on its way
PATIENCE_S = 10.0  # a thread that still uses batches may ask for ever

Read = Callable[[Any], tuple[Any, Any]]

__all__ = ["Segments", "batches_per_epoch", "evaluation_dataset", "training_dataset"]


def training_dataset(
    prepared: Prepared,
    split: str,
    segments: Segments,
    *,
    batch_size: int,
    seed: int = 0,
    epoch: int = 0,
    skip_batches: int = 0,
    epochs: int = 1,
    augmentation: Augmentation | None = None,
    normalization: Normalizing | None = None,
    limit: int | None = None,
    shard: tuple[int, int] = (0, 1),
    shuffle_segments: int | None = None,
) -> Any:
    """Shuffled segments with the labels of their clips, in full batches: a finite tf.data.Dataset.

    Its elements are ((batch, segment_samples, 1) float32 in ±1, (batch, tags) float32 of 0 and 1). They are a
    function of the arguments alone, whatever TensorFlow's own seeds are.

    Args:
        prepared: The set.
        split: "train", "valid" or "test".
        segments: How clips are cut.
        batch_size: Segments in a batch, for this share.
        seed: Of the run.
        epoch: The (first) epoch, from 0: each has its own order, places and changes.
        skip_batches: Batches of the first epoch that are left out, to go on where a run was stopped.
        epochs: How many epochs follow each other; `model.fit` then wants `steps_per_epoch`.
        augmentation: Changes to the segments; None makes none.
        normalization: What the network wants done to samples, `preset.normalization`.
        limit: Only the first clips, for a quick try.
        shard: (index, count) of this host or replica: each sees other clips, all the same number.
        shuffle_segments: Segments that are shuffled among each other; None is the whole epoch. For a set that
            is larger than memory on a slow disk: 20000 reads neighbouring clips at a time.

    Raises:
        ValueError: An argument is out of range, a segment is longer than a clip, or no batch is full.
    """
    training = Training(
        clips=clips_of(prepared, split).limited(limit),
        segments=segments,
        batch_size=batch_size,
        seed=seed,
        augmentation=augmentation,
        normalization=normalization,
        shard=shard,
        shuffle_segments=shuffle_segments,
    )
    batches = training.batches()
    if not 0 <= skip_batches <= batches:
        raise ValueError(f"an epoch has {batches} batches, {skip_batches} can't be skipped")
    planned = lru_cache(maxsize=2)(training.epoch)  # the epoch that ends and the one that begins
    shapes = (
        tf.TensorSpec((batch_size, segments.segment_samples, 1), tf.float32),
        tf.TensorSpec((batch_size, len(prepared.tags)), tf.float32),
    )

    def read(number: np.int64) -> tuple[Floats, Floats]:
        return planned(epoch + int(number) // batches)(int(number) % batches)

    return _numbered(range(skip_batches, epochs * batches), read, shapes)


def batches_per_epoch(
    prepared: Prepared,
    split: str,
    segments: Segments,
    batch_size: int,
    *,
    limit: int | None = None,
    shard: tuple[int, int] = (0, 1),
) -> int:
    """Batches of `training_dataset` in an epoch with these arguments; the same for every share."""
    clips = clips_of(prepared, split).limited(limit)
    return Training(clips=clips, segments=segments, batch_size=batch_size, shard=shard).batches()


def evaluation_dataset(
    prepared: Prepared,
    split: str,
    segments: Segments,
    *,
    batch_size: int,
    normalization: Normalizing | None = None,
    limit: int | None = None,
) -> Any:
    """All consecutive segments of every clip, clip after clip: a tf.data.Dataset.

    Its elements are ((b, segment_samples, 1) float32 in ±1, (b,) int32), the second one the index of each
    segment's clip in `prepared.clips(split)` and `prepared.labels(split)`. The last batch may be smaller.

    Args:
        prepared: The set.
        split: "train", "valid" or "test".
        segments: Only its length is used.
        batch_size: Segments in a batch.
        normalization: What the network wants done to samples.
        limit: Only the first clips.

    Raises:
        ValueError: An argument is out of range, or a segment is longer than a clip.
    """
    evaluation = Evaluation(
        clips=clips_of(prepared, split).limited(limit),
        segment_samples=segments.segment_samples,
        batch_size=batch_size,
        normalization=normalization,
    )
    shapes = (
        tf.TensorSpec((None, segments.segment_samples, 1), tf.float32),
        tf.TensorSpec((None,), tf.int32),
    )
    return _numbered(range(evaluation.batches()), lambda number: evaluation.read(int(number)), shapes)


def _numbered(numbers: range, read: Read, shapes: tuple[Any, Any]) -> Any:
    """The batches of these numbers, in order, read in parallel and ahead of their use."""
    _leave_gpus_alone()
    types = [spec.dtype for spec in shapes]
    reader = _Reader(read, shapes)

    def batch(number: Any) -> tuple[Any, Any]:
        parts = tf.numpy_function(reader, [number], types)
        first, second = (tf.ensure_shape(part, spec.shape) for part, spec in zip(parts, shapes, strict=True))
        return first, second

    dataset = tf.data.Dataset.range(numbers.start, numbers.stop)
    dataset = dataset.map(batch, num_parallel_calls=READERS, deterministic=True)
    dataset = dataset.prefetch(READERS).with_options(_untuned())
    # Its iterators, and the datasets made of it, hold the dataset: when it goes, nobody reads any more.
    weakref.finalize(dataset, reader.close).atexit = False
    return dataset


def _untuned() -> Any:
    """No autotuning: its thread looks up ever more seldom, and the end of an epoch waits for it to wake.

    That took up to as long as the epoch had lasted (TensorFlow 2.21).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _leave_gpus_alone() -> None:
    """Keep TensorFlow off the GPUs where another backend trains: it would take nearly all of their memory."""
    if keras.backend.backend() != "tensorflow":
        with suppress(RuntimeError):  # it has begun to use them already
            tf.config.set_visible_devices([], "GPU")


class _Reader:
    """What TensorFlow calls for a batch, and never lets go of: closed, it holds no clips and no order."""

    def __init__(self, read: Read, shapes: tuple[Any, Any]) -> None:
        self._read: Read | None = read
        self._sizes = [([size or 0 for size in spec.shape], spec.dtype.as_numpy_dtype) for spec in shapes]

    def __call__(self, number: np.int64) -> tuple[Any, Any]:
        with _exit as going_on:
            if not going_on:
                first, second = (np.zeros(*size) for size in self._sizes)
                return first, second
            if (read := self._read) is None:
                raise RuntimeError("the dataset that these batches are of is gone; keep it while you iterate")
            return read(number)

    def close(self) -> None:
        self._read = None


class _Exit:
    """Lets the reading of batches ahead come to rest before Python ends.

    A thread of TensorFlow that wants to enter Python while Python is being taken down never comes back, and
    an iterator that is still there, as after an exception, would wait for it for ever. So at the exit,
    batches are handed out empty until nobody asks for more: their queues are full then.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = self._calls = 0
        self._closing = False

    def __enter__(self) -> bool:
        with self._lock:
            self._inside += 1
            self._calls += 1
            return not self._closing

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1

    def close(self) -> None:
        """Return when no call is going on and none has come for a while."""
        self._closing = True
        before, end = 0, time.monotonic() + PATIENCE_S
        while (self._inside or self._calls != before) and time.monotonic() < end:
            before = self._calls
            time.sleep(QUIET_S)


_exit = _Exit()
atexit.register(_exit.close)
