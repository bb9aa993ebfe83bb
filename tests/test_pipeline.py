"""From shards to batches: which segments, in which order, the same by every way, and nothing else."""

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from samplecnn_zoo.datasets.arrays import ClipArray, EvaluationSequence, SegmentSequence
from samplecnn_zoo.datasets.augment import Augmentation
from samplecnn_zoo.datasets.pipeline import (
    Segments,
    batches_per_epoch,
    evaluation_dataset,
    training_dataset,
)
from samplecnn_zoo.datasets.prepared import OPEN_SHARDS, Prepared
from samplecnn_zoo.zoo import Normalization
from tests import training_sets as sets
from tests.preparing import CLIP_SAMPLES, SPLITS, TAGS, prepared

SEGMENT = 2187  # 13 fit into a clip
FIT = CLIP_SAMPLES // SEGMENT
BATCH = 6
ROOT = Path(__file__).parents[1]
ALL = Augmentation(gain_db=(-6, 6), polarity=0.5, noise_snr_db=(10, 30), time_shift=300, mixup=0.4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("made"))


def collected(batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """All segments and labels of an epoch, as NumPy arrays."""
    audio, labels = zip(*((np.asarray(x), np.asarray(y)) for x, y in batches), strict=True)
    return np.concatenate(audio), np.concatenate(labels)


def epoch(made: Prepared, segments: Segments | None = None, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    segments = segments or Segments(SEGMENT)
    return collected(training_dataset(made, "train", segments, **{"batch_size": BATCH, **options}))


def places(made: Prepared, audio: np.ndarray, split: str = "train") -> list[tuple[int, int]]:
    """Clip and first sample of each segment, found by looking through the clips' samples."""
    found = []
    for segment in audio[..., 0]:
        wanted = np.rint(segment[:8] * 32768).astype(np.int16)
        for clip, pcm in enumerate(made.pcm(split)):
            starts = np.flatnonzero(pcm[: 1 - 8] == wanted[0])
            hits = [int(start) for start in starts if np.array_equal(pcm[start : start + 8], wanted)]
            hits = [hit for hit in hits if np.array_equal(pcm[hit : hit + SEGMENT] / 32768, segment)]
            if hits:
                found.append((clip, hits[0]))
                break
    assert len(found) == len(audio)
    return found


def test_consecutive_segments_are_each_there_once_with_their_clips_labels(made: Prepared) -> None:
    audio, labels = epoch(made, Segments(SEGMENT, "consecutive"), batch_size=1)
    assert audio.shape == (SPLITS["train"] * FIT, SEGMENT, 1)
    assert audio.dtype == labels.dtype == np.float32
    wanted = {}
    for clip, pcm in enumerate(made.pcm("train")):
        for index in range(FIT):
            part = pcm[index * SEGMENT : (index + 1) * SEGMENT]
            wanted[(part / np.float32(32768)).tobytes()] = clip, index
    # The last clip is a third as long and repeated, yet not by a whole number of segments.
    assert len(wanted) == len(audio)
    found = [wanted.pop(segment.tobytes()) for segment in audio]
    assert not wanted
    np.testing.assert_array_equal(labels, made.labels("train")[[clip for clip, _ in found]])
    assert found != sorted(found)


def test_the_paper_has_ten_segments_a_clip() -> None:
    assert Segments(59049, "consecutive").count(round(29.1 * 22050)) == 10


def test_random_segments_lie_anywhere_in_their_clip_and_each_clip_has_its_number(made: Prepared) -> None:
    audio, labels = epoch(made, Segments(SEGMENT, "random", per_clip=6))
    found = places(made, audio)
    counts = np.bincount([clip for clip, _ in found], minlength=SPLITS["train"])
    assert counts.tolist() == [6] * SPLITS["train"]
    starts = np.array([start for _, start in found])
    assert len(set(starts % SEGMENT)) > 50
    assert starts.min() < 0.1 * CLIP_SAMPLES
    assert starts.max() > 0.8 * (CLIP_SAMPLES - SEGMENT)
    np.testing.assert_array_equal(labels, made.labels("train")[[clip for clip, _ in found]])


@pytest.mark.parametrize("augmentation", [None, ALL])
def test_an_epoch_is_a_function_of_seed_and_number(made: Prepared, augmentation: Augmentation | None) -> None:
    def audio(**options: Any) -> bytes:
        return epoch(made, augmentation=augmentation, **options)[0].tobytes()

    tf.random.set_seed(1)
    first = audio(seed=4, epoch=2)
    tf.random.set_seed(2)
    np.random.default_rng().random()
    assert audio(seed=4, epoch=2) == first
    assert len({first, audio(seed=4, epoch=3), audio(seed=5, epoch=2), audio(seed=2, epoch=4)}) == 4


def test_iterating_again_gives_the_same_epoch(made: Prepared) -> None:
    dataset = training_dataset(made, "train", Segments(SEGMENT), batch_size=BATCH, augmentation=ALL)
    np.testing.assert_array_equal(collected(dataset)[0], collected(dataset)[0])


@pytest.mark.parametrize("skip", [0, 1, 7, 23])
@pytest.mark.parametrize("augmentation", [None, ALL])
def test_skipped_batches_leave_the_others_as_they_are(
    made: Prepared, skip: int, augmentation: Augmentation | None
) -> None:
    options: dict[str, Any] = {"seed": 1, "augmentation": augmentation}
    whole, labels = epoch(made, **options)
    if skip == len(whole) // BATCH:
        assert not list(epoch_dataset(made, skip_batches=skip, **options))
        return
    rest, rest_labels = epoch(made, skip_batches=skip, **options)
    np.testing.assert_array_equal(rest, whole[skip * BATCH :])
    np.testing.assert_array_equal(rest_labels, labels[skip * BATCH :])


def epoch_dataset(made: Prepared, **options: Any) -> Any:
    return training_dataset(made, "train", Segments(SEGMENT), **{"batch_size": BATCH, **options})


def test_several_epochs_follow_each_other(made: Prepared) -> None:
    three = collected(epoch_dataset(made, epoch=5, epochs=3, skip_batches=2))[0]
    parts = [epoch(made, epoch=5, skip_batches=2)[0], epoch(made, epoch=6)[0], epoch(made, epoch=7)[0]]
    np.testing.assert_array_equal(three, np.concatenate(parts))


@pytest.mark.parametrize("hosts", [2, 3, 11])
@pytest.mark.parametrize("order", ["random", "consecutive"])
def test_hosts_share_the_clips_and_have_equally_many_batches(made: Prepared, hosts: int, order: Any) -> None:
    segments = Segments(SEGMENT, order)
    alone = {place: index for index, place in enumerate(places(made, epoch(made, segments, batch_size=1)[0]))}
    seen: list[set[int]] = []
    for index in range(hosts):
        audio, _ = epoch(made, segments, batch_size=1, shard=(index, hosts))
        own = places(made, audio)
        assert len(own) == (SPLITS["train"] // hosts) * FIT
        assert set(own) <= alone.keys(), "the places of a clip do not depend on who reads it"
        seen.append({clip for clip, _ in own})
        batches = batches_per_epoch(made, "train", segments, BATCH, shard=(index, hosts))
        assert batches == len(own) // BATCH
    assert sum(map(len, seen)) == len(set().union(*seen)) == SPLITS["train"] // hosts * hosts


def test_a_window_reads_neighbours_together_and_each_segment_once(made: Prepared) -> None:
    segments = Segments(SEGMENT, "consecutive")
    windowed = places(made, epoch(made, segments, batch_size=1, shuffle_segments=2 * FIT)[0])
    assert sorted(windowed) == sorted(places(made, epoch(made, segments, batch_size=1)[0]))
    for first in range(0, len(windowed) - 4 * FIT, FIT):
        near = {clip for clip, _ in windowed[first : first + FIT]}
        assert len(near) <= 4, "runs of two clips: a stretch of a run touches two of them at most"
    assert windowed != sorted(windowed)
    assert windowed != places(made, epoch(made, segments, batch_size=1, shuffle_segments=2 * FIT, epoch=1)[0])


def test_a_limit_takes_the_first_clips(made: Prepared) -> None:
    audio, _ = epoch(made, limit=3)
    assert {clip for clip, _ in places(made, audio)} == {0, 1, 2}
    assert batches_per_epoch(made, "train", Segments(SEGMENT), BATCH, limit=3) == len(audio) // BATCH


def test_batches_are_full_and_as_many_as_announced(made: Prepared) -> None:
    dataset = epoch_dataset(made)
    batches = list(dataset)
    assert {tuple(x.shape) for x, _ in batches} == {(BATCH, SEGMENT, 1)}
    assert {tuple(y.shape) for _, y in batches} == {(BATCH, len(TAGS))}
    assert len(batches) == len(dataset) == batches_per_epoch(made, "train", Segments(SEGMENT), BATCH)
    assert len(batches) == SPLITS["train"] * FIT // BATCH
    assert dataset.element_spec[0].shape == (BATCH, SEGMENT, 1)


def test_the_end_of_an_epoch_does_not_wait_for_autotuning(made: Prepared) -> None:
    """Its thread sleeps ever longer, and an iterator that goes waits for it: as long as the epoch took."""
    dataset = training_dataset(made, "train", Segments(SEGMENT), batch_size=BATCH)
    assert dataset.options().autotune.enabled is False
    assert dataset.repeat(2).options().autotune.enabled is False


def test_normalization_comes_last(made: Prepared) -> None:
    plain, _ = epoch(made, augmentation=ALL)
    scaled, _ = epoch(made, augmentation=ALL, normalization=Normalization(0.25, 0.5))
    np.testing.assert_allclose(scaled, (plain - 0.25) / 0.5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
def test_evaluation_has_every_segment_of_every_clip_in_order(made: Prepared, batch_size: int) -> None:
    audio, clips = collected(evaluation_dataset(made, "test", Segments(SEGMENT), batch_size=batch_size))
    assert clips.dtype == np.int32
    np.testing.assert_array_equal(clips, np.repeat(np.arange(SPLITS["test"]), FIT))
    wanted = np.stack(list(made.pcm("test")))[:, : FIT * SEGMENT].reshape(-1, SEGMENT, 1)
    np.testing.assert_array_equal(audio, wanted / np.float32(32768))
    dataset = evaluation_dataset(made, "test", Segments(SEGMENT), batch_size=batch_size, limit=2)
    assert collected(dataset)[1].tolist() == [0] * FIT + [1] * FIT


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"augmentation": ALL, "seed": 3, "epoch": 2},
        {"skip_batches": 4, "shard": (1, 2), "normalization": Normalization(0.1, 2.0)},
        {"limit": 5, "shuffle_segments": 30},
    ],
)
def test_arrays_give_the_same_batches(made: Prepared, options: dict[str, Any]) -> None:
    segments = Segments(SEGMENT)
    sequence = SegmentSequence(made, "train", segments, batch_size=BATCH, **options)
    ours = collected(sequence[index] for index in range(len(sequence)))
    for mine, theirs in zip(ours, epoch(made, segments, **options), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_arrays_go_on_to_the_next_epoch(made: Prepared) -> None:
    sequence = SegmentSequence(made, "train", Segments(SEGMENT), batch_size=BATCH, epoch=3, skip_batches=20)
    assert len(sequence) == 3
    sequence[1]
    sequence.on_epoch_end()
    assert len(sequence) == 3, "Keras looks at a batch before it trains: no epoch has passed"
    np.testing.assert_array_equal(sequence[0][0], epoch(made, epoch=3)[0][20 * BATCH : 21 * BATCH])
    assert [len(sequence[index][0]) for index in (2, 1)] == [BATCH, BATCH]
    sequence.on_epoch_end()
    assert len(sequence) == 23
    np.testing.assert_array_equal(sequence[0][0], epoch(made, epoch=4)[0][:BATCH])
    with pytest.raises(IndexError, match="batch 23 of 23"):
        sequence[23]


def test_arrays_evaluate_alike(made: Prepared) -> None:
    sequence = EvaluationSequence(made, "valid", Segments(SEGMENT), batch_size=7)
    theirs = collected(evaluation_dataset(made, "valid", Segments(SEGMENT), batch_size=7))
    for mine, other in zip(collected(sequence[i] for i in range(len(sequence))), theirs, strict=True):
        np.testing.assert_array_equal(mine, other)
    with pytest.raises(IndexError, match="batch 6 of 6"):
        sequence[6]


def test_npy_files_give_the_same_batches(made: Prepared, tmp_path: Path) -> None:
    np.save(tmp_path / "pcm.npy", np.stack(list(made.pcm("train"))))
    np.save(tmp_path / "labels.npy", made.labels("train"))
    clips = ClipArray(tmp_path / "pcm.npy", tmp_path / "labels.npy")
    sequence = SegmentSequence(clips, None, Segments(SEGMENT), batch_size=BATCH, augmentation=ALL)
    ours = collected(sequence[index] for index in range(len(sequence)))
    for mine, theirs in zip(ours, epoch(made, augmentation=ALL), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda m: ClipArray(zeros(3, 9), zeros(3, 1)), "int16, not .* float32; scale"),
        (lambda m: ClipArray(np.zeros(9, np.int16), zeros(3, 1)), r"\(clips, clip_samples\)"),
        (lambda m: ClipArray(np.zeros((3, 9), np.int16), zeros(2, 1)), r"for 3 clips, not \(2, 1\)"),
        (lambda m: SegmentSequence(m, None, Segments(9), batch_size=1), "name train, valid or test"),
        (
            lambda m: SegmentSequence(
                ClipArray(np.zeros((3, 9), np.int16), np.zeros((3, 1), np.float32)),
                "train", Segments(9), batch_size=1,
            ),
            "an array has no splits",
        ),
        (lambda m: epoch_dataset(m, batch_size=0), "batch_size must be at least 1, not 0"),
        (lambda m: epoch_dataset(m, batch_size=144), "143 segments don't fill one batch of 144"),
        (lambda m: epoch_dataset(m, skip_batches=24), "an epoch has 23 batches, 24 can't be skipped"),
        (
            lambda m: SegmentSequence(m, "train", Segments(SEGMENT), batch_size=BATCH, skip_batches=-1),
            "an epoch has 23 batches, -1 can't be skipped",
        ),
        (lambda m: epoch_dataset(m, limit=0), "limit must be at least 1, not 0"),
        (lambda m: epoch_dataset(m, shard=(2, 2)), r"0 <= index < count, not \(2, 2\)"),
        (lambda m: epoch_dataset(m, shard=(0, 12)), "11 clips can't be shared among 12"),
        (lambda m: epoch_dataset(m, shuffle_segments=0), "shuffle_segments must be at least 1, not 0"),
        (lambda m: training_dataset(m, "train", Segments(29101), batch_size=1), "29101 .* of 29100; use"),
        (
            lambda m: evaluation_dataset(m, "train", Segments(29101), batch_size=1),
            "29101 samples does not fit",
        ),
        (lambda m: evaluation_dataset(m, "train", Segments(9), batch_size=0), "batch_size must be"),
        (lambda m: epoch(m, Segments(SEGMENT, "consecutive", per_clip=14)), "only 13 consecutive"),
        (lambda m: Segments(SEGMENT, "shuffled"), "not 'shuffled'"),  # type: ignore[arg-type]
        (lambda m: Segments(0), "must be at least 1, not 0 and None"),
        (lambda m: Segments(9, per_clip=0), "must be at least 1, not 9 and 0"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_said(made: Prepared, make: Callable[[Prepared], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(made)


@pytest.mark.parametrize(("backend", "hidden"), [("jax", [[]]), ("torch", [[]]), ("tensorflow", [])])
@pytest.mark.parametrize("begun", [False, True])
def test_beside_another_backend_tensorflow_leaves_the_gpus_alone(
    made: Prepared, monkeypatch: pytest.MonkeyPatch, backend: str, hidden: list[Any], begun: bool
) -> None:
    asked = []

    def set_visible_devices(devices: list[Any], kind: str) -> None:
        assert kind == "GPU"
        asked.append(devices)
        if begun:
            raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    monkeypatch.setattr(tf.config, "set_visible_devices", set_visible_devices)
    assert len(epoch_dataset(made)) == 23
    assert asked == hidden


FDS = Path("/proc/self/fd")


@pytest.fixture
def many(tmp_path: Path) -> Prepared:
    """A set of more shards than are mapped at a time."""
    return sets.make(tmp_path / "set", counts={"train": OPEN_SHARDS + 36}, shard_clips=1)


@pytest.mark.skipif(not FDS.exists(), reason="no /proc to count descriptors in")
def test_epochs_leave_no_descriptor_and_no_clip_behind(many: Prepared) -> None:
    before, left = len(os.listdir(FDS)), []
    for number in range(3):
        dataset = training_dataset(many, "train", Segments(243), batch_size=4, epoch=number)
        audio, _ = collected(dataset)
        assert len(audio) == (OPEN_SHARDS + 36) * (sets.CLIP_SAMPLES // 243)
        left.append(len(os.listdir(FDS)) - before)
    assert max(left) <= OPEN_SHARDS
    assert left[1:] == left[:1] * 2
    again = Prepared.open(many.directory)
    clips, shards = weakref.ref(again.labels("train")), weakref.ref(again.pcm("train"))
    batches = iter(training_dataset(again, "train", Segments(243), batch_size=4))
    del again
    gc.collect()
    assert next(batches)[0].shape == (4, 243, 1), "an iterator is enough to go on"
    del batches
    gc.collect()
    assert (clips(), shards()) == (None, None)


@pytest.mark.skipif(not FDS.exists(), reason="no /proc to count descriptors in")
def test_more_shards_than_descriptors_are_read(many: Prepared) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = sorted(map(int, os.listdir(FDS)))
    limit = next(n for n in range(soft) if n - sum(fd < n for fd in used) == OPEN_SHARDS + 10)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        pcm = [np.array(clip[:4]) for clip in many.pcm("train")]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len({clip.tobytes() for clip in pcm}) == len(pcm) == OPEN_SHARDS + 36


def test_who_writes_labels_takes_a_copy(made: Prepared) -> None:
    with pytest.raises(ValueError, match="read-only"):
        made.labels("train")[0] = 0.5


def network() -> keras.Model:
    layers = [keras.layers.Conv1D(4, 81, 81), keras.layers.GlobalMaxPooling1D()]
    model = keras.Sequential(
        [keras.Input((SEGMENT, 1)), *layers, keras.layers.Dense(len(TAGS), activation="sigmoid")]
    )
    model.compile("sgd", "binary_crossentropy")
    return model


def test_keras_trains_on_both(made: Prepared) -> None:
    steps = batches_per_epoch(made, "train", Segments(SEGMENT), BATCH)
    dataset = epoch_dataset(made, epochs=2)
    history = network().fit(dataset, epochs=2, steps_per_epoch=steps, verbose=0)
    assert len(history.history["loss"]) == 2
    sequence = SegmentSequence(made, "train", Segments(SEGMENT), batch_size=BATCH)
    again = network().fit(sequence, epochs=2, verbose=0)
    assert np.isfinite(again.history["loss"]).all()


FIT_ELSEWHERE = """
import sys
class WithoutTensorFlow:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        return None if name.partition(".")[0] == "tensorflow" else self.finder.find_spec(name, *rest)
if {blocked}:
    sys.meta_path[:] = map(WithoutTensorFlow, sys.meta_path)
import keras, numpy as np
from samplecnn_zoo.datasets.prepared import OPEN_SHARDS, Prepared
made = Prepared.open({folder!r})
{imports}
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((2187, 1)), keras.layers.Conv1D(4, 81, 81),
    keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(3, activation="sigmoid")])
model.compile("sgd", "binary_crossentropy")
print(model.fit(data, verbose=0, shuffle=False).history["loss"][0], "tensorflow" in sys.modules)
"""
TFDATA = (
    "from samplecnn_zoo.datasets.pipeline import Segments, training_dataset\n"
    "data = training_dataset(made, 'train', Segments(2187), batch_size=6)"
)
ARRAYS = (
    "from samplecnn_zoo.datasets.arrays import Segments, SegmentSequence\n"
    "data = SegmentSequence(made, 'train', Segments(2187), batch_size=6)"
)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_train_on_both_and_on_arrays_without_tensorflow(made: Prepared, backend: str) -> None:
    pytest.importorskip(backend)

    def fit(imports: str, *, blocked: bool) -> list[str]:
        code = FIT_ELSEWHERE.format(blocked=blocked, folder=str(made.directory), imports=imports)
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False,
            env={**os.environ, "KERAS_BACKEND": backend},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        return run.stdout.split()

    with_loss, there = fit(TFDATA, blocked=False)
    loss, still_there = fit(ARRAYS, blocked=True)
    assert (there, still_there) == ("True", "False")
    assert float(loss) == pytest.approx(float(with_loss), rel=1e-5)


@pytest.mark.parametrize("ending", ["", "raise KeyboardInterrupt"])
def test_python_ends_while_batches_are_being_read(made: Prepared, ending: str) -> None:
    code = f"""
from samplecnn_zoo.datasets.prepared import OPEN_SHARDS, Prepared
from samplecnn_zoo.datasets.pipeline import Segments, training_dataset
made = Prepared.open({str(made.directory)!r})
batches = iter(training_dataset(made, "train", Segments(2000), batch_size=100, epochs=100_000))
next(batches)
print("read", flush=True)
{ending}
"""
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert run.stdout == "read\n"
    assert bool(run.returncode) == bool(ending)
