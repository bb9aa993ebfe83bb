"""From an audio file to segments: decode, mix to mono, resample, cut. NumPy only, no TensorFlow.

Everything runs block by block, so memory does not grow with the file. The rules:

- Channels are averaged. Resampled values beyond ±1 are clipped; a file with values beyond ±16 was never
  scaled and is an error, as are NaN and infinity.
- A clip shorter than 0.1 s is an error; one shorter than a segment is repeated (tiled) until it fills one.
- A file is truncated, and an error, if less than 99 % of the frames that it announces can be decoded. A
  failure after that is let pass. Some files announce nothing (mp3 without a Xing header, streams) and pass as
  they are; an Ogg file is truncated if it ends inside a page.
- A file that is silent (peak below 1e-5) as mono at the wanted rate is an error.
"""

import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from samplecnn_zoo.decoders import DecodeFailure, Decoder, Samples, open_decoder
from samplecnn_zoo.finding import find_audio

__all__ = [
    "KINDS",
    "AudioError",
    "AudioInfo",
    "Segment",
    "cut",
    "even_starts",
    "find_audio",
    "info",
    "load",
    "segments",
    "spread",
    "stream",
]

SHORTEST_S = 0.1
SILENT_PEAK = 1e-5
LARGEST_PEAK = 16.0
COMPLETE_SHARE = 0.99
BLOCK_S = 4.0

# Every kind of AudioError, and what to do about it where the finder doesn't know better.
REMEDIES = {
    "missing": "check the path",
    "directory": "name a file in it, or let find_audio list them",
    "not_regular": "copy it into a file first",
    "unreadable": "check its permissions",
    "empty": "fetch or export the file again",
    "corrupt": "fetch the file again or convert it to wav or flac",
    "no_channels": "export the file again with one or two channels",
    "not_finite": "export the file again as 16-bit PCM",
    "out_of_range": "fetch the file again or scale its samples to ±1",
    "silent": "check the recording",
    "too_short": f"join it with more audio: {SHORTEST_S:g} s are needed",
    "truncated": "fetch the file again",
    "no_decoder": "convert the file to wav or flac",
}
KINDS = tuple(REMEDIES)


class AudioError(ValueError):
    """A file that gives no samples to trust; `str()` is one line, `<path>: <what was found>; <what to do>`.

    Attributes:
        path: The file as it was named.
        kind: One of `KINDS`.
    """

    def __init__(self, path: Path, kind: str, what: str, remedy: str | None = None) -> None:
        super().__init__(path, kind, what, remedy)
        self.path = path
        self.kind = kind
        self._line = f"{path}: {what}; {remedy or REMEDIES[kind]}"

    def __str__(self) -> str:
        # A file name may hold line breaks and bytes that are no text.
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in self._line)


@dataclass(frozen=True)
class AudioInfo:
    """What a file says of itself; `frames` and `duration_s` are None where it doesn't say how long it is."""

    sample_rate: int
    channels: int
    frames: int | None
    duration_s: float | None
    decoder: str

    def samples_at(self, sample_rate: int) -> int:
        """Samples that the announced frames become at `sample_rate` Hz; 0 where there is no announcement."""
        return ((self.frames or 0) * 2 * sample_rate + self.sample_rate) // (2 * self.sample_rate)


@dataclass(frozen=True, eq=False)
class Segment:
    """A window of a clip: where it starts in seconds, and its (segment_samples,) float32 samples in ±1."""

    start_s: float
    samples: Samples


def info(path: str | Path, *, decoder: str = "auto") -> AudioInfo:
    """Read the header of a file, without decoding it.

    Raises:
        AudioError: There is no such file, it can't be read, or it is no audio.
    """
    with closing(_open(Path(path), decoder)) as source:
        duration_s = None if source.frames is None else source.frames / source.sample_rate
        return AudioInfo(source.sample_rate, source.channels, source.frames, duration_s, source.name)


def load(path: str | Path, sample_rate: int, *, decoder: str = "auto") -> Samples:
    """Return a whole file as (samples,) float32 mono in ±1 at `sample_rate` Hz; errors as in `stream`."""
    return np.concatenate(list(stream(path, sample_rate, decoder=decoder)))


def segments(
    path: str | Path,
    sample_rate: int,
    segment_samples: int,
    hop_samples: int | None = None,
    *,
    decoder: str = "auto",
) -> Iterator[Segment]:
    """Yield the windows of a file: `cut` of `stream`, with their errors, the last ones at the end."""
    return cut(stream(path, sample_rate, decoder=decoder), sample_rate, segment_samples, hop_samples)


