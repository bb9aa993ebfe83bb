"""The command `samplecnn visualize taggram`: what is heard in a file when, as a picture or a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samplecnn_zoo import DEFAULT_PRESET
from samplecnn_zoo.cli.options import (
    Decoder,
    DecoderOption,
    Engine,
    EngineOption,
    PresetOption,
)
from samplecnn_zoo.cli.sources import Source, fetched, find_source
from samplecnn_zoo.cli.visualize.clip import FileArgument, ending_clearly, outline_of
from samplecnn_zoo.cli.visualize.place import (
    PICTURES,
    OverwriteOption,
    check_outputs,
    output_option,
    say_written,
)

if TYPE_CHECKING:
    from samplecnn_zoo.tagger import Taggram

ENDINGS = (*PICTURES, ".csv", ".json")
HOPS_A_SEGMENT = 4


def taggram(
    file: FileArgument,
    output: Annotated[list[Path], output_option(ENDINGS)],
    preset: PresetOption = DEFAULT_PRESET,
    top: Annotated[
        int | None,
        typer.Option(
            min=1, show_default=False,
            help="Tags, those of the highest mean.  \\[default: 12; all in csv, json]",
        ),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(
            show_default=False,
            help="Seconds from segment to segment.  \\[default: a quarter of one; with a head, one]",
        ),
    ] = None,
    engine: EngineOption = Engine.auto,
    overwrite: OverwriteOption = False,
    decoder: DecoderOption = Decoder.auto,
) -> None:  # fmt: skip
    """Draw the tags of a file over time, below its waveform; or write them as csv or json.

    A column is a segment, drawn about its middle. Of a long file, neighbours
    become one column, the mean of their scores; csv and json have every segment:
    csv a row each, json {"path", "duration_s", "segment_s", "tags", "start_s",
    "scores"}.

    Exit code: 0 all went well, 1 the file can't be heard or the output not be
    written, 2 wrong use.
    """
    check_outputs(output, ENDINGS, overwrite)
    source = find_source(preset)
    with ending_clearly(output[0]):
        found = _listen(source, file, hop, engine, decoder)
        for path in output:
            if path.suffix.lower() in PICTURES:
                _draw(path, found, top, decoder)
            else:
                _write(path, found, top)
    say_written(output)


def _listen(source: Source, file: Path, hop: float | None, engine: str, decoder: str) -> "Taggram":
    if hop is None and not source.is_head:
        hop = fetched(source.given).segment_s / HOPS_A_SEGMENT
    return source.open(hop_s=hop, engine=engine, decoder=decoder).taggram(file)


def _draw(output: Path, found: "Taggram", top: int | None, decoder: str) -> None:
    from samplecnn_zoo.visualize.taggram import DEFAULT_TOP, draw

    draw(output, found, outline_of(found.path, decoder), top=top or DEFAULT_TOP)


def _write(output: Path, found: "Taggram", top: int | None) -> None:
    from samplecnn_zoo.files import write_whole
    from samplecnn_zoo.visualize.taggram import to_csv, to_json, top_tags

    chosen = found if top is None else top_tags(found, top)
    text = to_csv(chosen) if output.suffix.lower() == ".csv" else to_json(chosen)
    write_whole(output, text.encode(errors="surrogateescape"))
