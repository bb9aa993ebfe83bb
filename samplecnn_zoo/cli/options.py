"""The options of the command `samplecnn`, each declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_TOP = 10  # where people read the tags; where programs do, all of them


class ListFormat(StrEnum):
    """How facts are written."""

    table = "table"
    json = "json"


class Format(StrEnum):
    """How results are written."""

    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"


class EmbedFormat(StrEnum):
    """How embeddings are written."""

    json = "json"
    csv = "csv"
    parquet = "parquet"


class Engine(StrEnum):
    """What runs the network."""

    auto = "auto"
    keras = "keras"
    openvino = "openvino"


class Decoder(StrEnum):
    """What reads audio files."""

    auto = "auto"
    soundfile = "soundfile"
    av = "av"
    tfio = "tfio"


def _option(*names: str, text: str, default: str = "", **rules: Any) -> Any:
    """An option whose default is told in words."""
    text = f"{text}  \\[default: {default}]" if default else text
    return typer.Option(*names, help=text, show_default=not default, **rules)


PathsArgument = Annotated[
    list[str],
    typer.Argument(help="Audio files, folders (with all their subfolders) or globs.", metavar="PATHS..."),
]
PresetOption = Annotated[
    str, _option("--preset", "-p", text="A preset's name (samplecnn list) or its folder.")
]
TopOption = Annotated[
    int | None, _option("--top", text="Tags a clip.", default="10; all in csv, parquet", min=1)
]
LevelsOption = Annotated[str, _option("--levels", text="Which hidden layers, the last one is -1.")]
HopOption = Annotated[
    float | None, _option("--hop", text="Seconds from segment to segment.", default="the preset's")
]
FormatOption = Annotated[
    Format | None,
    _option(
        "--format", "-f", text="How results are written.", default="as the output's name ends, else table"
    ),
]
EmbedFormatOption = Annotated[
    EmbedFormat | None,
    _option(
        "--format", "-f", text="How vectors are written.", default="as the output's name ends, else json"
    ),
]
OutputOption = Annotated[
    Path | None,
    _option(
        "--output",
        "-o",
        text="Write to this file. Until it is complete, NAME.journal beside it keeps what is done.",
        default="standard output",
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Go on where a run to this output ended; what failed is tried again."),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output that is there, or start its run anew.")
]
EngineOption = Annotated[Engine, _option("--engine", text="What runs the network.")]
DecoderOption = Annotated[Decoder, _option("--decoder", text="What reads the files; av, tfio are extras.")]
FactsOption = Annotated[ListFormat, _option("--format", "-f", text="How it is written.")]
