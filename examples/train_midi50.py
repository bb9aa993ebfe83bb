"""Train a preset on the MIDI set: render first, then fit, then save a preset directory.

    python examples/train_midi50.py --midi midi5genres/ --soundfont FluidR3_GM.sf2 \
        --data runs/midi50 --out runs/samplecnn_8k.midi50

Needs `pip install 'samplecnn_zoo[midi]' && pip install --no-deps tinysoundfont`. A killed run goes on from
its last epoch when the same command is given again.
"""

import argparse
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import soundfile
import soxr
from rich.progress import track
from sklearn.metrics import roc_auc_score

from samplecnn_zoo import Preset, SampleCNN, load_pretrained, preset_info, save_pretrained
from samplecnn_zoo.datasets import midi
from samplecnn_zoo.datasets.midi_tags import loudness_tags
from samplecnn_zoo.models import SAMPLING_RATE_PLANS
from samplecnn_zoo.zoo.preset import Training


def main() -> None:
    """Render, train, save."""
    options = parse_options()
    bar: Callable[[Iterable[None], int], Iterable[None]] = lambda steps, total: track(  # noqa: E731
        steps, "rendering", total=total
    )
    if options.midi:
        left_out = midi.prepare(options.midi, options.data, options.soundfont, progress=bar)
        print(f"{len(left_out)} pieces left out (unreadable, short, silent or duplicate)")
    options.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(options.seed)
    clips, tags = midi.read_clips(options.data), midi.read_tags(options.data)
    pcm = read_pcm(options.data, clips, options.rate)
    model = fit(options, clips, tags, pcm)
    preset = preset_of(options, model, tags, sum(clip.split == "train" for clip in clips))
    save_pretrained(model, options.out / preset.name, preset=preset, overwrite=True)
    print(f"saved {options.out / preset.name}; benchmarks/evaluate_midi50.py scores it")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--midi", type=Path, help="folder with index.tsv; leave out when --data is rendered")
    parser.add_argument("--soundfont", type=Path, default=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"))
    parser.add_argument("--data", type=Path, required=True, help="rendered clips: made or used")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, log and the trained model")
    parser.add_argument("--rate", type=int, default=8000, choices=sorted(SAMPLING_RATE_PLANS))
    parser.add_argument("--epochs", type=int, default=16, help="one random segment a clip is an epoch")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start-from", help="a preset whose weights to begin with; default: random ones")
    parser.add_argument(
        "--peak-db", type=float, nargs=2, metavar=("LOW", "HIGH"),
        help="draw each clip's peak level from this range instead of keeping the rendered one",
    )  # fmt: skip
    parser.add_argument("--machine", default="unknown", help="said on the model card")
    return parser.parse_args()


def read_pcm(data: Path, clips: list[midi.Clip], rate: int) -> np.ndarray:
    """All clips at `rate` Hz: (clips, samples) int16, a memory map made on the first call."""
    listed = hashlib.sha256("\n".join(clip.file for clip in clips).encode()).hexdigest()
    path = data / f"pcm_{rate}_{listed[:12]}.npy"  # another list of clips is another array
    if not path.exists():
        partial = path.with_suffix(".partial")
        shape = (len(clips), int(midi.EXCERPT_S * rate))
        pcm = np.lib.format.open_memmap(partial, "w+", np.int16, shape)
        for row, clip in enumerate(track(clips, f"resampling to {rate} Hz")):
            audio, source_rate = soundfile.read(midi.audio_path(data, clip), dtype="float32")
            samples = soxr.resample(audio, source_rate, rate)[: shape[1]]
            pcm[row, : len(samples)] = np.clip(np.round(samples * 32768), -32768, 32767)
        pcm.flush()
        os.replace(partial, path)
    mapped: np.ndarray = np.load(path, mmap_mode="r")
    return mapped


class RandomSegments(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """One segment a clip and epoch, at a random place: batches of (batch, segment, 1) and (batch, tags)."""

    def __init__(self, pcm: np.ndarray, levels: "Levels", segment_samples: int, batch: int, seed: int):
        super().__init__()
        self.pcm, self.levels, self.segment_samples, self.batch = pcm, levels, segment_samples, batch
        self.seed = seed
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of the clips and the places of the segments; the epoch's number seeds both."""
        rng = np.random.default_rng((self.seed, epoch))
        self.order = rng.permutation(len(self.pcm))
        self.starts = rng.integers(0, self.pcm.shape[1] - self.segment_samples, len(self.pcm))
        self.gains, self.labels = self.levels.draw(rng)

    def __len__(self) -> int:
        return len(self.pcm) // self.batch

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[index * self.batch : (index + 1) * self.batch]
        segments = cut(self.pcm, rows, self.starts[rows], self.segment_samples)
        return segments * self.gains[rows, np.newaxis, np.newaxis], self.labels[rows]


class Levels:
    """How loud each clip is played, and its labels at that level: quiet and loud depend on it, no other tag.

    Music comes at any level, and a network that always hears a solo piano softly takes a loud one for a band.
    """

    def __init__(
        self, pcm: np.ndarray, clips: list[midi.Clip], tags: list[str], peak_db: Sequence[float] | None
    ):
        self.labels = midi.label_matrix(clips, tags)
        self.rms_db = np.array([clip.rms_db for clip in clips])
        peaks = np.array([np.abs(row.astype(np.int32)).max() for row in pcm]) / 32768
        self.clip_peak_db = 20 * np.log10(np.maximum(peaks, 1e-4))
        self.peak_db = peak_db
        self.columns = {tag: tags.index(tag) for tag in ("quiet", "loud") if tag in tags}

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Factors (clips,) for one epoch, and labels (clips, tags) that hold after them."""
        if self.peak_db is None:
            return np.ones(len(self.labels), np.float32), self.labels
        low, high = self.peak_db
        gain_db = rng.uniform(low, high, len(self.labels)) - self.clip_peak_db
        labels = self.labels.copy()
        for row, level in enumerate(self.rms_db + gain_db):
            for tag, column in self.columns.items():
                labels[row, column] = tag in loudness_tags(level)
        return (10 ** (gain_db / 20)).astype(np.float32), labels


def cut(pcm: np.ndarray, rows: np.ndarray, starts: np.ndarray, segment_samples: int) -> np.ndarray:
    """Segments of clips: (rows, segment, 1) float32 in [-1, 1)."""
    pairs = zip(rows, starts, strict=True)
    segments = np.stack([pcm[row, start : start + segment_samples] for row, start in pairs])
    return segments[:, :, np.newaxis].astype(np.float32) / 32768


def fit(options: argparse.Namespace, clips: list[midi.Clip], tags: list[str], pcm: np.ndarray) -> keras.Model:
    """Train with AdamW, one cosine period and a warm-up; checkpoints every epoch and goes on from one."""
    rows = {split: [i for i, clip in enumerate(clips) if clip.split == split] for split in ("train", "valid")}
    train, valid = ([clips[i] for i in rows[split]] for split in ("train", "valid"))
    heard = pcm[rows["train"]]  # in memory
    model = begin(options, tags)
    levels = Levels(heard, train, tags, options.peak_db)
    data = RandomSegments(heard, levels, model.input_shape[1], options.batch, options.seed)
    steps = options.epochs * len(data)
    schedule = keras.optimizers.schedules.CosineDecay(
        options.learning_rate / 20, steps - steps // 20, alpha=1e-3,
        warmup_target=options.learning_rate, warmup_steps=steps // 20,
    )  # fmt: skip
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-4), "binary_crossentropy", jit_compile=True
    )
    check_run(options, tags)
    model, done = resume(model, options.out)
    for epoch in range(done, options.epochs):
        started = time.perf_counter()
        data.start_epoch(epoch)
        history = model.fit(data, epochs=epoch + 1, initial_epoch=epoch, verbose=2)
        auc = validate(model, pcm[rows["valid"]], midi.label_matrix(valid, tags))
        checkpoint(model, options.out, epoch + 1)
        log(options.out, epoch + 1, history.history["loss"][0], auc, time.perf_counter() - started)
    return model


def begin(options: argparse.Namespace, tags: list[str]) -> keras.Model:
    """A new network, or that of the preset to start from, whose tags must be these."""
    if options.start_from is None:
        return SampleCNN(SAMPLING_RATE_PLANS[options.rate], sr=options.rate, num_tags=len(tags))
    model = load_pretrained(options.start_from)
    if list(model.preset.tags) != tags or model.preset.sample_rate != options.rate:
        raise SystemExit(f"{options.start_from}: its tags or its rate are not those of the data")
    return model


def validate(model: keras.Model, pcm: np.ndarray, labels: np.ndarray) -> float:
    """Macro ROC-AUC over the tags that the validation clips have, from three segments a clip."""
    segment = model.input_shape[1]
    starts = np.linspace(0, pcm.shape[1] - segment, 3, dtype=int)
    rows = np.arange(len(pcm))
    scores = np.mean(
        [model.predict(cut(pcm, rows, np.full(len(rows), start), segment), verbose=0) for start in starts],
        axis=0,
    )
    known = (labels.sum(0) > 0) & (labels.sum(0) < len(labels))
    return float(roc_auc_score(labels[:, known], scores[:, known], average="macro"))


def log(out: Path, epoch: int, loss: float, auc: float, seconds: float) -> None:
    """Append a line to `out/log.jsonl` and say it."""
    figures = {"loss": round(loss, 5), "valid_roc_auc": round(auc, 5), "seconds": round(seconds, 1)}
    line = json.dumps({"epoch": epoch, **figures})
    print(line, flush=True)
    with open(out / "log.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")


def checkpoint(model: keras.Model, out: Path, epoch: int) -> None:
    """Save model and optimizer under a name that tells the epoch; the one before is then removed."""
    partial = out / "partial.keras"
    model.save(partial)
    os.replace(partial, out / f"epoch_{epoch:03d}.keras")
    (out / f"epoch_{epoch - 1:03d}.keras").unlink(missing_ok=True)


def check_run(options: argparse.Namespace, tags: list[str]) -> None:
    """Write down what this run is, or refuse to go on with another one's checkpoints."""
    names = ("rate", "epochs", "batch", "learning_rate", "seed", "start_from", "peak_db")
    wanted = {name: getattr(options, name) for name in names} | {"tags": tags}
    path = options.out / "run.json"
    if not path.exists():
        path.write_text(json.dumps(wanted), encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != wanted:
        raise SystemExit(f"{path} was written by a run with other options or tags; give another --out")


def resume(model: keras.Model, out: Path) -> tuple[keras.Model, int]:
    """The model of the newest checkpoint and its epoch, or the given model and 0."""
    found = sorted(out.glob("epoch_*.keras"))
    if not found:
        return model, 0
    return keras.saving.load_model(found[-1]), int(found[-1].stem.removeprefix("epoch_"))


def logged_hours(out: Path) -> float:
    """The hours of all epochs in `out/log.jsonl`."""
    lines = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return float(sum(json.loads(line)["seconds"] for line in lines) / 3600)


def preset_of(options: argparse.Namespace, model: keras.Model, tags: list[str], clips: int) -> Preset:
    """The record of what was trained, on what and for how long."""
    return Preset(
        name=f"samplecnn_{options.rate // 1000}k.midi50",
        builder="SampleCNN",
        arguments={"m": SAMPLING_RATE_PLANS[options.rate], "sr": options.rate, "num_tags": len(tags)},
        sample_rate=options.rate,
        segment_samples=model.input_shape[1],
        tags=tuple(tags),
        license="MIT",
        training_data=f"{clips} excerpts of {midi.EXCERPT_S} s, rendered from MIDI files of five genres with "
        "the soundfont FluidR3_GM; tags are the folder's genre and what the notes tell. No real recordings.",
        description="50 tags (instruments, genres, percussion, tempo, texture) from a waveform at "
        f"{options.rate} Hz: the paper's network for this rate (Table 3), trained on synthesised music.",
        training=training_of(options),
    )


def training_of(options: argparse.Namespace) -> Training:
    """How this run and those before it were made, their hours added up."""
    hours = logged_hours(options.out)
    command = (
        f"python examples/train_midi50.py --midi midi5genres --soundfont FluidR3_GM.sf2 --data runs/midi50 "
        f"--out {options.out} --rate {options.rate} --epochs {options.epochs} --batch {options.batch} "
        f"--learning-rate {options.learning_rate} --seed {options.seed}"
    )
    if options.peak_db:
        command += f" --peak-db {options.peak_db[0]:g} {options.peak_db[1]:g}"
    if options.start_from:
        before = preset_info(options.start_from).training
        command = f"{before.command if before else ''}\n{command} --start-from {options.start_from}"
        hours += before.hours if before else 0.0
    return Training(
        command=command,
        hours=round(hours, 2),
        machine=options.machine,
        note="Each epoch is one random segment a clip; AdamW, one cosine period, on Keras "
        f"{keras.__version__} with {keras.backend.backend()}. Rendering is not counted.",
    )


if __name__ == "__main__":
    main()
