"""Activations of a network into one vector a clip: pooled within segments, gathered over them (paper, 4.1).

A scale is one network with its own rate and segment length. Several of them over the same clip, side by side,
are the paper's multi-scale aggregation (section 4.2).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from samplecnn_zoo import __version__
from samplecnn_zoo.engines import Level
from samplecnn_zoo.tagger import LEVELS, Tagger
from samplecnn_zoo.transfer.errors import TransferError
from samplecnn_zoo.zoo.preset import Preset

STATISTICS = ("mean", "std", "max")
SCORES: Level = "scores"  # stands among levels for the scores of the tags

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Some columns of a vector of features, and what they are: a statistic of a level of a network."""

    preset: str
    level: Level
    statistic: str
    width: int


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """One clip: (columns,) features, and its length in seconds."""

    values: Floats
    duration_s: float


@dataclass(frozen=True, eq=False)
class SegmentFeatures:
    """The segments of a clip: (segments,) starts in seconds, (segments, channels) all levels side by side."""

    start_s: Doubles
    values: Floats
    duration_s: float


@dataclass(frozen=True, eq=False)
class Scale:
    """A network and what is taken from it.

    Attributes:
        tagger: Runs the network; its `pooling` is that within a segment.
        levels: Levels (-1 the highest) or names of stages; SCORES for the scores of the tags.
        statistics: Of the segments of a clip, some of STATISTICS.
        source: Name or directory of the preset; None for a model in memory.

    Raises:
        TransferError: No level or statistic, one twice, or an unknown statistic.
    """

    tagger: Tagger
    levels: tuple[Level, ...] = LEVELS
    statistics: tuple[str, ...] = ("mean",)
    source: str | None = None

    def __post_init__(self) -> None:
        for name, values in (("levels", self.levels), ("statistics", self.statistics)):
            if not values or len(set(values)) != len(values):
                raise TransferError(f"{name} must name one or more, each once, got {values}")
        if unknown := set(self.statistics) - set(STATISTICS):
            raise TransferError(f"statistics are among {', '.join(STATISTICS)}, got {sorted(unknown)}")

    @classmethod
    def of(
        cls,
        preset: str | Path,
        *,
        levels: Sequence[Level] = LEVELS,
        pooling: str = "max",
        statistics: Sequence[str] = ("mean",),
        **options: Any,
    ) -> Self:
        """Return the scale of a preset by name or directory; `options` are those of `Tagger`.

        Raises:
            TransferError: As the class.
            PresetError: There is no such preset, or it is damaged.
            ValueError: Its network lacks a level, or an option is out of its range.
        """
        tagger = Tagger(preset, pooling=pooling, **options)
        scale = cls(tagger, tuple(levels), tuple(statistics), str(preset))
        scale.parts  # noqa: B018  # a level that is not there shows now, not at the first file
        return scale

    @property
    def name(self) -> str:
        """The preset's."""
        return self.tagger.preset.name

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What the columns are, in their order: level by level, and of each the statistics."""
        silence = np.zeros(self.tagger.preset.segment_samples, np.float32)
        features = next(rows for _, rows in self._listen(silence))
        return tuple(
            Part(self.name, level, statistic, features[_output(level)].shape[1])
            for level in self.levels
            for statistic in self.statistics
        )

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(part.width for part in self.parts)

    def facts(self) -> dict[str, Any]:
        """Return what the features are of, ready for JSON.

        Raises:
            TransferError: The network is a model in memory, which may change unnoticed.
        """
        return {
            "preset": reference(self.tagger.preset),
            "levels": list(self.levels),
            "pooling": self.tagger.pooling,
            "statistics": list(self.statistics),
        }

    def identity(self) -> dict[str, Any]:
        """Return all that the numbers depend on besides the audio; two runs that agree in it may be mixed."""
        tagger = self.tagger
        how = {"engine": tagger.engine, "decoder": tagger.decoder, "hop_samples": tagger.hop_samples}
        return {**self.facts(), **how, "version": __version__}

    def clip(self, clip: str | Path | Floats) -> ClipFeatures:
        """Hear a file, or (samples,) audio at the network's rate, a batch of segments at a time.

        Memory does not grow with the length of the clip.

        Raises:
            AudioError: The file cannot be heard.
        """
        gathered = [_Gathered() for _ in self.levels]
        listening = self._listen(clip)
        for _, rows in listening:
            for level, one in zip(self.levels, gathered, strict=True):
                one.add(rows[_output(level)])
        values = [one.statistic(name) for one in gathered for name in self.statistics]
        return ClipFeatures(np.concatenate(values).astype(np.float32), listening.duration_s)

    def segments(self, clip: str | Path | Floats) -> SegmentFeatures:
        """Hear a file, or (samples,) audio at the network's rate, and keep a row of each of its segments.

        Raises:
            AudioError: The file cannot be heard.
        """
        starts: list[float] = []
        values: list[Floats] = []
        listening = self._listen(clip)
        for batch, rows in listening:
            starts += batch
            values.append(np.concatenate([rows[_output(level)] for level in self.levels], axis=1))
        return SegmentFeatures(np.array(starts), np.concatenate(values), listening.duration_s)

    def gather(self, rows: Floats) -> Floats:
        """Return the (columns,) features of some segments, as `segments` gives them: (n, channels)."""
        widths = [part.width for part in self.parts[:: len(self.statistics)]]
        values = []
        for level in np.split(rows, np.cumsum(widths)[:-1], axis=1):
            gathered = _Gathered()
            gathered.add(level)
            values += [gathered.statistic(name) for name in self.statistics]
        return np.concatenate(values).astype(np.float32)

    def _listen(self, clip: str | Path | Floats) -> Any:
        heard = clip if isinstance(clip, np.ndarray) else Path(clip)
        return self.tagger.listen(heard, levels=[level for level in self.levels if level != SCORES])


def _output(level: Level) -> str:
    """What an engine calls it."""
    return "scores" if level == SCORES else f"level_{level}"


class _Gathered:
    """Mean, spread and maximum of rows that come in batches (Chan, Golub, LeVeque 1983), in float64."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: Any = 0.0
        self._squares: Any = 0.0
        self._max: Any = -np.inf

    def add(self, rows: Floats) -> None:
        """Take (n, channels) rows."""
        batch, count = rows.astype(np.float64), self._count + len(rows)
        mean = batch.mean(axis=0)
        apart = mean - self._mean
        self._squares += ((batch - mean) ** 2).sum(axis=0) + apart**2 * self._count * len(rows) / count
        self._mean += apart * len(rows) / count
        self._max = np.maximum(self._max, batch.max(axis=0))
        self._count = count

    def statistic(self, name: str) -> Doubles:
        """Return (channels,): `mean`, `std` (0 of one row) or `max`."""
        found: Doubles = {
            "mean": self._mean, "std": np.sqrt(self._squares / self._count), "max": self._max,
        }[name]  # fmt: skip
        return found


def reference(preset: Preset) -> dict[str, Any]:
    """Return what of a preset decides its features, ready for JSON; scores and words on its card do not.

    Raises:
        TransferError: It is a model in memory.
    """
    if preset.weights_sha256 is None:
        raise TransferError(
            f"{preset.name} is a model in memory, which may change unnoticed: save it with save_pretrained"
        )
    names = ("name", "weights_sha256", "config_sha256", "sample_rate", "segment_samples")
    norm = preset.normalization
    return {
        **{name: getattr(preset, name) for name in names},
        "normalization": None if norm is None else asdict(norm),
        "segment_rule": asdict(preset.segment_rule),
    }


def digest(identity: Any) -> str:
    """Return 16 hexadecimal digits that stand for plain JSON values."""
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def all_parts(scales: Sequence[Scale]) -> Iterator[Part]:
    """Yield the parts of several scales side by side."""
    for scale in scales:
        yield from scale.parts
