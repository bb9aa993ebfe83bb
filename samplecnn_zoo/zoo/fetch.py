"""Original files of published networks: downloaded once, verified before any use, converted once."""

import errno
import http.client
import logging
import os
import shutil
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import BinaryIO

import samplecnn_zoo
from samplecnn_zoo.zoo.cache import cache_dir, git_blob, locked, offline, passing
from samplecnn_zoo.zoo.converters import convert_record
from samplecnn_zoo.zoo.preset import PresetError
from samplecnn_zoo.zoo.published import Published
from samplecnn_zoo.zoo.stored import read_directory

HOST = "https://raw.githubusercontent.com"
LARGEST_BYTES = 1 << 28  # a server that never ends must not fill the disk; the files have about 10 MB
TIMEOUT_S = 30.0  # without a single byte
FAILURES = 5  # in a row, with less than PROGRESS_BYTES between them
PROGRESS_BYTES = 1 << 20
FIRST_PAUSE_S = 1.0  # doubles with every failure
LONGEST_PAUSE_S = 60.0

_BROKEN = (ConnectionError, TimeoutError, http.client.HTTPException, ssl.SSLError, urllib.error.URLError)
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
_log = logging.getLogger(__name__)

Advance = Callable[[int, int | None], None]
"""Told the bytes that are there and, once it is known, how many there will be."""


def source_url(published: Published) -> str:
    """Return where the original file is: its pinned commit, on $SAMPLECNN_ZOO_MIRROR if that is set.

    Raises:
        PresetError: if the mirror is no http or https address.
    """
    mirror = os.environ.get("SAMPLECNN_ZOO_MIRROR") or HOST
    if not mirror.startswith(("https://", "http://")):
        raise PresetError(f"SAMPLECNN_ZOO_MIRROR must begin with https:// or http://, got {mirror!r}")
    source = published.source
    return f"{mirror.rstrip('/')}/{urllib.parse.quote(f'{source.repo}/{source.commit}/{source.path}')}"


def original_path(published: Published) -> Path | None:
    """Return where the cache holds the original file once it is there; None for one that has no blob id."""
    blob = published.source.blob
    return cache_dir() / "files" / f"{blob}{Path(published.source.path).suffix}" if blob else None


def converted_path(published: Published) -> Path | None:
    """Return where the cache holds the converted preset once it is there; None for one without blob id.

    This package's version is part of the name: what another version converted is not taken for this one's.
    """
    blob = published.source.blob
    if not blob:
        return None
    return cache_dir() / "presets" / f"{published.name}-{blob[:8]}-{samplecnn_zoo.__version__}"


def fetch(published: Published) -> Path:
    """Return the original file in the cache, downloaded if need be, its git blob id right.

    A download that broke off goes on where it ended, in this call or in the next one. Of several processes
    one downloads and the others wait.

    Raises:
        PresetError: if the file cannot be had (offline, not there, server or network at fault), if what
            comes is another file, or if this preset has no download.
    """
    target = original_path(published)
    if target is None:
        raise PresetError(
            f"{published.name}: its file has no pinned download; get {published.source.path} from "
            f"https://github.com/{published.source.repo} and run {_by_hand(published)}"
        )
    if _is_right(target, published):  # before the lock: a cache may be there to be read only
        return target
    with _told(published), locked(target):
        if not _is_right(target, published):
            _download_verified(published, target)
    return target


def converted(published: Published) -> Path:
    """Return the preset directory of a published network, fetched and converted if need be.

    Raises:
        PresetError: as `fetch`, and if the file cannot be converted.
    """
    directory = converted_path(published)
    if directory is None:
        return fetch(published)  # which says that there is none
    if _is_whole(directory):
        return directory
    with _told(published), locked(directory):
        if not _is_whole(directory):
            file = fetch(published)
            for stray in (directory, *directory.parent.glob(f".{directory.name}.*")):  # of killed processes
                shutil.rmtree(stray, ignore_errors=True)
            convert_record(file, published, directory)
    return directory


def _is_right(target: Path, published: Published) -> bool:
    return target.is_file() and git_blob(target) == published.source.blob


def _is_whole(directory: Path) -> bool:
    if not directory.exists():
        return False
    try:
        read_directory(directory)
    except PresetError as error:
        _log.warning("%s; it is made again", error)
        return False
    return True


def _by_hand(published: Published) -> str:
    return f"'samplecnn convert FILE --as {published.name} -o DIR'"


@contextmanager
def _told(published: Published) -> Iterator[None]:
    """Name the preset where the cache cannot be written or the disk is full."""
    try:
        yield
    except OSError as error:
        raise PresetError(
            f"{published.name}: the cache {cache_dir()} cannot be written ({error}); "
            "SAMPLECNN_ZOO_CACHE names another"
        ) from error


