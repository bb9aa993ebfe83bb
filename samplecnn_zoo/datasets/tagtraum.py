"""TAGTRAUM genre annotations (CD2C) of the Million Song Dataset; the split of Lee et al. or a drawn one."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from samplecnn_zoo.datasets.collection import DataSet, Recording, Survey, summary
from samplecnn_zoo.datasets.local import DataSetError, Shelf, Template, choice, read_text
from samplecnn_zoo.datasets.msd import CITATION, COMMIT, REPOSITORY, Reader, lists_at
from samplecnn_zoo.datasets.pinned import Pinned
from samplecnn_zoo.datasets.stratify import RULES, draw, parse_rule

LABELS = "msd_tagtraum_cd2c.cls"
LISTS = Pinned(REPOSITORY, COMMIT, "TAGTRAUM_split")
TRAIN, TEST = "train_list.cP", "test_list.cP"
NUM_TRAIN = 141_372  # the first ones of the list for training, the others are the valid part
NUM_GENRES = 15
GET = f"get {LABELS}.zip from https://www.tagtraum.com/msd_genre_datasets.html"


def read_labels(root: Path) -> dict[str, str]:
    """Track id → genre, of msd_tagtraum_cd2c.cls in `root`, unpacked or as its zip.

    Raises:
        DataSetError: The file is missing or damaged, or a line is no track id and genre between a tab.
    """
    text = _label_text(root)
    labels = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        track, _, genre = line.strip().partition("\t")
        if not genre or "\t" in genre:
            raise DataSetError(f"{LABELS}, line {number}: a track, a tab and one genre are needed; {GET}")
        labels[track] = genre.strip()
    return labels


def _label_text(root: Path) -> str:
    packed = root / f"{LABELS}.zip"
    if (root / LABELS).exists() or not packed.exists():
        return read_text(root / LABELS, GET)
    try:
        with zipfile.ZipFile(packed) as archive:
            return archive.read(LABELS).decode("utf-8-sig")
    except (OSError, KeyError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DataSetError(f"{packed}: no archive with {LABELS} ({error}); {GET}") from error


def survey(
    root: Path, lists: str = "", fetch: str = "no", path: str = "{id}", split: str = "published"
) -> Survey:
    """Take genres from the label file, the split from the published lists or by drawing, and find the audio.

    Raises:
        DataSetError: Labels or lists are missing or damaged, or an option is impossible.
    """
    template = Template("path", path, ("id",))
    labels = read_labels(root)
    reader = Reader(LISTS, lists_at(LISTS, root, lists))
    if choice("fetch", fetch, ("no", "yes")) == "yes":
        LISTS.fetch(lists_at(LISTS, root, lists), [TRAIN, TEST])
    published = split == "published"
    splits = _published(reader) if published else draw(labels, parse_rule(split))
    shelf = Shelf(root)
    files = {track: shelf.find(template.fill(id=track)) for track in splits}
    recordings = [
        Recording(track, found, (labels[track],), part)
        for track, part in splits.items()
        if track in labels and (found := files[track])
    ]
    missing = [template.fill(id=track) for track, found in files.items() if found is None]
    findings = [
        *reader.findings(),
        *summary("warning", "tracks of the lists without a genre", [t for t in splits if t not in labels]),
        *summary("warning", "missing tracks", missing),
    ]
    genres = tuple(sorted(set(labels.values())))
    if len(genres) != NUM_GENRES:
        findings += summary("warning", f"{LABELS} has not {NUM_GENRES} genres", genres)
    return Survey(genres, tuple(recordings), True, tuple(findings), official=published)


def _published(reader: Reader) -> Mapping[str, str]:
    trained = reader.tracks(TRAIN)
    return (
        dict.fromkeys(trained[:NUM_TRAIN], "train")
        | dict.fromkeys(trained[NUM_TRAIN:], "valid")
        | dict.fromkeys(reader.tracks(TEST), "test")
    )


TAGTRAUM = DataSet(
    name="tagtraum",
    title="TAGTRAUM genre annotations for the Million Song Dataset, CD2C",
    license="audio not distributed; annotations for research (tagtraum industries); lists MIT",
    citation=CITATION
    + """
@inproceedings{schreiber2015improving,
  title={Improving Genre Annotations for the Million Song Dataset},
  author={Schreiber, Hendrik},
  booktitle={16th International Society for Music Information Retrieval Conference (ISMIR)},
  year={2015}
}""",
    url="https://www.tagtraum.com/msd_genre_datasets.html",
    layout="the audio by the path that the option path says, msd_tagtraum_cd2c.cls (or its zip), and "
    "TAGTRAUM_split/ with the lists (fetch=yes gets it)",
    expected={"train": 141_372, "valid": 10_000, "test": 37_817},
    survey=survey,
    options={
        "lists": "the folder with train_list.cP and test_list.cP [default: TAGTRAUM_split in the root]",
        "fetch": "yes gets the lists, no audio, at the pinned commit and verifies them [default: no]",
        "path": "where a track lies below the root, by {id}, as {id[2]}/{id[3]}/{id[4]}/{id} [default: {id}]",
        "split": f"published (default), or drawn, stratified by genre: {RULES}",
    },
)
