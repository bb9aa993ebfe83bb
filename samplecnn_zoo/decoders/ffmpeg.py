"""The decoder for m4a, aac and what else libsndfile does not read: FFmpeg through PyAV (extra `av`)."""

import importlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from samplecnn_zoo.decoders.base import DecodeFailure, Samples, block_frames, grouped
from samplecnn_zoo.decoders.hush import hushed

# Containers of sound, or of film with sound; no playlists, pictures or texts, which FFmpeg would open, too.
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,latm,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpc,mpc8,mpeg,mpegts,ogg,oma,rm,tak,tta,voc,w64,wav,wv,xwma"
)
# Those of them whose announced length is written down, not guessed from the bit rate.
_EXACT = {"aiff", "ape", "asf", "caf", "flac", "mov", "tak", "tta", "w64", "wav", "wv"}


class AvDecoder:
    """FFmpeg through PyAV; the protocol is `Decoder`."""

    name = "av"
    # AAC encoders pad up to 2112 samples in front and a frame behind; a length without edit list counts them.
    slack = 2112 + 1024

    def __init__(self, path: Path) -> None:
        self._av = _import_av()
        self._file = path.open("rb")  # a file, not a name: names may be addresses
        self._container: Any = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        try:
            with hushed():
                self._container = self._av.open(self._file, options={"format_whitelist": _FORMATS})
        except (self._av.FFmpegError, ValueError) as error:
            raise DecodeFailure("corrupt", f"not audio that can be read ({_reason(error)})") from error
        if not self._container.streams.audio:
            raise DecodeFailure("no_channels", "the file holds no audio stream")
        decoded = self._decode()
        # The rate counts that comes out: HE-AAC announces half of it.
        first, self.sample_rate = next(decoded, (None, 0))
        if first is None:
            raise DecodeFailure("empty", "no audio decodes")
        self.channels = first.shape[1]
        self.frames = self._announced()
        self._pieces = (piece for piece, _ in chain([(first, self.sample_rate)], decoded))

    def _announced(self) -> int | None:
        stream, formats = self._container.streams.audio[0], set(self._container.format.name.split(","))
        if stream.duration is not None and formats & _EXACT:
            return int(stream.duration * stream.time_base * self.sample_rate)
        alone = len(self._container.streams) == 1
        if "matroska" in formats and alone and self._container.duration is not None:
            return int(self._container.duration * self.sample_rate / self._av.time_base)
        return None

    def _decode(self) -> Iterator[tuple[Samples, int]]:
        """Yield (frames, channels) pieces as FFmpeg gives them, with their rate in Hz."""
        resampler = self._av.AudioResampler(format="fltp")
        try:
            frames = self._container.decode(audio=0)
            while True:
                with hushed():
                    frame = next(frames, None)
                    planes = [] if frame is None else resampler.resample(frame)
                for plane in planes:
                    yield plane.to_ndarray().T, plane.sample_rate
                if frame is None:
                    return
        except (self._av.FFmpegError, ValueError) as error:
            raise DecodeFailure("corrupt", f"decoding stops: {_reason(error)}") from error

    def blocks(self, block_s: float) -> Iterator[Samples]:
        """Yield (frames, channels) blocks of about `block_s` seconds, full scale ±1 (see `Decoder`)."""
        return grouped(self._pieces, block_frames(block_s, self.sample_rate, self.channels))

    def close(self) -> None:
        """Let go of the file."""
        if self._container is not None:
            self._container.close()
        self._file.close()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _import_av() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise DecodeFailure(
            "no_decoder",
            "a format that needs FFmpeg, and PyAV is not installed",
            "pip install 'samplecnn_zoo[av]'",
        ) from error
