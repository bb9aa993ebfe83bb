"""What `finetune` and `experiment` share: labelled clips, and the networks that hear them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo import DEFAULT_PRESET
from samplecnn_zoo.cli.console import fail
from samplecnn_zoo.cli.prepare import parse_options, reporting
from samplecnn_zoo.cli.sources import loaded

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.collection import Collection
    from samplecnn_zoo.datasets.prepared import Prepared
    from samplecnn_zoo.transfer import Labelled, Scale

DataArgument = Annotated[
    Path,
    typer.Argument(
        help="A folder with a folder a class, a table of path and tags (.csv, .tsv), or what `samplecnn "
        "prepare` made.",
        metavar="DATA",
    ),
]
SetOption = Annotated[
    str, typer.Option("--set", help="DATA is a copy of this set (samplecnn datasets).", metavar="SET")
]
PresetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--preset", "-p", show_default=False,
        help=f"Hear with it; repeat it for several scales.  \\[default: {DEFAULT_PRESET}]",
    ),
]  # fmt: skip
LevelsOption = Annotated[str, typer.Option("--levels", help="Levels, -1 the last hidden one, or stages.")]
PoolingOption = Annotated[str, typer.Option("--pooling", help="Within a segment: max or mean.")]
StatisticsOption = Annotated[str, typer.Option("--statistics", help="Over segments, some of mean,std,max.")]


def open_data(data: Path, name: str, options: list[str] | None) -> "Collection | Prepared":
    """The clips of a folder, table, data set or prepared set; end the command when there are none."""
    from samplecnn_zoo.datasets.collection import DataSetError
    from samplecnn_zoo.datasets.prepared import RECORD, Prepared, PreparedError
    from samplecnn_zoo.datasets.registry import get

    given: dict[str, Any] = parse_options(options or [])
    try:
        if (data / RECORD).is_file() and not name:
            if given:
                fail(f"{data} is prepared, its options are chosen: leave --option out")
            return Prepared.open(data)
        if data.is_file() and not name:
            return get("table").collect(data.parent, table=data.name, **given)
        return get(name or "folder").collect(data, progress=reporting("files"), **given)
    except (DataSetError, PreparedError) as error:
        fail(str(error))


def open_scales(
    presets: list[str] | None, levels: str, pooling: str, statistics: str, **options: Any
) -> "list[Scale]":
    """The networks, loaded; end the command when one is not there or lacks a level."""
    from samplecnn_zoo.transfer import Scale

    chosen: dict[str, Any] = {
        "levels": parse_levels(levels),
        "pooling": pooling,
        "statistics": tuple(name.strip() for name in statistics.split(",")),
    }
    return loaded(lambda: [Scale.of(preset, **chosen, **options) for preset in presets or [DEFAULT_PRESET]])


def parse_levels(text: str) -> tuple[int | str, ...]:
    """Numbers and names of stages with commas between.

    >>> parse_levels("-1,stage8")
    (-1, 'stage8')
    """
    names = [name.strip() for name in text.split(",")]
    return tuple(int(name) if re.fullmatch(r"-\d+", name) else name for name in names)


def hear(
    scales: "list[Scale]", data: "Collection | Prepared", cache: Path | None, limit: int | None = None
) -> "Labelled":
    """The features of all clips, with a bar; bad files get a line each, and the rest goes on."""
    from samplecnn_zoo.transfer import label

    return label(scales, data, cache=cache, limit=limit, progress=reporting("features"))
