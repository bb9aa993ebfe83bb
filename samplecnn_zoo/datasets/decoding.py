"""Many files decoded over all cores, by processes of their own that import no more than `audio`.

Each worker is a plain child process that is told a file and answers with a record. So the caller's script is
not imported again (as `multiprocessing` would), a decoder that crashes costs one file, and workers end by
themselves when their parent is killed: their input ends.

A worker says hello. A question is a line of JSON; an answer is a line of JSON and, when the file is good, the
record's bytes.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from samplecnn_zoo.audio import SILENT_PEAK, AudioError, stream
from samplecnn_zoo.datasets.records import Pcm, encode_record, to_pcm

# Of a worker. -P: a random.py in the folder where the user stands is no part of Python.
COMMAND = (sys.executable, "-P", "-m", __name__)
HELLO = b"samplecnn decoder\n"  # before the first question: all is imported
GRACE_S = 1.0  # for a process whose pipes are broken to be gone, and its exit code there

Stamp = tuple[int, int]
"""Size of a file in bytes, and when it was last changed, in ns."""


class DecoderError(RuntimeError):
    """A worker that can't even begin, whatever the file."""


@dataclass(frozen=True)
class Task:
    """A clip to decode: its row number, its file, and what to make of it."""

    row: int
    path: str
    sample_rate: int
    clip_samples: int


@dataclass(frozen=True)
class Decoded:
    """What became of a file: a framed record, or one line that says why there is none.

    Attributes:
        row: As in the task.
        samples: The clip's length before it was repeated to fill the record.
        stamp: Size and time of the file (ns), None when it can't be asked.
        sha1: The hash of the whole file.
        error: One line, when there is no record.
        record: The bytes for the shard.
    """

    row: int
    samples: int = 0
    stamp: Stamp | None = None
    sha1: str = ""
    error: str | None = None
    record: bytes = b""


def decode_all(tasks: Iterable[Task], workers: int) -> Generator[Decoded]:
    """Yield one outcome a task, in order, while `workers` processes work at most a few clips ahead.

    Raises:
        DecoderError: No worker can be begun.
    """
    local = threading.local()
    started: list[_Worker] = []

    def ask(task: Task) -> Decoded:
        if not hasattr(local, "worker"):
            local.worker = _Worker()
            started.append(local.worker)
        answer: Decoded = local.worker.ask(task)
        return answer

    waiting: deque[Future[Decoded]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(ask, task))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            for worker in started:
                worker.stop()


class _Worker:
    """A process that decodes one file at a time; begun anew when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def ask(self, task: Task) -> Decoded:
        code: int | None = None
        for _ in range(2):  # it may have died of something else than this file
            try:
                return self._asked(task)
            except (OSError, ValueError):  # its pipes are broken, or it said half an answer
                code = self._end(GRACE_S)
                if self._stopped:
                    raise
        why = f"{task.path}: the decoder died on it twice (exit code {code}); convert the file"
        return Decoded(task.row, stamp=stamp_of(task.path), error=why)

    def stop(self) -> None:
        self._stopped = True
        self._end()

    def _asked(self, task: Task) -> Decoded:
        if self._stopped:
            raise OSError("stopped")
        if self._process is None:
            self._process = _spawn()
            self._check_hello(self._process)
        to, answers = _pipes(self._process)
        to.write(json.dumps(asdict(task)).encode() + b"\n")
        to.flush()
        fields = json.loads(answers.readline())
        record = _read_exactly(answers, fields.pop("bytes"))
        stamp = fields.pop("stamp")
        return Decoded(**fields, stamp=None if stamp is None else (stamp[0], stamp[1]), record=record)

    def _check_hello(self, process: subprocess.Popen[bytes]) -> None:
        if _pipes(process)[1].readline() == HELLO:
            return
        code = self._end(GRACE_S)
        if self._stopped:
            raise OSError("stopped")
        raise DecoderError(
            f"no decoder can be begun: {' '.join(COMMAND)} ended before its first file, "
            f"with exit code {code}; what it said stands above"
        )

    def _end(self, grace_s: float = 0.0) -> int | None:
        """End the process; return its exit code, its own where it ends by itself within the grace."""
        process, self._process = self._process, None
        if process is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
        process.kill()
        for pipe in _pipes(process):
            with suppress(OSError):
                pipe.close()
        return process.wait()


def _spawn() -> subprocess.Popen[bytes]:
    # The folder of this package first, as for the parent: it may have been put on sys.path by hand.
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        # A group of its own: Ctrl-C is for the parent, which then stops its workers.
        process_group=None if sys.platform == "win32" else 0,
    )


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise OSError("a worker without pipes")
    return process.stdin, process.stdout


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise OSError("the answer ends early")
    return data


def stamp_of(path: str) -> Stamp | None:
    """Size and time of a file in ns; None when it can't be asked."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def decode(task: Task) -> Decoded:
    """Decode one file into a record; a bad file is an outcome too."""
    stamp = stamp_of(task.path)
    try:
        pcm = first_samples(Path(task.path), task.sample_rate, task.clip_samples)
        with open(task.path, "rb") as file:
            sha1 = hashlib.file_digest(file, "sha1").hexdigest()
    except AudioError as error:
        return Decoded(task.row, stamp=stamp, error=str(error))
    except Exception as error:  # whatever one file does, the rest goes on and the exit code tells
        line = f"{task.path}: {type(error).__name__}: {' '.join(str(error).split())}"
        return Decoded(task.row, stamp=stamp, error=line)
    record = encode_record(task.row, np.resize(pcm, task.clip_samples))
    return Decoded(task.row, len(pcm), stamp, sha1, record=record)


def first_samples(path: Path, sample_rate: int, clip_samples: int) -> Pcm:
    """The start of a file as (n,) int16, n at most `clip_samples`; what follows is not decoded.

    Raises:
        AudioError: As for `audio.stream`; a file is judged by the part that is taken.
    """
    blocks: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    missing = clip_samples
    with closing(stream(path, sample_rate)) as source:  # type: ignore[type-var]  # it is a generator
        for block in source:
            blocks.append(block[:missing])
            missing -= len(blocks[-1])
            if not missing:
                break
    samples = np.concatenate(blocks)
    if not np.abs(samples).max() >= SILENT_PEAK:
        seconds = len(samples) / sample_rate
        raise AudioError(path, "silent", f"silent in its first {seconds:.1f} s")
    return to_pcm(samples)


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    answers.write(HELLO)
    answers.flush()
    for line in questions:
        decoded = decode(Task(**json.loads(line)))
        fields = asdict(decoded)
        record = fields.pop("record")
        answers.write(json.dumps({**fields, "bytes": len(record)}).encode() + b"\n" + record)
        answers.flush()


if __name__ == "__main__":
    with suppress(BrokenPipeError), os.fdopen(os.dup(1), "wb") as own:
        os.dup2(2, 1)  # what a library prints must not get between the answers
        _serve(sys.stdin.buffer, own)