def stream(
    path: str | Path, sample_rate: int, *, decoder: str = "auto", block_s: float = BLOCK_S
) -> Iterator[Samples]:
    """Yield a file as (n,) float32 mono blocks in ±1 at `sample_rate` Hz, resampled by soxr (HQ).

    Blocks have about `block_s` seconds, and their sizes change nothing else. Whether a file is whole, long
    and loud enough shows only at its end: trust nothing computed from it before the iterator is exhausted.

    Args:
        path: An audio file.
        sample_rate: The wanted rate in Hz.
        decoder: "soundfile", "av", "tfio", or "auto": soundfile, and av for what soundfile doesn't know.
        block_s: Seconds decoded at a time.

    Raises:
        AudioError: Anything in `KINDS`, when it is found.
        ValueError: The rate or the block is not positive, or the decoder's name is unknown.
    """
    if sample_rate < 1 or block_s <= 0:
        raise ValueError(f"sample_rate and block_s must be positive, not {sample_rate} and {block_s}")
    return _stream(Path(path), sample_rate, decoder, block_s)


def _stream(path: Path, sample_rate: int, decoder: str, block_s: float) -> Iterator[Samples]:
    peak = 0.0
    with closing(_open(path, decoder)) as source:
        mono = _mono(path, source, block_s)
        for block in _resampled(mono, source.sample_rate, sample_rate):
            peak = max(peak, float(np.abs(block).max()))
            yield np.clip(block, -1.0, 1.0)
    if peak < SILENT_PEAK:
        raise AudioError(path, "silent", f"silent at {sample_rate} Hz, its peak is {peak:.1g}")


def _open(path: Path, decoder: str) -> Decoder:
    _check_file(path)
    try:
        source = open_decoder(path, decoder)
    except DecodeFailure as failure:
        raise AudioError(path, failure.kind, failure.what, failure.remedy) from failure
    if not 1000 <= source.sample_rate <= 1_000_000:
        source.close()
        raise AudioError(path, "corrupt", f"the header announces a rate of {source.sample_rate} Hz")
    return source


def _check_file(path: Path) -> None:
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise AudioError(path, "directory", "this is a folder")
        if not stat.S_ISREG(found.st_mode):  # reading a pipe or a device may never end
            raise AudioError(path, "not_regular", "this is a pipe or device, not a regular file")
        path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AudioError(path, "missing", "there is no such file") from error
    except OSError as error:
        raise AudioError(path, "unreadable", f"can't be read ({error.strerror})") from error
    except ValueError as error:
        if isinstance(error, AudioError):
            raise
        raise AudioError(path, "missing", f"no file can have this name ({error})") from error
    if not found.st_size:
        raise AudioError(path, "empty", "the file has no bytes")


def _mono(path: Path, source: Decoder, block_s: float) -> Iterator[Samples]:
    """Yield (n,) blocks, the mean of the channels, at the file's own rate; judge the file at its end."""
    decoded = 0
    failure = None
    try:
        for block in source.blocks(block_s):
            mono: Samples = block.mean(axis=1, dtype=np.float32)
            _check_values(path, mono, decoded, source.sample_rate)
            decoded += len(mono)
            if len(mono):
                yield mono
    except DecodeFailure as caught:
        failure = caught
    _check_length(path, source, decoded, failure)


def _check_values(path: Path, mono: Samples, start: int, rate: int) -> None:
    peak = np.abs(mono).max(initial=0.0)
    if not np.isfinite(peak):
        at_s = (start + int(np.isfinite(mono).argmin())) / rate
        raise AudioError(path, "not_finite", f"a NaN or infinite sample at {at_s:.2f} s")
    if peak > LARGEST_PEAK:
        raise AudioError(path, "out_of_range", f"samples up to {peak:.3g}, where full scale is 1")


def _check_length(path: Path, source: Decoder, decoded: int, failure: DecodeFailure | None) -> None:
    rate, announced = source.sample_rate, source.frames
    why = f" ({failure.what})" if failure else ""
    if announced is not None and decoded + source.slack < COMPLETE_SHARE * announced:
        what = f"only {decoded / rate:.2f} s of the announced {announced / rate:.2f} s decode{why}"
        raise AudioError(path, "truncated", what) from failure
    if failure is not None and (announced is None or failure.kind == "truncated"):
        what = f"{failure.what}, after {decoded / rate:.2f} s"
        raise AudioError(path, failure.kind, what) from failure
    if not decoded:
        raise AudioError(path, "empty", "the file holds no samples")
    if decoded < SHORTEST_S * rate:
        raise AudioError(path, "too_short", f"only {decoded / rate:.3f} s long")


def _resampled(blocks: Iterator[Samples], source_rate: int, sample_rate: int) -> Iterator[Samples]:
    """Yield the blocks at another rate: bit for bit what one-shot resampling gives."""
    if source_rate == sample_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        resampled: Samples = resampler.resample_chunk(block)
        if len(resampled):  # the filter holds some back
            yield resampled
    resampled = resampler.resample_chunk(np.empty(0, np.float32), last=True)
    if len(resampled):
        yield resampled


