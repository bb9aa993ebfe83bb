"""What a run says while it works, all of it on the error stream: a progress bar, and one line a trouble."""

import sys
from types import TracebackType
from typing import BinaryIO, NoReturn, Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from samplecnn_zoo.formats import printable

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def say(message: str) -> None:
    """Print one line on the error stream."""
    Console(stderr=True, soft_wrap=True).print(printable(message), markup=False, highlight=False)


def fail(message: str, code: int = 2) -> NoReturn:
    """End the command with one line and an exit code: 2 is a wrong use, 1 that not all went well."""
    say(f"samplecnn: {message}")
    raise typer.Exit(code)


class _Rate(ProgressColumn):
    """Files, or whatever is counted, a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Show the rate once there is one."""
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "", style="progress.data.speed")


class Reporter:
    """A bar of the files done, their rate and the time left, where the error stream is a terminal.

    Use it as a context manager; `stream` is the standard output, written in peace with the bar. Other things
    than files are counted by their own `unit`.
    """

    def __init__(self, what: str, total: int, unit: str = "files") -> None:
        self._console = Console(stderr=True, soft_wrap=True)
        self._shown = sys.stderr.isatty()  # and not what rich takes for one: FORCE_COLOR is set in many logs
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(unit),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._shown,
            # Lines for the output must reach it, not the error stream.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(what, total=total)

    def __enter__(self) -> Self:
        if self._shown:  # some releases of rich print an empty line for a disabled bar
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._progress.stop()

    def advance(self) -> None:
        """One file more is done."""
        self._progress.advance(self._task)

    def trouble(self, message: str) -> None:
        """Print a bad file's line, above the bar."""
        self._console.print(printable(message), markup=False, highlight=False)

    def stream(self) -> BinaryIO:
        """The standard output; on the terminal of the bar, lines go above the bar."""
        if self._shown and sys.stdout.isatty():
            return _AboveBar(self._console)  # type: ignore[return-value]
        return sys.stdout.buffer


class _AboveBar:
    """Binary lines of text, printed above the bar: what a writer needs of a stream."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._held = b""  # the bar wants whole lines above it

    def write(self, data: bytes) -> int:
        lines, newline, self._held = (self._held + data).rpartition(b"\n")
        if newline:
            self._console.print(lines.decode(errors="replace"), markup=False, highlight=False)
        return len(data)

    def flush(self) -> None:
        """Every output ends with the end of a line."""
