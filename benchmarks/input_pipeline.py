"""How fast training segments come: tf.data over shards, beside a PyTorch DataLoader over the same audio.

    python benchmarks/input_pipeline.py

Makes 256 clips of 29.1 s at 22,050 Hz (or takes yours: --audio DIR), and reads random 59,049-sample segments
in batches of 23 from them, rounds of all contenders taking turns in one run:

- tfdata         `pipeline.training_dataset` over the TFRecord shards that `samplecnn prepare` writes
- arrays         `arrays.SegmentSequence` over the same shards, by plain indexing in one thread
- tfrecords      what one would write by hand: tf.data.TFRecordDataset, decode_raw, shuffle(2048), batch
- npy float32    DataLoader, 2 workers, np.load(mmap_mode="r") of one float32 file a clip
- npy int16      the same from int16 files, half the size
- flac           DataLoader, 2 workers, soundfile seeks and decodes the segment from the 16-bit FLAC file

and, unless --no-training, how many segments a training step of the 3^9 network consumes on this machine.
Prints the median over rounds, and the ratios. Needs torch: pip install 'samplecnn_zoo[backends]'.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import soundfile
import torch

from samplecnn_zoo.audio import find_audio
from samplecnn_zoo.datasets.collection import Collection, Recording
from samplecnn_zoo.datasets.prepare import prepare
from samplecnn_zoo.datasets.prepared import Prepared

RATE = 22050
SEGMENT = 59049
BATCH = 23
WORKERS = 2
TAGS = 50
RIVALS = ("npy float32", "npy int16", "flac")
OURS = "tfdata"
EPOCHS = 10_000  # more than any round reads

Reader = Callable[[Path, int], np.ndarray]


class Files(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """A random segment of a clip for each index, float32 in ±1, as training code for PyTorch reads it."""

    def __init__(self, files: list[Path], clip_samples: int, read: Reader) -> None:
        self.files, self.clip_samples, self.read = files, clip_samples, read
        self.labels = np.zeros((len(files), TAGS), np.float32)

    def __len__(self) -> int:
        return len(self.files) * EPOCHS

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        clip = index % len(self.files)
        start = int(torch.randint(self.clip_samples - SEGMENT + 1, ()))
        audio = self.read(self.files[clip], start)
        return torch.from_numpy(audio)[None], torch.from_numpy(self.labels[clip])


def read_npy_float32(file: Path, start: int) -> np.ndarray:
    """(SEGMENT,) float32."""
    return np.array(np.load(file, mmap_mode="r")[start : start + SEGMENT])


def read_npy_int16(file: Path, start: int) -> np.ndarray:
    """(SEGMENT,) float32."""
    segment = np.load(file, mmap_mode="r")[start : start + SEGMENT]
    return np.asarray(segment * np.float32(1 / 32768))


def read_flac(file: Path, start: int) -> np.ndarray:
    """(SEGMENT,) float32."""
    return np.asarray(soundfile.read(file, SEGMENT, start, dtype="float32")[0])


def torch_batches(files: list[Path], clip_samples: int, read: Reader) -> Callable[[], Iterator[Any]]:
    """A DataLoader whose workers are there from now on, and stay."""
    dataset = Files(files, clip_samples, read)
    loader: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
        dataset,
        BATCH,
        sampler=Shuffled(len(files)),
        num_workers=WORKERS,
        drop_last=True,
        persistent_workers=True,
    )
    next(iter(loader))
    return lambda: iter(loader)


class Shuffled(torch.utils.data.Sampler[int]):
    """Endless epochs, each clip ten times in each, shuffled."""

    def __init__(self, clips: int) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return self.clips * EPOCHS

    def __iter__(self) -> Iterator[int]:
        for _ in range(EPOCHS // 10):
            yield from torch.randperm(10 * self.clips).tolist()


def our_batches(prepared: Prepared) -> dict[str, Callable[[], Iterator[Any]]]:
    """The contenders of this package, and the hand-written one on TensorFlow."""
    from samplecnn_zoo.datasets.arrays import SegmentSequence
    from samplecnn_zoo.datasets.pipeline import Segments, training_dataset

    segments = Segments(SEGMENT)
    dataset = training_dataset(prepared, "train", segments, batch_size=BATCH, epochs=EPOCHS)
    sequence = SegmentSequence(prepared, "train", segments, batch_size=BATCH)

    def arrays() -> Iterator[Any]:
        while True:
            yield from (sequence[index] for index in range(len(sequence)))
            sequence.on_epoch_end()

    return {"tfdata": lambda: iter(dataset), "arrays": arrays, "tfrecords": lambda: iter(by_hand(prepared))}


def by_hand(prepared: Prepared) -> Any:
    """TFRecordDataset with a shuffle buffer of 2048 segments."""
    import tensorflow as tf

    files = [str(prepared.directory / shard.file) for shard in prepared.shards("train")]
    per_clip = prepared.clip_samples // SEGMENT

    def cut(record: Any) -> Any:
        pcm = tf.io.decode_raw(record, tf.int16)[2:]
        starts = tf.random.uniform((per_clip,), 0, prepared.clip_samples - SEGMENT + 1, tf.int32)
        return tf.stack([pcm[start : start + SEGMENT] for start in tf.unstack(starts)])

    dataset = tf.data.TFRecordDataset(files, buffer_size=8 << 20, num_parallel_reads=4).repeat()
    dataset = dataset.map(cut, num_parallel_calls=tf.data.AUTOTUNE).unbatch().shuffle(2048).batch(BATCH)
    scaled = dataset.map(lambda pcm: tf.cast(pcm, tf.float32) / 32768.0, num_parallel_calls=tf.data.AUTOTUNE)
    return scaled.prefetch(tf.data.AUTOTUNE)


def rate(batches: Iterator[Any], seconds: float, warm_up: int = 20) -> float:
    """Segments a second of an iterator, after its first batches."""
    for _ in islice(batches, warm_up):
        pass
    count, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        next(batches)
        count += BATCH
    return count / elapsed


def training_rate(prepared: Prepared, steps: int = 4) -> float:
    """Segments a second that training of 3^9 consumes: Keras on TensorFlow with XLA, batch 23, float32."""
    import keras

    from samplecnn_zoo.datasets.pipeline import Segments, training_dataset
    from samplecnn_zoo.models import SampleCNN

    model = SampleCNN(num_tags=TAGS)
    model.compile(keras.optimizers.SGD(0.01, 0.9, nesterov=True), "binary_crossentropy", jit_compile=True)
    dataset = training_dataset(prepared, "train", Segments(SEGMENT), batch_size=BATCH, epochs=EPOCHS)
    times = []
    for audio, labels in dataset.take(steps + 1):
        begin = time.perf_counter()
        model.train_on_batch(audio, labels)
        times.append(time.perf_counter() - begin)
    return BATCH / statistics.median(times[1:])


def make_audio(folder: Path, clips: int) -> list[Path]:
    """FLAC files of chords over noise, 29.2 s each."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    time_s = np.arange(round(29.2 * RATE)) / RATE
    files = [folder / f"{index:04d}.flac" for index in range(clips)]
    for file in files:
        tones = rng.uniform(80, 2000, (4, 1))
        chord = np.sin(2 * np.pi * tones * time_s).sum(axis=0) * np.exp(-(time_s % 0.5) * 3)
        soundfile.write(file, 0.1 * chord + rng.normal(0, 0.01, len(time_s)), RATE, "PCM_16")
    return files