def cut(
    blocks: Iterable[Samples], sample_rate: int, segment_samples: int, hop_samples: int | None = None
) -> Iterator[Segment]:
    """Cut a clip that comes in blocks into windows that reach its last sample.

    Windows start at 0, hop, 2 hop, … as long as they end within the clip. If the last one ends before the
    clip does, one more ends with it; so no two are the same. A clip shorter than a window is repeated until
    it fills one. At most a window and a block are held. A hop larger than a window leaves gaps.

    Args:
        blocks: (n,) float32 arrays, the clip in order.
        sample_rate: Rate of the blocks in Hz; the starts in seconds are counted with it.
        segment_samples: Samples in a window.
        hop_samples: Samples from one start to the next; by default a window.

    Raises:
        ValueError: A size is not positive, or the blocks hold no sample.
    """
    hop_samples = segment_samples if hop_samples is None else hop_samples
    for name, value in {
        "sample_rate": sample_rate,
        "segment_samples": segment_samples,
        "hop_samples": hop_samples,
    }.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    return _cut(blocks, sample_rate, segment_samples, hop_samples)


def _cut(blocks: Iterable[Samples], sample_rate: int, size: int, hop: int) -> Iterator[Segment]:
    held = np.empty(0, np.float32)  # the clip from sample `first` on
    first = start = total = 0
    for block in blocks:
        held = np.concatenate((held, block))
        total += len(block)
        while start + size <= total:
            yield Segment(start / sample_rate, held[start - first : start - first + size].copy())
            start += hop
        # The next window, or the one that ends with the clip, begins here or later.
        keep = max(first, min(start, total - size))
        held, first = held[keep - first :], keep
    if not total:
        raise ValueError("the blocks hold no sample to cut")
    if total < size:
        yield Segment(0.0, np.resize(held, size))
    elif start - hop + size < total:
        yield Segment((total - size) / sample_rate, held[-size:].copy())


def even_starts(samples: int, segment_samples: int, windows: int, *, to_end: bool = True) -> list[int]:
    """Return where `windows` windows of a clip of `samples` begin, evenly over it.

    The hop is (samples - segment_samples) // (windows - 1), so that the last one ends with the clip but for
    the remainder; or // windows with `to_end` False. Equal starts are named once: a clip no longer than a
    window has one, at 0.

    >>> even_starts(100, 10, 4), even_starts(100, 10, 4, to_end=False), even_starts(9, 10, 4)
    ([0, 30, 60, 90], [0, 22, 44, 66], [0])
    """
    hop = max(0, samples - segment_samples) // max(1, windows - to_end)
    return list(dict.fromkeys(row * hop for row in range(windows)))


def spread(
    read: Callable[[], Iterable[Samples]],
    sample_rate: int,
    segment_samples: int,
    windows: int,
    *,
    to_end: bool = True,
    expected_samples: int = 0,
) -> tuple[list[Segment], int]:
    """Take windows evenly over a clip, however long (`even_starts`); one that is shorter is repeated.

    Only the windows are held. Where they are depends on the length of the clip, which is known when it has
    been read: it is read once if `expected_samples` is right, else twice.

    Args:
        read: gives the clip from its start, in (n,) float32 blocks, each time it is called.
        sample_rate: rate of the blocks in Hz.
        segment_samples: samples in a window.
        windows: how many.
        to_end: whether the last window ends with the clip.
        expected_samples: length of the clip as its header has it; 0 where it doesn't tell.

    Returns:
        The windows in order, and the length of the clip in samples.

    Raises:
        ValueError: the blocks hold no sample, or are others each time.
    """
    length = expected_samples
    for _ in range(3):
        starts = even_starts(length, segment_samples, windows, to_end=to_end)
        taken, found = _take(read(), starts, segment_samples)
        if not found:
            raise ValueError("the blocks hold no sample to cut")
        if found == length:
            return [Segment(start / sample_rate, samples) for start, samples in taken], length
        length = found
    raise ValueError("the clip has another length every time that it is read")


def _take(blocks: Iterable[Samples], starts: list[int], size: int) -> tuple[list[tuple[int, Samples]], int]:
    """Return the windows at `starts`, as far as the blocks reach, and how many samples they hold."""
    windows = [(start, np.zeros(size, np.float32)) for start in starts]
    total = 0
    for block in blocks:
        for start, window in windows:
            first, last = max(total, start), min(total + len(block), start + size)
            if first < last:
                window[first - start : last - start] = block[first - total : last - total]
        total += len(block)
    if 0 < total < size:
        windows = [(0, np.resize(windows[0][1][:total], size))]
    return windows, total
