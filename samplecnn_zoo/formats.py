"""Records of clips to a stream, one at a time: table, json, csv, parquet. One row a clip in each of them.

The columns of tags are the preset's tags in its order, those of embeddings its levels; a tag outside of the
clip's top is an empty cell. Numbers are float32, written as the shortest decimals that give them back.
"""

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from rich.cells import cell_len, set_cell_size

Record = Mapping[str, Any]
"""What a file gave, ready for JSON: `path` and what else its row holds."""

Cells = Callable[[Record], list[tuple[str, Any]]]
"""The row of a record: column and value."""

_SUFFIXES = {".json": "json", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".txt": "table"}


class Writer(Protocol):
    """An output under construction."""

    def write(self, record: Record) -> None:
        """Take one clip's record."""

    def close(self) -> None:
        """Write what is still held back, and leave the stream open."""


_ROWS_A_GROUP = 256  # rows of a Parquet row group, held in memory: 1.5 MB of three levels of 512


def of_name(output: Path) -> str | None:
    """The format that a file's name asks for; None when it tells nothing."""
    return _SUFFIXES.get(output.suffix.lower())


def shortest(value: float) -> float:
    """The decimal number of fewest digits that rounds to the same float32.

    >>> import numpy as np
    >>> float(np.float32(0.1)), shortest(np.float32(0.1))
    (0.10000000149011612, 0.1)

    Raises:
        ValueError: The value is no finite number: it would be taken for one further on.
    """
    import numpy as np

    if not np.isfinite(value):
        raise ValueError(f"a score or feature must be a finite number, got {value}")
    return float(str(np.float32(value)))


def printable(text: str) -> str:
    r"""A file's name or a message on one line, without what would command a terminal.

    >>> printable("a\nb")
    'a�b'
    """
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def tag_writer(
    form: str, stream: BinaryIO, *, tags: Sequence[str], paths: Sequence[str] = (), width: int | None = None
) -> Writer:
    """A writer of records with `path`, `duration_s` and `tags`, a list of `{"tag", "score"}`.

    `tags` are all tags of the preset, `paths` the clips to come, from which a table takes its first column's
    width, and `width` is the terminal's; None never breaks a line.
    """
    if form == "table":
        return TableWriter(stream, paths, width=width)
    if form == "json":
        return JsonWriter(stream)
    header = ["path", "duration_s", *tags]
    cells = partial(_tag_cells, tags=tags)
    return CsvWriter(stream, cells, header) if form == "csv" else ParquetWriter(stream, cells, header)


def embed_writer(form: str, stream: BinaryIO, *, levels: Sequence[str]) -> Writer:
    """A writer of records with `path` and a list of numbers for each of these levels; there is no table."""
    if form == "json":
        return JsonWriter(stream)
    if form == "csv":
        return CsvWriter(stream, partial(_channel_cells, levels=levels), ["path"])
    return ParquetWriter(stream, partial(_level_cells, levels=levels), ["path", *levels], lists=True)


def _tag_cells(record: Record, *, tags: Sequence[str]) -> list[tuple[str, Any]]:
    scores = {tag["tag"]: tag["score"] for tag in record["tags"]}
    clip = [("path", record["path"]), ("duration_s", record["duration_s"])]
    return [*clip, *((tag, scores.get(tag)) for tag in tags)]


def _level_cells(record: Record, *, levels: Sequence[str]) -> list[tuple[str, Any]]:
    return [("path", record["path"]), *((level, record[level]) for level in levels)]


def _channel_cells(record: Record, *, levels: Sequence[str]) -> list[tuple[str, Any]]:
    channels = [(f"{level}_{i}", value) for level in levels for i, value in enumerate(record[level])]
    return [("path", record["path"]), *channels]


