"""MagnaTagATune: the top-50 tags and the split of the paper, derived from annotations_final.csv.

The rule (section 5.1 of the paper, and the authors' published lists): the 50 tags that most clips have, ties
in the order of the columns; clips with at least one of them and at least 29.1 s; folders 0 to b are trained
on, c is the valid part, d to f are tested on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from samplecnn_zoo.datasets.collection import CLIP_S, DataSet, Finding, Recording, Survey, summary
from samplecnn_zoo.datasets.local import (
    DataSetError,
    Shelf,
    choice,
    read_text,
    table_rows,
    without_extension,
)
from samplecnn_zoo.datasets.published import lines

TABLE = "annotations_final.csv"
FOLDERS = "0123456789abcdef"
NUM_TAGS = 50
AUDIO_FOLDERS = ("", "mp3", "audio")  # where the folders 0 to f lie below the root
GET = "get it with the clips from the set's page"


@dataclass(frozen=True)
class Annotation:
    """A row of annotations_final.csv: the clip's path without extension, and its tags as they stand there."""

    clip: str
    tags: frozenset[str]


def split_of(clip: str) -> str:
    """The split of a clip by the first letter of its path: its folder."""
    place = FOLDERS.find(clip[:1]) if clip[1:2] == "/" else -1
    if place < 0:
        raise DataSetError(f"a clip lies in one of the folders 0 to f, not at {clip!r}")
    return "train" if place < 12 else "valid" if place == 12 else "test"


def paper_name(tag: str) -> str:
    """A tag as the paper's networks name it: "no vocals" is "noVocals".

    >>> paper_name("male voice")
    'maleVoice'
    """
    first, *others = tag.split()
    return first + "".join(word.capitalize() for word in others)


def read_annotations(path: Path) -> tuple[list[str], list[Annotation]]:
    """The tags in the order of the columns, and the clips in the order of the rows.

    Raises:
        DataSetError: It is not the table: its last column is no mp3_path, or a row has other columns.
    """
    rows = (row for _, row in table_rows(path, read_text(path, GET), "\t"))
    header = next(rows, [])
    if header[:1] != ["clip_id"] or header[-1:] != ["mp3_path"] or len(header) < 3:
        raise DataSetError(
            f"{path}: a table with the columns clip_id, tags, mp3_path between tabs is needed, "
            f"not {', '.join(header[:3]) or 'an empty one'}; {GET}"
        )
    tags = header[1:-1]
    return tags, [_annotation(path, row, tags) for row in rows]


def _annotation(path: Path, row: Sequence[str], tags: Sequence[str]) -> Annotation:
    if len(row) != len(tags) + 2:
        raise DataSetError(
            f"{path}: clip {row[0]!r} has {len(row)} columns, {len(tags) + 2} are needed; {GET}"
        )
    held = frozenset(tag for tag, value in zip(tags, row[1:-1], strict=True) if value == "1")
    return Annotation(without_extension(row[-1]), held)


def top_tags(tags: Sequence[str], annotations: Iterable[Annotation], number: int = NUM_TAGS) -> list[str]:
    """The tags that most clips have, most frequent first; ties in the order of `tags`."""
    counts = dict.fromkeys(tags, 0)
    for item in annotations:
        for tag in item.tags:
            counts[tag] += 1
    return list(islice(sorted(tags, key=lambda tag: -counts[tag]), number))


def survey(root: Path, names: str = "paper", length: str = "check", audio: str = "") -> Survey:
    """Apply the rule to the table and to the clips that are there.

    Raises:
        DataSetError: annotations_final.csv is missing or another table, or an option is impossible.
    """
    renamed = choice("names", names, ("paper", "csv")) == "paper"
    checked = choice("length", length, ("check", "trust")) == "check"
    columns, annotations = read_annotations(root / TABLE)
    top = top_tags(columns, annotations)
    shelf = Shelf(_audio_root(root, audio))
    recordings, missing = [], []
    for item in annotations:
        found = shelf.find(item.clip)  # asked for also where no tag is held: it is no stranger then
        held = tuple(paper_name(tag) if renamed else tag for tag in top if tag in item.tags)
        if held and found is not None:
            recordings.append(Recording(item.clip, found, held, split_of(item.clip)))
        elif held:
            missing.append(f"{item.clip}.mp3")
    recordings.sort(key=lambda item: item.key)
    findings = [
        *_odd_tags(top),
        *summary("note", "clips without any of the top tags, left out", _untagged(annotations, top)),
        *summary("warning", "missing clips of the table", missing),
        *summary("warning", "audio files that the table doesn't name", shelf.strangers()),
    ]
    tags = tuple(paper_name(tag) if renamed else tag for tag in top)
    shortest_s = CLIP_S if checked else None
    return Survey(tags, tuple(recordings), findings=tuple(findings), shortest_s=shortest_s)


def _audio_root(root: Path, audio: str) -> Path:
    if audio:
        return root / audio
    places = [root / place for place in AUDIO_FOLDERS]
    return next((place for place in places if any((place / letter).is_dir() for letter in FOLDERS)), root)


def _untagged(annotations: Iterable[Annotation], top: Sequence[str]) -> list[str]:
    wanted = frozenset(top)
    return [item.clip for item in annotations if not item.tags & wanted]


def _odd_tags(top: Sequence[str]) -> list[Finding]:
    published = lines("magnatagatune_top50.txt")
    found = [paper_name(tag) for tag in top]
    if found == published:
        return []
    other = [f"{tag} (not {want})" for tag, want in zip(found, published, strict=False) if tag != want]
    if not other:
        other = [f"there are {len(found)}"]
    return summary("warning", f"top tags that differ from the published list; is {TABLE} whole?", other)


MAGNATAGATUNE = DataSet(
    name="magnatagatune",
    title="MagnaTagATune (MTAT), top-50 tags",
    license="audio and annotations CC BY-NC-SA 3.0",
    citation="""@inproceedings{law2009magnatagatune,
  title={Evaluation of algorithms using games: The case of music tagging},
  author={Law, Edith and West, Kris and Mandel, Michael and Bay, Mert and Downie, J. Stephen},
  booktitle={10th International Society for Music Information Retrieval Conference (ISMIR)},
  year={2009}
}""",
    url="https://mirg.city.ac.uk/codeapps/the-magnatagatune-dataset",
    layout="annotations_final.csv and the clips in the folders 0 to f (there, in mp3/ or in audio/)",
    expected={"train": 15_244, "valid": 1_529, "test": 4_332},
    survey=survey,
    options={
        "names": "how tags are named: paper (noVocals, default) or csv (no vocals)",
        "length": "check (default) leaves out clips below 29.1 s, which opens each file; trust takes all",
        "audio": "the folder below the root that holds 0 to f, where it is another one",
    },
)
