"""What teacher and student hear of a piece of music: mixtures for both, a worse recording for the student.

A teacher that answers for any sound teaches with any sound: two pieces are mixed, voices laid over them,
tempo and pitch changed together, and teacher and student hear the same ("function matching", Beyer et al.
2022). That the student's copy is quieter, duller, noisier or otherwise equalized must not change its answer.

All functions of JAX, on batches; a key draws. Waveforms are (batch, samples) float32.
"""

from typing import Any

import jax
import jax.numpy as jnp

RATE = 22_050  # Hz
SAMPLES = 66_150  # 3 s: what the teachers hear
Key = Any


def mixtures(key: Key, music: Any, voices: Any, batch: int) -> Any:
    """Draw excerpts of 3 s out of pieces (pieces, samples) int16, often mixed, with a peak of 0.9."""
    one, two, three, four, five, six = jax.random.split(key, 6)
    x = excerpts(one, music, batch)
    x += gain(four, batch, -18, 0, share=0.4) * excerpts(two, music, batch)
    x += gain(five, batch, -12, 4, share=0.25) * excerpts(three, voices, batch)
    return to_peak(equalize(six, x, 5, share=0.5), 0.9)


def excerpts(key: Key, pieces: Any, batch: int) -> Any:
    """Random excerpts with an RMS of 1, half of them faster or slower by up to a sixth, as tapes are."""
    which, where, speed, change = jax.random.split(key, 4)
    index = jax.random.randint(which, (batch,), 0, pieces.shape[0])
    rate = jax.random.uniform(speed, (batch,), minval=0.85, maxval=1.17)
    rate = jnp.where(jax.random.uniform(change, (batch,)) < 0.5, 1.0, rate)
    room = pieces.shape[1] - rate * SAMPLES - 2
    start = jnp.floor(jax.random.uniform(where, (batch,)) * room)
    # Positions are split, since float32 does not count that far: a whole start, and a fraction within.
    at = rate[:, None] * jnp.arange(SAMPLES, dtype="float32")
    whole = jnp.floor(at)
    index_at = start[:, None].astype("int32") + whole.astype("int32")
    rows = index[:, None]
    low, high = pieces[rows, index_at], pieces[rows, index_at + 1]
    low, high = low.astype("float32"), high.astype("float32")
    x = low + (at - whole) * (high - low)
    return x / (jnp.sqrt(jnp.mean(x**2, axis=1, keepdims=True)) + 30)


def worse(key: Key, x: Any) -> Any:
    """The same as another copy would have it: equalized, band-limited, noisy, at another level."""
    one, two, three, four, five = jax.random.split(key, 5)
    x = equalize(one, x, 9, share=0.6)
    x = low_pass(two, x, share=0.25)
    noise = jax.random.normal(three, x.shape)
    x += gain(four, len(x), -45, -15, share=0.3) * noise * jnp.sqrt(jnp.mean(x**2, axis=1, keepdims=True))
    level = jax.random.uniform(five, (len(x), 1), minval=-20.0, maxval=0.0)
    sign = jnp.where(level * 1e4 % 2 < 1, 1.0, -1.0)  # the level's far digits are a coin
    return to_peak(x, 1.0) * sign * 10 ** (level / 20)


def gain(key: Key, batch: int, low_db: float, high_db: float, *, share: float) -> Any:
    """Factors (batch, 1): a `share` of them between two levels, the others 0."""
    one, two = jax.random.split(key)
    factor = 10 ** (jax.random.uniform(one, (batch, 1), minval=low_db, maxval=high_db) / 20)
    return jnp.where(jax.random.uniform(two, (batch, 1)) < share, factor, 0.0)


def equalize(key: Key, x: Any, spread_db: float, *, share: float) -> Any:
    """A smooth curve over octaves, of nine random points, for a `share` of the batch."""
    one, two = jax.random.split(key)
    points = spread_db * jax.random.normal(one, (len(x), 9)) * 0.6
    points = jnp.where(jax.random.uniform(two, (len(x), 1)) < share, points, 0.0)
    bins = SAMPLES // 2 + 1
    place = jnp.clip(jnp.log2(jnp.maximum(jnp.arange(bins), 1) / bins) + 8, 0, 7.999)  # 0..8, octaves
    low = jnp.floor(place).astype("int32")
    curve = points[:, low] + (place - low) * (points[:, low + 1] - points[:, low])
    return jnp.fft.irfft(jnp.fft.rfft(x) * 10 ** (curve / 20), SAMPLES)


def low_pass(key: Key, x: Any, *, share: float) -> Any:
    """Cut what is above 2.5 to 10 kHz, for a `share` of the batch, as coders and old media do."""
    one, two = jax.random.split(key)
    cut = jax.random.uniform(one, (len(x), 1), minval=2500.0, maxval=10_000.0)
    cut = jnp.where(jax.random.uniform(two, (len(x), 1)) < share, cut, RATE)
    hertz = jnp.fft.rfftfreq(SAMPLES, 1 / RATE)
    return jnp.fft.irfft(jnp.fft.rfft(x) * jax.nn.sigmoid((cut - hertz) / 60), SAMPLES)


def resample(x: Any, rate: int) -> Any:
    """3 s at 22,050 Hz to 3 s at another rate, in the spectrum."""
    samples = 3 * rate
    spectrum = jnp.fft.rfft(x)[:, : samples // 2 + 1]
    return jnp.fft.irfft(spectrum, samples) * (samples / SAMPLES)


def center(x: Any, samples: int) -> Any:
    """The middle of each excerpt."""
    start = (x.shape[1] - samples) // 2
    return x[:, start : start + samples]


def to_peak(x: Any, peak: float) -> Any:
    """Scale each to a peak; silence stays silence."""
    return peak * x / (jnp.abs(x).max(axis=1, keepdims=True) + 1e-4)
