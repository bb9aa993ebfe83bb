"""What a run writes down: `log.csv`, and the same figures for TensorBoard, both made anew from the history.

TensorBoard's event file is written here with NumPy alone, since a run on JAX or torch needs no TensorFlow,
whose import takes seconds and a GPU's memory; TensorFlow itself no longer installs TensorBoard either.
"""

import csv
import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samplecnn_zoo.datasets.records import crc32c
from samplecnn_zoo.training.run import LOG, TENSORBOARD, write_bytes, write_text

COLUMNS = (
    "epoch",
    "loss",
    "valid_loss",
    "valid_roc_auc",
    "valid_accuracy",
    "learning_rate",
    "seconds",
    "segments_per_s",
)
"""Of `log.csv`; a cell is empty where there is no such figure."""

EVENTS = "events.out.tfevents.0.samplecnn"

Row = Mapping[str, Any]


def write_logs(folder: Path, history: Sequence[Row]) -> None:
    """Write the rows of all epochs that are done to `log.csv` and `tensorboard/` of a run.

    Raises:
        OSError: They can't be written.
    """
    write_text(folder / LOG, csv_text(history))
    (folder / TENSORBOARD).mkdir(exist_ok=True)
    write_bytes(folder / TENSORBOARD / EVENTS, event_file(history))


def csv_text(history: Sequence[Row]) -> str:
    """Return `log.csv`: a line of names, and one an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def event_file(history: Sequence[Row]) -> bytes:
    """Return an event file of TensorBoard: a scalar a figure, its step the epoch, counted from 1."""
    events = [_double(1, 0.0) + _text(3, b"brain.Event:2")]
    for row in history:
        values = b"".join(
            _text(1, _text(1, f"epoch/{name}".encode()) + _float(2, row[name]))
            for name in COLUMNS[1:]
            if row.get(name) is not None
        )
        events.append(_double(1, row.get("time", 0.0)) + _int(2, row["epoch"]) + _text(5, values))
    return b"".join(_framed(event) for event in events)


def _framed(data: bytes) -> bytes:
    """A TFRecord: length, its checksum, the data, its checksum."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


# Protocol buffers: a field is its number and wire type in one varint, then the value.
def _varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 0x80 else bytes([low | 0x80]) + _varint(value >> 7)


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _text(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)