def lay_out(files: list[Path], folder: Path) -> tuple[Prepared, dict[str, tuple[list[Path], Reader]]]:
    """The same clips as shards, .npy files of both kinds and FLAC files."""
    clips = tuple(Recording(f"{i}", file, (f"tag{i % TAGS}",), "train") for i, file in enumerate(files))
    collection = Collection("benchmark", tuple(f"tag{i}" for i in range(TAGS)), clips)
    prepared = prepare(collection, folder / "shards", sample_rate=RATE)
    layouts: dict[str, tuple[list[Path], Reader]] = {
        "npy float32": ([], read_npy_float32),
        "npy int16": ([], read_npy_int16),
        "flac": ([], read_flac),
    }
    for index, pcm in enumerate(prepared.pcm("train")):
        paths = [folder / f"{index}.f32.npy", folder / f"{index}.i16.npy", folder / f"{index}.flac"]
        np.save(paths[0], pcm / np.float32(32768))
        np.save(paths[1], pcm)
        soundfile.write(paths[2], pcm, RATE, "PCM_16")
        for (own, _), path in zip(layouts.values(), paths, strict=True):
            own.append(path)
    return prepared, layouts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--audio", type=Path, help="a folder of audio files, instead of made ones")
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one contender's part of a round")
    parser.add_argument("--folder", type=Path, help="where the files are made, deleted afterwards")
    parser.add_argument("--no-training", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        found = find_audio(options.audio)[: options.clips] if options.audio else []
        prepared, layouts = lay_out(found or make_audio(folder / "audio", options.clips), folder)
        # First, since workers are forked: TensorFlow must not be there yet.
        contenders = {
            rival: torch_batches(files, prepared.clip_samples, read)
            for rival, (files, read) in layouts.items()
        }
        contenders |= our_batches(prepared)
        rates: dict[str, list[float]] = {contender: [] for contender in contenders}
        for _ in range(options.rounds):
            for contender, start in contenders.items():
                rates[contender].append(rate(start(), options.seconds))
        report(rates)
        if not options.no_training:
            consumed = training_rate(prepared)
            ours = statistics.median(rates[OURS])
            print(
                f"training of 3^9 consumes {consumed:.1f} segments/s: {ours / consumed:.0f} times that come"
            )


def report(rates: dict[str, list[float]]) -> None:
    """One line a contender, and the ratios that matter, each the median over rounds."""
    for contender, values in rates.items():
        spread = f"{min(values):6.0f} to {max(values):6.0f}"
        print(f"{contender:<12} {statistics.median(values):8.0f} segments/s  ({spread})")
    best = max(RIVALS, key=lambda rival: statistics.median(rates[rival]))
    for other in (best, "tfrecords"):
        ratios = [ours / theirs for ours, theirs in zip(rates[OURS], rates[other], strict=True)]
        print(f"{OURS} / {other}: {statistics.median(ratios):.2f} (median of {len(ratios)} rounds)")


if __name__ == "__main__":
    main()
