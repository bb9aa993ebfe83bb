"""The command `samplecnn visualize map`: clips on a plane, as the levels of a network hear them."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo.cli.console import fail, say
from samplecnn_zoo.cli.finetune import SeedOption
from samplecnn_zoo.cli.listening import PoolingOption, open_data, open_scales
from samplecnn_zoo.cli.options import Decoder, DecoderOption, Engine, EngineOption
from samplecnn_zoo.cli.prepare import reporting
from samplecnn_zoo.cli.sources import fetched
from samplecnn_zoo.cli.visualize.clip import counting, ending_clearly
from samplecnn_zoo.cli.visualize.place import (
    PICTURES,
    OverwriteOption,
    PresetArgument,
    check_outputs,
    output_option,
    say_written,
)
from samplecnn_zoo.formats import printable

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.collection import Collection
    from samplecnn_zoo.transfer import FeatureTable, Scale
    from samplecnn_zoo.visualize.maps import SongMap

ENDINGS = (".html", *PICTURES, ".csv", ".json", ".npz")
Held = list[tuple[str, ...]]

LevelsOption = Annotated[
    str, typer.Option("--levels", help="Levels, -1 the last hidden one, or stages; a map each.")
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        "--labels", metavar="DATA", show_default=False,
        help="The clips' tags: a folder with a folder a class, or a table of path and tags (.csv, .tsv).  "
        "\\[default: the preset's own tags]",
    ),
]  # fmt: skip
TagsOption = Annotated[
    str | None,
    typer.Option(
        "--tags", metavar="A,B,…", show_default=False,
        help="Those to tell apart, up to 12.  \\[default: all of 12 or fewer; else the four that most "
        "nearly a fifth of the clips have]",
    ),
]  # fmt: skip


def song_map(
    preset: PresetArgument,
    output: Annotated[list[Path], output_option(ENDINGS)],
    audio: Annotated[
        list[str] | None,
        typer.Argument(
            help="Audio files, folders or globs; with --labels, by default what it names.",
            metavar="AUDIO...", show_default=False,
        ),
    ] = None,
    labels: LabelsOption = None,
    tags: TagsOption = None,
    levels: LevelsOption = "-3,-1",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Without --labels: the score from which a clip has a tag.")
    ] = 0.5,
    neighbours: Annotated[int, typer.Option(min=1, help="Nearest ones that closeness looks at.")] = 10,
    perplexity: Annotated[float, typer.Option(min=1, help="Of t-SNE: about so many stay together.")] = 30,
    seed: SeedOption = 0,
    pooling: PoolingOption = "max",
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="DIR", show_default=False,
            help="Where features stay, for the next map, too.  \\[default: NAME.features by the output]",
        ),
    ] = None,
    engine: EngineOption = Engine.auto,
    overwrite: OverwriteOption = False,
    decoder: DecoderOption = Decoder.auto,
) -> None:  # fmt: skip
    """Lay clips out on a plane, those that a level hears alike beside each other (paper, Figure 5).

    Of each tag and level it prints how closely the tag's clips lie together: of
    the nearest neighbours of a clip with the tag, the share that has it, too,
    and what that would be by chance. html is a page to look around in, offline;
    csv (and NAME.tags.csv), json and npz are the numbers.

    A run that was stopped goes on with the same command. A bad file is named
    with its reason, and the others are done. Exit code: 0 all went well, 1 a
    file could not be heard or writing failed, 2 wrong use.
    """
    tables = [_tags_beside(path) for path in output if path.suffix.lower() == ".csv"]
    check_outputs([*output, *tables], ENDINGS, overwrite)
    wanted = tags and [tag.strip() for tag in tags.split(",")]
    data = _labels(labels)
    files = _files(audio, data)
    (scale,) = _open(preset, levels, data is None, pooling, engine=str(engine), decoder=str(decoder))
    with ending_clearly(output[0]):
        place = cache or output[0].with_name(f"{output[0].stem}.features")
        table, held = _hear(scale, files, data, threshold, place)
        chosen = wanted or _usual_tags(held)
        _check_known(chosen, held, scale if data is None else None)
        options = {"neighbours": neighbours, "perplexity": perplexity, "seed": seed}
        song = _lay_out(scale, table, held, chosen, options)
        for path in output:
            _write(song, path)
    say_written([*output, *tables])
    _show(song)
    if table.failed:
        raise typer.Exit(1)


def _labels(labels: Path | None) -> "Collection | None":
    from samplecnn_zoo.datasets.collection import Collection

    if labels is None:
        return None
    data = open_data(labels, "", None)
    if not isinstance(data, Collection):
        fail(f"--labels {labels}: this is a prepared set, whose clips are no files; name the folder or table")
    for note in data.notes:
        say(f"{labels}: {note}")
    return data


def _files(audio: list[str] | None, data: "Collection | None") -> list[Path]:
    """What to hear; end the command when it is too little for a map."""
    from samplecnn_zoo.audio import find_audio
    from samplecnn_zoo.visualize.maps import FEWEST_CLIPS

    if not audio and data is None:
        fail("name audio files or folders, or the clips' --labels")
    if audio and "" in audio:
        fail("a path is empty; name files or folders, and . for this folder")
    files = find_audio(audio) if audio else [item.path for item in data.recordings] if data else []
    if len(files) < FEWEST_CLIPS:
        fail(f"a map wants {FEWEST_CLIPS} clips or more, found {len(files)}: give more files")
    return files


def _open(preset: str, levels: str, own_tags: bool, pooling: str, **options: str) -> "list[Scale]":
    if own_tags and fetched(preset).is_encoder:
        fail(f"{preset} is an encoder without tags: give the clips' --labels")
    wanted = f"{levels},scores" if own_tags else levels
    return open_scales([preset], wanted, pooling, "mean", batch_size=16, **options)


def _hear(
    scale: "Scale", files: Sequence[Path], data: "Collection | None", threshold: float, cache: Path
) -> "tuple[FeatureTable, Held]":
    """Features and tags of all that can be heard, with a bar; bad files get a line each."""
    from samplecnn_zoo.transfer import extract

    table = extract([scale], files, cache=cache, progress=reporting("features"))
    if data is not None:
        known = {item.path.absolute(): item.tags for item in data.recordings}
        held = [known.get(Path(key).absolute(), ()) for key in table.keys]
        if not any(held):
            fail(f"none of the {len(held)} clips stands in --labels; its paths start at its own folder")
        return table, held
    names = scale.tagger.preset.tags
    scores = table.select(levels=["scores"])
    return table, [
        tuple(name for name, score in zip(names, row, strict=True) if score >= threshold) for row in scores
    ]


def _usual_tags(held: Held) -> list[str]:
    """All tags by their alphabet; of more than are told apart, some that neither few nor most have."""
    from samplecnn_zoo.visualize.map_figure import MOST_TAGS

    counts = {tag: sum(tag in own for own in held) for tag in sorted({tag for own in held for tag in own})}
    if len(counts) <= MOST_TAGS:
        return list(counts)
    return sorted(counts, key=lambda tag: abs(5 * counts[tag] - len(held)))[:4]


def _check_known(chosen: list[str], held: Held, own: "Scale | None") -> None:
    """End the command when there are no tags, or one is asked for that no clip has."""
    from samplecnn_zoo.visualize.map_figure import check_tags

    known = sorted({tag for tags in held for tag in tags})
    if not known:
        fail("no clip has a tag of so high a score: lower --threshold, or give --labels")
    unknown = [tag for tag in chosen if tag not in known]
    if unknown and own is not None and unknown[0] in own.tagger.preset.tags:
        fail(f"--tags: no clip has {unknown[0]!r} with so high a score: lower --threshold, or leave it out")
    if unknown:
        shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        fail(f"--tags: no clip has {unknown[0]!r}; there are {shown}")
    check_tags(tuple(chosen))


def _lay_out(
    scale: "Scale", table: "FeatureTable", held: Held, tags: list[str], options: dict[str, Any]
) -> "SongMap":
    from samplecnn_zoo.visualize.maps import song_map

    features = {level: table.select(levels=[level]) for level in scale.levels if level != "scores"}
    title = f"{len(table.keys):,} clips, heard by {scale.name}"
    return song_map(
        table.keys, features, held, list(dict.fromkeys(tags)),
        title=title, progress=counting("map", "levels"), **options,
    )  # fmt: skip


def _write(song: "SongMap", path: Path) -> None:
    from samplecnn_zoo.files import write_whole
    from samplecnn_zoo.visualize import map_figure, map_page, maps

    ending = path.suffix.lower()
    if ending in PICTURES:
        map_figure.draw(path, song)
    elif ending == ".html":
        write_whole(path, map_page.page(song).encode())
    elif ending == ".npz":
        _write_arrays(song, path)
    elif ending == ".json":
        record = {"clips": maps.records(song), "tags": maps.closeness_records(song)}
        write_whole(path, (json.dumps(record, indent=1) + "\n").encode())
    else:
        write_whole(path, _csv(maps.records(song)))
        write_whole(_tags_beside(path), _csv(maps.closeness_records(song)))


def _tags_beside(path: Path) -> Path:
    """Where the second table of a csv goes."""
    return path.with_name(f"{path.stem}.tags.csv")


def _csv(records: Sequence[dict[str, Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue().encode(errors="surrogateescape")


def _write_arrays(song: "SongMap", path: Path) -> None:
    import numpy as np

    from samplecnn_zoo.files import replacing
    from samplecnn_zoo.visualize.maps import closeness_records

    places: dict[str, Any] = {f"level_{level.level}": level.places for level in song.levels}
    numbers = json.dumps(closeness_records(song))
    with replacing(path) as file:
        np.savez(
            file, keys=np.array(song.names), tags=np.array(song.tags), has=song.has(),
            closeness=np.array(numbers), **places,
        )  # fmt: skip


def _show(song: "SongMap") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    columns = (
        "tag",
        "clips",
        *(f"level {level.level}" for level in song.levels),
        "by chance",
        "97.5 % of it",
    )
    for name in columns:
        table.add_column(name, justify="left" if name == "tag" else "right", overflow="fold")
    for row in zip(*(level.closeness for level in song.levels), strict=True):
        high = max(one.chance_high for one in row)
        numbers = (*(one.share for one in row), row[0].chance, high)
        cells = (f"{number:.2f}" for number in numbers)
        table.add_row(Text(printable(row[0].tag)), f"{row[0].clips:,}", *cells)
    console = Console(highlight=False, markup=False)
    console.print(f"of a clip's {song.neighbours} nearest neighbours, the share that has its tag, too:")
    console.print(table)
