"""From shards to batches as a `tf.data.Dataset`, for `model.fit` under any backend of Keras.

Every batch is read by its number, from the place in the shards where its segments stand: no shuffle buffer
has to fill, memory does not grow, and a run goes on in the middle of an epoch at once. `arrays` gives the
same batches without TensorFlow.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from samplecnn_zoo.datasets.augment import Augmentation
from samplecnn_zoo.datasets.batches import Evaluation, Floats, Normalizing, Training, clips_of
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.datasets.segments import Segments

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


def _numbered(numbers: range, read: Callable[[Any], tuple[Any, Any]], shapes: tuple[Any, Any]) -> Any:
    """The batches of these numbers, in order, read in parallel and ahead of their use."""

    def batch(number: Any) -> tuple[Any, Any]:
        parts = tf.numpy_function(read, [number], [spec.dtype for spec in shapes])
        first, second = (tf.ensure_shape(part, spec.shape) for part, spec in zip(parts, shapes, strict=True))
        return first, second

    dataset = tf.data.Dataset.range(numbers.start, numbers.stop)
    return dataset.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(
        tf.data.AUTOTUNE
    )
