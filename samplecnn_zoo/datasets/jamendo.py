"""MTG-Jamendo, the 50 most frequent tags, official split 0."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from samplecnn_zoo.datasets.collection import DataSet, Finding, Recording, Survey, summary
from samplecnn_zoo.datasets.local import (
    DataSetError,
    Shelf,
    Template,
    read_text,
    table_rows,
    without_extension,
)

# How the project's own tables name their parts.
PARTS = {"train": "train", "valid": "validation", "test": "test"}
TABLES = "data/splits/split-0/autotagging_top50tags-{part}.tsv"
CLONE = "mtg-jamendo-dataset"
NUM_TAGS = 50
COLUMNS = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
# As downloaded: 34/786434.mp3 in full quality, 34/786434.low.mp3 in low.
USUAL = ("{stem}", "{stem}.low", "audio/{stem}", "audio/{stem}.low")
GET = "clone https://github.com/MTG/mtg-jamendo-dataset and say where with clone=DIR"


@dataclass(frozen=True)
class Track:
    """A row of a table: `path` as it stands there ("34/786434.mp3"), and the tags."""

    track: str
    path: str
    tags: tuple[str, ...]
    split: str


def survey(root: Path, clone: str = "", path: str = "") -> Survey:
    """Read the three tables of split 0, and look for each track's file below `root`.

    Raises:
        DataSetError: A table is missing or another one, or the template names an unknown field.
    """
    tracks = list(_tracks(_clone(root, clone)))
    tags = tuple(sorted({tag for track in tracks for tag in track.tags}))
    find = _finder(Shelf(root), path)
    files = {track.track: find(track) for track in tracks}
    recordings = [
        Recording(track.track, found, tuple(sorted(track.tags)), track.split)
        for track in sorted(tracks, key=lambda track: track.track)
        if (found := files[track.track])
    ]
    missing = [track.path for track in tracks if files[track.track] is None]
    findings = [
        *([] if len(tags) == NUM_TAGS else [Finding("warning", f"{len(tags)} tags instead of {NUM_TAGS}")]),
        *summary("warning", "missing tracks", missing),
    ]
    return Survey(tags, tuple(recordings), findings=tuple(findings))


def _clone(root: Path, clone: str) -> Path:
    places = [root / clone] if clone else [root, root / CLONE, root.parent / CLONE]
    first = TABLES.format(part="train")
    for place in places:
        if (place / first).is_file():
            return place
    raise DataSetError(f"{places[0] / first}: there is no such file; {GET}")


def _tracks(clone: Path) -> Iterator[Track]:
    for split, part in PARTS.items():
        table = clone / TABLES.format(part=part)
        rows = (row for _, row in table_rows(table, read_text(table, GET), "\t"))
        if (header := next(rows, [])) != COLUMNS:
            raise DataSetError(
                f"{table}: its columns are {', '.join(header)}, not {', '.join(COLUMNS)}; {GET}"
            )
        for row in rows:
            if len(row) < len(COLUMNS):
                raise DataSetError(
                    f"{table}: {row[:1]} has {len(row)} columns, {len(COLUMNS)} are needed; {GET}"
                )
            yield Track(row[0], row[3], tuple(row[5:]), split)


def _finder(shelf: Shelf, path: str) -> Callable[[Track], Path | None]:
    templates = [Template("path", text, ("id", "path", "stem")) for text in ([path] if path else USUAL)]

    def find(track: Track) -> Path | None:
        fields = {"id": track.track, "path": track.path, "stem": without_extension(track.path)}
        tries = (shelf.find(template.fill(**fields)) for template in templates)
        return next((found for found in tries if found), None)

    return find


JAMENDO = DataSet(
    name="jamendo",
    title="MTG-Jamendo, top-50 tags, split 0",
    license="audio under the Creative Commons licence of each track; metadata CC BY-NC-SA 4.0",
    citation="""@inproceedings{bogdanov2019mtg,
  title={The MTG-Jamendo dataset for automatic music tagging},
  author={Bogdanov, Dmitry and Won, Minz and Tovstogan, Philip and Porter, Alastair and Serra, Xavier},
  booktitle={Machine Learning for Music Discovery Workshop, ICML},
  year={2019}
}""",
    url="https://github.com/MTG/mtg-jamendo-dataset",
    layout="the tracks in the folders 00 to 99, and mtg-jamendo-dataset/ (the clone), in it or beside it",
    expected={"train": 32_136, "valid": 10_888, "test": 11_356},
    survey=survey,
    options={
        "clone": "the clone of mtg-jamendo-dataset, where it lies elsewhere",
        "path": "where a track lies below the root, by {id} (track_0786434), {path} (34/786434.mp3), {stem}",
    },
)
