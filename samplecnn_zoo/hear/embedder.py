"""Clips into embeddings with NumPy at both ends; the modules of either framework wrap it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.engines import available_levels, engine_for_model
from samplecnn_zoo.hear.clips import (
    centred_starts,
    centred_windows,
    check_clips,
    resampled,
    scene_windows,
    stated_rate,
)
from samplecnn_zoo.zoo.preset import Preset

if TYPE_CHECKING:
    import keras

Floats = npt.NDArray[np.float32]

LEVELS = (-1, -2, -3)
BATCH_SIZE = 8


class Embedder:
    """A network that embeds clips (n_sounds, n_samples) in ±1 at `sample_rate` Hz.

    Args:
        network: a model with its `.preset`.
        levels: whose features are concatenated.
        hop_ms: milliseconds from timestamp to timestamp; None for the hop of the preset's segments.
        batch_size: windows that run at once.

    Attributes:
        preset: what the network wants.
        sample_rate: the rate of HEAR at which clips are wanted, in Hz.
        hop_samples: samples of the preset's rate from timestamp to timestamp.
        size: numbers in an embedding.

    Raises:
        ValueError: a level is missing, repeated or unknown, the hop or the batch is out of its range.
    """

    def __init__(
        self, network: "keras.Model", *, levels: Sequence[int], hop_ms: float | None, batch_size: int
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.preset: Preset = network.preset
        self.levels = _levels(levels, [layer.name for layer in network.layers])
        self.hop_samples = _hop(self.preset, hop_ms)
        self.sample_rate = stated_rate(self.preset.sample_rate)
        self._batch_size = batch_size
        self._engine = engine_for_model(
            network, self.preset, self.levels, engine="keras", batch_size=batch_size
        )
        self.size = sum(_channels(network, level) for level in self.levels)

    def scenes(self, clips: npt.NDArray[np.generic]) -> Floats:
        """Return (n_sounds, size): the mean over the segments of the preset's rule.

        Raises:
            ValueError: as `check_clips`.
        """
        check_clips(clips, self.sample_rate)
        means = [
            self._rows(scene_windows(clip, self.preset)).mean(axis=0, dtype=np.float64)
            for clip in self._at_rate(clips)
        ]
        return np.stack(means).astype(np.float32)

    def timestamps(self, clips: npt.NDArray[np.generic]) -> tuple[Floats, Floats]:
        """Return (n_sounds, n_timestamps, size) and (n_sounds, n_timestamps) in milliseconds.

        Raises:
            ValueError: as `check_clips`.
        """
        check_clips(clips, self.sample_rate)
        size, rate = self.preset.segment_samples, self.preset.sample_rate
        rows = []
        starts: list[int] = []
        for clip in self._at_rate(clips):
            starts = centred_starts(len(clip), size, self.hop_samples)
            rows.append(self._rows(centred_windows(clip, starts, size)))
        centres_ms = (np.array(starts) + size / 2) * (1000 / rate)
        return np.stack(rows), np.tile(centres_ms.astype(np.float32), (len(rows), 1))

    def _at_rate(self, clips: npt.NDArray[np.generic]) -> Iterator[Floats]:
        for clip in clips:
            yield resampled(clip.astype(np.float32), self.sample_rate, self.preset.sample_rate)

    def _rows(self, windows: Iterable[Floats]) -> Floats:
        """Return the embedding of each window, a batch of them in memory at a time."""
        return np.concatenate([self._run(batch) for batch in self._batches(windows)])

    def _batches(self, windows: Iterable[Floats]) -> Iterator[Floats]:
        """Yield (n, segment_samples, 1); each batch is overwritten by the next."""
        buffer = np.empty((self._batch_size, self.preset.segment_samples, 1), np.float32)
        held = 0
        for window in windows:
            buffer[held, :, 0] = window
            held += 1
            if held == self._batch_size:
                yield buffer
                held = 0
        if held:
            yield buffer[:held]

    def _run(self, batch: Floats) -> Floats:
        """Normalize `batch` in place and embed it."""
        normalization = self.preset.normalization
        if normalization is not None:
            batch -= np.float32(normalization.mean)
            batch /= np.float32(normalization.std)
        features = self._engine(batch)
        rows = np.concatenate([features[f"level_{level}"] for level in self.levels], axis=1)
        if not np.isfinite(rows).all():
            raise ValueError(
                f"preset {self.preset.name!r} gave features that are not finite: report this clip"
            )
        return rows


def _levels(levels: Sequence[int], layer_names: Sequence[str]) -> tuple[int, ...]:
    known = available_levels(layer_names)
    wrong = [level for level in levels if level not in known or levels.count(level) > 1]
    if wrong or not levels:
        raise ValueError(
            f"levels must name one or more of the network's, {min(known, default='none')} to -1, each once, "
            f"such as {LEVELS}; got {tuple(levels)}"
        )
    return tuple(levels)


def _channels(network: "keras.Model", level: int) -> int:
    from samplecnn_zoo.models.features import level_stages, stage_outputs

    channels: int = stage_outputs(network)[level_stages(network)[level]].shape[-1]
    return channels


def _hop(preset: Preset, hop_ms: float | None) -> int:
    if hop_ms is None:
        return preset.hop_samples
    # Products such as 50 * 22.05 may lie a hair below a whole number of samples.
    hop_samples = math.floor(round(hop_ms * preset.sample_rate / 1000, 6)) if math.isfinite(hop_ms) else 0
    if not 1 <= hop_samples <= preset.segment_samples:
        raise ValueError(
            f"hop_ms must be from a sample, {1000 / preset.sample_rate:.3g} ms, to a segment, "
            f"{1000 * preset.segment_s:.1f} ms, so that no sample stays unheard; got {hop_ms}"
        )
    return hop_samples
