"""The plain baseline: statistics of mel-frequency cepstral coefficients, computed by librosa."""

from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
from rich.progress import track

RATE = 22050
COEFFICIENTS = 20


def mfcc_statistics(paths: Sequence[Path]) -> np.ndarray:
    """Mean and standard deviation over time of 20 MFCCs and their first two differences: (clips, 120)."""
    return np.stack([mfcc_row(path) for path in track(paths, "MFCC")])


def mfcc_row(path: Path) -> np.ndarray:
    """The statistics of one file: (120,)."""
    audio, _ = librosa.load(path, sr=RATE)
    mfcc = librosa.feature.mfcc(y=audio, sr=RATE, n_mfcc=COEFFICIENTS)
    parts = [mfcc, librosa.feature.delta(mfcc), librosa.feature.delta(mfcc, order=2)]
    return np.concatenate(
        [statistic for part in parts for statistic in (part.mean(axis=1), part.std(axis=1))]
    )
