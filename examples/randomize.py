"""Domain randomization: a segment as another studio, room or recorder would have given it.

What is learned from one soundfont must hold for others and for recordings: equalization, saturation or
compression, noise, a room, polarity. Which of them, and how much, is drawn anew for each segment.
"""

import numpy as np

RATE = 8000


def randomize(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change (n,) float32 samples; the result has a peak of 1."""
    if rng.random() < 0.8:
        samples = equalize(samples, rng)
    samples = to_full_scale(samples)
    dynamics = rng.random()
    if dynamics < 0.3:
        samples = saturate(samples, rng)
    elif dynamics < 0.5:
        samples = compress(samples, rng)
    if rng.random() < 0.4:
        samples = add_noise(samples, rng)
    if rng.random() < 0.25:
        samples = add_room(samples, rng)
    samples = to_full_scale(samples)
    return -samples if rng.random() < 0.5 else samples


def to_full_scale(samples: np.ndarray) -> np.ndarray:
    """Scale to a peak of 1; silence stays silence."""
    scaled: np.ndarray = samples / (np.abs(samples).max() + 1e-4)
    return scaled


def equalize(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth curve of seven points within ±12 dB, linear or logarithmic in frequency; at times a slope."""
    spectrum = np.fft.rfft(samples)
    points = rng.normal(0, 5, 7).clip(-12, 12)
    points -= points.mean()
    if rng.random() < 0.5:
        places = np.linspace(0, 6, len(spectrum))
    else:
        places = np.log2(1 + np.arange(len(spectrum)) / len(spectrum) * 63)
    gain_db = np.interp(places, np.arange(7), points)
    if rng.random() < 0.3:
        gain_db = gain_db + rng.uniform(-18, 6) * np.linspace(0, 1, len(spectrum))
    return np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(samples)).astype(np.float32)


def saturate(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soft clipping, from hardly audible to distorted."""
    drive = rng.uniform(1, 5)
    saturated: np.ndarray = np.tanh(samples * drive) / np.tanh(drive)
    return saturated


def compress(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make loud and soft passages (over 50 ms) more alike."""
    envelope = np.sqrt(np.convolve(samples**2, np.ones(400) / 400, "same") + 1e-4)
    return to_full_scale(samples * envelope ** -rng.uniform(0.2, 0.7))


def add_noise(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White or low-frequency noise, 12 to 45 dB below the music."""
    noise = rng.normal(0, 1, len(samples)).astype(np.float32)
    if rng.random() < 0.5:
        noise = np.cumsum(noise)
        noise = noise - np.convolve(noise, np.ones(200) / 200, "same")
    noise /= noise.std() + 1e-6
    noisy: np.ndarray = samples + noise * (samples.std() * 10 ** (-rng.uniform(12, 45) / 20))
    return noisy


def add_room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reverberation: noise that dies away within 50 to 400 ms, 4 to 20 dB below the direct sound."""
    tail = int(rng.uniform(0.05, 0.4) * RATE)
    response = rng.normal(0, 1, tail) * np.exp(-np.linspace(0, 5, tail))
    response[0] = 0
    response *= rng.uniform(0.1, 0.6) / np.sqrt((response**2).sum())
    response[0] = 1
    size = len(samples) + tail
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)
