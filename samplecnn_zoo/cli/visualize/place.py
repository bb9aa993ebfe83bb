"""Where pictures go, and the numbers behind them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from samplecnn_zoo.cli.console import fail, say

PICTURES = (".png", ".svg", ".pdf")

PresetArgument = Annotated[str, typer.Argument(help="A preset's name or its folder.", metavar="PRESET")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]


def output_option(endings: Sequence[str]) -> Any:
    """The option of the outputs, which all the commands have alike."""
    names = f"A name in {', '.join(endings)}; repeat it for several of the same."
    return typer.Option("--output", "-o", help=names, metavar="NAME")


def check_outputs(outputs: Sequence[Path], endings: Sequence[str], overwrite: bool) -> None:
    """End the command now, before there is work that could be lost, when an output can't be written."""
    for output in outputs:
        _check(output, endings, overwrite)


def say_written(outputs: Sequence[Path]) -> None:
    """Name what was written, on the error stream."""
    say(" and ".join(map(str, outputs)))


def _check(output: Path, endings: Sequence[str], overwrite: bool) -> None:
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
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        fail(f"{output}: {error.strerror}; choose an output that can be written")
