"""Scores of clips on the disk as they are computed: a killed evaluation goes on where it stopped."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


class ScoreFile:
    """Rows of float32 after a line that says what they are of; use it as a context manager.

    A file of something else, or one that was cut off within its first line, is begun anew: scores can always
    be computed again.

    Args:
        path: Of the file; its folder is made.
        header: What the scores depend on, plain JSON values.
        width: Numbers in a row.

    Raises:
        OSError: The file can't be read or written.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], width: int) -> None:
        self.path = path
        self._width = width
        path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(dict(header), sort_keys=True).encode() + b"\n"
        with open(path, "ab"):  # make it, and change nothing
            pass
        self._file = open(path, "r+b")  # noqa: SIM115  # closed by __exit__
        if self._file.readline() != line:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(line)
        self._start = len(line)
        self._rows = self._whole_rows()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: Scores) -> None:
        """Add (n, width) rows; a process that is then killed does not lose them."""
        self._file.write(np.ascontiguousarray(rows, "<f4").tobytes())
        self._file.flush()
        self._rows += len(rows)

    def read(self) -> Scores:
        """Return all (rows, width) that are there."""
        self._file.seek(self._start)
        rows = np.frombuffer(self._file.read(), "<f4").reshape(-1, self._width)
        return rows.astype(np.float32)

    def _whole_rows(self) -> int:
        """Cut off what a killed run wrote of a row, and stand at the end."""
        size = self._file.seek(0, os.SEEK_END) - self._start
        rows = size // (4 * self._width)
        self._file.truncate(self._start + rows * 4 * self._width)
        self._file.seek(0, os.SEEK_END)
        return rows
