"""From audio files to tags, taggrams and embeddings: segments into batches, scores into means."""

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from samplecnn_zoo import DEFAULT_PRESET, audio
from samplecnn_zoo.engines import (
    Engine,
    Features,
    Level,
    available_levels,
    engine_for_model,
    engine_for_preset,
)
from samplecnn_zoo.zoo.preset import Preset, PresetError, SegmentRule
from samplecnn_zoo.zoo.store import check_model, read_stored

if TYPE_CHECKING:
    import keras

Floats = npt.NDArray[np.float32]
Paths = str | Path | Iterable[str | Path]
OnError = Callable[[audio.AudioError], object]
Clip = TypeVar("Clip")

LEVELS = (-1, -2, -3)


@dataclass(frozen=True)
class TagScore:
    """A tag and its score in 0 to 1."""

    tag: str
    score: float


@dataclass(frozen=True)
class ClipTags:
    """The tags of a file, the highest score first; scores are means over its segments."""

    path: Path
    duration_s: float
    tags: tuple[TagScore, ...]


@dataclass(frozen=True, eq=False)
class Taggram:
    """Scores over time: row i, (tags,), is of the segment that begins at start_s[i]."""

    path: Path
    start_s: npt.NDArray[np.float64]
    scores: Floats
    tags: tuple[str, ...]
    segment_s: float
    duration_s: float


@dataclass(frozen=True, eq=False)
class ClipEmbedding:
    """Features of a file: level → (channels,), the mean over segments of what is pooled within each."""

    path: Path
    duration_s: float
    levels: dict[Level, Floats]


class Listening:
    """A clip while it is heard: iterate over it once, a batch of segments at a time.

    Each item is the segments' starts in seconds and what the engine gives for them: `scores` (batch, tags)
    and `level_-1`, … (batch, channels). Nothing is kept, so memory does not grow with the clip.
    """

    def __init__(
        self, batches: Iterator[tuple[list[float], Features]], samples: "_Counted", rate: int
    ) -> None:
        self._batches = batches
        self._samples = samples
        self._rate = rate

    def __iter__(self) -> Iterator[tuple[list[float], Features]]:
        return self._batches

    @property
    def duration_s(self) -> float:
        """Length of the clip in seconds; known when all of it was heard."""
        return self._samples.samples / self._rate


