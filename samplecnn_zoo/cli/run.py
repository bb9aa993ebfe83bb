"""What `tag` and `embed` share: many files to one output, with a bar, a line a bad file, and an exit code."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import typer

from samplecnn_zoo.bulk import Journal, JournalError, Outcome, assemble, process
from samplecnn_zoo.cli.console import INTERRUPTED, Reporter, fail, say
from samplecnn_zoo.formats import Record, Writer


@dataclass(frozen=True)
class Place:
    """Where results go: a file, begun anew or gone on with, or the standard output."""

    output: Path | None = None
    resume: bool = False
    overwrite: bool = False

    @property
    def journal(self) -> Path:
        """The journal's path, beside the file that the output really is."""
        real = self.real
        return real.with_name(f"{real.name}.journal")

    @property
    def real(self) -> Path:
        """The output's own path: a link stays one, and what it points to is replaced."""
        return Path(os.path.realpath(self.output or ""))


@dataclass(frozen=True)
class Request:
    """What a command was asked for; `header` is what the numbers depend on."""

    what: str
    files: Sequence[Path]
    header: Mapping[str, Any]
    place: Place


Start = Callable[[], Callable[[Path], Record]]
"""Loads the model and gives the function of one file; called only when there is a file to do."""

OpenWriter = Callable[[BinaryIO], Writer]


def run(request: Request, start: Start, open_writer: OpenWriter) -> None:
    """Do the files and write the output; a bad file costs a line on the error stream and exit code 1.

    Raises:
        typer.Exit: With 1 after a bad file or a failed write, 2 for an impossible output, 130 after Ctrl-C.
    """
    to_output = _to_stdout if request.place.output is None else _to_file
    if to_output(request, start, open_writer):
        raise typer.Exit(1)


def _to_stdout(request: Request, start: Start, open_writer: OpenWriter) -> int:
    failed = 0
    function = start()
    try:
        with Reporter(request.what, len(request.files)) as reporter:
            stream = reporter.stream()
            writer = open_writer(stream)
            for outcome in process(request.files, function):
                failed += _report(outcome, reporter)
                if outcome.record is not None:
                    writer.write(outcome.record)
                    stream.flush()
            writer.close()
            stream.flush()
    except KeyboardInterrupt:
        fail("stopped", INTERRUPTED)
    except OSError as error:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # what is left of it has no place to go
        if isinstance(error, BrokenPipeError):  # the reader has seen enough
            raise typer.Exit(1) from None
        fail(f"standard output: {error.strerror}", 1)
    return failed


def _report(outcome: Outcome, reporter: Reporter) -> bool:
    """Show one outcome; True when it is an error."""
    if outcome.error is not None:
        reporter.trouble(outcome.error)
    reporter.advance()
    return outcome.error is not None


def _to_file(request: Request, start: Start, open_writer: OpenWriter) -> int:
    with _journal(request) as journal:
        try:
            failed = _do(request, start, journal)
            assemble(request.place.real, journal.records(request.files), open_writer)
        except KeyboardInterrupt:
            _stop(request, journal, "stopped", INTERRUPTED)
        except OSError as error:
            _stop(request, journal, f"{error.filename or journal.path}: {error.strerror}", 1)
        except BaseException:
            _tidy(journal)
            raise
        if not failed:
            journal.remove()
    done = len(request.files) - failed
    rest = f", {failed} failed: mend them and give the same command with --resume" if failed else ""
    say(f"{done} of {len(request.files)} files in {request.place.output}{rest}")
    return failed


def _do(request: Request, start: Start, journal: Journal) -> int:
    if all(journal.has(path) for path in request.files):
        return 0
    function = start()
    with Reporter(request.what, len(request.files)) as reporter:
        return sum(
            _report(outcome, reporter) for outcome in process(request.files, function, journal=journal)
        )


def _stop(request: Request, journal: Journal, why: str, code: int) -> NoReturn:
    kept = sum(journal.has(path) for path in request.files)
    _tidy(journal)
    on = "the same command with --resume goes on" if kept else "nothing was written"
    fail(f"{why}; {kept} of {len(request.files)} files are done, {on}", code)


def _tidy(journal: Journal) -> None:
    """Leave no journal that holds nothing: the next run would have to be told to overwrite it."""
    if not len(journal):
        journal.remove()


def _journal(request: Request) -> Journal:
    """The journal beside the output, begun or taken up.

    Work is never thrown away unasked: an output or a journal that is there ends the command without `resume`
    or `overwrite`, and so does `resume` on a complete output, since nobody knows any more what made it.
    """
    place, path = request.place, request.place.journal
    if place.real.exists() and not place.real.is_file():
        fail(f"{place.output}: it is no plain file; give the name of a new one")
    if not place.overwrite and not place.resume and path.exists():
        fail(f"{path}: a run to this output is not complete; --resume goes on, --overwrite starts anew")
    if not place.overwrite and place.real.exists() and not path.exists():
        fail(f"{place.output}: it is there and complete; --overwrite makes it anew")
    try:
        return Journal(path, request.header, resume=place.resume)
    except JournalError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{path}: {error.strerror}; choose an output that can be written")
