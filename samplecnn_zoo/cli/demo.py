"""The command `samplecnn demo`: a page to play with."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samplecnn_zoo import DEFAULT_PRESET
from samplecnn_zoo.cli.console import INTERRUPTED, Reporter, fail, say
from samplecnn_zoo.cli.options import Engine, EngineOption
from samplecnn_zoo.cli.sources import find_source, open_preset

if TYPE_CHECKING:
    from samplecnn_zoo.demo.shelf import Shelf
    from samplecnn_zoo.tagger import Tagger


def demo(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Presets to choose from beside the bundled ones, names or folders; the first is chosen.",
            metavar="[PRESETS]...",
            show_default=False,
        ),
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(
            help="A folder of clips to try and to find similar ones among.  \\[default: the bundled]",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0 lets other computers in.", metavar="NAME")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="\\[default: the first free one from 7860 on]", show_default=False
        ),
    ] = None,
    max_mb: Annotated[float, typer.Option(help="Megabytes of a file that is taken.", metavar="MB")] = 50.0,
    max_minutes: Annotated[
        float, typer.Option(help="Minutes of a clip that is taken.", metavar="MINUTES")
    ] = 15.0,
    engine: EngineOption = Engine.auto,
) -> None:
    """Serve a web page to play with: drop or record audio, see what is heard.

    Tags as bars and over time, the clips that sound alike, and files to keep,
    with any bundled preset and those that are named. It works offline, serves
    this computer alone unless --host says otherwise, and keeps nothing.

    It ends with Ctrl-C (exit code 130).
    """
    from samplecnn_zoo.demo.hearing import Limits
    from samplecnn_zoo.demo.server import INSTALL, Address, can_serve, check_free, serve

    if not can_serve():
        fail(f"the page needs gradio: {INSTALL}")
    if clips is not None and not clips.is_dir():
        fail(f"--clips {clips}: there is no such folder")
    try:
        limits, address = Limits(max_mb, max_minutes), Address(host, port)
        check_free(address)
        taggers = _taggers(presets or [], engine)
        shelf = _shelf(taggers, clips)
        serve(taggers, shelf, limits=limits, address=address, ready=_ready)
    except KeyboardInterrupt:
        fail("stopped", INTERRUPTED)
    except OSError as error:
        fail(f"{host}, port {port or 'any'}: {error.strerror or error}")
    except ValueError as error:
        fail(str(error))


def _taggers(given: Sequence[str], engine: str) -> "list[Tagger]":
    """What was named, then the bundled presets that have tags."""
    from samplecnn_zoo.zoo import list_presets, preset_info

    bundled = [info.name for info in list_presets() if info.where == "bundled"]
    bundled.sort(key=lambda name: name != DEFAULT_PRESET)
    for name in given:
        if find_source(name).is_head:
            fail(f"{name} is a head: the page takes presets alone; samplecnn tag gives its scores")
    names = [*given, *(name for name in bundled if not preset_info(name).is_encoder)]
    taggers = [open_preset(name, engine=engine) for name in dict.fromkeys(names)]
    if not taggers:
        fail("no preset is bundled: name one, as listed by samplecnn list")
    counts = Counter(tagger.preset.name for tagger in taggers)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        fail(f"more than one of the presets is called {twice[0]}, and visitors could not tell them apart")
    return taggers


def _shelf(taggers: "Sequence[Tagger]", clips: Path | None) -> "Shelf":
    from samplecnn_zoo.audio import AudioError
    from samplecnn_zoo.demo.shelf import clips_dir, fill

    bad: list[AudioError] = []
    shelf = fill(taggers, clips or clips_dir(), on_error=bad.append, progress=_bar)
    for error in bad:
        say(str(error))
    return shelf


def _bar(paths: Sequence[Path]) -> Iterator[Path]:
    with Reporter("clips of the page", len(paths)) as reporter:
        for path in paths:
            yield path
            reporter.advance()


def _ready(url: str) -> None:
    say(f"the page is at {url} (Ctrl-C ends it)")
