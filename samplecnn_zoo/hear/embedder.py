"""Clips into embeddings with NumPy at both ends; the modules of either framework wrap it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.audio import Segment
from samplecnn_zoo.engines import available_levels
from samplecnn_zoo.hear.clips import centred_starts, centred_windows, check_clips, resampled, stated_rate
from samplecnn_zoo.tagger import Tagger
from samplecnn_zoo.transfer.scales import Scale
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
        self.preset: Preset = network.preset
        self.levels = _levels(levels, [layer.name for layer in network.layers])
        self.hop_samples = _hop(self.preset, hop_ms)
        self.sample_rate = stated_rate(self.preset.sample_rate)
        self._tagger = Tagger(network, engine="keras", batch_size=batch_size)
        self._scale = Scale(self._tagger, self.levels)
        self.size = self._scale.width

    def scenes(self, clips: npt.NDArray[np.generic]) -> Floats:
        """Return (n_sounds, size): the mean over the segments of the preset's rule.

        Raises:
            ValueError: as `check_clips`.
        """
        check_clips(clips, self.sample_rate)
        return self._finite(np.stack([self._scale.clip(clip).values for clip in self._at_rate(clips)]))

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
            rows.append(self._rows(centred_windows(clip, starts, size), starts))
        centres_ms = (np.array(starts) + size / 2) * (1000 / rate)
        return self._finite(np.stack(rows)), np.tile(centres_ms.astype(np.float32), (len(rows), 1))

    def _at_rate(self, clips: npt.NDArray[np.generic]) -> Iterator[Floats]:
        for clip in clips:
            yield resampled(clip.astype(np.float32), self.sample_rate, self.preset.sample_rate)

    def _rows(self, windows: Iterable[Floats], starts: Sequence[int]) -> Floats:
        """Return the embedding of each window, a batch of them in memory at a time."""
        rate = self.preset.sample_rate
        segments = (Segment(start / rate, window) for start, window in zip(starts, windows, strict=True))
        return np.concatenate([
            np.concatenate([features[f"level_{level}"] for level in self.levels], axis=1)
            for _, features in self._tagger.features(segments, self.levels)
        ])  # fmt: skip

    def _finite(self, rows: Floats) -> Floats:
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
