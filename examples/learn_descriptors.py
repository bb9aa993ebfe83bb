"""Go on training a preset of the MIDI set so that its features hold on real recordings.

    python examples/learn_descriptors.py samplecnn_8k.midi50 --data runs/midi50 --music music/ \
        --out runs/transfer

Each batch holds rendered clips, with their tags, and excerpts of any music at all, which need no tags; most
of them changed by `randomize.py`. Beside the tags, a linear layer on each of the last three levels (pooled
as for transfer, section 4 of the paper) predicts the classic descriptors of `descriptors.py`, so that what
they know can be read from the features. These layers are thrown away at the end.

`runs/midi50` is what `train_midi50.py` rendered; `music/` a folder of music files. A killed run goes on from
its last epoch when the same command is given again. Needs `pip install 'samplecnn_zoo[benchmarks,midi]'`.
"""

import argparse
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import soundfile
import soxr
import train_midi50
from descriptors import descriptors
from randomize import randomize, to_full_scale
from rich.progress import track

from samplecnn_zoo import load_pretrained, save_pretrained
from samplecnn_zoo.audio import find_audio
from samplecnn_zoo.datasets import midi
from samplecnn_zoo.datasets.midi_tags import loudness_tags
from samplecnn_zoo.models.features import level_stages, stage_outputs
from samplecnn_zoo.zoo.preset import Training

LEVELS = (-1, -2, -3)
TAGGED, UNTAGGED = 16, 8  # segments a batch
PEAK_DB = (-24, 0)  # each segment's level is drawn from this range
SEED = 7


