"""The shard format: byte for byte what TensorFlow writes and reads."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from samplecnn_zoo.datasets.records import crc32c, encode_record, open_shard, to_pcm


def slow_crc32c(data: bytes) -> int:
    """Bit by bit, as the definition says."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def clips(count: int, samples: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-32768, 32768, (count, samples)).astype(np.int16)


@pytest.mark.parametrize("length", [4, 5, 7, 8, 4095, 4096, 4097, 12_289])
@pytest.mark.parametrize("make", [np.zeros, np.ones, lambda n: np.random.default_rng(n).integers(0, 256, n)])
def test_the_checksum_is_that_of_the_definition(length: int, make: Callable[[int], np.ndarray]) -> None:
    data = make(length).astype(np.uint8).tobytes()
    assert crc32c(data) == slow_crc32c(data)


def test_known_checksums() -> None:  # RFC 3720, appendix B.4
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_no_checksum_of_less_than_four_bytes() -> None:
    with pytest.raises(ValueError, match="at least four bytes are needed, not 3"):
        crc32c(b"abc")


@pytest.mark.parametrize("samples", [1, 29101, 641_655])
def test_records_are_those_that_tensorflow_writes(tmp_path: Path, samples: int) -> None:
    pcm = clips(3, samples)
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for row, clip in enumerate(pcm, 7):
            writer.write(np.array(row, "<i4").tobytes() + clip.astype("<i2").tobytes())
    ours = b"".join(encode_record(row, clip) for row, clip in enumerate(pcm, 7))
    assert ours == (tmp_path / "theirs").read_bytes()


def test_tensorflow_reads_a_shard_and_finds_a_changed_bit(tmp_path: Path) -> None:
    pcm = clips(2, 500)
    data = b"".join(encode_record(row, clip) for row, clip in enumerate(pcm))
    path = tmp_path / "a.tfrecord"
    path.write_bytes(data)
    read = [tf.io.decode_raw(record, tf.int16).numpy() for record in tf.data.TFRecordDataset(str(path))]
    np.testing.assert_array_equal([clip[2:] for clip in read], pcm)
    assert [clip[0] for clip in read] == [0, 1]
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(path)))


def test_a_shard_is_an_array(tmp_path: Path) -> None:
    pcm = clips(5, 331)
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(encode_record(row, clip) for row, clip in enumerate(pcm, 10)))
    shard = open_shard(path, 331)
    np.testing.assert_array_equal(shard["pcm"], pcm)
    assert shard["row"].tolist() == [10, 11, 12, 13, 14]
    assert not shard["pcm"].flags.writeable
    with pytest.raises(ValueError, match="multiple"):
        open_shard(path, 330)


def test_samples_of_a_16_bit_file_come_back_bit_for_bit() -> None:
    every = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(to_pcm((every / np.float32(32768)).astype(np.float32)), every)


def test_samples_between_are_rounded_and_full_scale_is_the_largest() -> None:
    samples = np.array([0.4, 0.6, -0.6, 32768, -32768, 40000], np.float32) / 32768
    assert to_pcm(samples.astype(np.float32)).tolist() == [0, 1, -1, 32767, -32768, 32767]
