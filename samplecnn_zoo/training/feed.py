"""A prepared set as batches for `model.fit`: through tf.data, or NumPy where TensorFlow is not there."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from samplecnn_zoo.datasets.augment import Augmentation
from samplecnn_zoo.datasets.batches import Evaluation, Training, clips_of
from samplecnn_zoo.datasets.prepared import Prepared, own_segments
from samplecnn_zoo.datasets.segments import Segments
from samplecnn_zoo.training.recipe import Recipe, TrainingError
from samplecnn_zoo.zoo import Normalization

KINDS = ("auto", "tfdata", "arrays")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Feed:
    """Where the batches of a run come from; both kinds give the same ones, bit for bit.

    Attributes:
        prepared: The set.
        recipe: How clips become batches.
        segment_samples: What the network takes.
        kind: `tfdata` or `arrays`.
        seed: Of order, places and augmentation.
        limit: At most so many clips of a split; None takes all.
        normalization: What the network wants done to samples, or None.
    """

    prepared: Prepared
    recipe: Recipe
    segment_samples: int
    kind: str
    seed: int = 0
    limit: int | None = None
    normalization: Normalization | None = None

    @cached_property
    def batches(self) -> int:
        """Batches an epoch.

        Raises:
            TrainingError: The training part does not fill one, or a segment is longer than a clip.
        """
        try:
            clips = clips_of(self.prepared, "train").limited(self.limit)
            return Training(clips=clips, segments=self._segments, batch_size=self.recipe.batch_size).batches()
        except ValueError as error:
            raise TrainingError(f"the training part of {self.prepared.directory}: {error}") from error

    def training(self, epoch: int, skip: int = 0) -> Any:
        """Return the batches of an epoch after the first `skip`: (b, segment, 1) in ±1, (b, tags) float32."""
        changes = self.recipe.augmentation
        options: dict[str, Any] = {
            "segments": self._segments,
            "batch_size": self.recipe.batch_size,
            "seed": self.seed,
            "augmentation": Augmentation(**changes) if changes else None,
            "normalization": self.normalization,
        }
        if self.kind == "arrays":
            clips = clips_of(self.prepared, "train").limited(self.limit)
            return _Rest(Training(clips=clips, **options), epoch, skip)
        from samplecnn_zoo.datasets.pipeline import training_dataset

        place: dict[str, Any] = {"epoch": epoch, "skip_batches": skip, "limit": self.limit}
        return training_dataset(self.prepared, "train", **options, **place)

    @property
    def _segments(self) -> Segments:
        return Segments(self.segment_samples, self.recipe.order, self.recipe.per_clip)

    @cached_property
    def valid_labels(self) -> Floats:
        """(clips, tags) of the validation part."""
        return self.prepared.labels("valid")[: self.limit]

    def valid_segments(self) -> Iterator[tuple[Floats, npt.NDArray[np.intp]]]:
        """Yield consecutive segments of the validation clips in full batches, and the clip's index of each.

        The index is -1 where a clip has ended and is repeated, as in `evaluate`, and where the last batch is
        filled up with its first segment, lest another shape be compiled.
        """
        size = self.recipe.batch_size
        evaluation = Evaluation(
            clips=clips_of(self.prepared, "valid").limited(self.limit),
            segment_samples=self.segment_samples,
            batch_size=size,
            normalization=self.normalization,
        )
        owners = self._valid_owners()
        for batch in range(evaluation.batches()):
            audio, rows = evaluation.read(batch)
            missing = size - len(rows)
            own = owners[batch * size : batch * size + len(rows)]
            clips = np.concatenate([own, np.full(missing, -1, np.intp)])
            yield np.concatenate([audio, np.repeat(audio[:1], missing, axis=0)]), clips

    def _valid_owners(self) -> npt.NDArray[np.intp]:
        """The clip of each validation segment, -1 for those that only repeat it."""
        clips = self.prepared.clips("valid")[: self.limit]
        real = np.array([own_segments(clip, self.segment_samples) for clip in clips])
        places = np.arange(self.prepared.clip_samples // self.segment_samples)
        owners = np.where(places < real[:, np.newaxis], np.arange(len(clips))[:, np.newaxis], -1)
        return owners.reshape(-1).astype(np.intp)


class _Rest(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """What is left of one epoch, never of the next: `fit` announces an end before the beginning, too."""

    def __init__(self, training: Training, epoch: int, skip: int) -> None:
        super().__init__()  # with threads, Keras on torch begins with the second batch
        self._read = training.epoch(epoch)
        self._batches = range(skip, training.batches())

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Floats, Floats]:
        return self._read(self._batches[index])


def choose(kind: str) -> str:
    """Return `tfdata` or `arrays`; `auto` is the first where TensorFlow is installed.

    Raises:
        TrainingError: Another kind, or `tfdata` without TensorFlow.
    """
    if kind not in KINDS:
        raise TrainingError(f"data is one of {', '.join(KINDS)}, got {kind!r}")
    there = find_spec("tensorflow") is not None
    if kind == "tfdata" and not there:
        raise TrainingError("data='tfdata' wants TensorFlow: pip install tensorflow, or choose data='arrays'")
    return kind if kind != "auto" else "tfdata" if there else "arrays"