class Tagger:
    """A trained network that listens to files; one may serve several threads.

    Args:
        preset_or_model: name or directory of a preset, or a model. A preset is checked and held as it is now;
            a model stays the caller's, and with engine "auto" later training of it is heard.
        preset: what a model that carries no `.preset` is: tags, rate, segment, normalization.
        engine: "openvino" (on the CPU), "keras" (on whatever Keras runs on, a GPU too), or "auto": OpenVINO
            for a preset where it can, Keras for a model.
        batch_size: segments that run at once.
        hop_s: seconds from segment to segment over the whole clip; None takes the preset's rule, with
            which its scores were measured.
        decoder: as in `samplecnn_zoo.audio`.
        pooling: of levels over the time of a segment: "max" (paper, section 4.1) or "mean".

    Raises:
        PresetError: if the preset is not found, damaged or does not fit the network, or a model has none.
        ValueError: if `preset` is given beside a name, or an option is out of its range.
        UnsupportedLayerError: if `engine` is "openvino" and the network holds a layer that it does not write.
        ImportError: if `engine` is "openvino" and it is not installed.
    """

    def __init__(
        self,
        preset_or_model: "str | Path | keras.Model" = DEFAULT_PRESET,
        *,
        preset: Preset | None = None,
        engine: str = "auto",
        batch_size: int = 4,
        hop_s: float | None = None,
        decoder: str = "auto",
        pooling: str = "max",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.pooling = pooling
        options = {"engine": engine, "batch_size": batch_size, "pooling": pooling}
        self.preset, self._build, names = _network(preset_or_model, preset, options)
        self.hop_samples = _hop(self.preset, hop_s)
        self._rule = self.preset.segment_rule if hop_s is None else SegmentRule()
        self._batch_size = batch_size
        self.decoder = decoder
        self._lock = threading.Lock()
        usual: tuple[Level, ...] = tuple(level for level in LEVELS if level in available_levels(names))
        self._engines = {usual: self._build(usual)}

    @property
    def engine(self) -> str:
        """Name of what runs the network: "openvino" or "keras"."""
        return next(iter(self._engines.values())).name

    def predict_segments(self, segments: npt.ArrayLike) -> Floats:
        """Return the scores (n, tags) of segments (n, segment_samples, 1), raw audio in -1 to 1.

        The preset's normalization is applied here.

        Raises:
            ValueError: if the shape is another, the numbers are not floating-point and finite, or they are so
                large that they cannot be audio in -1 to 1.
        """
        array = np.asarray(segments)
        _check_segments(array, self.preset.segment_samples)
        scores = np.empty((len(array), len(self.preset.tags)), np.float32)
        for at in range(0, len(array), self._batch_size):
            batch = np.array(array[at : at + self._batch_size], np.float32, order="C")
            scores[at : at + len(batch)] = self._run(batch, ())["scores"]
        return scores

    def tag(self, paths: Paths, *, top: int | None = None, on_error: OnError | None = None) -> list[ClipTags]:
        """Return the tags of files, folders (searched for audio) and globs, in their order.

        A file that cannot be heard is told to `on_error`, and the others are done.

        Raises:
            AudioError: at the first file that cannot be heard, if `on_error` is None.
            ValueError: if `top` is below 1.
        """
        return each_file(paths, partial(self.tag_file, top=top), on_error)

    def tag_file(self, path: str | Path, *, top: int | None = None) -> ClipTags:
        """Return the `top` tags of one file, None for all, the highest score first.

        Raises:
            AudioError: if the file cannot be heard.
            ValueError: if `top` is below 1.
            PresetError: if the preset is an encoder, which has no tags.
        """
        check_top(top)
        self._check_tags()
        duration_s, means = self._means(Path(path), ())
        return ClipTags(Path(path), duration_s, ranked(self.preset.tags, means["scores"], top))

    def embed(
        self, paths: Paths, *, levels: Sequence[Level] = LEVELS, on_error: OnError | None = None
    ) -> list[ClipEmbedding]:
        """Return the features of files, folders (searched for audio) and globs, in their order.

        A file that cannot be heard is told to `on_error`, and the others are done.

        Raises:
            AudioError: at the first file that cannot be heard, if `on_error` is None.
            ValueError: if `levels` is empty or the network lacks one.
        """
        return each_file(paths, partial(self.embed_file, levels=levels), on_error)

    def embed_file(self, path: str | Path, *, levels: Sequence[Level] = LEVELS) -> ClipEmbedding:
        """Return the features of one file at each of `levels` (-1 the highest; paper, 4.1) or stages.

        Raises:
            AudioError: if the file cannot be heard.
            ValueError: if `levels` is empty or the network lacks one.
        """
        if not levels:
            raise ValueError(f"levels must name at least one level, such as {LEVELS}")
        duration_s, means = self._means(Path(path), levels)
        features = {level: means[f"level_{level}"].astype(np.float32) for level in levels}
        return ClipEmbedding(Path(path), duration_s, features)

    def taggram(self, path: str | Path) -> Taggram:
        """Return the scores of every segment of one file; what is kept grows by one row a segment.

        They cover the whole file, also where the preset's rule takes only some for a clip's score.

        Raises:
            AudioError: if the file cannot be heard.
            PresetError: if the preset is an encoder, which has no tags.
        """
        self._check_tags()
        starts: list[float] = []
        rows: list[Floats] = []
        blocks = self._blocks(Path(path))
        for batch_starts, features in self.features(self._cover(blocks), ()):
            starts += batch_starts
            rows.append(features["scores"])
        preset = self.preset
        return Taggram(
            path=Path(path),
            start_s=np.array(starts),
            scores=np.concatenate(rows),
            tags=preset.tags,
            segment_s=preset.segment_s,
            duration_s=blocks.samples / preset.sample_rate,
        )

    def listen(self, clip: Path | Floats, *, levels: Sequence[Level] = ()) -> Listening:
        """Return the segments whose mean is the clip's, to be run a batch at a time as they are asked for.

        Args:
            clip: a file, or (samples,) mono audio in -1 to 1 at the preset's rate.
            levels: levels or stages to give beside the scores.

        Raises:
            AudioError: while iterating, if the file cannot be heard: trust nothing before the end.
            ValueError: while iterating, if the network lacks a level.
        """
        segments, blocks = self._clip(clip)
        return Listening(self.features(segments, levels), blocks, self.preset.sample_rate)

    def _means(self, path: Path, levels: Sequence[Level]) -> tuple[float, dict[str, npt.NDArray[np.float64]]]:
        """Return the length of a file in seconds and the mean over its segments of what the engine gives."""
        sums: dict[str, npt.NDArray[np.float64]] = {}
        count = 0
        listening = self.listen(path, levels=levels)
        for starts, features in listening:
            count += len(starts)
            for name, rows in features.items():
                sums[name] = sums.get(name, 0.0) + rows.sum(axis=0, dtype=np.float64)
        return listening.duration_s, {name: total / count for name, total in sums.items()}

    def _blocks(self, clip: Path | Floats) -> "_Counted":
        if isinstance(clip, np.ndarray):
            return _Counted([clip])
        return _Counted(audio.stream(clip, self.preset.sample_rate, decoder=self.decoder))

    def _cover(self, blocks: "_Counted") -> Iterator[audio.Segment]:
        """Yield the segments that cover a clip, one every `hop_samples`."""
        preset = self.preset
        return audio.cut(blocks, preset.sample_rate, preset.segment_samples, self.hop_samples)

    def _clip(self, clip: Path | Floats) -> tuple[Iterable[audio.Segment], "_Counted"]:
        """Return the segments whose mean is the clip's, and what counts its samples while they are taken."""
        preset, rule = self.preset, self._rule
        if rule.windows is None:
            blocks = self._blocks(clip)
            return self._cover(blocks), blocks
        counted = _Counted(())
        segments, counted.samples = audio.spread(
            lambda: self._blocks(clip),
            preset.sample_rate,
            preset.segment_samples,
            rule.windows,
            to_end=rule.to_end,
            expected_samples=self._expected(clip),
        )
        return segments, counted

    def _expected(self, clip: Path | Floats) -> int:
        """Samples of a clip at the preset's rate, as far as its header tells."""
        if isinstance(clip, np.ndarray):
            return len(clip)
        return audio.info(clip, decoder=self.decoder).samples_at(self.preset.sample_rate)

    def _check_tags(self) -> None:
        if self.preset.is_encoder:
            raise PresetError(
                f"preset {self.preset.name!r} is an encoder without tags: take its features with embed, or "
                "give it a head with load_pretrained(..., tags=[...]) and train that"
            )

    def features(
        self, segments: Iterable[audio.Segment], levels: Sequence[Level] = ()
    ) -> Iterator[tuple[list[float], Features]]:
        """Yield the starts of a batch of segments in seconds, and what the engine gives for them.

        Args:
            segments: (segment_samples,) each, raw audio in -1 to 1; the normalization is applied here.
            levels: levels or stages to give beside the scores.

        Raises:
            ValueError: if the network lacks a level.
        """
        preset = self.preset
        buffer = np.empty((self._batch_size, preset.segment_samples, 1), np.float32)
        starts: list[float] = []
        for segment in segments:
            buffer[len(starts), :, 0] = segment.samples
            starts.append(segment.start_s)
            if len(starts) == self._batch_size:
                yield starts, self._run(buffer, levels)
                starts = []
        if starts:
            yield starts, self._run(buffer[: len(starts)], levels)

    def _run(self, batch: Floats, levels: Sequence[Level]) -> Features:
        """Normalize `batch` in place and run it."""
        normalization = self.preset.normalization
        if normalization is not None:
            batch -= np.float32(normalization.mean)
            batch /= np.float32(normalization.std)
        features = self._engine_with(levels)(batch)
        if not np.isfinite(features["scores"]).all():
            raise ValueError(f"preset {self.preset.name!r} gave scores that are not finite: report this file")
        return features

    def _engine_with(self, levels: Sequence[Level]) -> Engine:
        """Return an engine that gives `levels` among others; unusual ones get an engine of their own."""
        with self._lock:
            for known, engine in self._engines.items():
                if set(levels) <= set(known):
                    return engine
            wanted = tuple(sorted(set(levels), key=str))
            self._engines[wanted] = self._build(wanted)
            return self._engines[wanted]


class _Counted:
    """Blocks of samples as they pass, counted: the length of a file is known when it has been read."""

    def __init__(self, blocks: Iterable[Floats]) -> None:
        self._blocks = blocks
        self.samples = 0

    def __iter__(self) -> Iterator[Floats]:
        for block in self._blocks:
            self.samples += len(block)
            yield block


def _network(
    preset_or_model: "str | Path | keras.Model", preset: Preset | None, options: dict[str, Any]
) -> tuple[Preset, Callable[[tuple[Level, ...]], Engine], list[str]]:
    """Return the preset, what builds an engine for given levels, and the names of the layers in order."""
    if isinstance(preset_or_model, (str, Path)):
        if preset is not None:
            raise ValueError("preset= describes a keras.Model; a preset that is loaded brings its own")
        stored = read_stored(preset_or_model)
        names = [layer.name for layer in stored.network.layers]
        build = partial(engine_for_preset, stored, **options)
        return stored.preset, build, names
    model = preset_or_model
    preset = preset or getattr(model, "preset", None)
    if not isinstance(preset, Preset):
        raise PresetError(
            f"model {getattr(model, 'name', model)!r} carries no preset: pass preset=Preset(...), "
            "which names its tags, sample rate and segment"
        )
    check_model(preset, model)
    build = partial(engine_for_model, model, preset, **options)
    return preset, build, [layer.name for layer in model.layers]


def _hop(preset: Preset, hop_s: float | None) -> int:
    if hop_s is None:
        return preset.hop_samples
    hop_samples = round(hop_s * preset.sample_rate) if math.isfinite(hop_s) else 0
    if not 1 <= hop_samples <= preset.segment_samples:
        raise ValueError(
            f"hop_s must be above 0 and at most a segment, {preset.segment_s:.3f} s, "
            f"so that no sample stays unheard; got {hop_s}"
        )
    return hop_samples


def _files(paths: Paths) -> Iterator[Path]:
    """Yield the files meant, path by path, so that a file that is named twice is answered twice."""
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        yield from audio.find_audio(path)


def check_top(top: int | None) -> None:
    """Refuse a number of tags below 1.

    Raises:
        ValueError: if it is.
    """
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, or None for all tags, got {top}")


def ranked(tags: Sequence[str], scores: npt.NDArray[np.floating], top: int | None) -> tuple[TagScore, ...]:
    """Return the `top` tags, None for all, the highest of their scores (tags,) first."""
    order = np.argsort(-scores, kind="stable")[:top]
    return tuple(TagScore(tags[index], float(scores[index])) for index in order)


def each_file(paths: Paths, one: Callable[[Path], Clip], on_error: OnError | None) -> list[Clip]:
    """Return what `one` gives for files, folders and globs; `on_error` is told of bad ones, the others go on.

    Raises:
        AudioError: at the first file that cannot be heard, if `on_error` is None.
    """
    clips = []
    for path in _files(paths):
        try:
            clips.append(one(path))
        except audio.AudioError as error:
            if on_error is None:
                raise
            on_error(error)
    return clips


def _check_segments(array: npt.NDArray[np.generic], samples: int) -> None:
    if array.ndim != 3 or array.shape[1:] != (samples, 1):
        raise ValueError(f"segments must have the shape (n, {samples}, 1), got {array.shape}")
    if array.dtype.kind != "f":
        raise ValueError(
            f"segments must be floating-point in -1 to 1, got {array.dtype}: divide by full scale"
        )
    peak = np.abs(array).max(initial=0.0)
    if not np.isfinite(peak):
        raise ValueError("segments must be finite, got NaN or infinity")
    if peak > audio.LARGEST_PEAK:  # decoders overshoot a little, integers by thousands
        raise ValueError(f"segments must lie in -1 to 1, got a peak of {peak:g}: divide by full scale")
