"""What the page knows of a clip: its tags, their scores over time, and a vector to compare it by."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from samplecnn_zoo import audio
from samplecnn_zoo.tagger import ClipTags, Tagger, Taggram, ranked

Floats = npt.NDArray[np.float32]

LEVEL = -1
"""The level that clips are compared by: the last hidden one."""

FINEST_HOP_S = 0.25
OUTLINE_COLUMNS = 480
COLUMNS = 64  # a short clip is heard about so often, each segment overlapping the one before


class Refused(ValueError):
    """A clip that the page does not take; the message is for its visitor."""


@dataclass(frozen=True)
class Limits:
    """What the page takes.

    Attributes:
        megabytes: Of an uploaded file, 1 MB being 1024 times 1024 bytes.
        minutes: Of a clip.
    """

    megabytes: float = 50.0
    minutes: float = 15.0

    def __post_init__(self) -> None:
        if not (0 < self.megabytes < float("inf") and 0 < self.minutes < float("inf")):
            raise ValueError(
                f"limits must be above 0 and finite, got {self.megabytes:g} MB and {self.minutes:g} minutes"
            )

    @property
    def bytes(self) -> int:
        """Of an uploaded file."""
        return round(self.megabytes * 1024**2)

    def check(self, seconds: float) -> None:
        """Refuse a clip of more minutes.

        Raises:
            Refused: If it is longer.
        """
        if seconds > 60 * self.minutes:
            raise Refused(
                f"This clip is longer than {self.minutes:g} minutes, the most that this page takes: cut it, "
                "or tag the file with the command samplecnn tag, which has no limit."
            )


@dataclass(frozen=True, eq=False)
class Heard:
    """A clip that was listened to.

    Attributes:
        preset: Who listened.
        clip: All tags of the clip.
        taggram: Their scores over time.
        vector: (channels,), its features at `LEVEL`.
        outline: (columns,), the largest absolute sample of each equal part of the clip, 1 for the loudest.
    """

    preset: str
    clip: ClipTags
    taggram: Taggram
    vector: Floats
    outline: Floats


def hear(tagger: Tagger, path: Path, limits: Limits) -> Heard:
    """Listen to a file: its tags are those of `Tagger.tag_file`.

    The segments of the taggram overlap where the clip is short, so that there is something to see. The
    decoded clip is held in memory, which is what the limit on its length bounds.

    Raises:
        AudioError: If the file cannot be heard; its path is the bare name, as the visitor knows it.
        Refused: If the clip is longer than the limit.
    """
    try:
        samples = _samples(tagger, path, limits)
    except audio.AudioError as error:
        _, kind, what, remedy = error.args
        raise audio.AudioError(Path(path.name), kind, what, remedy) from error
    scores, vector = _means(tagger, samples)
    duration_s = len(samples) / tagger.preset.sample_rate
    clip = ClipTags(Path(path.name), duration_s, ranked(tagger.preset.tags, scores, None))
    return Heard(tagger.preset.name, clip, _taggram(tagger, samples, clip), vector, outline(samples))


def outline(samples: Floats, columns: int = OUTLINE_COLUMNS) -> Floats:
    """The largest absolute value in each of `columns` equal parts, as a share of the largest of all.

    >>> outline(np.array([0.1, -0.2, 0.4, 0.0], np.float32), 2).tolist()
    [0.5, 1.0]
    """
    starts = np.arange(min(columns, len(samples))) * len(samples) // min(columns, len(samples))
    peaks: Floats = np.maximum.reduceat(np.abs(samples), starts)
    return peaks / max(float(peaks.max()), 1e-9)


def vector_of(tagger: Tagger, path: Path) -> Floats:
    """The features of a file at `LEVEL`, (channels,).

    Raises:
        AudioError: If the file cannot be heard.
    """
    return tagger.embed_file(path, levels=[LEVEL]).levels[LEVEL]


def _samples(tagger: Tagger, path: Path, limits: Limits) -> Floats:
    limits.check(audio.info(path, decoder=tagger.decoder).duration_s or 0.0)
    return np.concatenate(list(_within(tagger, path, limits)))


def _within(tagger: Tagger, path: Path, limits: Limits) -> Iterator[Floats]:
    """Yield the blocks of a file as far as the limit: a header may say less than there is, or nothing."""
    rate, count = tagger.preset.sample_rate, 0
    for block in audio.stream(path, rate, decoder=tagger.decoder):
        count += len(block)
        limits.check(count / rate)
        yield block


def _means(tagger: Tagger, samples: Floats) -> tuple[npt.NDArray[np.float64], Floats]:
    """The means over the clip's segments: scores (tags,) and features (channels,)."""
    scores, vectors = [], []
    for _, features in tagger.listen(samples, levels=[LEVEL]):
        scores.append(features["scores"])
        vectors.append(features[f"level_{LEVEL}"])
    vector = np.concatenate(vectors).mean(axis=0, dtype=np.float64)
    return np.concatenate(scores).mean(axis=0, dtype=np.float64), vector.astype(np.float32)


def _taggram(tagger: Tagger, samples: Floats, clip: ClipTags) -> Taggram:
    preset = tagger.preset
    finest = max(round(FINEST_HOP_S * preset.sample_rate), len(samples) // COLUMNS)
    hop = max(1, min(finest, tagger.hop_samples))
    segments = audio.cut([samples], preset.sample_rate, preset.segment_samples, hop)
    starts: list[float] = []
    rows: list[Floats] = []
    for batch_starts, features in tagger.features(segments):
        starts += batch_starts
        rows.append(features["scores"])
    return Taggram(
        clip.path, np.array(starts), np.concatenate(rows), preset.tags, preset.segment_s, clip.duration_s
    )
