"""What may be done to training segments so that a network hears more than was recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Range = tuple[float, float]


def _is_range(bounds: Any) -> bool:
    return isinstance(bounds, Sequence) and len(bounds) == 2 and -np.inf < bounds[0] <= bounds[1] < np.inf


@dataclass(frozen=True)
class Augmentation:
    """Which changes are made to a batch, each drawn anew for every segment.

    They are made in the order of the fields, after the time shift that is made by reading. The result is
    clipped to ±1.

    Attributes:
        gain_db: Lowest and highest gain in dB, drawn evenly.
        polarity: The share of segments that are turned upside down, 0 to 1.
        noise_snr_db: White noise (of evenly spread amplitudes) is added so that the segment is this many dB
            above it: lowest and highest.
        time_shift: A segment begins up to this many samples earlier or later in its clip, as far as the clip
            reaches; of use with consecutive segments.
        mixup: Alpha of mixup (Zhang et al. 2018): segment and labels are mixed with those of another one of
            the batch, with a share drawn from Beta(alpha, alpha). 0 is off.

    Raises:
        ValueError: A range is upside down or not finite, or a number is out of range or none.
    """

    gain_db: Range | None = None
    polarity: float = 0.0
    noise_snr_db: Range | None = None
    time_shift: int = 0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        for name in ("gain_db", "noise_snr_db"):
            bounds = getattr(self, name)
            if bounds is not None and not _is_range(bounds):
                raise ValueError(f"{name} is a lowest and a highest number of dB, not {bounds!r}")
        for name, kind in {"polarity": Real, "time_shift": Integral, "mixup": Real}.items():
            if not isinstance(getattr(self, name), kind):
                what = "whole number of samples" if kind is Integral else "single number"
                raise ValueError(f"{name} is a {what}, not {getattr(self, name)!r}")
        if not 0 <= self.polarity <= 1:
            raise ValueError(f"polarity is a share between 0 and 1, not {self.polarity}")
        if self.time_shift < 0 or not 0 <= self.mixup < np.inf:
            raise ValueError(
                f"time_shift and mixup must be at least 0, not {self.time_shift} and {self.mixup}"
            )

    def shifted(
        self, starts: npt.NDArray[np.int64], last: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """(b,) first samples, moved and kept within 0 and `last`."""
        if not self.time_shift:
            return starts
        moved = starts + rng.integers(-self.time_shift, self.time_shift + 1, starts.shape)
        kept: npt.NDArray[np.int64] = np.clip(moved, 0, last)
        return kept

    def apply(self, audio: Floats, labels: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Change a batch: (b, samples) in ±1, in place, and (b, tags); returns both."""
        size = (len(audio), 1)
        if self.gain_db:
            audio *= _ratio(rng.uniform(*self.gain_db, size))
        if self.polarity:
            audio *= np.where(rng.random(size) < self.polarity, np.float32(-1), np.float32(1))
        if self.noise_snr_db:
            rms = np.sqrt(np.mean(np.square(audio), axis=1, keepdims=True))
            reach = rms * _ratio(-rng.uniform(*self.noise_snr_db, size)) * np.float32(np.sqrt(12))
            audio += (rng.random(audio.shape, np.float32) - np.float32(0.5)) * reach
        if self.mixup:
            audio, labels = _mixed(audio, labels, self.mixup, rng)
        return np.clip(audio, -1.0, 1.0, out=audio), labels


def _mixed(audio: Floats, labels: Floats, alpha: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    share = rng.beta(alpha, alpha, (len(audio), 1)).astype(np.float32)
    other = rng.permutation(len(audio))
    return audio * share + audio[other] * (1 - share), labels * share + labels[other] * (1 - share)


def _ratio(decibels: npt.NDArray[np.float64]) -> Floats:
    return (10.0 ** (decibels / 20.0)).astype(np.float32)
