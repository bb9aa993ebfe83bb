"""The command `samplecnn`: where names become models and options become calls."""

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo import DEFAULT_PRESET, __version__
from samplecnn_zoo.cli.console import fail
from samplecnn_zoo.cli.options import (
    DEFAULT_TOP,
    Decoder,
    DecoderOption,
    EmbedFormat,
    EmbedFormatOption,
    Engine,
    EngineOption,
    FactsOption,
    Format,
    FormatOption,
    HopOption,
    LevelsOption,
    ListFormat,
    OutputOption,
    OverwriteOption,
    PathsArgument,
    PresetOption,
    ResumeOption,
    TopOption,
)
from samplecnn_zoo.cli.sources import digest, fetched, find_source, open_preset
from samplecnn_zoo.formats import Record, embed_writer, of_name, shortest, tag_writer

if TYPE_CHECKING:  # what is heavy is imported where it is used: --help waits for nothing
    from samplecnn_zoo.cli.run import Place, Request
    from samplecnn_zoo.tagger import Tagger
    from samplecnn_zoo.transfer import HeadTagger
    from samplecnn_zoo.zoo import Preset, Score

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"samplecnn_zoo {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Music tags and embeddings from raw audio, with SampleCNN and its successors."""


@app.command("list")
def list_command(form: FactsOption = ListFormat.table) -> None:
    """List the presets: bundled, cached, downloadable, and those from a local file.

    It asks no network. A downloadable one is fetched and converted when it is
    first used; one from a local file comes in with 'samplecnn convert'.
    """
    from samplecnn_zoo.zoo import list_presets

    presets = list_presets()
    if form == ListFormat.json:
        typer.echo(json.dumps([asdict(preset) for preset in presets], indent=1, ensure_ascii=False))
        return
    rows = [("preset", "where", "size", "license", "score")]
    for preset in presets:
        here = preset.where in ("bundled", "cached")
        size = f"{'' if here else '~'}{preset.size_bytes / 1e6:.1f} MB"
        rows.append((preset.name, preset.where, size, preset.license, _score(preset.score)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
def info(
    preset: Annotated[str, typer.Argument(help="A preset's name or its folder.", metavar="PRESET")],
    form: FactsOption = ListFormat.table,
) -> None:
    """Show what a preset wants and knows: rate, segments, licence, scores, and which output is which tag."""
    record = _preset(preset)
    if form == ListFormat.json:
        typer.echo(record.to_json(), nl=False)
        return
    width = _width(None) or sys.maxsize
    for name, value in _facts(record):
        typer.echo(textwrap.fill(f"{name:<16}{value}", width, subsequent_indent=" " * 16))


def _facts(preset: "Preset") -> list[tuple[str, str]]:
    norm = preset.normalization
    tags = ", ".join(f"{index} {tag}" for index, tag in enumerate(preset.tags))
    arguments = ", ".join(f"{name}={value!r}" for name, value in preset.arguments.items())
    return [
        ("preset", preset.name),
        ("description", preset.description),
        ("network", f"{preset.builder}({arguments})"),
        ("sample rate", f"{preset.sample_rate} Hz"),
        ("segment", f"{preset.segment_samples} samples, {preset.segment_s:.3f} s"),
        ("clip", _rule(preset)),
        ("normalization", f"(x - {norm.mean:g}) / {norm.std:g}" if norm else "none"),
        ("license", f"{preset.license} (weights), {preset.code_license} (code)"),
        ("training data", preset.training_data),
        *(("score", f"{_score(score)}, {score.note}".rstrip(", ")) for score in preset.scores),
        ("weights sha256", preset.weights_sha256 or "unknown"),
        ("tags", tags),
    ]


def _rule(preset: "Preset") -> str:
    if preset.segment_rule.windows is not None:
        return f"mean over {preset.segment_rule.windows} segments spread evenly over it"
    return f"mean over segments, one every {preset.hop_samples / preset.sample_rate:.3f} s"


def _score(score: "Score | None") -> str:
    if score is None:
        return ""
    interval = (
        f" ({score.low:.4f} to {score.high:.4f})" if score.low is not None and score.high is not None else ""
    )
    published = " (published)" if score.note.startswith("published") else ""
    return f"{score.metric} {score.value:.4f}{interval} {score.dataset} {score.split}".strip() + published


@app.command()
def tag(
    paths: PathsArgument,
    preset: PresetOption = DEFAULT_PRESET,
    top: TopOption = None,
    hop: HopOption = None,
    form: FormatOption = None,
    output: OutputOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    engine: EngineOption = Engine.auto,
    decoder: DecoderOption = Decoder.auto,
) -> None:
    """Tag music: what is heard in each clip, and how surely.

    One row a clip. In json a list of {"path", "duration_s", "tags": [{"tag",
    "score"}, ...]}; in csv and parquet the columns path, duration_s and one
    for each tag of the preset.

    A bad file is named with its reason on the error stream, and the others
    are done. Exit code: 0 all went well, 1 a file did not, 2 wrong use.
    """
    place = _place(output, resume, overwrite)
    shape = _format(form, output, Format.table)
    if top is None and shape in ("table", "json"):
        top = DEFAULT_TOP
    source = find_source(preset)
    options = {"hop_s": hop, "engine": engine, "decoder": decoder}
    request = _request("tag", paths, (source.name, source.sha256), {**options, "top": top}, place)

    def start() -> Callable[[Path], Record]:
        tagger = source.open(**options)
        return lambda path: _tag_record(tagger, path, top)

    writer = partial(
        tag_writer, shape, tags=source.tags, paths=[str(path) for path in request.files], width=_width(output)
    )
    _run(request, start, writer)


@app.command()
def embed(
    paths: PathsArgument,
    preset: PresetOption = DEFAULT_PRESET,
    levels: LevelsOption = "-1,-2,-3",
    hop: HopOption = None,
    form: EmbedFormatOption = None,
    output: OutputOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    engine: EngineOption = Engine.auto,
    decoder: DecoderOption = Decoder.auto,
) -> None:
    """Turn music into vectors, for search or a classifier: the last hidden layers, one vector a level.

    One row a clip. In json and parquet the path and a list for each level:
    level_-1 is the last hidden layer; in csv a column for each number:
    level_-1_0, level_-1_1, ...

    A bad file is named with its reason on the error stream, and the others
    are done. Exit code: 0 all went well, 1 a file did not, 2 wrong use.
    """
    place = _place(output, resume, overwrite)
    shape = _format(form, output, EmbedFormat.json)
    if shape == "table":
        fail("an embedding has no table; the format is one of json, csv, parquet")
    record = fetched(preset)
    wanted = _levels(levels, preset)
    options = {"hop_s": hop, "engine": engine, "decoder": decoder}
    request = _request("embed", paths, (record.name, digest(record)), {**options, "levels": wanted}, place)

    def start() -> Callable[[Path], Record]:
        tagger = open_preset(preset, **options)
        return lambda path: _embed_record(tagger, path, wanted)

    _run(request, start, partial(embed_writer, shape, levels=[f"level_{level}" for level in wanted]))


def _format(form: StrEnum | None, output: Path | None, default: str) -> str:
    """The format that was asked for, by option or by the output's name."""
    shape = form or (of_name(output) if output else default)
    if shape is None:
        fail(f"{output}: its name tells no format; say --format, or end it in .json, .csv or .parquet")
    if shape == "parquet" and output is None:
        fail("parquet is no text for a terminal or a pipe; say where to write it with -o")
    return str(shape)


def _levels(text: str, preset: str) -> tuple[int, ...]:
    """The numbers in "-1,-2", each of which the preset's network has."""
    from samplecnn_zoo.engines import available_levels
    from samplecnn_zoo.zoo.store import read_stored

    if not re.fullmatch(r"-[1-9]\d*(,-[1-9]\d*)*", text):
        fail(f"--levels wants negative numbers with commas between, such as -1,-2,-3, got {text!r}")
    levels = tuple(dict.fromkeys(int(level) for level in text.split(",")))
    try:
        known = available_levels([layer.name for layer in read_stored(preset).network.layers])
    except ValueError as error:
        fail(str(error))
    if not set(levels) <= set(known):
        fail(f"--levels of {preset} are {', '.join(map(str, known))}, got {text}")
    return levels


def _preset(name: str) -> "Preset":
    from samplecnn_zoo.zoo import PresetError, preset_info

    try:
        return preset_info(name)
    except PresetError as error:
        fail(str(error))


def _place(output: Path | None, resume: bool, overwrite: bool) -> "Place":
    from samplecnn_zoo.cli.run import Place

    if resume and overwrite:
        fail("--resume goes on and --overwrite starts anew: give one of them")
    if resume and output is None:
        fail("--resume wants the output of the interrupted run: give it with -o")
    return Place(output, resume, overwrite)


def _request(
    what: str, paths: Sequence[str], preset: tuple[str, str], options: Mapping[str, Any], place: "Place"
) -> "Request":
    """What is to be done with which files; `preset` is its name and hash."""
    from samplecnn_zoo.audio import find_audio
    from samplecnn_zoo.cli.run import Request

    if "" in paths:  # an unset variable of a shell; as a path it would be this folder
        fail("a path is empty; name files or folders, and . for this folder")
    files = find_audio(paths)
    if not files:
        fail(f"no audio files in {', '.join(paths)}; give files, or folders that hold some")
    # A folder that was named and gives nothing is reported as a bad file, not passed over.
    found = [os.path.realpath(file) for file in files]
    for folder in (Path(path) for path in paths if Path(path).is_dir()):
        if not any(file.startswith(os.path.join(os.path.realpath(folder), "")) for file in found):
            files.append(folder)
    header = {
        "command": what,
        "version": __version__,
        "preset": preset[0],
        "preset_sha256": preset[1],
    }
    return Request(what, files, {**header, **options}, place)


def _tag_record(tagger: "Tagger | HeadTagger", path: Path, top: int | None) -> Record:
    clip = tagger.tag_file(path, top=top)
    tags = [{"tag": tag.tag, "score": shortest(tag.score)} for tag in clip.tags]
    return {"path": str(path), "duration_s": round(clip.duration_s, 6), "tags": tags}


def _embed_record(tagger: "Tagger", path: Path, levels: Sequence[int]) -> Record:
    clip = tagger.embed_file(path, levels=levels)
    vectors = {f"level_{level}": [shortest(x) for x in clip.levels[level].tolist()] for level in levels}
    return {"path": str(path), **vectors}


def _width(output: Path | None) -> int | None:
    """Columns of the terminal that gets the table; None when a file or a program does."""
    return shutil.get_terminal_size().columns if output is None and sys.stdout.isatty() else None


def _run(request: "Request", start: Callable[[], Callable[[Path], Record]], writer: Any) -> None:
    from samplecnn_zoo.cli.run import run

    run(request, start, writer)


def main() -> None:
    """Run the command."""
    # Only what goes wrong: TensorFlow's start-up remarks would hide it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app(prog_name="samplecnn")
