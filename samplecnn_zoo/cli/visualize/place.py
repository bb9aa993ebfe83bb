"""Where a picture goes, and its numbers beside it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from samplecnn_zoo.cli.console import fail

PICTURES = (".png", ".svg", ".pdf")

PresetArgument = Annotated[str, typer.Argument(help="A preset's name or its folder.", metavar="PRESET")]
PictureOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The picture: .png, .svg or .pdf.")
]
ArraysOption = Annotated[
    bool, typer.Option("--arrays", help="Write the numbers behind the picture beside it, as .npz.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]


@dataclass(frozen=True)
class Place:
    """The picture, and whether its arrays go beside it."""

    picture: Path
    arrays: bool
    overwrite: bool

    @property
    def files(self) -> list[Path]:
        """What is written."""
        return [self.picture, *([self.picture.with_suffix(".npz")] if self.arrays else [])]

    def check(self) -> None:
        """End the command now, before there is work that could be lost, if the files can't be written."""
        check_output(self.picture, PICTURES, self.overwrite)
        if self.arrays:
            check_output(self.picture.with_suffix(".npz"), (".npz",), self.overwrite)


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
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        fail(f"{output}: {error.strerror}; choose an output that can be written")
    return ending
