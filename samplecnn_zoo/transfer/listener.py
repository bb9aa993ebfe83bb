"""A head and its networks as one thing that listens to files, with the calls of `Tagger`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.tagger import ClipTags, OnError, Paths, Taggram, check_top, each_file, ranked
from samplecnn_zoo.transfer.saved import StoredHead, read_head
from samplecnn_zoo.transfer.scales import Scale, SegmentFeatures

Indices = npt.NDArray[np.intp]


class HeadTagger:
    """What `samplecnn finetune` made, ready to tag.

    Args:
        directory: Of the head.
        options: Those of `Tagger`: engine, batch_size, hop_s, decoder.

    Raises:
        TransferError: There is no sound head, or a preset is not there or has changed.
        ValueError: An option is out of its range.
    """

    def __init__(self, directory: str | Path | StoredHead, **options: Any) -> None:
        self.stored = directory if isinstance(directory, StoredHead) else read_head(directory)
        self.scales: Sequence[Scale] = self.stored.open(**options)

    @property
    def tags(self) -> tuple[str, ...]:
        """In the order of the scores."""
        return self.stored.head.tags

    def tag(self, paths: Paths, *, top: int | None = None, on_error: OnError | None = None) -> list[ClipTags]:
        """Return the tags of files, folders and globs, in their order; errors as `Tagger.tag`."""
        return each_file(paths, lambda path: self.tag_file(path, top=top), on_error)

    def tag_file(self, path: str | Path, *, top: int | None = None) -> ClipTags:
        """Return the `top` tags of one file, None for all, the highest score first.

        Raises:
            AudioError: The file cannot be heard.
            ValueError: `top` is below 1.
        """
        check_top(top)
        clips = [scale.clip(Path(path)) for scale in self.scales]
        (scores,) = self.stored.head.scores(np.concatenate([clip.values for clip in clips])[np.newaxis])
        return ClipTags(Path(path), clips[0].duration_s, ranked(self.tags, scores, top))

    def taggram(self, path: str | Path) -> Taggram:
        """Return the scores of every segment of the network with the longest ones.

        Of the others, the segments whose middle lies in it are gathered, or the nearest one. A row of
        features a segment is kept.

        Raises:
            AudioError: The file cannot be heard.
        """
        found = [scale.segments(Path(path)) for scale in self.scales]
        lengths = [scale.tagger.preset.segment_s for scale in self.scales]
        longest = int(np.argmax(lengths))
        rows = [
            np.concatenate([
                scale.gather(segments.values[_within(segments, own, start, lengths[longest])])
                for scale, segments, own in zip(self.scales, found, lengths, strict=True)
            ])
            for start in found[longest].start_s
        ]  # fmt: skip
        return Taggram(
            path=Path(path),
            start_s=found[longest].start_s,
            scores=self.stored.head.scores(np.stack(rows)),
            tags=self.tags,
            segment_s=lengths[longest],
            duration_s=found[longest].duration_s,
        )


def _within(segments: SegmentFeatures, length_s: float, start_s: float, window_s: float) -> Indices:
    """Which segments of `length_s` have their middle in a window; the nearest one if none has."""
    middles = segments.start_s + length_s / 2
    inside = (middles >= start_s) & (middles < start_s + window_s)
    if inside.any():
        return np.flatnonzero(inside)
    return np.array([np.abs(middles - (start_s + window_s / 2)).argmin()])
