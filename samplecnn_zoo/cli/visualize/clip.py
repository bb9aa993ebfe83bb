"""What the commands that look at clips share: the output and its format, a waveform, what goes wrong."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo.cli.console import INTERRUPTED, Reporter, fail
from samplecnn_zoo.cli.visualize.place import PICTURES

if TYPE_CHECKING:
    from samplecnn_zoo.visualize.outline import Columns

FileArgument = Annotated[Path, typer.Argument(help="An audio file.", metavar="FILE")]


def check_output(output: Path, endings: Sequence[str], overwrite: bool) -> str:
    """Return what the name of an output ends in; end the command now when it can't be written."""
    from samplecnn_zoo.visualize import style

    ending = output.suffix.lower()
    if ending not in endings:
        fail(f"{output}: the name of an output ends in one of {', '.join(endings)}")
    if output.is_dir():
        fail(f"{output}: it is a folder; give the name of a file")
    if output.exists() and not overwrite:
        fail(f"{output}: it is there; --overwrite replaces it")
    if ending in PICTURES and not style.can_draw():
        fail(f"pictures need matplotlib: {style.INSTALL}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{output}: {error.strerror}; choose an output that can be written")
    return ending


@contextmanager
def ending_clearly(output: Path) -> Iterator[None]:
    """End the command with one line, whatever goes wrong: code 2 for wrong use, 1 for reading and writing."""
    from samplecnn_zoo.audio import AudioError

    try:
        yield
    except KeyboardInterrupt:
        fail("stopped", INTERRUPTED)
    except AudioError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{error.filename or output}: {error.strerror or error}", 1)
    except (ImportError, ValueError) as error:
        fail(str(error))


def outline_of(path: Path, decoder: str) -> "Columns":
    """The outline of a file's waveform, at its own rate."""
    from samplecnn_zoo import audio
    from samplecnn_zoo.visualize.outline import outline

    rate = audio.info(path, decoder=decoder).sample_rate
    wave = outline(rate)
    for block in audio.stream(path, rate, decoder=decoder):
        wave.add(block)
    return wave


def counting(what: str, unit: str) -> Callable[[Iterable[Any], int], Iterator[Any]]:
    """A progress bar around steps."""

    def counted(steps: Iterable[Any], total: int) -> Iterator[Any]:
        with Reporter(what, total, unit) as reporter:
            for step in steps:
                yield step
                reporter.advance()

    return counted
