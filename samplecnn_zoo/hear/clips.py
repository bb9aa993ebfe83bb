"""Clips as HEAR gives them, checked, resampled and cut into a preset's windows. NumPy only."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr

from samplecnn_zoo import audio

Samples = npt.NDArray[np.float32]

RATES = (16000, 22050, 32000, 44100, 48000)  # Hz: those at which HEAR's data sets come


def stated_rate(sample_rate: int) -> int:
    """Return the rate of HEAR at which to ask for audio: the same, the next higher one, or the highest.

    >>> stated_rate(8000), stated_rate(22050), stated_rate(24000), stated_rate(96000)
    (16000, 22050, 32000, 48000)
    """
    return next((rate for rate in RATES if rate >= sample_rate), RATES[-1])


def check_clips(clips: npt.NDArray[np.generic], sample_rate: int) -> None:
    """Refuse what is no batch of clips in ±1.

    Raises:
        ValueError: the shape is not (n_sounds, n_samples) with a sound in it, the numbers are not
            floating-point and finite, a clip is shorter than 0.1 s, or samples lie beyond ±16.
    """
    if clips.ndim != 2 or not len(clips):
        raise ValueError(f"audio must have the shape (n_sounds, n_samples) of mono clips, got {clips.shape}")
    if clips.dtype.kind != "f":
        raise ValueError(f"audio must be floating-point in -1 to 1, got {clips.dtype}: divide by full scale")
    if clips.shape[1] < audio.SHORTEST_S * sample_rate:
        raise ValueError(
            f"a clip must last {audio.SHORTEST_S:g} s at least, {audio.SHORTEST_S * sample_rate:.0f} samples "
            f"at {sample_rate} Hz, got {clips.shape[1]}: join it with more audio"
        )
    finite = np.isfinite(clips)
    if not finite.all():
        sound, sample = np.argwhere(~finite)[0]
        raise ValueError(
            f"audio must be finite, got {clips[sound, sample]} at sample {sample} of clip {sound}"
        )
    peak = np.abs(clips).max()
    if peak > audio.LARGEST_PEAK:
        raise ValueError(f"audio must lie in -1 to 1, got a peak of {peak:g}: divide by full scale")


def resampled(clip: Samples, source_rate: int, sample_rate: int) -> Samples:
    """Return a clip at another rate in ±1: what `audio.load` makes of a file with these samples."""
    if source_rate != sample_rate:
        clip = soxr.resample(clip, source_rate, sample_rate, quality="HQ")
    return np.clip(clip, -1.0, 1.0)


def centred_starts(samples: int, segment_samples: int, hop_samples: int) -> list[int]:
    """Return where the windows around the timestamps begin, in samples; negative before the clip.

    They are as few as leave no sample of the clip farther than half a hop from the centre of one, and the
    first is as far from the clip's start as the last from its end (a sample less where that is not whole).

    >>> centred_starts(100, 20, 40), centred_starts(100, 100, 100), centred_starts(60, 100, 100)
    ([0, 40, 80], [0], [-20])
    """
    count = -(-samples // hop_samples)
    first = (samples - (count - 1) * hop_samples - segment_samples) // 2
    return [first + row * hop_samples for row in range(count)]


def centred_windows(clip: Samples, starts: Sequence[int], segment_samples: int) -> Iterator[Samples]:
    """Yield the windows at `starts`. What lies outside the clip is its mirror image at the edge.

    A clip that is shorter than a window is repeated both ways instead, as `audio.cut` repeats it.
    """
    before = max(0, -starts[0])
    after = max(0, starts[-1] + segment_samples - len(clip))
    mode: Literal["wrap", "reflect"] = "wrap" if len(clip) < segment_samples else "reflect"
    padded = np.pad(clip, (before, after), mode=mode)
    for start in starts:
        yield padded[start + before : start + before + segment_samples]
