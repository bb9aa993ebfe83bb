"""The command `samplecnn experiment`: the paper's tables on transfer, on your data and presets."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo.cli.console import INTERRUPTED, Reporter, fail
from samplecnn_zoo.cli.finetune import BalancedOption, HeadKind, SeedOption
from samplecnn_zoo.cli.listening import (
    DataArgument,
    PoolingOption,
    PresetsOption,
    SetOption,
    hear,
    open_data,
    open_scales,
)
from samplecnn_zoo.cli.options import Decoder, DecoderOption, Engine, EngineOption
from samplecnn_zoo.cli.prepare import OptionOption

if TYPE_CHECKING:
    from samplecnn_zoo.transfer.experiments import Experiment


class Table(StrEnum):
    """The experiments."""

    table4 = "table4"
    table6 = "table6"


class TableFormat(StrEnum):
    """How a table is written."""

    table = "table"
    json = "json"
    csv = "csv"


def experiment(
    table: Annotated[Table, typer.Argument(help="table4: several scales; table6: one level or three.")],
    data: DataArgument,
    preset: PresetsOption = None,
    head: Annotated[HeadKind, typer.Option("--head", help="The classifier.")] = HeadKind.mlp4096,
    pooling: PoolingOption = "max",
    name: SetOption = "",
    option: OptionOption = None,
    seed: SeedOption = 0,
    balanced: BalancedOption = False,
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Keep features there, and go on from them.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of a prepared set, N clips of each part.")
    ] = None,
    form: Annotated[
        TableFormat, typer.Option("--format", "-f", help="How the table is written.")
    ] = TableFormat.table,
    engine: EngineOption = Engine.auto,
    decoder: DecoderOption = Decoder.auto,
) -> None:
    """Run an experiment of the paper, with its figures beside yours.

    Table 4 adds the features of one preset after the other. Table 6 takes the
    levels -3, -2, -1 of the presets, and the three together. A classifier
    learns from the parts train and valid of the set and is scored on test:
    accuracy where clips have one label each, else ROC-AUC.

    Exit code: 0 all went well, 1 a file could not be heard, 2 wrong use.
    """
    clips = open_data(data, name, option)
    options: dict[str, Any] = {"engine": engine, "decoder": decoder, "batch_size": 16}
    try:
        scales = open_scales(preset, "-1,-2,-3", pooling, "mean", **options)
        labelled = hear(scales, clips, cache, limit)
        found = _run(str(table), labelled, scales, str(head), balanced, seed)
    except KeyboardInterrupt:
        fail("stopped; the same command goes on from its --cache", INTERRUPTED)
    except OSError as error:
        fail(f"{error.filename or data}: {error.strerror or error}", 1)
    except (ImportError, ValueError) as error:
        fail(str(error))
    _show(found, form)
    if labelled.failed:
        raise typer.Exit(1)


def _run(name: str, labelled: Any, scales: Any, head: str, balanced: bool, seed: int) -> "Experiment":
    from samplecnn_zoo.decoders.hush import hushed
    from samplecnn_zoo.transfer import Classifier
    from samplecnn_zoo.transfer.experiments import run

    def progress(rows: Any, total: int) -> Any:
        with Reporter(name, total, "heads") as reporter:
            for row in rows:
                yield row
                reporter.advance()

    classifier = Classifier(kind=head, balanced=balanced, seed=seed)
    with hushed():
        return run(name, labelled, scales, classifier, progress=progress)


def _show(found: "Experiment", form: TableFormat) -> None:
    if form != TableFormat.table:
        typer.echo(found.to_json() if form == TableFormat.json else found.to_csv(), nl=False)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid

    where = f"{found.name} on {found.dataset}, {found.clips:,} clips of test, {found.head}"
    grid = Grid(box=box.SIMPLE, title=where, title_justify="left", pad_edge=False)
    for column in found.header():
        grid.add_column(column, justify="left" if column == "features" else "right", overflow="fold")
    for cells in found.cells():
        grid.add_row(*cells)
    console = Console(highlight=False, markup=False)
    console.print(grid)
    console.print(found.note)
