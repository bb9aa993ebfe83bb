"""The folder of what was downloaded and converted: where it is, who may write in it, what a file in it is."""

import hashlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from samplecnn_zoo.zoo.preset import PresetError

if TYPE_CHECKING:
    from filelock import BaseFileLock

WAIT_S = 3600.0  # for another process that downloads or converts the same

_ON = frozenset({"1", "ON", "YES", "TRUE"})  # as huggingface_hub reads its variables
_log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """Return the folder of downloaded and converted presets: $SAMPLECNN_ZOO_CACHE, else the platform's."""
    chosen = os.environ.get("SAMPLECNN_ZOO_CACHE")
    return Path(chosen).expanduser() if chosen else _platform_cache() / "samplecnn_zoo"


def _platform_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    chosen = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache"


def hub_cache() -> Path:
    """Return the folder in which huggingface_hub keeps repositories: HF_HUB_CACHE, HF_HOME or its default.

    The client reads these variables once, when it is imported; here they count whenever they are set.
    """
    chosen = os.environ.get("HF_HUB_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    general = os.environ.get("XDG_CACHE_HOME")  # the client's own rule, on every platform
    return (Path(general).expanduser() if general else Path.home() / ".cache") / "huggingface" / "hub"


def offline() -> bool:
    """Whether SAMPLECNN_ZOO_OFFLINE or HF_HUB_OFFLINE forbids downloads."""
    names = ("SAMPLECNN_ZOO_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "").upper() in _ON for name in names)


def passing(status: int) -> bool:
    """Whether a server that answers with this HTTP status may do what is asked of it soon."""
    return status in (408, 425, 429) or (status >= 500 and status not in (501, 505))


def git_blob(file: Path) -> str:
    """Return the git blob id of a file: sha1 over "blob", its size in bytes, a zero byte and its content."""
    digest = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock beside `target`, which the system takes back from a process that dies.

    Raises:
        PresetError: if another process holds it for an hour, or the cache cannot be written.
    """
    import filelock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(target.with_name(f"{target.name}.lock"))
        _acquire(lock, target.name)
    except OSError as error:  # filelock.Timeout is one, too, and dealt with before
        raise PresetError(
            f"the cache {cache_dir()} cannot be written ({error}); SAMPLECNN_ZOO_CACHE names another"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: "BaseFileLock", name: str) -> None:
    import filelock

    try:
        lock.acquire(timeout=0)
        return
    except filelock.Timeout:
        _log.warning("waiting for another process that makes %s", name)
    try:
        lock.acquire(timeout=WAIT_S, poll_interval=0.1)
    except filelock.Timeout as error:
        raise PresetError(
            f"another process has held {lock.lock_file} for {WAIT_S / 60:g} minutes; end it and try again"
        ) from error