class TableWriter:
    """One clip a line for people: name, length, tags with their scores."""

    def __init__(self, stream: BinaryIO, paths: Sequence[str], *, width: int | None = None) -> None:
        self._stream = stream
        self._width = width
        self._name_width = max((cell_len(printable(path)) for path in paths), default=4)
        if width is not None:
            self._name_width = min(self._name_width, max(16, width // 3))
        self._line("clip", "length", "tags")

    def write(self, record: Record) -> None:
        """Write a clip, over several lines where the tags are wider than the terminal."""
        tags = [f"{tag['tag']} {tag['score']:.2f}" for tag in record["tags"]]
        seconds = round(record["duration_s"])
        length = f"{seconds // 60}:{seconds % 60:02d}"
        name = _tail(printable(record["path"]), self._name_width)
        for line in self._lines(tags):
            self._line(name, length, line)
            name = length = ""

    def close(self) -> None:
        """Nothing is held back."""

    def _lines(self, tags: Sequence[str]) -> list[str]:
        """The tags, as many on a line as the terminal holds."""
        room = None if self._width is None else max(20, self._width - self._name_width - 11)
        lines = [""]
        for tag in tags:
            longer = f"{lines[-1]}, {tag}" if lines[-1] else tag
            if room is not None and lines[-1] and cell_len(longer) >= room:
                lines[-1] += ","
                lines.append(tag)
            else:
                lines[-1] = longer
        return lines

    def _line(self, name: str, length: str, tags: str) -> None:
        line = f"{set_cell_size(name, self._name_width)}  {length:>7}  {tags}".rstrip()
        self._stream.write(f"{line}\n".encode())


def _tail(text: str, width: int) -> str:
    """The end of a name, which tells more than its beginning.

    >>> _tail("music/rock/queen.mp3", 12)
    '…k/queen.mp3'
    """
    if cell_len(text) <= width:
        return text
    while cell_len(text) > width - 1:
        text = text[1:]
    return f"…{text}"


class JsonWriter:
    """A list of records, one a line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._begin = b"[\n"

    def write(self, record: Record) -> None:
        """Write a clip's record as it is."""
        self._stream.write(self._begin + _json(record))
        self._begin = b",\n"

    def close(self) -> None:
        """End the list."""
        self._stream.write(b"\n]\n" if self._begin == b",\n" else b"[]\n")


def _json(record: Record) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a file name that is no UTF-8: escaped, it comes back as it is on the disk
        return json.dumps(record).encode()


class CsvWriter:
    """A header and one row a clip; the header is the first row's columns, or `empty` when no row comes."""

    def __init__(self, stream: BinaryIO, cells: Cells, empty: Sequence[str]) -> None:
        self._csv = csv.writer(_Encoded(stream), lineterminator="\n")
        self._cells = cells
        self._empty = empty
        self._begun = False

    def write(self, record: Record) -> None:
        """Write a clip's row."""
        cells = self._cells(record)
        if not self._begun:
            self._head([name for name, _ in cells])
        self._csv.writerow([value for _, value in cells])

    def close(self) -> None:
        """Write the header if nothing else did."""
        if not self._begun:
            self._head(self._empty)

    def _head(self, header: Sequence[str]) -> None:
        self._csv.writerow(header)
        self._begun = True


class _Encoded:
    """Text to a binary stream; the bytes of names that are no UTF-8 go out as they came in."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.encode(errors="surrogateescape"))


class ParquetWriter:
    """Row groups of some hundred clips: `path` is text, `duration_s` float64 as in JSON, the rest float32.

    With `lists` the rest are lists of float32.
    """

    def __init__(
        self, stream: BinaryIO, cells: Cells, columns: Sequence[str], *, lists: bool = False
    ) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        number = pa.list_(pa.float32()) if lists else pa.float32()
        types = {"path": pa.string(), "duration_s": pa.float64()}
        self._pa = pa
        self._schema = pa.schema([(name, types.get(name, number)) for name in columns])
        self._file = parquet.ParquetWriter(stream, self._schema)
        self._cells = cells
        self._rows: list[list[Any]] = []

    def write(self, record: Record) -> None:
        """Take a clip's row, and write a row group when there are enough."""
        path, *numbers = (value for _, value in self._cells(record))
        self._rows.append([_utf8(path), *numbers])
        if len(self._rows) == _ROWS_A_GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last group and the footer, and leave the stream open."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(zip(*self._rows, strict=True), self._schema, strict=True)
            arrays = [self._pa.array(values, type=field.type) for values, field in columns]
            self._file.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))
            self._rows = []


def _utf8(text: str) -> str:
    """A name as Parquet can hold it: the bytes that are no UTF-8 are replaced."""
    return os.fsencode(text).decode(errors="replace")
