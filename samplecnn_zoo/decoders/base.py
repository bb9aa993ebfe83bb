"""What every decoder answers, and what they share."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

# Decoders say "unknown" by a count beyond any file's (libsndfile: 2**63 - 1).
MOST_FRAMES = 2**43
# A block holds at most this many values, however many channels a header claims: 16 MB of float32.
MOST_VALUES = 2**22


class DecodeFailure(Exception):
    """What a decoder found wrong, without the path; `samplecnn_zoo.audio` makes an `AudioError` of it."""

    def __init__(self, kind: str, what: str, remedy: str | None = None) -> None:
        super().__init__(kind, what, remedy)
        self.kind = kind
        self.what = what
        self.remedy = remedy


class UnknownFormat(DecodeFailure):
    """The decoder doesn't know this kind of file; another one may."""


class Decoder(Protocol):
    """An open audio file.

    Attributes:
        name: "soundfile", "av" or "tfio".
        sample_rate: Rate of the file in Hz.
        channels: How many channels each frame has.
        frames: How many frames the file announces, or None if it doesn't say.
        slack: How many of them may be missing from a whole file, because its encoder padded it.
    """

    name: str
    sample_rate: int
    channels: int
    frames: int | None
    slack: int

    def blocks(self, block_s: float) -> Iterator[Samples]:
        """Yield (frames, channels) blocks of about `block_s` seconds, full scale ±1.

        Raises:
            DecodeFailure: The decoder gave up; what it had decoded until then has been yielded.
        """

    def close(self) -> None:
        """Let go of the file."""


def block_frames(block_s: float, sample_rate: int, channels: int) -> int:
    """Return how many frames a block of `block_s` seconds has, at least one and never too many to hold."""
    return max(1, min(round(block_s * sample_rate), MOST_VALUES // channels))


def grouped(pieces: Iterator[Samples], frames: int) -> Iterator[Samples]:
    """Join small pieces into blocks of at least `frames` (the last may be shorter); a failure comes last."""
    held: list[Samples] = []
    failure: DecodeFailure | None = None
    try:
        for piece in pieces:
            held.append(piece)
            if sum(map(len, held)) >= frames:
                yield np.concatenate(held)
                held = []
    except DecodeFailure as caught:
        failure = caught
    if held:
        yield np.concatenate(held)
    if failure is not None:
        raise failure
