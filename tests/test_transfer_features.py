"""Features of clips: equal to a slow recomputation, the same after a kill, never of something else."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from samplecnn_zoo import SampleCNN, Tagger, audio
from samplecnn_zoo.datasets.prepared import Prepared
from samplecnn_zoo.models import feature_model
from samplecnn_zoo.transfer import FeatureTable, Scale, TransferError, extract, extract_prepared
from samplecnn_zoo.zoo import Normalization, SegmentRule, save_pretrained
from tests import training_sets
from tests.presets import edit, preset_for, settle, tiny_model
from tests.sounds import noise, tone, write

Floats = npt.NDArray[np.float32]
LEVELS: tuple[int | str, ...] = (-1, "stage2", -3)
STATISTICS = ("mean", "std", "max")

# Three scales: rate in Hz, stage sizes (their product is the segment), normalization.
NETWORKS: dict[str, tuple[int, list[int], Normalization | None]] = {
    "fine": (8000, [27, 3, 3, 3], None),
    "coarse": (4000, [9, 3, 3, 2], Normalization(0.01, 0.4)),
    "long": (11025, [27, 9, 3, 2], None),
}


@pytest.fixture(scope="module")
def models() -> dict[str, keras.Model]:
    made = {}
    for seed, (name, (rate, plan, norm)) in enumerate(NETWORKS.items()):
        keras.utils.set_random_seed(seed)
        widths = [6 + seed, 7 + seed, 9 - seed, 11 + seed][: len(plan)]
        model = settle(SampleCNN(plan, widths=widths, num_tags=3, sr=rate), seed)
        model.preset = preset_for(
            model, name=f"tiny.{name}", arguments={"m": plan}, normalization=norm, tags=("a", "b", "c")
        )
        made[name] = model
    return made


@pytest.fixture(scope="module")
def presets(models: dict[str, keras.Model], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("presets")
    for name, model in models.items():
        save_pretrained(model, root / name)
    return {name: root / name for name in models}


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("music")
    return [
        write(folder / "tone.wav", tone(0.7, 22050, channels=2), 22050),
        write(folder / "noise.flac", noise(1.1, 16000), 16000),
        write(folder / "short.wav", noise(0.12, 8000), 8000),
    ]


def by_hand(model: keras.Model, path: Path, pooling: str, levels: Sequence[int | str]) -> Floats:
    """Each segment alone through the Keras model, each level pooled and gathered in plain NumPy."""
    preset = model.preset
    network = feature_model(model, levels)
    rows: list[list[npt.NDArray[np.float64]]] = [[] for _ in levels]
    for segment in audio.segments(path, preset.sample_rate, preset.segment_samples):
        x = segment.samples[np.newaxis, :, np.newaxis]
        if preset.normalization is not None:
            x = (x - preset.normalization.mean) / preset.normalization.std
        for found, output in zip(rows, network(x.astype(np.float32), training=False), strict=True):
            frames = np.asarray(keras.ops.convert_to_numpy(output), np.float64)[0]
            found.append(frames.max(axis=0) if pooling == "max" else frames.mean(axis=0))
    parts = []
    for found in rows:
        level = np.stack(found)
        parts += [level.mean(axis=0), level.std(axis=0), level.max(axis=0)]
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_multi_scale_features_equal_a_slow_recomputation(
    models: dict[str, keras.Model], presets: dict[str, Path], music: list[Path], pooling: str
) -> None:
    options: dict[str, Any] = {"levels": LEVELS, "pooling": pooling, "statistics": STATISTICS}
    wanted = np.stack(
        [np.concatenate([by_hand(models[n], path, pooling, LEVELS) for n in models]) for path in music]
    )
    for engine, tolerance in (("keras", 1e-5), ("openvino", 1e-4)):
        scales = [Scale.of(presets[name], **options, engine=engine, batch_size=3) for name in models]
        table = extract(scales, music)
        assert table.values.shape == wanted.shape == (3, sum(scale.width for scale in scales))
        np.testing.assert_allclose(table.values, wanted, rtol=tolerance, atol=tolerance)
        assert np.ptp(table.values, axis=0).max() > 0.1


def test_columns_are_told_apart_by_preset_level_and_statistic(
    presets: dict[str, Path], music: list[Path]
) -> None:
    scales = [
        Scale.of(presets[name], levels=(-1, "stage3"), statistics=("max", "mean"))
        for name in ("fine", "long")
    ]
    table = extract(scales, music)
    found = [(part.preset, part.level, part.statistic) for part in table.parts]
    assert found[:3] == [
        ("tiny.fine", -1, "max"), ("tiny.fine", -1, "mean"), ("tiny.fine", "stage3", "max"),
    ]  # fmt: skip
    tagger = Tagger(presets["long"])
    means = tagger.embed_file(music[0], levels=(-1, "stage3")).levels
    own = table.select(levels=["stage3"], presets=["tiny.long"])[0]
    np.testing.assert_allclose(own[len(own) // 2 :], means["stage3"], atol=1e-6)
    with pytest.raises(TransferError, match=r"no feature is of levels \[-7\]"):
        table.select(levels=[-7])


def test_features_of_segments_are_rows_whose_gathering_is_the_clip(
    presets: dict[str, Path], music: list[Path]
) -> None:
    scale = Scale.of(presets["fine"], levels=LEVELS, statistics=STATISTICS)
    segments, clip = scale.segments(music[1]), scale.clip(music[1])
    assert segments.values.shape == (len(segments.start_s), sum(part.width for part in scale.parts[::3]))
    np.testing.assert_allclose(np.diff(segments.start_s[:3]), 729 / 8000)
    np.testing.assert_allclose(scale.gather(segments.values), clip.values, atol=1e-5)
    assert clip.duration_s == segments.duration_s == pytest.approx(1.1)
    most, mean = (
        Scale.of(presets["fine"], levels=("stage2",), pooling=pooling).segments(music[1]).values
        for pooling in ("max", "mean")
    )
    assert (most >= mean).all() and (most > mean + 0.01).any()


def test_windows_spread_evenly_are_gathered_too(models: dict[str, keras.Model], music: list[Path]) -> None:
    from dataclasses import replace

    model = models["fine"]
    preset = replace(model.preset, segment_rule=SegmentRule("even", windows=3), weights_sha256=None)
    scale = Scale(Tagger(model, preset=preset), (-1,))
    assert scale.segments(music[1]).start_s.tolist() == pytest.approx(
        [0.0, 4035 / 8000, 8070 / 8000], abs=1e-3
    )
    audio_at_rate = audio.load(music[1], 8000)
    np.testing.assert_allclose(scale.clip(audio_at_rate).values, scale.clip(music[1]).values, atol=1e-6)


def test_memory_does_not_grow_with_the_length_of_a_file(presets: dict[str, Path], tmp_path: Path) -> None:
    scale = Scale.of(presets["fine"], statistics=STATISTICS)
    peaks = []
    for seconds in (10, 60):
        path = write(tmp_path / f"{seconds}.wav", noise(seconds, 8000), 8000)
        scale.clip(path)
        tracemalloc.start()
        scale.clip(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000


def test_what_cannot_be_taken_is_refused(presets: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=r"has levels -5 to -1, not \['stage9'\]; its stages are stage1"):
        Scale.of(presets["fine"], levels=(-1, "stage9"))
    with pytest.raises(ValueError, match="pooling must be one of max, mean, got 'median'"):
        Scale.of(presets["fine"], pooling="median")
    with pytest.raises(TransferError, match=r"statistics are among mean, std, max, got \['mode'\]"):
        Scale.of(presets["fine"], statistics=("mode",))
    with pytest.raises(TransferError, match="levels must name one or more, each once"):
        Scale.of(presets["fine"], levels=(-1, -1))


def test_bad_files_are_told_and_the_rest_goes_on(
    presets: dict[str, Path], music: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    told: list[str | None] = []

    def progress(steps: Any, total: int) -> Any:
        assert total == 2 * 4
        for step in steps:
            told.append(step)
            yield step

    scales = [Scale.of(presets[name]) for name in ("fine", "coarse")]
    table = extract(scales, [music[0], bad, *music[1:]], cache=tmp_path / "c", progress=progress)
    assert table.keys == tuple(map(str, music)) and list(table.failed) == [str(bad)]
    assert len(told) == 8 and [step for step in told if step] == [table.failed[str(bad)]]
    assert "not audio" in table.failed[str(bad)]


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_table_comes_back_from_the_disk(
    presets: dict[str, Path], music: list[Path], tmp_path: Path, suffix: str
) -> None:
    scales = [Scale.of(presets["fine"]), Scale.of(presets["long"], levels=("stage2",))]
    table = extract(scales, [*music, tmp_path / "none.wav"], cache=tmp_path / "cache")
    table.save(tmp_path / f"table{suffix}")
    found = FeatureTable.load(tmp_path / f"table{suffix}")
    assert np.array_equal(found.values, table.values) and found.values.dtype == np.float32
    assert (found.keys, found.parts, found.failed) == (table.keys, table.parts, table.failed)
    assert found.identity[0]["preset"]["weights_sha256"] == scales[0].tagger.preset.weights_sha256
    with pytest.raises(TransferError, match=r"written as \.npz or \.parquet"):
        table.save(tmp_path / "table.csv")
    (tmp_path / f"text{suffix}").write_text("no table")
    with pytest.raises(TransferError, match="no table of features"):
        FeatureTable.load(tmp_path / f"text{suffix}")


def test_what_differs_in_anything_has_a_cache_of_its_own(
    presets: dict[str, Path], models: dict[str, keras.Model], music: list[Path], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"

    def journals(**options: Any) -> int:
        extract([Scale.of(presets["fine"], **options)], music[:1], cache=cache)
        return len(list(cache.iterdir()))

    assert [journals(), journals(), journals(levels=(-1,)), journals(pooling="mean")] == [1, 1, 2, 3]
    assert [journals(statistics=("std",)), journals(engine="keras"), journals(hop_s=0.05)] == [4, 5, 6]
    other = tmp_path / "fine"  # of the same name, with other weights
    save_pretrained(tiny_model(seed=9), other, preset=preset_for(tiny_model(), name="tiny.fine"))
    extract([Scale.of(other)], music[:1], cache=cache)
    assert len(list(cache.iterdir())) == 7
    edit(presets["fine"] / "preset.json", lambda value: value.update(description="other words"))
    assert journals() == 7  # words on the card change no feature
    memory = Scale(Tagger(tiny_model(), preset=preset_for(tiny_model())))
    with pytest.raises(TransferError, match="is a model in memory, which may change unnoticed"):
        extract([memory], music[:1], cache=cache)


def test_a_file_that_has_changed_is_heard_again(presets: dict[str, Path], tmp_path: Path) -> None:
    scale = Scale.of(presets["fine"])
    path = write(tmp_path / "a.wav", tone(0.3, 8000), 8000)
    before = extract([scale], [path], cache=tmp_path / "c").values
    write(path, noise(0.4, 8000), 8000)
    after = extract([scale], [path], cache=tmp_path / "c").values
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(after, extract([scale], [path]).values)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
def test_killed_and_resumed_is_equal_to_uninterrupted(presets: dict[str, Path], tmp_path: Path) -> None:
    files = [write(tmp_path / f"{i:02d}.wav", noise(6.0, 8000, seed=i), 8000) for i in range(24)]
    script = (
        "import sys; from pathlib import Path; from samplecnn_zoo.transfer import Scale, extract\n"
        "folder, preset, cache = map(Path, sys.argv[1:])\n"
        "extract([Scale.of(preset, batch_size=1)], sorted(folder.glob('*.wav')), cache=cache)\n"
    )
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", script, str(tmp_path), str(presets["fine"]), str(cache)]
    process = subprocess.Popen(command)
    while not (journals := list(cache.glob("*"))) or journals[0].read_bytes().count(b"\n") < 5:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = journals[0].read_bytes()
    assert 5 <= done.count(b"\n") < 25, "it was not killed in its midst"
    subprocess.run(command, check=True)
    lines = [json.loads(line) for line in journals[0].read_bytes().splitlines()[1:]]
    assert [line["path"] for line in lines] == list(map(str, files))  # each once, in order, none twice
    whole = extract([Scale.of(presets["fine"], batch_size=1)], files, cache=tmp_path / "whole")
    found = [np.frombuffer(base64.b64decode(line["record"]["features"]), "<f4") for line in lines]
    np.testing.assert_array_equal(np.stack(found), whole.values)


def test_a_prepared_set_gives_what_its_audio_gives(tmp_path: Path) -> None:
    prepared = training_sets.make(tmp_path / "set")
    keras.utils.set_random_seed(0)
    model = settle(SampleCNN([9, 3, 3], widths=[4, 5], num_tags=4, sr=50))
    record = preset_for(model, name="tiny.slow", arguments={"m": [9, 3, 3]}, tags=prepared.tags)
    save_pretrained(model, tmp_path / "slow", preset=record)
    scale = Scale.of(tmp_path / "slow", levels=(-1, -2))
    table = extract_prepared([scale], prepared, "valid", cache=tmp_path / "cache")
    assert table.keys == tuple(clip.key for clip in prepared.clips("valid"))
    import soxr

    pcm = prepared.pcm("valid")[3].astype(np.float32) / 32768
    slow = np.clip(soxr.resample(pcm, prepared.sample_rate, 50, quality="HQ"), -1, 1)
    np.testing.assert_allclose(table.values[3], scale.clip(slow).values, atol=1e-6)
    again = extract_prepared([scale], prepared, "valid", cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.values, table.values)
    _refuses_a_higher_rate(prepared, tmp_path)


def _refuses_a_higher_rate(prepared: Prepared, tmp_path: Path) -> None:
    save_pretrained(tiny_model(), tmp_path / "fast", preset=preset_for(tiny_model()))
    with pytest.raises(TransferError, match="prepare the set with --rate 8000 or more"):
        extract_prepared([Scale.of(tmp_path / "fast")], prepared, "valid")
