"""The Tagger against the long way round: load, cut by hand, run Keras, take means."""

import math
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from samplecnn_zoo import audio
from samplecnn_zoo.audio import AudioError
from samplecnn_zoo.models import feature_model
from samplecnn_zoo.tagger import Tagger
from samplecnn_zoo.zoo import Normalization, PresetError, load_pretrained
from tests import sounds
from tests.presets import RATE, TAGS, Floats, preset_for, save_tiny, scores, segments, tiny_model

SAMPLES = 729
NORMALIZATION = Normalization(0.02, 0.4)


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("zoo") / "tiny.random"
    save_tiny(directory, normalization=NORMALIZATION)
    return directory


@pytest.fixture(scope="module")
def model(preset: Path) -> keras.Model:
    return load_pretrained(preset)


@pytest.fixture(scope="module")
def tagger(preset: Path) -> Tagger:
    return Tagger(preset)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of noise at another rate than the preset's: 10 whole segments and a rest."""
    return sounds.write(tmp_path_factory.mktemp("clips") / "noise.wav", sounds.noise(1.0, 11025), 11025)


def cut_by_hand(path: Path, hop: int = SAMPLES) -> tuple[list[int], Floats]:
    """Return starts in samples and normalized segments (n, 729, 1)."""
    samples = audio.load(path, RATE)
    starts = list(range(0, len(samples) - SAMPLES + 1, hop))
    if starts[-1] + SAMPLES < len(samples):
        starts.append(len(samples) - SAMPLES)
    stack = np.stack([samples[start : start + SAMPLES] for start in starts])[..., None]
    return starts, ((stack - NORMALIZATION.mean) / NORMALIZATION.std).astype(np.float32)


@pytest.mark.parametrize("engine", ["openvino", "keras"])
@pytest.mark.parametrize("hop_s", [None, 0.05])
def test_tags_are_the_mean_over_segments_highest_first(
    preset: Path, model: keras.Model, clip: Path, engine: str, hop_s: float | None
) -> None:
    tagger = Tagger(preset, engine=engine, hop_s=hop_s)
    assert tagger.engine == engine
    starts, stack = cut_by_hand(clip, 400 if hop_s else SAMPLES)
    assert len(starts) == (20 if hop_s else 11)
    wanted = scores(model, stack).mean(axis=0)
    (found,) = tagger.tag(clip)
    assert found.path == clip
    assert found.duration_s == pytest.approx(1.0, abs=1e-3)
    assert [tag.tag for tag in found.tags] == [TAGS[index] for index in np.argsort(-wanted)]
    np.testing.assert_allclose([tag.score for tag in found.tags], np.sort(wanted)[::-1], rtol=0, atol=1e-4)


def test_a_batch_size_changes_nothing(preset: Path, clip: Path, tagger: Tagger) -> None:
    wanted = tagger.tag_file(clip)
    for batch_size in (1, 3, 64):
        found = Tagger(preset, batch_size=batch_size).tag_file(clip)
        assert [tag.tag for tag in found.tags] == [tag.tag for tag in wanted.tags]
        for one, other in zip(found.tags, wanted.tags, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-6)


def test_the_taggram_has_a_row_a_segment(tagger: Tagger, model: keras.Model, clip: Path) -> None:
    starts, stack = cut_by_hand(clip)
    taggram = tagger.taggram(clip)
    np.testing.assert_allclose(taggram.start_s, np.array(starts) / RATE)
    np.testing.assert_allclose(taggram.scores, scores(model, stack), rtol=0, atol=1e-4)
    assert (taggram.path, taggram.tags) == (clip, TAGS)
    assert taggram.segment_s == SAMPLES / RATE
    assert taggram.start_s[-1] + taggram.segment_s == pytest.approx(taggram.duration_s)
    means = dict(zip(TAGS, taggram.scores.mean(axis=0, dtype=np.float64), strict=True))
    for tag in tagger.tag_file(clip).tags:
        assert tag.score == pytest.approx(means[tag.tag], abs=1e-7)


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_an_embedding_is_the_mean_of_the_maxima_in_time(
    preset: Path, model: keras.Model, clip: Path, engine: str
) -> None:
    _, stack = cut_by_hand(clip)
    levels = (-1, -2, -3, -4)
    (found,) = Tagger(preset, engine=engine).embed([clip], levels=levels)
    outputs = feature_model(model, levels)(stack, training=False)
    assert tuple(found.levels) == levels
    assert found.duration_s == pytest.approx(1.0, abs=1e-3)
    for level, output in zip(levels, outputs, strict=True):
        wanted = keras.ops.convert_to_numpy(output).max(axis=1).mean(axis=0)
        assert found.levels[level].dtype == np.float32
        np.testing.assert_allclose(found.levels[level], wanted, rtol=1e-4, atol=1e-4)
    assert len({len(rows) for rows in found.levels.values()}) >= 3  # widths 9, 9, 8, 7: no level twice


