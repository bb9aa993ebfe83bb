"""The plain baseline: statistics of mel-frequency cepstral coefficients, computed by librosa."""

from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
from rich.progress import track

RATE = 22050
COEFFICIENTS = 20


def mfcc_statistics(paths: Sequence[Path], cache: Path) -> np.ndarray:
    """Mean and standard deviation over time of 20 MFCCs and their first two differences.

    Returns:
        (clips, 120) float32. Each file's row is kept in `cache` under its name.
    """
    cache.mkdir(parents=True, exist_ok=True)
    return np.stack([_row(path, cache / f"{path.stem}.npy") for path in track(paths, "MFCC")])


def _row(path: Path, cached: Path) -> np.ndarray:
    if not cached.exists():
        audio, _ = librosa.load(path, sr=RATE)
        mfcc = librosa.feature.mfcc(y=audio, sr=RATE, n_mfcc=COEFFICIENTS)
        parts = [mfcc, librosa.feature.delta(mfcc), librosa.feature.delta(mfcc, order=2)]
        statistics = [statistic for part in parts for statistic in (part.mean(axis=1), part.std(axis=1))]
        np.save(cached, np.concatenate(statistics).astype(np.float32))
    return np.asarray(np.load(cached))
