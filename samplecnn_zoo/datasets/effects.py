"""Domain randomization of sound: a recording as another room, studio, amplifier or coder would have given it.

What is learned from one synthesizer must hold for others and for recordings. Every effect takes samples (n,)
float32 in ±1 at any rate and a generator that draws how strong it is; none changes the number of samples.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import soundfile

Samples = npt.NDArray[np.float32]
Generator = np.random.Generator

MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_BANDS = 9  # points of the equalizer, an octave apart, from half the rate down


@dataclass(frozen=True, kw_only=True)
class Effects:
    """How often each effect is used; those that are used are applied in the order of the fields.

    Attributes:
        equalizer: Share of excerpts with a random smooth curve over octaves, within ±12 dB.
        compressor: Share whose loud and soft passages (over 50 ms) become more alike.
        distortion: Share with soft clipping, from hardly audible to distorted.
        room: Share with reverberation of 0.2 to 1.2 s, 6 to 20 dB below the sound itself.
        noise: Share with white or pink noise, 15 to 45 dB below the music.
        mp3: Share that is coded as MP3, at about 57 to 100 kbit/s for 22,050 Hz, twice that for 44,100.
        polarity: Share that is turned upside down.
        peak_db: Lowest and highest peak level in dB below full scale, drawn evenly; None keeps the level.

    Raises:
        ValueError: A share is not in 0 to 1, or the levels are upside down or above full scale.
    """

    equalizer: float = 0.6
    compressor: float = 0.25
    distortion: float = 0.2
    room: float = 0.35
    noise: float = 0.35
    mp3: float = 0.25
    polarity: float = 0.5
    peak_db: tuple[float, float] | None = (-24.0, 0.0)

    def __post_init__(self) -> None:
        for name in _shares():
            share = getattr(self, name)
            if not isinstance(share, (int, float)) or not 0 <= share <= 1:
                raise ValueError(f"{name} is a share between 0 and 1, not {share!r}")
        if self.peak_db is not None and not (
            isinstance(self.peak_db, Sequence)
            and len(self.peak_db) == 2
            and all(isinstance(level, (int, float)) for level in self.peak_db)
            and -np.inf < self.peak_db[0] <= self.peak_db[1] <= 0
        ):
            raise ValueError(f"peak_db is a lowest and a highest level up to 0 dB, not {self.peak_db!r}")

    def apply(self, samples: Samples, rate: int, rng: Generator) -> Samples:
        """Change (n,) samples in ±1 at `rate` Hz; the result is (n,) in ±1. Silence stays silence.

        Raises:
            ValueError: MP3 knows no such rate (`MPEG_RATES`), and the share `mp3` is not 0.
        """
        if self.mp3 and rate not in MPEG_RATES:
            raise ValueError(f"MP3 has no {rate} Hz; use one of {', '.join(map(str, MPEG_RATES))}, or mp3=0")
        peak = float(np.abs(samples).max(initial=0.0))
        if peak == 0.0:
            return samples
        changed = samples / np.float32(peak)
        for name in _shares():
            if rng.random() < getattr(self, name):
                changed = to_full_scale(_EFFECTS[name](changed, rate, rng))
        level = peak if self.peak_db is None else 10.0 ** (rng.uniform(*self.peak_db) / 20.0)
        return changed * np.float32(level)


def to_full_scale(samples: Samples) -> Samples:
    """Scale to a peak of 1; silence stays silence."""
    peak = np.abs(samples).max(initial=0.0)
    return samples / peak if peak > 0 else samples


def equalize(samples: Samples, rate: int, rng: Generator) -> Samples:
    """A curve of nine points, an octave apart below half the rate, 5 dB around their mean, at most ±12 dB."""
    points = rng.normal(0.0, 5.0, _BANDS)
    points = np.clip(points - points.mean(), -12.0, 12.0)
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.arange(1, len(spectrum) + 1) / len(spectrum)) + _BANDS - 1
    gain_db = np.interp(octaves, np.arange(_BANDS), points)
    return np.fft.irfft(spectrum * 10.0 ** (gain_db / 20.0), len(samples)).astype(np.float32)


def compress(samples: Samples, rate: int, rng: Generator) -> Samples:
    """Divide by the RMS over 50 ms to the power of 0.2 to 0.7; below -40 dB nothing rises any more."""
    from scipy.ndimage import uniform_filter1d

    power = uniform_filter1d(np.square(samples, dtype=np.float64), max(1, rate // 20))
    softer: Samples = (samples * np.sqrt(power + 1e-4) ** -rng.uniform(0.2, 0.7)).astype(np.float32)
    return softer


def distort(samples: Samples, rate: int, rng: Generator) -> Samples:
    """Soft clipping by tanh, driven 1 to 6 times."""
    drive = np.float32(rng.uniform(1.0, 6.0))
    clipped: Samples = np.tanh(samples * drive) / np.tanh(drive)
    return clipped


def reverberate(samples: Samples, rate: int, rng: Generator) -> Samples:
    """Add a room: noise that decays by 60 dB in 0.2 to 1.2 s, its energy 6 to 20 dB below the sound's."""
    from scipy.signal import fftconvolve

    seconds = rng.uniform(0.2, 1.2)
    time_s = np.arange(1, max(2, round(seconds * rate))) / rate
    tail = rng.standard_normal(len(time_s)) * 10.0 ** (-3.0 * time_s / seconds)
    tail *= 10.0 ** (-rng.uniform(6.0, 20.0) / 20.0) / np.sqrt(np.sum(tail**2))
    response = np.concatenate([[1.0], tail]).astype(np.float32)
    wet: Samples = fftconvolve(samples, response)[: len(samples)].astype(np.float32)
    return wet


