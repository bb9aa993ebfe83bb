"""Keeps what C libraries print about broken files off the terminal.

libmpg123, inside libsndfile, writes "Note: Illegal Audio-MPEG-Header …" to C's `stderr`, and libsndfile has
no switch for it. Pointing file descriptor 2 elsewhere would swallow the progress bar that another thread
draws meanwhile. So C's own variable `stderr` points to /dev/null while a decoder runs: Python, which writes
to the descriptor, notices nothing. In glibc that variable may be written to; elsewhere nothing is hushed.
"""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_depth = 0


def _pointers() -> tuple[ctypes.c_void_p, int | None, int | None] | None:
    """Return C's variable stderr, the stream it holds, and one to /dev/null; None where that can't be had."""
    try:
        os.confstr("CS_GNU_LIBC_VERSION")  # raises where the C library is not glibc
        libc = ctypes.CDLL(None)
        variable = ctypes.c_void_p.in_dll(libc, "stderr")
    except (AttributeError, OSError, ValueError):
        return None
    libc.fopen.restype = ctypes.c_void_p
    null = libc.fopen(b"/dev/null", b"w")  # never closed: a thread may still be printing to it
    return (variable, variable.value, null) if null else None


_stderr = _pointers()


def _point_to(null: bool) -> None:
    if _stderr is not None:
        variable, stream, nowhere = _stderr
        variable.value = nowhere if null else stream


@contextmanager
def hushed() -> Iterator[None]:
    """Send what C code prints to stderr nowhere, for as long as any thread is inside."""
    global _depth
    with _lock:
        _depth += 1
        _point_to(null=True)
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if not _depth:
                _point_to(null=False)


def _after_fork() -> None:
    """Start afresh in a forked child, which has none of the threads that were inside."""
    global _lock, _depth
    _lock = threading.Lock()
    _depth = 0
    _point_to(null=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
