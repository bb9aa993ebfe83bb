"""Windows spread evenly over a clip: the starts, the memory, the second reading, and the Tagger's means."""

import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from samplecnn_zoo import audio
from samplecnn_zoo.audio import even_starts, spread
from samplecnn_zoo.models import SampleCNN
from samplecnn_zoo.tagger import Tagger
from samplecnn_zoo.zoo import PresetError, SegmentRule, load_pretrained, save_pretrained
from tests import sounds
from tests.presets import RATE, Floats, preset_for, save_tiny, scores

SAMPLES = 729
LEE, WON = SegmentRule("even", windows=12), SegmentRule("even", windows=16, to_end=False)


def blocks_of(clip: Floats, size: int = 100) -> Iterator[Floats]:
    for at in range(0, len(clip), size):
        yield clip[at : at + size]


class Reader:
    """Gives a clip in blocks, and counts how often."""

    def __init__(self, clip: Floats, size: int = 100) -> None:
        self.clip, self.size, self.times = clip, size, 0

    def __call__(self) -> Iterable[Floats]:
        self.times += 1
        return blocks_of(self.clip, self.size)


def by_hand(clip: Floats, size: int, windows: int, divisor: int) -> list[Floats]:
    """What the authors' scripts do: row · ((length - size) // divisor)."""
    hop = (len(clip) - size) // divisor
    return [clip[row * hop : row * hop + size] for row in range(windows)]


@pytest.mark.parametrize("length", [661500, 640000, 59049 + 16, 59049 * 12])
def test_the_windows_are_those_of_the_authors(length: int) -> None:
    clip = np.random.default_rng(0).uniform(-1, 1, length).astype(np.float32)
    for windows, to_end, divisor in ((12, True, 11), (16, False, 16)):
        reader = Reader(clip, 44100)
        found, samples = spread(reader, 22050, 59049, windows, to_end=to_end, expected_samples=length)
        assert (reader.times, samples, len(found)) == (1, length, windows)
        for segment, wanted in zip(found, by_hand(clip, 59049, windows, divisor), strict=True):
            np.testing.assert_array_equal(segment.samples, wanted)


@pytest.mark.parametrize("expected", [0, 1, 5, 999, 1001, 10**6])
def test_a_length_that_the_header_gets_wrong_costs_a_second_reading(expected: int) -> None:
    clip = np.arange(1, 1001, dtype=np.float32)
    reader = Reader(clip)
    found, samples = spread(reader, 10, 50, 4, expected_samples=expected)
    assert (reader.times, samples) == (2, 1000)
    assert [segment.start_s for segment in found] == [0.0, 31.6, 63.2, 94.8]
    np.testing.assert_array_equal(found[-1].samples, clip[948:998])


@pytest.mark.parametrize(("length", "count"), [(1, 1), (49, 1), (50, 1), (52, 1), (53, 4), (54, 4)])
def test_a_short_clip_is_tiled_and_no_window_is_taken_twice(length: int, count: int) -> None:
    clip = np.arange(1, length + 1, dtype=np.float32)
    found, samples = spread(Reader(clip, 7), 10, 50, 4)
    assert (len(found), samples) == (count, length)
    np.testing.assert_array_equal(found[0].samples, np.resize(clip, 50))


def test_a_clip_without_samples_or_without_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="the blocks hold no sample"):
        spread(lambda: [], 10, 50, 4)
    lengths = iter(range(100, 200))
    with pytest.raises(ValueError, match="another length every time"):
        spread(lambda: [np.ones(next(lengths), np.float32)], 10, 50, 4)


def test_one_window_begins_at_the_start() -> None:
    assert even_starts(1000, 50, 1) == [0] == even_starts(1000, 50, 1, to_end=False)


def test_memory_does_not_grow_with_the_clip() -> None:
    def peak(blocks: int) -> int:
        tracemalloc.start()
        spread(lambda: (np.ones(10_000, np.float32) for _ in range(blocks)), 8000, 729, 12)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(3000) < peak(30) + 50_000 < 10_000_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sounds.write(tmp_path_factory.mktemp("clips") / "noise.wav", sounds.noise(2.0, 11025), 11025)


@pytest.fixture(scope="module", params=[LEE, WON], ids=["Lee", "Won"])
def rule(request: pytest.FixtureRequest) -> SegmentRule:
    found: SegmentRule = request.param
    return found


@pytest.fixture(scope="module")
def preset(rule: SegmentRule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("zoo") / "tiny.even"
    save_tiny(directory, segment_rule=rule)
    return directory


def wanted_scores(model: keras.Model, clip: Path, rule: SegmentRule) -> Floats:
    samples = audio.load(clip, RATE)
    windows = by_hand(samples, SAMPLES, rule.windows or 0, (rule.windows or 0) - rule.to_end)
    return np.asarray(scores(model, np.stack(windows)[..., None]).mean(axis=0))


def test_the_clips_score_is_the_mean_over_its_windows(preset: Path, clip: Path, rule: SegmentRule) -> None:
    model = load_pretrained(preset)
    wanted = wanted_scores(model, clip, rule)
    for tagger in (Tagger(preset), Tagger(model)):
        found = tagger.tag_file(clip)
        assert found.duration_s == pytest.approx(2.0, abs=1e-3)
        by_tag = {tag.tag: tag.score for tag in found.tags}
        np.testing.assert_allclose([by_tag[tag] for tag in model.preset.tags], wanted, rtol=0, atol=1e-4)
    everything = {tag.tag: tag.score for tag in Tagger(preset, hop_s=0.05).tag_file(clip).tags}
    assert max(abs(everything[tag] - score) for tag, score in by_tag.items()) > 1e-5


def test_a_taggram_covers_the_clip_whatever_the_rule(preset: Path, clip: Path) -> None:
    gram = Tagger(preset).taggram(clip)
    assert len(gram.start_s) == -(-16000 // SAMPLES)
    assert np.diff(gram.start_s).max() == pytest.approx(SAMPLES / RATE)


def test_a_file_is_read_once_where_its_header_tells_the_truth(
    preset: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[int] = []
    stream = audio.stream

    def counted(path: Path, sample_rate: int, *, decoder: str) -> Iterator[Floats]:
        times.append(sample_rate)
        return stream(path, sample_rate, decoder=decoder)

    monkeypatch.setattr(audio, "stream", counted)
    Tagger(preset).tag_file(clip)
    assert times == [RATE]


def test_an_encoder_embeds_but_does_not_tag(clip: Path, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = SampleCNN((27, 3, 3, 3), sr=RATE, widths=[6, 7, 8, 9], include_top=False)
    preset = preset_for(
        model,
        arguments={"m": [27, 3, 3, 3], "include_top": False},
        tags=tuple(f"feature_{i}" for i in range(9)),
    )
    save_pretrained(model, tmp_path / "encoder", preset=preset)
    tagger = Tagger(tmp_path / "encoder")
    assert tagger.embed_file(clip).levels[-1].shape == (9,)
    for call in (tagger.tag_file, tagger.taggram):
        with pytest.raises(PresetError, match="is an encoder without tags: take its features with embed"):
            call(clip)
