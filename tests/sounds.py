"""Makers of real audio files, sound and broken, for all tests."""

import importlib
import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

Floats = npt.NDArray[np.float64]


def tone(seconds: float, rate: int, *, hz: float = 440.0, peak: float = 0.5, channels: int = 1) -> Floats:
    """Return a (frames, channels) sine; each channel is a third quieter than the one before."""
    time = np.arange(round(seconds * rate)) / rate
    sine = peak * np.sin(2 * np.pi * hz * time)
    return sine[:, None] * (2 / 3) ** np.arange(channels)


def noise(seconds: float, rate: int, *, peak: float = 0.5, channels: int = 1, seed: int = 0) -> Floats:
    """Return (frames, channels) white noise below `peak`."""
    size = (round(seconds * rate), channels)
    return np.random.default_rng(seed).uniform(-peak, peak, size)


def write(path: Path, samples: Floats, rate: int, format: str | None = None, **options: Any) -> Path:
    """Write (frames,) or (frames, channels) samples; the format follows the name if it is not given.

    m4a and aac go through PyAV, the rest through libsndfile with its options (`subtype`, `bitrate_mode`, …).
    """
    if path.suffix in (".m4a", ".aac", ".webm"):
        return write_av(path, samples, rate, **options)
    options = {"format": format} | options if format else options
    soundfile.write(path, samples, rate, **options)
    return path


def write_av(path: Path, samples: Floats, rate: int, **options: Any) -> Path:
    """Write AAC (or Opus into webm) with PyAV; `options` are the container's, as movflags="faststart"."""
    av = importlib.import_module("av")
    samples = samples.reshape(len(samples), -1)
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream(
            "libopus" if path.suffix == ".webm" else "aac", rate=rate, layout=layout
        )
        planes = np.ascontiguousarray(samples.T, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate, frame_size=1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(piece))
    return path


def wav_bytes(data: bytes, *, channels: int = 1, rate: int = 8000, announced: int | None = None) -> bytes:
    """Return a 16-bit PCM wav whose header may announce anything."""
    size = len(data) if announced is None else announced
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels & 0xFFFFFFFF, 2 * channels, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", (len(body) + size - len(data)) & 0xFFFFFFFF) + body


def halved(path: Path, source: Path, share: float = 0.5) -> Path:
    """Write the first part of another file."""
    data = source.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def without_xing(data: bytes) -> bytes:
    """Return an mp3 without its Xing or Info frame, which alone announces the length."""
    tag = max(data.find(b"Xing"), data.find(b"Info"))
    return data[data.index(data[:2], tag) :]


def trailing_tags(kind: str) -> bytes:
    """Return what taggers append to an mp3: "nothing", "ID3v1", "APEv2" (5 kB, with its header) or "both"."""
    ape_size = 5000
    frame = struct.pack("<8sIII", b"APETAGEX", 2000, ape_size, 1)
    header = frame + struct.pack("<I", 1 << 31 | 1 << 29) + bytes(8)
    footer = frame + struct.pack("<I", 1 << 31) + bytes(8)
    ape = header + b"x" * (ape_size - 32) + footer
    id3 = b"TAG" + b"y" * 125
    return {"nothing": b"", "ID3v1": id3, "APEv2": ape, "both": ape + id3}[kind]


def damaged(data: bytes, *, hits: int = 500, seed: int = 0) -> bytes:
    """Return the file with wrong bytes all over but at its start."""
    rng = np.random.default_rng(seed)
    changed = np.frombuffer(data, np.uint8).copy()
    changed[rng.integers(len(data) // 4, len(data), hits)] = rng.integers(0, 256, hits)
    return changed.tobytes()


def hostile(folder: Path) -> dict[str, Path]:
    """Make one file for each kind of `AudioError` that needs no other user and no missing package."""
    rate = 22050
    clip = tone(1.0, rate)
    made = {
        "missing": folder / "missing.wav",
        "directory": folder / "folder.wav",
        "not_regular": folder / "fifo.wav",
    }
    made["directory"].mkdir()
    os.mkfifo(made["not_regular"])
    made["empty"] = _put(folder / "empty.mp3", b"")
    made["corrupt"] = _put(folder / "text.mp3", b"This is no music.\n" * 500)
    made["no_channels"] = _put(folder / "no_channels.wav", wav_bytes(bytes(16000), channels=0))
    made["not_finite"] = write(folder / "nan.wav", np.where(clip > 0.49, np.nan, clip), rate, subtype="FLOAT")
    made["out_of_range"] = write(folder / "unscaled.wav", 32768 * clip, rate, subtype="FLOAT")
    made["silent"] = write(folder / "silent.flac", np.zeros(rate), rate)
    made["too_short"] = write(folder / "click.wav", clip[: rate // 20], rate)
    made["truncated"] = halved(folder / "half.mp3", write(folder / "whole.mp3", clip, rate))
    (folder / "whole.mp3").unlink()
    return made


def _put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