def add_noise(samples: Samples, rate: int, rng: Generator) -> Samples:
    """White noise, or pink (3 dB less power an octave), 15 to 45 dB below the music's RMS."""
    noise = rng.standard_normal(len(samples))
    if rng.random() < 0.5:
        spectrum = np.fft.rfft(noise)
        noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(samples))
    noise *= np.sqrt(np.mean(np.square(samples, dtype=np.float64)) / np.mean(noise**2))
    noisy: Samples = samples + (noise * 10.0 ** (-rng.uniform(15.0, 45.0) / 20.0)).astype(np.float32)
    return noisy


def code_mp3(samples: Samples, rate: int, rng: Generator) -> Samples:
    """Code as MP3 at one of the coder's middle levels, and decode.

    Lower levels would not do: the coder then changes the rate and no longer writes down its delay.

    Raises:
        ValueError: MP3 knows no such rate.
    """
    if rate not in MPEG_RATES:
        raise ValueError(f"MP3 has no {rate} Hz; use one of {', '.join(map(str, MPEG_RATES))}")
    coded = io.BytesIO()
    level = float(rng.uniform(0.4, 0.7))  # 0 is the best, 1 the smallest
    soundfile.write(coded, 0.9 * samples, rate, format="MP3", subtype="MPEG_LAYER_III",
                    bitrate_mode="CONSTANT", compression_level=level)  # fmt: skip
    coded.seek(0)
    decoded, _ = soundfile.read(coded, frames=len(samples), dtype="float32", fill_value=0.0)
    return np.asarray(decoded, np.float32)


def invert(samples: Samples, rate: int, rng: Generator) -> Samples:
    """Turn upside down: no ear hears a difference."""
    return -samples


_EFFECTS = {
    "equalizer": equalize,
    "compressor": compress,
    "distortion": distort,
    "room": reverberate,
    "noise": add_noise,
    "mp3": code_mp3,
    "polarity": invert,
}


def _shares() -> list[str]:
    return [item.name for item in fields(Effects) if item.name != "peak_db"]


LEVEL_ALONE = Effects(**dict.fromkeys(_shares(), 0.0), peak_db=(-30.0, 0.0))
"""Nothing but the peak level, from -30 dB to full scale: a solo piano is then no softer than a band."""
