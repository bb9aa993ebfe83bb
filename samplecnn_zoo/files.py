"""Files that are whole or not there, whatever a kill, a full disk or a power cut does meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[BufferedWriter]:
    """Write a file beside `path` that takes its name when it is complete and on the disk.

    Until then an older file stays as it was; when the body or the disk fails, nothing is left behind.

    Raises:
        OSError: The folder can't be written, or the disk is full; `filename` says where.
    """
    partial = partial_name(path)
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a write knows no name
            error.filename = error.filename or str(partial)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; errors as for `replacing`."""
    with replacing(path) as file:
        file.write(data)


def partial_name(path: Path) -> Path:
    """The file that is written first; a killed run may leave it."""
    return path.with_name(f"{path.name}.partial")


def sync_folder(folder: Path) -> None:
    """Make a new or renamed entry of a folder outlast a power cut, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
