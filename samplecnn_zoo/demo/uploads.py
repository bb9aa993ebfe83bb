"""What visitors bring: held in memory for a while, and on the disk only while it is decoded.

Gradio writes an upload to a folder and leaves it there. Here it is read when it is first asked for, and its
file is gone; the same clip can then be heard again, with another preset, and the browser's player gets it,
for as long as memory holds it. What nobody ever asked for goes when it is old.
"""

import asyncio
import mimetypes
import re
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samplecnn_zoo.demo.hearing import Refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HELD_S = 30 * 60.0
HELD_BYTES = 512 * 10**6
STRAY_S = 10 * 60.0

_FILE = re.compile(r".*/gradio_api/file=(?P<path>.+)", re.DOTALL)
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


@dataclass
class _Held:
    data: bytes
    until: float


class Uploads:
    """A private folder for what arrives, and a memory of it; may serve several threads.

    Args:
        own: Files outside of the folder that may be opened too: the clips that the page brings.
        held_s: Seconds that a clip is remembered after it was last heard.
        held_bytes: Of all clips together; above it those go that were heard longest ago.
    """

    def __init__(
        self, own: Collection[Path] = (), *, held_s: float = HELD_S, held_bytes: int = HELD_BYTES
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="samplecnn-demo-")).resolve()
        self._own = frozenset(own)
        self._held_s = held_s
        self._held_bytes = held_bytes
        self._held: OrderedDict[Path, _Held] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def holds(self, path: Path) -> bool:
        """Tell whether a path stays within the folder: a visitor knows its name, and `..` would lead out."""
        return path.is_relative_to(self.folder) and ".." not in path.parts

    @contextmanager
    def opened(self, path: Path) -> Iterator[Path]:
        """Give a file with the content of an upload, removed at the end, or one of the page's own clips.

        Raises:
            Refused: If there is no such upload, or it was forgotten.
        """
        if path in self._own:
            yield path
            return
        data = self.data(path)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="heard-") as place:
            file = Path(place, path.name)
            file.write_bytes(data)
            yield file

    def data(self, path: Path) -> bytes:
        """The content of an upload, which is in memory alone from now on.

        Raises:
            Refused: If there is no such upload, or it was forgotten.
        """
        with self._lock:
            if self.holds(path) and path.is_file():
                self._remember(path, path.read_bytes())
                path.unlink()  # its folder stays: the same bytes may be arriving in it once more
            held = self._held.get(path)
            if held is None:
                raise Refused(
                    "This page has forgotten the clip, as it does after a while. Please drop it again."
                )
            self._remember(path, held.data)
            return held.data

    def sweep(self) -> None:
        """Forget what was not heard for long, and remove what was never heard: left by visitors who went."""
        now = time.monotonic()
        with self._lock:
            for path in [path for path, held in self._held.items() if held.until < now]:
                del self._held[path]
        for file in self.folder.rglob("*"):
            with suppress(OSError):  # gone meanwhile
                if file.is_file() and file.stat().st_mtime < time.time() - STRAY_S:
                    file.unlink()

    def keep_swept(self, every_s: float = 60.0) -> None:
        """Sweep from time to time, in a thread of its own, until `close`."""

        def run() -> None:
            while not self._closed.wait(every_s):
                self.sweep()

        threading.Thread(target=run, name="sweep", daemon=True).start()

    def close(self) -> None:
        """Forget everything and remove the folder."""
        self._closed.set()
        with self._lock:
            self._held.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remember(self, path: Path, data: bytes) -> None:
        self._held[path] = _Held(data, time.monotonic() + self._held_s)
        self._held.move_to_end(path)
        while len(self._held) > 1 and sum(len(held.data) for held in self._held.values()) > self._held_bytes:
            self._held.popitem(last=False)


class Player:
    """ASGI middleware: gives the browser's player an upload from memory, as its file may go at any moment."""

    def __init__(self, app: Application, uploads: Uploads) -> None:
        self._app = app
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for an upload; pass on any other."""
        asked = _FILE.fullmatch(scope["path"]) if scope["type"] == "http" else None
        path = Path(asked["path"]) if asked else None
        if path is None or not self._uploads.holds(path):
            await self._app(scope, receive, send)
            return
        try:
            data = await asyncio.to_thread(self._uploads.data, path)
        except Refused:
            status, headers, body = 404, {"content-length": "0"}, b""
        else:
            status, headers, body = _answer(data, path, dict(scope["headers"]).get(b"range", b"").decode())
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _answer(data: bytes, path: Path, wanted: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for a file or the range of it that is wanted."""
    kind = mimetypes.guess_type(path)[0] or ""
    headers = {
        # A page that somebody uploads must never run as one of ours.
        "content-type": kind if kind.startswith(("audio/", "video/")) else "application/octet-stream",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "accept-ranges": "bytes",
    }
    status, body = 200, data
    part = _RANGE.fullmatch(wanted)
    first, last = (int(part[1]), min(int(part[2] or len(data)), len(data) - 1)) if part else (0, -1)
    if first <= last:  # what is no range of it, as behind its end, is answered with all of it
        status, body = 206, data[first : last + 1]
        headers["content-range"] = f"bytes {first}-{last}/{len(data)}"
    return status, headers | {"content-length": str(len(body))}, body