def test_embeddings_differ_between_clips_and_are_not_constant(tagger: Tagger, tmp_path: Path) -> None:
    low = sounds.write(tmp_path / "low.wav", sounds.tone(0.5, RATE, hz=110), RATE)
    high = sounds.write(tmp_path / "high.wav", sounds.tone(0.5, RATE, hz=2500), RATE)
    one, other = tagger.embed([low, high])
    for level in (-1, -2, -3):
        assert np.ptp(one.levels[level]) > 0
        assert not np.allclose(one.levels[level], other.levels[level], atol=1e-3)


def test_a_short_clip_is_tiled(tagger: Tagger, preset: Path, tmp_path: Path) -> None:
    wide = Tagger(preset_with_longer_segments(preset, tmp_path))
    samples = sounds.noise(0.15, RATE, peak=0.3)
    path = sounds.write(tmp_path / "short.wav", samples, RATE, subtype="FLOAT")
    tiled = np.resize(samples, 2187)[None, :, None]
    (found,) = wide.tag(path)
    wanted = wide.predict_segments(tiled)[0]
    assert {tag.tag: tag.score for tag in found.tags} == pytest.approx(
        dict(zip(TAGS, wanted.tolist(), strict=True)), abs=1e-6
    )
    assert found.duration_s == pytest.approx(0.15)


def preset_with_longer_segments(preset: Path, folder: Path) -> Path:
    """Write a preset of a network that takes 2187 samples, 0.27 s."""
    from samplecnn_zoo.models import SampleCNN
    from samplecnn_zoo.zoo import save_pretrained
    from tests.presets import settle

    model = settle(SampleCNN((81, 3, 3, 3), sr=RATE, num_tags=5, widths=[6, 7, 8, 9]))
    save_pretrained(model, folder / "long", preset=preset_for(model))
    return folder / "long"


def test_top_keeps_the_first(tagger: Tagger, clip: Path) -> None:
    every = tagger.tag_file(clip).tags
    assert len(every) == len(TAGS)
    assert tagger.tag_file(clip, top=2).tags == every[:2]
    assert tagger.tag(clip, top=99)[0].tags == every
    with pytest.raises(ValueError, match="top must be at least 1, or None for all tags, got 0"):
        tagger.tag(clip, top=0)


def test_files_folders_and_globs_are_answered_in_order(tagger: Tagger, tmp_path: Path) -> None:
    for name in ("b.wav", "a.wav", "c.flac"):
        sounds.write(tmp_path / name, sounds.noise(0.2, RATE, seed=ord(name[0])), RATE)
    wav = tmp_path / "b.wav"
    assert [clip.path.name for clip in tagger.tag(tmp_path)] == ["a.wav", "b.wav", "c.flac"]
    assert [clip.path.name for clip in tagger.tag(str(tmp_path / "*.wav"))] == ["a.wav", "b.wav"]
    assert [clip.path for clip in tagger.tag([wav, str(wav)])] == [wav, wav]
    assert [clip.path.name for clip in tagger.embed([tmp_path / "c.flac", wav])] == ["c.flac", "b.wav"]
    assert tagger.tag([]) == []


def test_every_bad_file_is_an_error_and_never_a_score(tagger: Tagger, tmp_path: Path) -> None:
    for path in sounds.hostile(tmp_path).values():
        for ask in (tagger.tag_file, tagger.embed_file, tagger.taggram):
            with pytest.raises(AudioError):
                ask(path)


def test_one_bad_file_stops_a_list(tagger: Tagger, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"missing\.wav: there is no such file"):
        tagger.tag([clip, tmp_path / "missing.wav"])


def test_with_on_error_the_rest_goes_on(tagger: Tagger, clip: Path, tmp_path: Path) -> None:
    errors: list[AudioError] = []
    paths = [tmp_path / "missing.wav", clip]
    assert [found.path for found in tagger.tag(paths, on_error=errors.append)] == [clip]
    assert [found.path for found in tagger.embed(paths, on_error=errors.append)] == [clip]
    assert [error.kind for error in errors] == ["missing", "missing"]