def _download_verified(published: Published, target: Path) -> None:
    """Download to a partial file, which becomes `target` when its blob id is right."""
    if offline():
        raise PresetError(
            f"{published.name}: it is not in the cache {cache_dir()}, and HF_HUB_OFFLINE or "
            f"SAMPLECNN_ZOO_OFFLINE forbids downloads; unset it once, or run {_by_hand(published)}"
        )
    part = target.with_name(f"{target.name}.part")
    resumed = _size(part) > 0
    _download(published, part)
    if resumed and git_blob(part) != published.source.blob:  # what an earlier run left may be at fault
        _log.warning("%s: what an earlier download left does not fit; it starts anew", published.name)
        part.unlink()
        _download(published, part)
    found = git_blob(part)
    if found != published.source.blob:
        size = _size(part)
        part.unlink()
        raise PresetError(
            f"{published.name}: {source_url(published)} gave {size} bytes with the git blob id {found}, "
            f"expected {published.source.blob}: another file, or damaged on the way; nothing was kept"
        )
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())  # or a power cut could leave the name without the content
    part.replace(target)


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _download(published: Published, part: Path) -> None:
    """Bring `part` to its full length, going on after each failure where it ended.

    Raises:
        PresetError: if the server refuses, or fails FAILURES times in a row.
    """
    url = source_url(published)
    _log.info("downloading %s", url)
    failures = 0
    with _bar(published) as advance:
        while True:
            before = _size(part)
            try:
                _request(url, part, advance)
                return
            except (OSError, http.client.HTTPException) as error:
                if not isinstance(error, _BROKEN) and error.errno not in _UNREACHABLE:
                    raise  # the disk's
                failures = 1 if _size(part) - before >= PROGRESS_BYTES else failures + 1
                _refuse_or_wait(published, url, error, failures)


def _refuse_or_wait(published: Published, url: str, error: Exception, failures: int) -> None:
    """Pause before the next try, or say why there is none."""
    reason = _reason(error)
    status = error.code if isinstance(error, urllib.error.HTTPError) else None
    hopeless = not passing(status) if status else "CERTIFICATE_VERIFY_FAILED" in reason
    if hopeless:
        raise PresetError(
            f"{published.name}: {url} cannot be had: {reason}; get the file in another way and run "
            f"{_by_hand(published)}, or name a mirror in SAMPLECNN_ZOO_MIRROR"
        ) from error
    if failures >= FAILURES:
        raise PresetError(
            f"{published.name}: {url} failed {failures} times, at last with: {reason}; "
            "what has come is kept, and the next call goes on there"
        ) from error
    pause = min(max(_retry_after(error), FIRST_PAUSE_S * 2 ** (failures - 1)), LONGEST_PAUSE_S)
    _log.warning("%s: %s; trying again in %g s", published.name, reason, pause)
    sleep(pause)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}".strip()
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


def _retry_after(error: Exception) -> float:
    """Return the seconds that the server asks for, 0 where it asks for none (dates are not read)."""
    text = error.headers.get("Retry-After", "") if isinstance(error, urllib.error.HTTPError) else ""
    return float(text) if text.isdecimal() else 0.0


def _request(url: str, part: Path, advance: Advance) -> None:
    """Ask for what `part` lacks and append it; a server that sends all again starts it anew."""
    have = _size(part)
    headers = {
        "User-Agent": f"samplecnn_zoo/{samplecnn_zoo.__version__}",
        "Accept-Encoding": "identity",
        **({"Range": f"bytes={have}-"} if have else {}),
    }
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S
        ) as response:
            start = _start(response, part)
            with part.open("ab" if start else "wb") as stream:
                _copy(response, stream, start, advance)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:  # nothing is left to send: the blob id decides about what is there
            raise


def _start(response: http.client.HTTPResponse, part: Path) -> int:
    """Return where in the file the answer begins: 0, or where the partial file ends.

    Raises:
        HTTPException: if it begins elsewhere; the next try then asks for all.
    """
    if response.status != 206:
        return 0
    have = _size(part)
    span = response.headers.get("Content-Range", "")
    if not span.startswith(f"bytes {have}-"):
        part.unlink(missing_ok=True)
        raise http.client.HTTPException(f"asked for the bytes from {have} on, the server gave {span!r}")
    return have


def _copy(response: http.client.HTTPResponse, stream: BinaryIO, start: int, advance: Advance) -> None:
    """Write the answer's body as it comes, and miss none of it."""
    announced = response.headers.get("Content-Length", "")
    total = start + int(announced) if announced.isdecimal() else None
    size = start
    while block := response.read1(1 << 16):
        size += len(block)
        if size > LARGEST_BYTES:
            raise PresetError(f"{response.url} gives more than {LARGEST_BYTES} bytes: this is not the file")
        stream.write(block)
        stream.flush()  # so that a killed process leaves what it got
        advance(size, total)
    if total is not None and size < total:
        raise http.client.HTTPException(f"the connection ended after {size} of {total} bytes")


@contextmanager
def _bar(published: Published) -> Iterator[Advance]:
    """Show a bar of the bytes where the error stream is a terminal."""
    if not sys.stderr.isatty():
        yield lambda size, total: None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        *Progress.get_default_columns()[:2],
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(published.name, total=published.size_bytes)

        def advance(size: int, total: int | None) -> None:
            progress.update(task, completed=size, total=total or published.size_bytes)

        yield advance
