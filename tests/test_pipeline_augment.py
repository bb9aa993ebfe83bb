"""Augmentations do what they say, to each segment on its own."""

from typing import Any

import numpy as np
import pytest

from samplecnn_zoo.datasets.augment import Augmentation

ROWS, SAMPLES, TAGS = 400, 301, 5


def batch(level: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """(ROWS, SAMPLES) noise well below full scale, and (ROWS, TAGS) labels."""
    rng = np.random.default_rng(0)
    audio = rng.normal(0, level, (ROWS, SAMPLES)).astype(np.float32)
    return audio, (rng.random((ROWS, TAGS)) < 0.3).astype(np.float32)


def augmented(seed: int = 1, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    audio, labels = batch()
    return Augmentation(**options).apply(audio, labels, np.random.default_rng(seed))


def level_db(audio: np.ndarray) -> np.ndarray:
    power = np.mean(np.square(audio, dtype=np.float64), axis=1)
    return np.asarray(10 * np.log10(power))


def test_nothing_is_done_unasked() -> None:
    for mine, theirs in zip(augmented(), batch(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_gain_is_drawn_evenly_between_its_bounds() -> None:
    gains = level_db(augmented(gain_db=(-20, 4))[0]) - level_db(batch()[0])
    assert -20 <= gains.min() < -19
    assert 3 < gains.max() <= 4.001
    assert abs(gains.mean() + 8) < 1.5


def test_polarity_turns_that_share_of_segments() -> None:
    signs = augmented(polarity=0.25)[0] / batch()[0]
    assert set(np.unique(np.rint(signs))) == {-1, 1}
    assert (np.ptp(signs, axis=1) == 0).all(), "a segment is turned as a whole"
    assert abs((signs[:, 0] < 0).mean() - 0.25) < 0.07


def test_noise_lies_so_far_below_the_segment() -> None:
    audio = batch()[0]
    noise = augmented(noise_snr_db=(10, 20))[0] - audio
    ratios = level_db(audio) - level_db(noise)
    assert 9 < ratios.min() < 11
    assert 19 < ratios.max() < 21
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 0.2


def test_a_silent_segment_stays_silent() -> None:
    audio, labels = np.zeros((3, 50), np.float32), np.zeros((3, 2), np.float32)
    noisy, _ = Augmentation(noise_snr_db=(0, 0)).apply(audio, labels, np.random.default_rng(0))
    assert not noisy.any()


def test_mixup_mixes_sound_and_labels_by_the_same_share() -> None:
    mixed, labels = augmented(mixup=0.8)
    audio, before = batch()
    for row in range(0, ROWS, 20):
        # Find the partner and the share from the sound alone; the labels must follow.
        rest = [
            (other, *_share(mixed[row], audio[row], audio[other])) for other in range(ROWS) if other != row
        ]
        other, share, error = min(rest, key=lambda item: item[2])
        if error > 1e-6:  # its own partner
            np.testing.assert_allclose(mixed[row], audio[row], atol=1e-6)
            continue
        assert 0 <= share <= 1.0001
        np.testing.assert_allclose(labels[row], share * before[row] + (1 - share) * before[other], atol=1e-4)


def _share(mixed: np.ndarray, own: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    difference = own - other
    share = float(((mixed - other) @ difference) / (difference @ difference))
    return share, float(np.abs(mixed - other - share * difference).max())


def test_a_time_shift_stays_within_its_reach_and_the_clip() -> None:
    starts = np.full(ROWS, 100, np.int64)
    moved = Augmentation(time_shift=150).shifted(starts, 180, np.random.default_rng(0))
    assert (moved.min(), moved.max()) == (0, 180)
    assert len(set(moved)) > 100
    near = Augmentation(time_shift=30).shifted(starts, 180, np.random.default_rng(0))
    assert (near.min(), near.max()) == (70, 130)


def test_the_result_stays_within_full_scale() -> None:
    audio, _ = augmented(gain_db=(40, 40), noise_snr_db=(0, 0))
    assert np.abs(audio).max() == 1.0
    assert audio.dtype == np.float32


def test_the_same_numbers_give_the_same_batch() -> None:
    options: dict[str, Any] = {"gain_db": (-6, 6), "polarity": 0.5, "noise_snr_db": (5, 30), "mixup": 0.4}
    first, second, other = (augmented(seed, **options)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gain_db": (3, -3)}, r"gain_db is a lowest and a highest number of dB, not \(3, -3\)"),
        ({"noise_snr_db": (3,)}, "noise_snr_db is"),
        ({"gain_db": (0, float("inf"))}, "gain_db is"),
        ({"polarity": 1.5}, "between 0 and 1, not 1.5"),
        ({"time_shift": -1}, "must be at least 0, not -1 and 0"),
        ({"mixup": -0.1}, "must be at least 0, not 0 and -0.1"),
        ({"mixup": float("nan")}, "must be at least 0"),
    ],
)
def test_impossible_numbers_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Augmentation(**options)
