"""The shard format: TFRecord files whose records all have one size, written and read with NumPy alone.

A record is a TFRecord frame (length, its checksum, payload, its checksum) around the row number of a clip as
int32 and its samples as int16, all little-endian. Any TFRecord reader reads the file; and since every record
has the same size, the same file is an array: `open_shard` maps it, and a segment is read where it stands.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]
Words = npt.NDArray[np.uint32]

FULL_SCALE = 32768.0  # a 16-bit file at the wanted rate survives bit for bit
LANES = 2048  # of the checksum, computed beside each other; a power of two
POLYNOMIAL = np.uint32(0x82F63B78)  # CRC-32C, reflected


def record_dtype(clip_samples: int) -> np.dtype[Any]:
    """A record as NumPy sees it: length, length_crc, row, pcm (clip_samples,), crc; without gaps."""
    return np.dtype(
        [
            ("length", "<u8"),
            ("length_crc", "<u4"),
            ("row", "<i4"),
            ("pcm", "<i2", (clip_samples,)),
            ("crc", "<u4"),
        ]
    )


def open_shard(path: Path, clip_samples: int) -> npt.NDArray[Any]:
    """Map a shard into memory as (clips,) records of `record_dtype`; nothing is read yet.

    Raises:
        ValueError: The size of the file is no multiple of a record's.
        OSError: The file can't be opened.
    """
    return np.asarray(np.memmap(path, dtype=record_dtype(clip_samples), mode="r"))


def encode_record(row: int, pcm: Pcm) -> bytes:
    """Frame one clip: the bytes that a TFRecord writer would append for this payload.

    Args:
        row: The clip's row number.
        pcm: (clip_samples,) int16.
    """
    payload = np.int32(row).astype("<i4").tobytes() + pcm.astype("<i2").tobytes()
    length = np.uint64(len(payload)).astype("<u8").tobytes()
    record: bytes = length + _masked(crc32c(length)) + payload + _masked(crc32c(payload))
    return record


def to_pcm(samples: npt.NDArray[np.float32]) -> Pcm:
    """Round samples in ±1 to int16: full scale is 32768, and +1 becomes 32767."""
    scaled = np.rint(samples * np.float32(FULL_SCALE))
    pcm: Pcm = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return pcm


def _masked(crc: int) -> bytes:
    """TFRecord stores checksums turned by 15 bits plus a constant, lest data hold their own."""
    turned = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return ((turned + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def crc32c(data: bytes) -> int:
    """The CRC-32C of some bytes, about 200 MB a second in plain NumPy.

    A checksum without its initial and final inversion is linear: leading zeros change nothing, and that of a
    joined text is that of the left part, moved on by the length of the right one, xor that of the right part.
    So the bytes are cut into lanes that are gone through side by side, and the lanes are joined by pairs.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    if len(data) < 4:
        raise ValueError(f"at least four bytes are needed, not {len(data)}")
    lane_bytes = 2 * -(-len(data) // (2 * LANES))
    padded = np.zeros(LANES * lane_bytes, np.uint8)
    padded[-len(data) :] = np.frombuffer(data, np.uint8)
    start = len(padded) - len(data)
    padded[start : start + 4] ^= 0xFF  # the initial inversion
    columns = np.ascontiguousarray(padded.view("<u2").reshape(LANES, -1).T)
    table = _two_byte_table()
    states = np.zeros(LANES, np.uint32)
    for column in columns:
        states = table[states.astype(np.uint16) ^ column] ^ (states >> np.uint32(16))
    return int(_joined(states, lane_bytes)) ^ 0xFFFFFFFF


def _joined(states: Words, lane_bytes: int) -> np.uint32:
    while len(states) > 1:
        states = _apply(_moving(lane_bytes), states[0::2]) ^ states[1::2]
        lane_bytes *= 2
    return np.uint32(states[0])


@lru_cache(maxsize=1)
def _byte_table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ (POLYNOMIAL * (table & np.uint32(1)))
    return table


@lru_cache(maxsize=1)
def _two_byte_table() -> Words:
    """What two bytes do to a checksum of zero, by their value as a little-endian word."""
    return _one_byte_on(_one_byte_on(np.arange(65536, dtype=np.uint32)))


def _one_byte_on(states: Words) -> Words:
    after: Words = _byte_table()[states & np.uint32(0xFF)] ^ (states >> np.uint32(8))
    return after


@lru_cache(maxsize=64)
def _moving(zeros: int) -> Words:
    """(32,) the matrix over GF(2) that moves a checksum on by some zero bytes: the image of each bit."""
    if zeros == 1:
        return _one_byte_on(np.uint32(1) << np.arange(32, dtype=np.uint32))
    half = _moving(zeros // 2)
    whole = _apply(half, half)
    return _apply(_moving(1), whole) if zeros % 2 else whole


def _apply(matrix: Words, states: Words) -> Words:
    moved = np.zeros_like(states)
    for bit, image in enumerate(matrix):
        moved ^= ((states >> np.uint32(bit)) & np.uint32(1)) * image
    return moved