def main() -> None:
    """Read, train, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", help="where to begin: the name or folder of a preset for 8 kHz")
    parser.add_argument("--data", type=Path, required=True, help="rendered clips")
    parser.add_argument("--music", type=Path, required=True, help="music files, untagged")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, log and the trained model")
    parser.add_argument(
        "--epochs", type=int, default=9, help="one random segment a rendered clip is an epoch"
    )
    parser.add_argument("--learning-rate", type=float, default=8e-4)
    parser.add_argument("--weight", type=float, default=0.5, help="of the descriptors' squared error")
    parser.add_argument("--machine", default="unknown", help="said on the model card")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(5)
    model = load_pretrained(options.preset)
    preset = model.preset
    clips = midi.read_clips(options.data)
    pcm = train_midi50.read_pcm(options.data, clips, preset.sample_rate)
    data = Mixture(clips, preset.tags, pcm, read_music(options.music, options.out), model.input_shape[1])
    model = fit(options, model, data)
    preset = replace(preset, scores=(), training=training_of(options, preset.training))
    save_pretrained(model, options.out / preset.name, preset=preset, overwrite=True)
    print(f"saved {options.out / preset.name}; benchmarks/evaluate_midi50.py scores it")


def read_music(folder: Path, out: Path) -> np.ndarray:
    """Excerpts of all files at 8 kHz: (excerpts, samples) int16; kept in `out` for the next time."""
    kept = out / "music_8000.npy"
    if not kept.exists():
        excerpts: dict[bytes, np.ndarray] = {}
        for path in track(find_audio(folder), "reading music"):
            for pcm in excerpts_of(path):
                excerpts.setdefault(hashlib.md5(pcm[:80000].tobytes()).digest(), pcm)  # the same piece twice
        np.save(kept, np.stack(list(excerpts.values())))
    music: np.ndarray = np.load(kept)
    return music


def excerpts_of(path: Path, rate: int = 8000) -> Iterator[np.ndarray]:
    """Yield up to four excerpts of 29.1 s, spread over the file; none of one that is short or unreadable."""
    try:
        about = soundfile.info(path)
    except soundfile.LibsndfileError:
        return
    if about.duration < 10:
        return
    count = max(1, min(4, int(about.duration // 45)))
    samples = int(midi.EXCERPT_S * rate)
    for number in range(count):
        start_s = max(0.0, (about.duration - midi.EXCERPT_S) * (number + 0.5) / count)
        start, frames = int(start_s * about.samplerate), int(midi.EXCERPT_S * about.samplerate) + 1
        try:
            audio, _ = soundfile.read(path, start=start, frames=frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            return
        mono = soxr.resample(audio.mean(axis=1), about.samplerate, rate)[:samples]
        if np.abs(mono).max() >= 1e-3:
            yield np.clip(np.round(np.resize(mono, samples) * 32767), -32768, 32767).astype(np.int16)


class Mixture(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
    """Batches of rendered and other segments, with tags for the former and descriptors for all."""

    def __init__(
        self, clips: list[midi.Clip], tags: tuple[str, ...], pcm: np.ndarray, music: np.ndarray, segment: int
    ):
        super().__init__(workers=2)
        rows = {split: [i for i, clip in enumerate(clips) if clip.split == split] for split in midi.SPLITS}
        train = [clips[row] for row in rows["train"]]
        self.pcm, self.music, self.segment = pcm[rows["train"]], music, segment
        self.tags = list(tags)
        self.labels = midi.label_matrix(train, self.tags)
        self.valid = pcm[rows["valid"]], midi.label_matrix([clips[i] for i in rows["valid"]], self.tags)
        self.rms_db = np.array([clip.rms_db for clip in train])
        peaks = np.array([np.abs(row.astype(np.int32)).max() for row in self.pcm]) / 32768
        self.peak_db = 20 * np.log10(np.maximum(peaks, 1e-4))
        self.epoch = 0
        self.mean, self.std = self._measure()

    def _measure(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each descriptor over 25 batches."""
        rng = np.random.default_rng(1)
        batches = [self._draw(rng.integers(0, len(self.pcm), TAGGED), rng) for _ in range(25)]
        values = np.concatenate([descriptors(audio) for audio, _ in batches])
        return values.mean(axis=0), values.std(axis=0) + 1e-6

    def __len__(self) -> int:
        return len(self.pcm) // TAGGED

    def __getitem__(self, index: int) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
        order = np.random.default_rng((SEED, self.epoch)).permutation(len(self.pcm))
        rng = np.random.default_rng((SEED, self.epoch, index))
        audio, tags = self._draw(order[index * TAGGED : (index + 1) * TAGGED], rng)
        described = np.clip((descriptors(audio) - self.mean) / self.std, -4, 4)
        targets = {"tags": tags, "descriptors": np.concatenate([described] * len(LEVELS), axis=1)}
        # As if the tags' error were the mean over the tagged segments alone.
        known = np.repeat([(TAGGED + UNTAGGED) / TAGGED, 0.0], [TAGGED, UNTAGGED]).astype(np.float32)
        return audio[..., np.newaxis], targets, {"tags": known, "descriptors": np.ones_like(known)}

    def _draw(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Audio (24, samples) of the clips and of other music, and tags (24, tags), 0 for the latter."""
        others = rng.integers(0, len(self.music), UNTAGGED)
        rendered = [self._rendered(row, rng) for row in rows]
        audio = [samples for samples, _ in rendered] + [self._other(row, rng) for row in others]
        tags = [labels for _, labels in rendered] + [np.zeros(len(self.tags))] * UNTAGGED
        return np.stack(audio).astype(np.float32), np.array(tags, np.float32)

    def _rendered(self, row: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        samples = self._cut(self.pcm, row, rng)
        if rng.random() < 0.75:
            samples = randomize(samples, rng)
            gain_db = rng.uniform(*PEAK_DB)
        else:
            samples = samples * 10 ** (-self.peak_db[row] / 20)
            gain_db = rng.uniform(*PEAK_DB)
        labels = self.labels[row].copy()
        loudness = loudness_tags(self.rms_db[row] + gain_db - self.peak_db[row])
        for tag in {"quiet", "loud"} & set(self.tags):  # the only tags that a level changes
            labels[self.tags.index(tag)] = tag in loudness
        return samples * 10 ** (gain_db / 20), labels

    def _other(self, row: int, rng: np.random.Generator) -> np.ndarray:
        samples = self._cut(self.music, row, rng)
        if rng.random() < 0.6:
            samples = randomize(samples, rng)
        if np.abs(samples).max() <= 1e-3:  # a pause
            return samples
        return to_full_scale(samples) * 10 ** (rng.uniform(*PEAK_DB) / 20)

    def _cut(self, pcm: np.ndarray, row: int, rng: np.random.Generator) -> np.ndarray:
        start = rng.integers(0, pcm.shape[1] - self.segment)
        return pcm[row, start : start + self.segment].astype(np.float32) / 32768


def fit(options: argparse.Namespace, model: keras.Model, data: Mixture) -> keras.Model:
    """Train tags and descriptors together; return the network of the tags alone."""
    both, done = train_midi50.resume(with_descriptors(model, len(data.mean)), options.out)
    if not done:
        compile_for(both, options, len(data))
    for epoch in range(done, options.epochs):
        started = time.perf_counter()
        data.epoch = epoch
        history = both.fit(data, epochs=epoch + 1, initial_epoch=epoch, verbose=2)
        auc = train_midi50.validate(tags_alone(both), *data.valid)
        train_midi50.checkpoint(both, options.out, epoch + 1)
        seconds = time.perf_counter() - started
        train_midi50.log(options.out, epoch + 1, history.history["loss"][0], auc, seconds)
    return tags_alone(both)


def with_descriptors(model: keras.Model, count: int) -> keras.Model:
    """The network with a second output: the descriptors as read from each level, side by side."""
    stages, level_names = stage_outputs(model), level_stages(model)
    readings = []
    for level in LEVELS:
        pooled = keras.layers.GlobalMaxPooling1D(name=f"descriptors{level}_pool")(stages[level_names[level]])
        readings.append(keras.layers.Dense(count, name=f"descriptors{level}")(pooled))
    read = keras.layers.Concatenate(name="descriptors")(readings)
    return keras.Model(model.input, {"tags": model.output, "descriptors": read})


def tags_alone(both: keras.Model) -> keras.Model:
    """The network without what reads the descriptors; the same weights."""
    return keras.Model(both.input, both.get_layer("tags").output)


def compile_for(both: keras.Model, options: argparse.Namespace, steps_per_epoch: int) -> None:
    """AdamW, a warm-up and one cosine period."""
    steps = options.epochs * steps_per_epoch
    schedule = keras.optimizers.schedules.CosineDecay(
        options.learning_rate / 20, steps - steps // 20, alpha=1e-3,
        warmup_target=options.learning_rate, warmup_steps=steps // 20,
    )  # fmt: skip
    both.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-4),
        {"tags": "binary_crossentropy", "descriptors": "mean_squared_error"},
        loss_weights={"tags": 1.0, "descriptors": options.weight},
        jit_compile=True,
    )


def training_of(options: argparse.Namespace, before: Training | None) -> Training:
    """What was done before, and this run after it."""
    command = (
        f"python examples/learn_descriptors.py {options.preset} --data {options.data} "
        f"--music {options.music} --out {options.out} --epochs {options.epochs} "
        f"--learning-rate {options.learning_rate} --weight {options.weight}"
    )
    hours = train_midi50.logged_hours(options.out)
    return Training(
        command=f"{before.command}\n{command}" if before else command,
        hours=round((before.hours if before else 0.0) + hours, 2),
        machine=options.machine,
        note=(before.note if before else "")
        + " The last command went on with randomized sound, music without tags and classic descriptors.",
    )


if __name__ == "__main__":
    main()
