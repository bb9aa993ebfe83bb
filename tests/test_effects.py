"""Domain randomization of sound: each effect does what its name says, and no more."""

from dataclasses import fields, replace

import numpy as np
import pytest

from samplecnn_zoo.datasets import effects
from samplecnn_zoo.datasets.effects import LEVEL_ALONE, Effects, Samples

RATE = 22_050
SHARES = [item.name for item in fields(Effects) if item.name != "peak_db"]
NONE = Effects(**dict.fromkeys(SHARES, 0.0), peak_db=None)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def white(seconds: float = 2.0, rate: int = RATE) -> Samples:
    return (0.1 * rng(99).standard_normal(int(seconds * rate))).astype(np.float32)


def tone(hz: float, seconds: float = 2.0) -> Samples:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def decibels(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
@pytest.mark.parametrize("share", SHARES)
def test_an_effect_keeps_the_length_and_changes_the_sound(share: str, rate: int) -> None:
    samples = white(rate=rate)
    samples = effects.to_full_scale(samples * np.linspace(1.0, 0.1, len(samples), dtype=np.float32))
    alone = replace(NONE, **{share: 1.0})  # type: ignore[arg-type]
    changed = alone.apply(samples, rate, rng())
    assert changed.shape == samples.shape and changed.dtype == np.float32
    assert np.isfinite(changed).all() and np.abs(changed).max() == pytest.approx(1.0, abs=1e-5)
    assert np.abs(changed - samples).max() > 0.01


@pytest.mark.parametrize("seed", range(5))
def test_the_equalizer_is_smooth_and_within_12_db(seed: int) -> None:
    samples = white(8.0)
    before, after = (
        np.abs(np.fft.rfft(x)[1:]) for x in (samples, effects.equalize(samples, RATE, rng(seed)))
    )
    gain_db = 20 * np.log10(after / before)
    assert gain_db.max() <= 12.01 and gain_db.min() >= -12.01
    assert gain_db.max() - gain_db.min() > 3
    assert np.abs(np.diff(gain_db[2000:])).max() < 0.02  # decibels from bin to bin, above 250 Hz


@pytest.mark.parametrize("seed", range(5))
def test_the_compressor_brings_loud_and_soft_together(seed: int) -> None:
    samples = np.concatenate([tone(440), 0.05 * tone(440)])
    squeezed = effects.compress(samples, RATE, rng(seed))
    half = len(samples) // 2
    apart = decibels(squeezed[: half - RATE // 10]) - decibels(squeezed[half + RATE // 10 :])
    assert 5 < apart < 24  # it was 26


def test_distortion_adds_odd_harmonics() -> None:
    distorted = effects.distort(tone(500), RATE, rng())
    spectrum = np.abs(np.fft.rfft(distorted[:RATE]))  # bins of 1 Hz
    assert spectrum[1500] > 0.01 * spectrum[500] > 100 * spectrum[1000]


@pytest.mark.parametrize("seed", range(5))
def test_a_room_answers_6_to_20_db_softer_and_dies_away(seed: int) -> None:
    click = np.zeros(2 * RATE, np.float32)
    click[0] = 1.0
    answer = effects.reverberate(click, RATE, rng(seed))
    assert answer[0] == pytest.approx(1.0, abs=1e-3)
    assert -20.1 < 10 * np.log10(np.sum(answer[1:] ** 2)) < -5.9
    assert np.sum(answer[1 : RATE // 10] ** 2) > 1e3 * np.sum(answer[int(1.2 * RATE) :] ** 2)


def test_noise_lies_15_to_45_db_below_and_is_white_or_pink() -> None:
    music, slopes = tone(440), []
    for seed in range(20):
        noise = effects.add_noise(music, RATE, rng(seed)) - music
        assert 14.9 < decibels(music) - decibels(noise) < 45.1
        spectrum = np.abs(np.fft.rfft(noise)) ** 2
        slopes.append(10 * np.log10(spectrum[200:400].mean() / spectrum[6400:12800].mean()) / 5)
    assert {round(slope) for slope in slopes} == {0, 3}  # decibels an octave


@pytest.mark.parametrize("rate", effects.MPEG_RATES)
@pytest.mark.parametrize("seed", range(3))
def test_mp3_stays_in_time(rate: int, seed: int) -> None:
    music = np.interp(np.arange(2 * rate) / rate * 400, np.arange(800), rng(5).uniform(-0.9, 0.9, 800))
    samples = music.astype(np.float32)
    coded = effects.code_mp3(samples, rate, rng(seed))
    assert len(coded) == len(samples)
    assert 0.98 < np.corrcoef(coded, samples)[0, 1] < 1.0


def test_a_rate_that_mp3_does_not_know_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(ValueError, match="MP3 has no 10000 Hz; use one of 8000"):
        Effects().apply(white(rate=10_000), 10_000, rng())
    with pytest.raises(ValueError, match="MP3 has no 10000 Hz"):
        effects.code_mp3(white(rate=10_000), 10_000, rng())
    assert len(Effects(mp3=0.0).apply(white(rate=10_000), 10_000, rng())) == 20_000


def test_the_same_generator_gives_the_same_sound() -> None:
    one, two, other = (Effects().apply(white(), RATE, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 0.01


def test_the_level_is_drawn_from_the_range_or_kept() -> None:
    peaks = [float(np.abs(replace(NONE, peak_db=(-24.0, -6.0)).apply(white(), RATE, rng(k))).max())
             for k in range(40)]  # fmt: skip
    drawn_db = 20 * np.log10(peaks)
    assert -24.01 < drawn_db.min() < -20 and -10 < drawn_db.max() < -5.99
    kept = Effects(peak_db=None).apply(white(), RATE, rng())
    assert np.abs(kept).max() == pytest.approx(np.abs(white()).max(), rel=1e-5)
    np.testing.assert_allclose(NONE.apply(white(), RATE, rng()), white(), rtol=1e-5)


def test_the_level_alone_changes_nothing_else() -> None:
    changed = LEVEL_ALONE.apply(white(), RATE, rng(3))
    factor = np.abs(changed).max() / np.abs(white()).max()
    assert 10**-1.5 <= np.abs(changed).max() <= 1 and abs(factor - 1) > 0.01
    np.testing.assert_allclose(changed, white() * factor, atol=1e-6)


@pytest.mark.parametrize("samples", [np.zeros(100, np.float32), np.zeros(0, np.float32)])
def test_silence_stays_silence(samples: Samples) -> None:
    np.testing.assert_array_equal(Effects().apply(samples, RATE, rng()), samples)


def test_one_sample_is_sound_too() -> None:
    assert np.isfinite(Effects(mp3=0.0, peak_db=None).apply(np.ones(1, np.float32), RATE, rng(3))).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"room": 1.5}, "room is a share between 0 and 1, not 1.5"),
        ({"noise": "often"}, "noise is a share between 0 and 1, not 'often'"),
        ({"peak_db": (0.0, -6.0)}, "peak_db is a lowest and a highest level"),
        ({"peak_db": (-6.0, 3.0)}, "up to 0 dB"),
        ({"peak_db": (None, 0.0)}, "peak_db is a lowest and a highest level"),
        ({"peak_db": -6.0}, "peak_db is a lowest and a highest level"),
    ],
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Effects(**wrong)  # type: ignore[arg-type]
