"""Which segments an epoch has, and in which order: a function of (seed, epoch), computed before it begins.

Since the order is known, any place in an epoch can be gone to at once, every host knows its share, and the
pages of the shards that the system keeps in memory are the shuffle buffer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Order = Literal["random", "consecutive"]
Indices = npt.NDArray[np.int64]

STARTS, CLIPS, WINDOWS = range(3)  # what random numbers are drawn for


@dataclass(frozen=True)
class Segments:
    """How clips become segments.

    Attributes:
        segment_samples: Samples of a segment.
        order: "consecutive": side by side from the start of the clip, as in the paper (section 5.1);
            "random": at places drawn anew for every clip and epoch.
        per_clip: Segments of a clip in an epoch; by default as many as fit side by side, ten for 3^9.

    Raises:
        ValueError: A number is not positive, or the order is neither of the two.
    """

    segment_samples: int
    order: Order = "random"
    per_clip: int | None = None

    def __post_init__(self) -> None:
        if self.order not in ("random", "consecutive"):
            raise ValueError(f'order is "random" or "consecutive", not {self.order!r}')
        if self.segment_samples < 1 or (self.per_clip is not None and self.per_clip < 1):
            raise ValueError(
                f"segment_samples and per_clip must be at least 1, "
                f"not {self.segment_samples} and {self.per_clip}"
            )

    def count(self, clip_samples: int) -> int:
        """Segments of one clip in an epoch.

        Raises:
            ValueError: A segment is longer than the clip, or more consecutive ones are wanted than fit.
        """
        fit = clip_samples // self.segment_samples
        if not fit:
            raise ValueError(
                f"a segment of {self.segment_samples} samples does not fit into a clip of {clip_samples}; "
                "use a model with a shorter input, or prepare the set at a higher rate"
            )
        if self.order == "consecutive" and self.per_clip is not None and self.per_clip > fit:
            raise ValueError(f"only {fit} consecutive segments fit into a clip, not {self.per_clip}")
        return self.per_clip or fit


@dataclass(frozen=True)
class Share:
    """The clips that one of several hosts or replicas sees: all of `clips` with index % count == index.

    All hosts get the same number of clips: up to count - 1 of the last ones are left out.

    Raises:
        ValueError: The share is not one of `count`, or there is no clip for it.
    """

    clips: int
    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"shard=(index, count) wants 0 <= index < count, not {(self.index, self.count)}")
        if self.clips < self.count:
            raise ValueError(f"{self.clips} clips can't be shared among {self.count}; prepare more clips")

    def indices(self) -> Indices:
        """The clips of this share, ascending."""
        return np.arange(self.clips // self.count, dtype=np.int64) * self.count + self.index


@dataclass(frozen=True, eq=False)
class Plan:
    """Segments in order: (segments,) index of the clip, and (segments,) first sample in it."""

    clips: Indices
    starts: Indices

    def __len__(self) -> int:
        return len(self.clips)


def epoch_plan(
    share: Share,
    segments: Segments,
    clip_samples: int,
    *,
    seed: int = 0,
    epoch: int = 0,
    window: int | None = None,
) -> Plan:
    """The segments of one epoch, shuffled.

    Where a clip's random segments lie does not depend on the share. With a `window`, clips are shuffled in
    runs of neighbours that together have about so many segments, and segments within such a run: what is
    read at one time lies close together on disk, for sets that are larger than memory.

    Args:
        share: Which clips.
        segments: How they are cut.
        clip_samples: Samples of each clip.
        seed: Of the run.
        epoch: Counted from 0.
        window: Segments that are shuffled among each other; None shuffles the whole epoch.
    """
    per_clip = segments.count(clip_samples)
    chosen = share.indices()
    starts = _starts(share.clips, per_clip, segments, clip_samples, (seed, epoch))[chosen]
    order = _shuffled(len(chosen), per_clip, window, (seed, epoch, share.index, share.count))
    return Plan(np.repeat(chosen, per_clip)[order], starts.reshape(-1)[order])


def consecutive_plan(clips: int, segment_samples: int, clip_samples: int) -> Plan:
    """All segments that fit side by side, clip after clip."""
    per_clip = Segments(segment_samples, "consecutive").count(clip_samples)
    starts = np.arange(per_clip, dtype=np.int64) * segment_samples
    return Plan(np.repeat(np.arange(clips, dtype=np.int64), per_clip), np.tile(starts, clips))


def _starts(
    clips: int, per_clip: int, segments: Segments, clip_samples: int, seeds: Sequence[int]
) -> Indices:
    """(clips, per_clip) first samples."""
    if segments.order == "consecutive":
        return np.tile(np.arange(per_clip, dtype=np.int64) * segments.segment_samples, (clips, 1))
    last = clip_samples - segments.segment_samples
    return np.random.default_rng([*seeds, STARTS]).integers(0, last + 1, (clips, per_clip))


def _shuffled(clips: int, per_clip: int, window: int | None, seeds: Sequence[int]) -> Indices:
    """(clips * per_clip,) a permutation of segments; those of clip i are i * per_clip and the next ones."""
    total = clips * per_clip
    if window is None or window >= total:
        return np.random.default_rng([*seeds, WINDOWS]).permutation(total)
    run = max(1, window // per_clip)
    offset = int(np.random.default_rng([*seeds, CLIPS]).integers(run))  # runs differ from epoch to epoch
    run_of_clip = (np.arange(clips) + offset) // run
    places = np.random.default_rng([*seeds, CLIPS, 1]).permutation(int(run_of_clip[-1]) + 1)
    within = np.random.default_rng([*seeds, WINDOWS]).random(total)
    return np.lexsort((within, np.repeat(places[run_of_clip], per_clip)))
