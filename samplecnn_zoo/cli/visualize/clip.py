"""What the commands that look at clips share: the output and its format, a waveform, what goes wrong."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo.cli.console import INTERRUPTED, Reporter, fail

if TYPE_CHECKING:
    from samplecnn_zoo.visualize.outline import Columns

FileArgument = Annotated[Path, typer.Argument(help="An audio file.", metavar="FILE")]


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
