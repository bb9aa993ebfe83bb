"""Decoders behind one small protocol: an open file that gives float32 blocks at its own rate.

libsndfile (through soundfile) reads wav, flac, ogg, mp3 and their kin and is asked first. PyAV (extra `av`)
reads the rest, m4a/aac above all. tensorflow-io (extra `tfio`) is there for those who train with it.
"""

from collections.abc import Callable
from pathlib import Path

from samplecnn_zoo.decoders.base import DecodeFailure, Decoder, Samples, UnknownFormat
from samplecnn_zoo.decoders.ffmpeg import AvDecoder
from samplecnn_zoo.decoders.libsndfile import SoundFileDecoder
from samplecnn_zoo.decoders.tfio import TfioDecoder

__all__ = ["DECODERS", "DecodeFailure", "Decoder", "Samples", "open_decoder"]

DECODERS: dict[str, Callable[[Path], Decoder]] = {
    "soundfile": SoundFileDecoder,
    "av": AvDecoder,
    "tfio": TfioDecoder,
}


def open_decoder(path: Path, decoder: str = "auto") -> Decoder:
    """Open a regular file with one decoder; "auto" takes the first of soundfile and av that can.

    Raises:
        DecodeFailure: No decoder can open the file, or the one that could is not installed.
        ValueError: `decoder` is not a known name.
    """
    if decoder == "auto":
        return _open_with_first(path)
    if decoder not in DECODERS:
        raise ValueError(f"decoder must be one of {['auto', *DECODERS]}, not {decoder!r}")
    return DECODERS[decoder](path)


def _open_with_first(path: Path) -> Decoder:
    try:
        return SoundFileDecoder(path)
    except UnknownFormat as failure:
        first = failure
    try:
        return AvDecoder(path)
    except DecodeFailure as failure:
        # libsndfile's word counts, unless the file is of a kind that only FFmpeg knows.
        raise failure if _needs_av(path) else first from None


# How files begin (from which byte) that FFmpeg reads and libsndfile does not.
_AV_MAGIC = (
    (4, b"ftyp"),  # MP4, M4A
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF: WMA
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (0, b"MAC "),  # Monkey's Audio
    (0, b"wvpk"),  # WavPack
    (0, b"MPCK"),  # Musepack
    (0, b"TTA1"),  # True Audio
    (0, b"#!AMR"),
    (0, b"\x0b\x77"),  # AC-3
)


def _needs_av(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(16)
    # ADTS, the bare form of AAC: twelve bits of sync, one of version, and layer 0, which no mp3 has.
    adts = len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0
    return adts or any(head[at : at + len(magic)] == magic for at, magic in _AV_MAGIC)
