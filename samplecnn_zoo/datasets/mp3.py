"""How long an mp3 is that doesn't say so itself: frames are counted by their headers, nothing is decoded."""

from dataclasses import dataclass
from pathlib import Path

# Kilobits a second of layer III by the index in the header, and the rate of each version.
BITRATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
BITRATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
RATES = (44_100, 48_000, 32_000)
VERSIONS = {3: 1, 2: 2, 0: 4}  # as the header has it: MPEG 1, 2 and 2.5; what its rates are divided by
LAYER_III = 1


@dataclass(frozen=True)
class Frame:
    """What the header of a frame says."""

    size: int  # bytes, header and all
    samples: int
    sample_rate: int


def duration_s(path: Path) -> float | None:
    """Seconds that the frames of an mp3 hold; None if its bytes are no frames of layer III from the first on.

    Tags before the frames are passed over; the count ends where the frames do. It holds what encoders put
    before and behind the music, which a Xing header tells decoders to cut off, and the frame of that header.

    Raises:
        OSError: It can't be read.
    """
    data = path.read_bytes()
    place, samples = _tag_bytes(data), 0
    first = frame = parse_frame(data[place : place + 4])
    while first and frame and frame.sample_rate == first.sample_rate:
        place += frame.size
        samples += frame.samples
        frame = parse_frame(data[place : place + 4])
    return samples / first.sample_rate if first else None


def _tag_bytes(data: bytes) -> int:
    """The size of an ID3v2 tag at the start, 0 where there is none."""
    if len(data) < 10 or data[:3] != b"ID3":
        return 0
    footer = 10 if data[5] & 0x10 else 0
    return (
        10
        + footer
        + sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    )


def parse_frame(header: bytes) -> Frame | None:
    """The frame that four bytes begin; None if they begin none of layer III with a stated bitrate."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version not in VERSIONS or layer != LAYER_III or not 0 < bitrate < 15 or rate == 3:
        return None
    sample_rate = RATES[rate] // VERSIONS[version]
    samples = 1152 if version == 3 else 576
    bits = 1000 * (BITRATES_1 if version == 3 else BITRATES_2)[bitrate]
    return Frame(samples // 8 * bits // sample_rate + padding, samples, sample_rate)
