"""`samplecnn convert`: a published weight file that is on this disk becomes a preset."""

from pathlib import Path
from typing import Annotated

import typer

from samplecnn_zoo.cli.console import fail, say

FileArgument = Annotated[
    Path, typer.Argument(help="The file as its authors published it.", metavar="FILE", show_default=False)
]
AsOption = Annotated[
    str | None,
    typer.Option("--as", help="The published preset that it is.", metavar="NAME", show_default=False),
]
LikeOption = Annotated[
    str | None,
    typer.Option(
        "--like",
        help="A published preset of the same code; the file's network may have other sizes and outputs.",
        metavar="NAME",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path, typer.Option("--output", "-o", help="The preset's folder, not there yet.", show_default=False)
]
TagsOption = Annotated[
    Path | None,
    typer.Option(
        "--tags", help="A text file, one tag a line, for outputs that nobody named.", show_default=False
    ),
]
LicenseOption = Annotated[
    str | None, typer.Option("--license", help="Of the weights, with --like.", show_default=False)
]


def convert(
    file: FileArgument,
    output: OutOption,
    published: AsOption = None,
    like: LikeOption = None,
    tags: TagsOption = None,
    license_id: LicenseOption = None,
) -> None:
    """Convert a published checkpoint from a local file: nothing is downloaded, nothing in it is run.

    Give --as with one of the names that samplecnn list shows. A network that
    you trained with the authors' code, of other sizes or for other tags,
    comes in with --like.
    """
    from samplecnn_zoo.decoders.hush import hushed
    from samplecnn_zoo.zoo import preset_info
    from samplecnn_zoo.zoo.converters import convert, convert_like

    if (published is None) == (like is None):
        fail("say what the file is: --as NAME for the published one, or --like NAME for one of the same code")
    if like is None and license_id is not None:
        fail("--license goes with --like: a published file has its own")
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        fail(f"{output}: something is there already; name a new folder with -o")
    names = _tags(tags)
    try:
        with hushed():  # TensorFlow, where Keras brings it, greets from C
            if published is not None:
                convert(file, published, output, tags=names)
            elif like is not None:
                convert_like(file, like, output, tags=names, license=license_id or "unknown")
        preset = preset_info(output)
    except (ImportError, OSError, ValueError) as error:
        fail(str(error))
    if published is not None and preset.source is None:
        say(f"samplecnn: {file} could not be verified as the published file; {output} states no scores")
    typer.echo(f"{output}: {preset.name}, {len(preset.tags)} {'features' if preset.is_encoder else 'tags'}")


def _tags(file: Path | None) -> list[str] | None:
    if file is None:
        return None
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file}: this is no readable text ({error}); --tags wants one tag a line")
