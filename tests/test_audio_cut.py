"""The cutting rule, judged by a slow and direct recomputation on the whole clip."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from samplecnn_zoo import audio
from samplecnn_zoo.decoders import Samples
from tests import sounds

RATE = 100


def clip_of(length: int) -> Samples:
    """Return a clip whose samples are their own positions."""
    return np.arange(length, dtype=np.float32)


def in_blocks(clip: Samples, size: int) -> Iterator[Samples]:
    """Split a clip, with an empty block in between as resampling may give."""
    for start in range(0, len(clip), size):
        yield clip[start : start + size]
        yield clip[:0]


def expected(clip: Samples, size: int, hop: int) -> list[tuple[float, list[float]]]:
    """Apply the rule to the whole clip, sample by sample."""
    if len(clip) < size:
        return [(0.0, [float(clip[i % len(clip)]) for i in range(size)])]
    starts = [start for start in range(0, len(clip), hop) if start + size <= len(clip)]
    if starts[-1] + size < len(clip):
        starts.append(len(clip) - size)
    return [(start / RATE, [float(clip[start + i]) for i in range(size)]) for start in starts]


@pytest.mark.parametrize("size", [1, 2, 7, 10])
def test_windows_are_those_of_a_direct_recomputation(size: int) -> None:
    for length, hop, block in itertools.product(range(1, 41), (1, 3, 7, 10, 25), (1, 4, 11, 50)):
        clip = clip_of(length)
        found = list(audio.cut(in_blocks(clip, block), RATE, size, hop))
        assert [(s.start_s, s.samples.tolist()) for s in found] == expected(clip, size, hop), (
            length,
            hop,
            block,
        )


@pytest.mark.parametrize("size", [3, 10])
def test_windows_cover_the_clip_and_differ(size: int) -> None:
    for length, hop in itertools.product(range(size, 41), range(1, size + 1)):
        found = list(audio.cut(in_blocks(clip_of(length), 6), RATE, size, hop))
        heard = {sample for segment in found for sample in segment.samples.tolist()}
        assert heard == set(range(length))
        assert len({segment.start_s for segment in found}) == len(found)
        assert found[-1].samples[-1] == length - 1


def test_by_default_the_hop_is_a_window() -> None:
    found = list(audio.cut([clip_of(35)], RATE, 10))
    assert [segment.start_s for segment in found] == [0.0, 0.1, 0.2, 0.25]


def test_windows_are_copies_of_their_own() -> None:
    clip = clip_of(30)
    found = list(audio.cut([clip], RATE, 10, 5))
    found[0].samples[:] = -1
    assert found[1].samples.tolist() == list(range(5, 15))
    assert clip.tolist() == list(range(30))
    assert all(segment.samples.dtype == np.float32 for segment in found)


def test_windows_come_as_soon_as_they_are_complete() -> None:
    taken = []

    def blocks() -> Iterator[Samples]:
        for start in range(0, 100, 10):
            taken.append(start)
            yield clip_of(100)[start : start + 10]

    first = next(audio.cut(blocks(), RATE, 25))
    assert first.samples.tolist() == list(range(25))
    assert taken == [0, 10, 20]


@pytest.mark.parametrize(
    ("sizes", "name"),
    [((0, 5, 5), "sample_rate"), ((8, 0, 5), "segment_samples"), ((8, 5, 0), "hop_samples")],
)
def test_sizes_must_be_positive(sizes: tuple[int, int, int], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        audio.cut([clip_of(9)], *sizes)


@pytest.mark.parametrize("blocks", [[], [clip_of(0)]])
def test_nothing_can_not_be_cut(blocks: list[Samples]) -> None:
    with pytest.raises(ValueError, match="no sample to cut"):
        list(audio.cut(blocks, RATE, 5))


@pytest.mark.parametrize("seconds", [0.1, 0.7, 2.0, 5.3])
def test_segments_of_a_file_are_those_of_its_samples(tmp_path: Path, seconds: float) -> None:
    path = sounds.write(tmp_path / "a.flac", sounds.noise(seconds, 44100, channels=2), 44100)
    whole = audio.load(path, 8000)
    found = list(audio.segments(path, 8000, 8000, 3000))
    reference = list(audio.cut([whole], 8000, 8000, 3000))
    assert [segment.start_s for segment in found] == [segment.start_s for segment in reference]
    for segment, other in zip(found, reference, strict=True):
        np.testing.assert_array_equal(segment.samples, other.samples)
    if len(whole) < 8000:
        np.testing.assert_array_equal(found[0].samples, np.tile(whole, 80)[:8000])
    else:
        assert found[-1].start_s + 1 == pytest.approx(len(whole) / 8000)
