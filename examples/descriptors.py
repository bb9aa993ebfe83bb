"""Classic descriptors of a segment of music: what a network can be asked to know of sound without any label.

Timbre (mel-frequency cepstral coefficients, spectral shape and contrast), rhythm (energy by modulation
frequency) and how tonal it is (chroma), as statistics over one segment. NumPy and SciPy alone.
"""

import itertools

import librosa
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct, rfft

RATE = 8000
WINDOW, HOP = 512, 200  # 64 and 25 ms
FREQUENCIES = np.fft.rfftfreq(WINDOW, 1 / RATE)
MEL = librosa.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=48, fmin=30, fmax=RATE / 2).T.astype(np.float32)
OCTAVES_HZ = (0, 100, 200, 400, 800, 1600, 3000, 4000)
MODULATION_HZ = ((0.5, 1.5), (1.5, 3), (3, 5), (5, 8), (8, 13), (13, 20))


def descriptors(segments: np.ndarray) -> np.ndarray:
    """Describe (segments, samples) of audio at 8 kHz in ±1 by (segments, 151) float32 numbers."""
    frames = sliding_window_view(np.asarray(segments, np.float32), WINDOW, axis=1)[:, ::HOP]
    magnitude = np.abs(rfft(frames * np.hanning(WINDOW).astype(np.float32), axis=-1)).astype(np.float32)
    power = magnitude**2
    mel = np.log(power @ MEL + 1e-4)
    parts = [*timbre(mel), *shape(power), *contrast(power), *rhythm(mel), *tonality(magnitude)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def timbre(mel: np.ndarray) -> list[np.ndarray]:
    """Mean of 20 MFCCs, and the logarithm of the spread of them and of their first two differences."""
    mfcc = dct(mel, axis=-1, norm="ortho")[..., :20]
    first = np.diff(mfcc, axis=1)
    spread = [np.log(part.std(axis=1) + 1e-3) for part in (mfcc, first, np.diff(first, axis=1))]
    return [mfcc.mean(axis=1), *spread]


def shape(power: np.ndarray) -> list[np.ndarray]:
    """Mean and spread over time of the spectrum's centroid, bandwidth and 85 % point in kHz, and flatness."""
    total = power.sum(axis=-1) + 1e-6
    centroid = (power * FREQUENCIES).sum(axis=-1) / total
    bandwidth = np.sqrt((power * (FREQUENCIES - centroid[..., np.newaxis]) ** 2).sum(axis=-1) / total)
    share = np.cumsum(power, axis=-1) / total[..., np.newaxis]
    rolloff = (share < 0.85).sum(axis=-1) * RATE / WINDOW
    flatness = np.exp(np.log(power + 1e-6).mean(axis=-1)) / (power.mean(axis=-1) + 1e-6)
    curves = (centroid / 1000, bandwidth / 1000, rolloff / 1000, np.log(flatness + 1e-4))
    return [part for curve in curves for part in mean_and_spread(curve)]


def contrast(power: np.ndarray) -> list[np.ndarray]:
    """Mean and spread over time of peaks above valleys, band by band."""
    parts = []
    for low, high in itertools.pairwise(OCTAVES_HZ):
        inside = np.searchsorted(FREQUENCIES, (low, high))
        band = np.sort(np.log(power[..., slice(*inside)] + 1e-4), axis=-1)
        fifth = max(1, band.shape[-1] // 5)
        parts += mean_and_spread(band[..., -fifth:].mean(axis=-1) - band[..., :fifth].mean(axis=-1))
    return parts


def rhythm(mel: np.ndarray) -> list[np.ndarray]:
    """How strongly six bands of the spectrum go up and down, at six bands of modulation frequency."""
    bands = mel.reshape(*mel.shape[:2], 6, 8).mean(axis=-1)
    bands = bands - bands.mean(axis=1, keepdims=True)
    window = np.hanning(bands.shape[1])[np.newaxis, :, np.newaxis]
    modulation = np.abs(rfft(bands * window, axis=1)) ** 2
    frequencies = np.fft.rfftfreq(bands.shape[1], HOP / RATE)
    inside = [(frequencies >= low) & (frequencies < high) for low, high in MODULATION_HZ]
    return [np.log(modulation[:, part].mean(axis=1) + 1e-3) for part in inside]


def tonality(magnitude: np.ndarray) -> list[np.ndarray]:
    """The pitch classes' shares, largest last, and how much they change over time."""
    audible = FREQUENCIES > 100
    pitch_class = (np.round(12 * np.log2(FREQUENCIES[audible] / 440)) % 12).astype(int)
    fold = np.zeros((12, audible.sum()), np.float32)
    fold[pitch_class, np.arange(audible.sum())] = 1
    chroma = magnitude[..., audible] @ fold.T
    chroma = chroma / (chroma.sum(axis=-1, keepdims=True) + 1e-6)
    return [np.sort(chroma.mean(axis=1), axis=-1), chroma.std(axis=1).mean(axis=-1, keepdims=True)]


def mean_and_spread(curve: np.ndarray) -> list[np.ndarray]:
    """Mean and standard deviation over time of (segments, time): two of (segments, 1)."""
    return [curve.mean(axis=1, keepdims=True), curve.std(axis=1, keepdims=True)]
