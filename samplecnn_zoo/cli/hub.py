"""`samplecnn card` and `samplecnn push`: a preset described, and given to others."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from samplecnn_zoo.cli.console import fail, say

DirectoryArgument = Annotated[
    Path, typer.Argument(help="The folder of a preset, as save_pretrained writes it.", metavar="DIR")
]


def card(
    directory: DirectoryArgument,
    repo: Annotated[
        str | None, typer.Option(help="The repository that it is for, org/name.", show_default=False)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a card that reads otherwise.")
    ] = False,
) -> None:
    """Write a preset's model card, DIR/README.md, from its preset.json.

    What it is, trained on what, how to use it, scores, limits, licence,
    citation, and the metadata that the Hugging Face Hub reads. Nothing stands
    in it that preset.json does not say.
    """
    from samplecnn_zoo.zoo import PresetError
    from samplecnn_zoo.zoo.card import model_card
    from samplecnn_zoo.zoo.stored import CARD_FILE, read_preset

    try:
        text = model_card(read_preset(directory), repo_id=repo)
    except PresetError as error:
        fail(str(error))
    file = directory / CARD_FILE
    try:
        if file.exists() and file.read_text(encoding="utf-8") != text and not overwrite:
            fail(f"{file}: it reads otherwise, perhaps somebody edited it; --overwrite replaces it")
        _replace(file, text)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file}: it cannot be written ({error})", code=1)
    say(f"{file} is written")


def _replace(file: Path, text: str) -> None:
    """Write the file whole or not at all."""
    handle, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(draft).chmod(0o644)  # a draft is private, a card is not
        Path(draft).replace(file)
    finally:
        Path(draft).unlink(missing_ok=True)


def push(
    directory: DirectoryArgument,
    repo: Annotated[str, typer.Argument(help="The repository on the Hub.", metavar="ORG/NAME")],
    private: Annotated[
        bool, typer.Option("--private", help="Only those whom you let may read the repository.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(help="The branch, made if need be.  \\[default: main]", show_default=False)
    ] = None,
) -> None:
    """Upload a preset to the Hugging Face Hub, and print the name that loads it at this commit.

    The repository is made if there is none. The preset is checked first as if
    it were loaded, and everything goes up in one commit. Log in before with
    'hf auth login', or set HF_TOKEN.

    Exit code: 0 it is there, 1 the Hub refused or failed, 2 wrong use.
    """
    from samplecnn_zoo.zoo import PresetError
    from samplecnn_zoo.zoo.hub import HubName, push_to_hub
    from samplecnn_zoo.zoo.stored import read_directory

    try:
        HubName.parse(f"hf://{repo}")
        read_directory(directory)
    except PresetError as error:
        fail(str(error))
    try:
        name = push_to_hub(directory, repo, private=private, revision=revision)
    except PresetError as error:
        fail(str(error), code=1)
    typer.echo(name)
