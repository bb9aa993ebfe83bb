"""The default decoder: libsndfile through soundfile."""

import io
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

from samplecnn_zoo.decoders.base import (
    MOST_FRAMES,
    DecodeFailure,
    Samples,
    UnknownFormat,
    block_frames,
    grouped,
)
from samplecnn_zoo.decoders.hush import hushed

MP3_FRAME = 1152
_NO_HEADER = "unknown format, without a header"


class SoundFileDecoder:
    """libsndfile: wav, flac, ogg (Vorbis, Opus), mp3, aiff, au, caf and more; the protocol is `Decoder`."""

    name = "soundfile"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unsized: _Unsized | None = None
        # An absolute path, since libsndfile takes "-" for the standard input; as bytes where names are bytes,
        # since soundfile takes text for UTF-8, which a name need not be.
        name = os.path.abspath(path)
        self._file = _open(name if sys.platform == "win32" else os.fsencode(name))
        if self._file.format == "MP3":
            self._reopen_if_unsized()
        self.sample_rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.frames = _announced_frames(int(self._file.frames), self._file.extra_info)
        # The first frames of an mp3 may lean on frames that were cut off before it.
        frame = MP3_FRAME if self.sample_rate >= 32000 else MP3_FRAME // 2  # MPEG 2 has half the granules
        self.slack = 2 * frame if self._file.format == "MP3" else 0
        self.coding: tuple[str, str] = self._file.format, self._file.subtype

    def _reopen_if_unsized(self) -> None:
        unsized = _Unsized(self._path)
        file = _open(unsized)
        if file.frames > MOST_FRAMES:
            self._file.close()
            self._file, self._unsized = file, unsized
            unsized.stop_at_tags()
        else:
            file.close()
            unsized.close()

    def blocks(self, block_s: float) -> Iterator[Samples]:
        """Yield (frames, channels) blocks of about `block_s` seconds, full scale ±1 (see `Decoder`)."""
        frames = block_frames(block_s, self.sample_rate, self.channels)
        if self._unsized is None:
            yield from self._reads(frames)
        else:
            # One mp3 frame a read: where a read fails, libsndfile forgets what it had decoded in it.
            yield from grouped(self._reads(MP3_FRAME), frames)
        if self._file.format == "OGG" and _ends_inside_page(self._path):
            raise DecodeFailure("truncated", "the file ends in the middle of an Ogg page")

    def _reads(self, frames: int) -> Iterator[Samples]:
        while True:
            try:
                with hushed():
                    block: Samples = self._file.read(frames, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                if self._unsized is not None and self._unsized.at_end():
                    return
                raise DecodeFailure("corrupt", f"decoding stops: {_clean(error.error_string)}") from error
            if not len(block):
                return
            yield block

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        if self._unsized is not None:
            self._unsized.close()


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile that is only read forward.

    soundfile seeks after every read of a seekable file, and libsndfile can't seek to the end of a flac file
    whose header leaves the length open: the last block would be lost.
    """

    def seekable(self) -> bool:
        return False


class _Unsized(io.FileIO):
    """An mp3 file that claims to be 2**50 bytes long, and ends before its trailing tags.

    Where an mp3 has no Xing header, libmpg123 guesses the number of frames from the size of the file, cover
    picture included, and libsndfile stops there: it may lose a third of a variable-rate file, and a file with
    a picture looks truncated. With this claim the guess is never reached and is told apart from a header.
    """

    CLAIM = 2**50

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._end = self.CLAIM
        self._claiming = False

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._claiming = (offset, whence) == (0, io.SEEK_END)
        return super().seek(offset, whence)

    def tell(self) -> int:
        return self.CLAIM if self._claiming else super().tell()

    def readinto(self, buffer: Any, /) -> int:
        left = max(0, self._end - super().tell())
        return super().readinto(memoryview(buffer)[:left]) or 0

    def at_end(self) -> bool:
        return super().tell() >= self._end

    def stop_at_tags(self) -> None:
        """End before an APEv2 tag and an ID3v1 tag, which libmpg123 would take for damage."""
        here = super().tell()
        self._end = super().seek(0, io.SEEK_END)
        if self._tail(128)[:3] == b"TAG":
            self._end -= 128
        footer = self._tail(32)
        if footer[:8] == b"APETAGEX":
            header = 32 if footer[23] & 0x80 else 0
            size = int.from_bytes(footer[12:16], "little") + header
            self._end -= size if size < self._end else 0
        super().seek(here)

    def _tail(self, size: int) -> bytes:
        super().seek(max(0, self._end - size))
        return super().read(size) or b""


# libsndfile keeps the reason why a file can't be opened in one place for all threads.
_opening = threading.Lock()


def _open(source: str | bytes | _Unsized) -> _Sequential:
    try:
        with _opening, hushed():
            file = _Sequential(source)
    except soundfile.LibsndfileError as error:
        raise _open_failure(error.error_string) from error
    except TypeError as error:  # soundfile asks for the rate of a .raw file
        raise _open_failure(_NO_HEADER) from error
    if file.format == "RAW":  # libsndfile takes any .au, .snd, .vox or .gsm for sound
        file.close()
        raise _open_failure(_NO_HEADER)
    return file


# What libsndfile says of formats and codecs that it doesn't know; the last of what libmpg123 gives up on.
_UNKNOWN = re.compile("not recognised|unknown format|nimplemented|nsupported|not a regular file")


def _open_failure(message: str) -> DecodeFailure:
    if "hannel count" in message:
        return DecodeFailure("no_channels", "the header announces no channels")
    failure = UnknownFormat if _UNKNOWN.search(message) else DecodeFailure
    return failure("corrupt", f"not audio that can be read ({_clean(message)})")


def _clean(message: str) -> str:
    if "not a regular file" in message:
        return "format not recognised"
    return message.strip().rstrip(".") or "libsndfile gives no reason"


# libsndfile cuts the announced size to what the file holds, and says so in its log.
_SIZES = re.compile(r"^\s*(?:data|SSND|BODY|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.M)


def _announced_frames(frames: int, log: str) -> int | None:
    """Return how many frames the header announces, where libsndfile counts `frames`; None if it doesn't."""
    if frames > MOST_FRAMES:
        return None
    found = _SIZES.search(log)
    if found is None:
        return frames
    announced, held = int(found[1]), int(found[2])
    # Sizes near 2**31 and 2**32 are what programs write that don't know the length yet.
    open_ended = 0x7FFFF000 <= announced <= 0x80000000 or announced >= 0xFFFFF000
    if open_ended or not 0 < held < announced:
        return frames
    return frames * announced // held


def _ends_inside_page(path: Path) -> bool:
    """Tell whether the last Ogg page is cut: nothing else in a cut Ogg file says how long it was."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2**16))  # a page is shorter
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27:
        return True
    segments = page[26]  # 27 bytes of header, a table of segment sizes, the segments
    return len(page) < 27 + segments + sum(page[27 : 27 + segments])
