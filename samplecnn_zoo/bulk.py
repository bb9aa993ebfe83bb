"""Many files through one function: a bad file is an outcome, and a journal makes the run survive a kill.

A journal is a text file of JSON lines beside the output: a header that says which preset, options and version
the numbers come from, then one line for each finished file, on the disk before the next file begins. The
output is assembled from it in the order of the input, in a file beside the output that then takes its place.
"""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from samplecnn_zoo.audio import AudioError
from samplecnn_zoo.files import replacing, sync_folder
from samplecnn_zoo.formats import Record, Writer

if sys.platform != "win32":
    import fcntl

_log = logging.getLogger(__name__)


class JournalError(ValueError):
    """The journal belongs to another run, or another run is writing it: one line with the way out."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file: a record, an error, or neither when the journal held it already."""

    path: Path
    record: Record | None = None
    error: str | None = None


def process(
    files: Iterable[Path], function: Callable[[Path], Record], *, journal: "Journal | None" = None
) -> Iterator[Outcome]:
    """Yield one outcome a file, in order; with a journal, each stands on the disk before it is yielded.

    A file that the journal holds is not done again, unless it failed or has changed since.

    Raises:
        OSError: The journal can not be written (disk full); what it holds stays good.
    """
    for path in files:
        if journal is not None and journal.has(path):
            yield Outcome(path)
            continue
        stamp = _stamp(path)  # before the work: a file that changes under it is done again on resuming
        outcome = _one(path, function)
        if journal is not None:
            journal.append(outcome, stamp)
        yield outcome


def _one(path: Path, function: Callable[[Path], Record]) -> Outcome:
    try:
        return Outcome(path, record=function(path))
    except AudioError as error:
        return Outcome(path, error=str(error))
    except Exception as error:  # whatever one file does, the rest goes on and the exit code tells
        _log.debug("%s failed", path, exc_info=True)
        return Outcome(path, error=f"{path}: {type(error).__name__}: {' '.join(str(error).split())}")


def _stamp(path: Path) -> list[int] | None:
    """Size and time of a file; None when it can't be asked."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


class Journal:
    """The finished files of one run.

    Args:
        path: Where it is or will be.
        header: What the numbers depend on, ready for JSON: preset, hashes, options, version.
        resume: Go on where the file stops. Without it the file starts anew.

    Raises:
        JournalError: `resume`, and the file holds another run's numbers or no journal at all; or another
            process is writing it.
        OSError: The file can not be opened or written.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], *, resume: bool = False) -> None:
        self.path = path
        self._header = json.loads(json.dumps(header))  # as it will read back: tuples are lists
        self._done: dict[str, tuple[int, list[int] | None]] = {}  # path: its line's offset, the file's stamp
        # Unbuffered: a failed write must not be tried again at closing.
        self._file: BinaryIO = open(path, "a+b", buffering=0)  # noqa: SIM115
        try:
            self._lock()
            if not (resume and self._read()):
                self._begin()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """The files that are done and gave a record."""
        return len(self._done)

    def close(self) -> None:
        """Let go of the file; what it holds stays."""
        self._file.close()

    def has(self, path: Path) -> bool:
        """Whether this file is done, and is still the file that was done."""
        line = self._done.get(str(path))
        return line is not None and line[1] == _stamp(path)

    def append(self, outcome: Outcome, stamp: list[int] | None = None) -> None:
        """Put a file's outcome on the disk.

        Raises:
            OSError: It can't be written; the journal is as good as before, up to a torn last line.
        """
        line: dict[str, Any] = {"path": str(outcome.path)}
        if outcome.record is None:
            line["error"] = outcome.error
        else:
            line |= {"stamp": stamp, "record": outcome.record}
        offset = self._write(line)
        self._note(line, offset)

    def records(self, files: Iterable[Path]) -> Iterator[Record]:
        """Yield the records of those of the files that are done, in order, one at a time from the disk."""
        with open(self.path, "rb") as file:
            for path in files:
                line = self._done.get(str(path))
                if line is not None:
                    file.seek(line[0])
                    yield json.loads(file.readline())["record"]

    def remove(self) -> None:
        """Delete the file: its output is complete."""
        self.close()
        self.path.unlink()

    def _lock(self) -> None:
        if sys.platform == "win32":  # no such lock: there, two runs on one output are the user's to avoid
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalError(f"{self.path}: another run is writing it; let it end, or stop it") from error
        except OSError as error:  # some network file systems have no locks
            _log.warning("%s: can't be locked (%s); start no second run on it", self.path, error.strerror)

    def _begin(self) -> None:
        self._file.truncate(0)
        self._write({"journal": 1, **self._header})
        sync_folder(self.path.parent)

    def _read(self) -> bool:
        """Take up what the file holds; False when it ends before its header does."""
        self._file.seek(0)
        with open(self.path, "rb") as file:
            first = file.readline()
            if not first.endswith(b"\n"):
                return False
            self._check(first)
            offset = len(first)
            for line in file:
                # A line torn by a kill, or never filled in by a disk that lost its power, is a file not done.
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    self._note(json.loads(line), offset)
                offset += len(line)
        if not line_ended(self.path):
            self._put(b"\n")
        return True

    def _check(self, first: bytes) -> None:
        try:
            header = json.loads(first)
            header.pop("journal")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise JournalError(
                f"{self.path}: not a journal of this program; choose another output or delete it"
            ) from error
        for key in sorted({*header, *self._header}):
            begun, now = header.get(key), self._header.get(key)
            if begun != now:
                raise JournalError(
                    f"{self.path}: begun with {key} {begun!r}, now it is {now!r}; "
                    "resume with what it began with, or start anew with --overwrite"
                )

    def _note(self, line: Mapping[str, Any], offset: int) -> None:
        if "record" in line:
            self._done[line["path"]] = (offset, line["stamp"])
        else:  # a file that has changed and can't be read any more has no record
            self._done.pop(line["path"], None)

    def _write(self, line: Mapping[str, Any]) -> int:
        offset = self._file.seek(0, os.SEEK_END)
        self._put(json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        os.fsync(self._file.fileno())
        return offset

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:  # an unbuffered write may take a part
            view = view[self._file.write(view) :]


def line_ended(path: Path) -> bool:
    """Whether the last line of a file that is not empty is whole."""
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def assemble(
    output: Path,
    records: Iterable[Record],
    open_writer: Callable[[BinaryIO], Writer],
) -> int:
    """Write the records to a file beside `output`, which then takes its place; return their number.

    Until then an older output stays as it was, and nothing is left behind when the disk is full.

    Raises:
        OSError: The folder can't be written, or the disk is full.
    """
    with replacing(output) as file:
        return _write_all(records, open_writer(file))


def _write_all(records: Iterable[Record], writer: Writer) -> int:
    count = 0
    for record in records:
        writer.write(record)
        count += 1
    writer.close()
    return count
