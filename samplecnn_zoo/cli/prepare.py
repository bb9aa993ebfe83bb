"""`samplecnn prepare`: from a local copy of a data set to shards that a network can be trained from."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo.cli.console import INTERRUPTED, Reporter, fail, say

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.collection import Collection
    from samplecnn_zoo.datasets.prepared import Prepared

SetArgument = Annotated[str, typer.Argument(help="A data set's name (samplecnn datasets).", metavar="SET")]
RootOption = Annotated[Path, typer.Option("--root", help="The folder that holds your copy of the set.")]
OutOption = Annotated[
    Path, typer.Option("--output", "-o", help="The folder to fill; the same command goes on with it.")
]
RateOption = Annotated[int, typer.Option("--rate", help="Sample rate of the clips in Hz.", min=1000)]
OptionOption = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the set, may be repeated.", metavar="NAME=VALUE"),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", help="Processes that decode.  \\[default: one a core]", min=1, show_default=False
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", help="Only about so many clips, for a quick try.", min=1, show_default=False),
]


def prepare(
    name: SetArgument,
    root: RootOption,
    output: OutOption,
    rate: RateOption = 22050,
    option: OptionOption = None,
    workers: WorkersOption = None,
    limit: LimitOption = None,
) -> None:
    """Decode a data set once, into shards for `samplecnn train` and `evaluate`.

    Every clip is mixed to mono, resampled and cut to its first 29.1 s. A run
    that was stopped goes on with the same command; on a complete set nothing
    is done.

    A bad file is named with its reason on the error stream and in failed.csv,
    and the others are done. Exit code: 0 all went well, 1 a file did not or
    the disk is full, 2 wrong use.
    """
    collection = _collect(name, root, parse_options(option or []))
    for note in collection.notes:
        say(f"{name}: {note}")
    prepared = _prepared(collection, output, rate, workers, limit)
    failed = prepared.description.failed
    clips = ", ".join(f"{count:,} {split}" for split, count in prepared.counts.items())
    rest = f", {failed} files failed, see {output / 'failed.csv'}" if failed else ""
    say(f"{output}: {clips} clips of {name} at {prepared.sample_rate} Hz{rest}")
    if failed:
        raise typer.Exit(1)


def parse_options(texts: Sequence[str]) -> dict[str, str]:
    """The options of a set, from name=value."""
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            fail(f"--option wants name=value, got {text!r}")
        options[name] = value
    return options


def _collect(name: str, root: Path, options: dict[str, str]) -> "Collection":
    from samplecnn_zoo.datasets.collection import DataSetError
    from samplecnn_zoo.datasets.registry import get

    try:
        dataset = get(name)
        dataset.check_options(options)
        return dataset.collect(root, progress=reporting("files"), **options)
    except (DataSetError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped", INTERRUPTED)


def _prepared(
    collection: "Collection", output: Path, rate: int, workers: int | None, limit: int | None
) -> "Prepared":
    from samplecnn_zoo.datasets.decoding import DecoderError
    from samplecnn_zoo.datasets.prepare import limited
    from samplecnn_zoo.datasets.prepare import prepare as prepare_set

    chosen = limited(collection, limit) if limit else collection
    begun = (output / "plan.json").exists()
    try:
        return prepare_set(chosen, output, sample_rate=rate, workers=workers, progress=reporting("prepare"))
    except OSError as error:
        started = begun or (output / "plan.json").exists()
        rest = "what is finished stays, the same command goes on" if started else "choose another output"
        fail(f"{error.filename or output}: {error.strerror or error}; {rest}", 1 if started else 2)
    except DecoderError as error:
        fail(str(error), 1)
    except ValueError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped; what is finished stays, the same command goes on", INTERRUPTED)


def reporting(what: str) -> Callable[[Iterable[Any], int], Iterator[Any]]:
    """A progress bar around steps; a step that is a text is a bad file's line."""

    def reported(steps: Iterable[Any], total: int) -> Iterator[Any]:
        with Reporter(what, total) as reporter:
            for step in steps:
                if isinstance(step, str):
                    reporter.trouble(step)
                reporter.advance()
                yield step

    return reported
