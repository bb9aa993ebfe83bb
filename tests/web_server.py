"""A server on 127.0.0.1 that serves files with ranges, keeps a list of what was asked, and fails on order."""

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote


@dataclass
class Fault:
    """What goes wrong, and how often, with requests whose "METHOD path" matches `pattern`."""

    pattern: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes of the body, then the connection ends
    flip: int | None = None  # the byte at this place arrives wrong
    delay_s: float = 0.0  # before anything is sent
    trickle_s: float = 0.0  # between thousands of bytes
    times: int = 1


@dataclass
class Answer:
    """Status, headers and body of an answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class WebServer:
    """Use it as a context manager; `files` maps paths to bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.ranges_asked: list[str] = []
        self.ranges = True
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.site = self

    @property
    def url(self) -> str:
        """Address without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self, pattern: str) -> int:
        """How many requests match."""
        return sum(re.search(pattern, line) is not None for line in self.asked)

    def answer(self, method: str, path: str, body: bytes, headers: "Message[str, str]") -> Answer:
        """What is served; subclasses know more."""
        content = self.files.get(path)
        return Answer(404, b"there is no such file") if content is None else Answer(200, content)

    def fault(self, line: str) -> Fault:
        """Take the fault that is due for this request."""
        with self._lock:
            self.asked.append(line)
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return Fault("")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    site: WebServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed here on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        site = self.server.site
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(self.path)
        fault = site.fault(f"{self.command} {path}")
        site.ranges_asked.append(self.headers.get("Range", ""))
        time.sleep(fault.delay_s)
        if fault.status is not None:
            self._send(Answer(fault.status, b"as ordered", dict(fault.headers)), fault)
            return
        answer = site.answer(self.command, path, body, self.headers)
        self._send(self._part(answer), fault)

    def _part(self, answer: Answer) -> Answer:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None or answer.status != 200 or self.command != "GET" or not self.server.site.ranges:
            return answer
        start, whole = int(match[1]), len(answer.body)
        if start >= whole:
            return Answer(416, b"", {"Content-Range": f"bytes */{whole}"})
        end = min(int(match[2] or whole - 1), whole - 1)
        answer.headers["Content-Range"] = f"bytes {start}-{end}/{whole}"
        return Answer(206, answer.body[start : end + 1], answer.headers)

    def _send(self, answer: Answer, fault: Fault) -> None:
        body = bytearray(answer.body)
        if fault.flip is not None and len(body) > fault.flip:
            body[fault.flip] ^= 1
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        end = len(body) if fault.cut_after is None else fault.cut_after
        step = 1000 if fault.trickle_s else max(len(body), 1)
        for at in range(0, min(end, len(body)), step):
            self.wfile.write(body[at : min(at + step, end)])
            self.wfile.flush()
            time.sleep(fault.trickle_s)
        if end < len(body):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def log_message(self, format: str, *args: object) -> None:
        """The tests read `asked`."""