def test_segments_are_normalized_and_scored(tagger: Tagger, model: keras.Model) -> None:
    x = segments(6)
    kept = x.copy()
    found = tagger.predict_segments(x)
    assert found.dtype == np.float32
    wanted = scores(model, (x - np.float32(NORMALIZATION.mean)) / np.float32(NORMALIZATION.std))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert np.abs(wanted - scores(model, x)).max() > 1e-3  # so that leaving it out would show
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(tagger.predict_segments(x.astype(np.float64)), found)
    np.testing.assert_array_equal(tagger.predict_segments(x.tolist()), found)
    assert tagger.predict_segments(x[:0]).shape == (0, len(TAGS))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (segments(1)[0], r"must have the shape \(n, 729, 1\), got \(729, 1\)"),
        (segments(2)[..., 0], r"got \(2, 729\)"),
        (segments(2, 728), r"got \(2, 728, 1\)"),
        (segments(2).transpose(0, 2, 1), r"got \(2, 1, 729\)"),
        ((segments(2) * 32767).astype(np.int16), "must be floating-point in -1 to 1, got int16"),
        (segments(2) * 32767, "must lie in -1 to 1, got a peak of 327.*: divide by full scale"),
        (np.where(segments(2) > 0.99, np.nan, 0), "must be finite, got NaN"),
        (np.where(segments(2) > 0.99, np.inf, 0), "must be finite"),
        (segments(2).astype(complex), "must be floating-point"),
    ],
)
def test_segments_that_are_none_are_refused(tagger: Tagger, array: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tagger.predict_segments(array)


def test_a_model_with_its_preset_runs_as_it_is(model: keras.Model, tagger: Tagger, clip: Path) -> None:
    own = Tagger(model)
    assert (own.engine, own.preset) == ("keras", model.preset)
    assert [tag.tag for tag in own.tag_file(clip).tags] == [tag.tag for tag in tagger.tag_file(clip).tags]


def test_a_model_without_a_preset_asks_for_one(clip: Path) -> None:
    model = tiny_model()
    with pytest.raises(PresetError, match="carries no preset: pass preset=Preset"):
        Tagger(model)
    assert len(Tagger(model, preset=preset_for(model)).tag_file(clip, top=3).tags) == 3


def test_a_preset_that_does_not_fit_the_model_is_refused() -> None:
    model = tiny_model()
    fitting = preset_for(model)
    with pytest.raises(PresetError, match="names 4 tags"):
        Tagger(model, preset=replace(fitting, tags=TAGS[:4]))
    with pytest.raises(PresetError, match="segments of 700 samples"):
        Tagger(model, preset=replace(fitting, segment_samples=700))
    with pytest.raises(PresetError, match="the network is for 8000 Hz"):
        Tagger(model, preset=replace(fitting, sample_rate=22050))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"hop_s": 0.0}, r"hop_s must be above 0 and at most a segment, 0.091 s, .* got 0.0"),
        ({"hop_s": 0.1}, "no sample stays unheard; got 0.1"),
        ({"hop_s": math.nan}, "got nan"),
        ({"engine": "onnx"}, "engine must be one of auto, keras, openvino"),
    ],
)
def test_options_out_of_range_are_refused(preset: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tagger(preset, **options)


def test_a_preset_that_is_loaded_brings_its_own_record(preset: Path, model: keras.Model) -> None:
    with pytest.raises(ValueError, match=r"preset= describes a keras\.Model"):
        Tagger(preset, preset=model.preset)
    with pytest.raises(PresetError, match="neither a directory nor the name of a preset"):
        Tagger("no-such-preset")


def test_levels_that_are_not_there_are_refused(tagger: Tagger, clip: Path) -> None:
    with pytest.raises(ValueError, match=r"has levels -5 to -1, not \[-7\]"):
        tagger.embed_file(clip, levels=(-1, -7))
    with pytest.raises(ValueError, match="levels must name at least one"):
        tagger.embed([clip], levels=())


def test_scores_that_are_not_finite_are_an_error() -> None:
    model = tiny_model(classifier_activation=None)
    kernel, bias = model.get_layer("tags").get_weights()
    model.get_layer("tags").set_weights([np.full_like(kernel, 3e38), bias])
    with pytest.raises(ValueError, match="gave scores that are not finite"):
        Tagger(model, preset=preset_for(model)).predict_segments(segments(1))


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_threads_give_what_one_gives(preset: Path, engine: str, tmp_path: Path) -> None:
    tagger = Tagger(preset, engine=engine)
    paths = [
        sounds.write(tmp_path / f"{index}.wav", sounds.noise(0.3 + 0.1 * index, RATE, seed=index), RATE)
        for index in range(8)
    ]
    alone = [(tagger.tag_file(path), tagger.embed_file(path, levels=(-1, -4))) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        tags = list(pool.map(tagger.tag_file, paths * 2))
        embeddings = list(pool.map(lambda path: tagger.embed_file(path, levels=(-1, -4)), paths * 2))
    assert tags == [tag for tag, _ in alone] * 2
    for found, (_, wanted) in zip(embeddings, alone * 2, strict=True):
        for level in (-1, -4):
            np.testing.assert_array_equal(found.levels[level], wanted.levels[level])


def test_memory_does_not_grow_with_the_file(tagger: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    def peak(seconds: int) -> int:
        def stream(*_: Any, **__: Any) -> Iterator[Floats]:
            for second in range(seconds):
                yield sounds.noise(1.0, RATE, seed=second)[:, 0].astype(np.float32)

        monkeypatch.setattr(audio, "stream", stream)
        tracemalloc.start()
        try:
            assert tagger.tag_file("endless.wav").duration_s == seconds
            tagger.embed_file("endless.wav")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(3)
    assert peak(60) < peak(6) + 100_000  # 60 s are 1.9 MB of samples
