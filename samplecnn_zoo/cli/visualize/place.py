"""Where a picture goes, and its numbers beside it."""

import tempfile
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
        from samplecnn_zoo.visualize import style

        if self.picture.suffix not in PICTURES:
            fail(f"{self.picture}: a picture's name ends in {', '.join(PICTURES)}")
        if not style.can_draw():
            fail(f"pictures need matplotlib: {style.INSTALL}")
        for file in self.files:
            if file.is_dir():
                fail(f"{file}: it is a folder; give the name of a file")
            if file.exists() and not self.overwrite:
                fail(f"{file}: it is there; --overwrite replaces it")
        try:
            self.picture.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.picture.parent):
                pass
        except OSError as error:
            fail(f"{self.picture}: {error.strerror}; choose an output that can be written")
