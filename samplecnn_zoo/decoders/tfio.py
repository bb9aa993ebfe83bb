"""The decoder for those whose data pipeline runs on tensorflow-io (extra `tfio`)."""

from collections.abc import Iterator
from pathlib import Path

from samplecnn_zoo.decoders.base import DecodeFailure, Samples


class TfioDecoder:
    """tensorflow-io's AudioIOTensor: wav, flac, ogg, mp3; the protocol is `Decoder`."""

    name = "tfio"
    slack = 2 * 1152  # as in soundfile's mp3

    def __init__(self, path: Path) -> None:
        raise DecodeFailure("no_decoder", "not yet")

    sample_rate: int
    channels: int
    frames: int | None

    def blocks(self, block_s: float) -> Iterator[Samples]:
        """Yield."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the file."""
