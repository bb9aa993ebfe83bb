"""The Million Song Dataset with 50 Last.fm tags: the lists and tag vectors of Lee et al.

The lists come from a folder, or by `fetch` from the commit named here; the audio, 30-second previews that
can't be had any more, is yours. The lists are pickles of Python 2: they are read without running them.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from samplecnn_zoo.datasets.collection import DataSet, Finding, Recording, Survey, summary
from samplecnn_zoo.datasets.local import DataSetError, Shelf, Template, choice, read_text
from samplecnn_zoo.datasets.pinned import Pinned
from samplecnn_zoo.datasets.published import lines
from samplecnn_zoo.datasets.unpickle import read_pickle

REPOSITORY = "https://github.com/jongpillee/music_dataset_split"
COMMIT = "07e855758f180ac8bdc0e3abebbde19277094681"
LISTS = Pinned(REPOSITORY, COMMIT, "MSD_split")
TAGS, TRAIN, TEST = "50tagList.txt", "filtered_list_train.cP", "filtered_list_test.cP"
VECTORS, TO_7DIGITAL, TO_PATH = "msd_id_to_tag_vector.cP", "MSD_id_to_7D_id.pkl", "7D_id_to_path.pkl"
NUM_TRAIN = 201_680  # the first ones of the list for training, the others are the valid part

Find = Callable[[str], str]
"""Track id → path of its audio below the root."""


def survey(root: Path, lists: str = "", fetch: str = "no", path: str = "{path}") -> Survey:
    """Take the published lists and tag vectors, and look for each track's file below `root`.

    Raises:
        DataSetError: A list is missing, damaged or not what was published, it can't be fetched, or the
            template names an unknown field.
    """
    template = Template("path", path, ("id", "id7", "path"))
    place = lists_at(LISTS, root, lists)
    if choice("fetch", fetch, ("no", "yes")) == "yes":
        LISTS.fetch(place, [TAGS, TRAIN, TEST, VECTORS], [TO_7DIGITAL, TO_PATH])
    read = Reader(LISTS, place)
    tags = read.tags()
    held = _held(read.mapping(VECTORS), tags)
    shelf = Shelf(root)
    where = _paths(read, template)
    recordings, missing, untagged = [], [], []
    for track, split in _splits(read):
        if track not in held:
            untagged.append(track)
        elif found := shelf.find(where(track)):
            recordings.append(Recording(track, found, held[track], split))
        else:
            missing.append(where(track))
    findings = [
        *read.findings(),
        *summary("warning", "tracks of the lists without a tag vector", untagged),
        *summary("warning", "missing tracks", missing),
    ]
    return Survey(tags, tuple(recordings), findings=tuple(findings))


def lists_at(pinned: Pinned, root: Path, lists: str) -> Path:
    """The folder of the lists: the one that was named, or the one in `root` where `fetch` puts them."""
    return root / (lists or pinned.folder)


class Reader:
    """Reads the files of a folder of lists, each verified against its git blob id where that is known."""

    def __init__(self, pinned: Pinned, place: Path) -> None:
        self._pinned, self._place = pinned, place
        self._unverified: list[str] = []

    def tags(self) -> tuple[str, ...]:
        """The tags in the order of the vectors.

        Raises:
            DataSetError: They are not the published ones.
        """
        self._verify(TAGS)
        text = read_text(self._place / TAGS, self._pinned.way_out)
        tags = tuple(line.strip() for line in text.splitlines() if line.strip())
        if tags != tuple(lines("msd_top50.txt")):
            raise DataSetError(
                f"{self._place / TAGS}: these are not the published tags; {self._pinned.way_out}"
            )
        return tags

    def tracks(self, name: str) -> list[str]:
        """The track ids of a list.

        Raises:
            DataSetError: It is no list of ids.
        """
        found = self._read(name)
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise DataSetError(f"{self._place / name}: this is no list of track ids; {self._pinned.way_out}")
        return found

    def mapping(self, name: str) -> Mapping[Any, Any]:
        """A dictionary.

        Raises:
            DataSetError: It is none.
        """
        found = self._read(name)
        if not isinstance(found, dict):
            raise DataSetError(f"{self._place / name}: this is no dictionary; {self._pinned.way_out}")
        return found

    def findings(self) -> list[Finding]:
        """What was read without an id to verify it by."""
        return summary("note", "lists without a git blob id, used as they are", self._unverified)

    def _read(self, name: str) -> Any:
        self._verify(name)
        return read_pickle(self._place / name, self._pinned.way_out)

    def _verify(self, name: str) -> None:
        if (self._place / name).is_file() and not self._pinned.verified(self._place, name):
            self._unverified.append(name)


def _splits(read: Reader) -> Iterator[tuple[str, str]]:
    trained = read.tracks(TRAIN)
    yield from ((track, "train") for track in trained[:NUM_TRAIN])
    yield from ((track, "valid") for track in trained[NUM_TRAIN:])
    yield from ((track, "test") for track in read.tracks(TEST))


def _held(vectors: Mapping[Any, Any], tags: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Track id → the tags that it has."""
    held = {}
    for track, vector in vectors.items():
        flags = np.ravel(vector).tolist()  # small: as a list it is faster than as an array
        if len(flags) != len(tags) or not {*flags} <= {0, 1}:
            raise DataSetError(f"{VECTORS}: {track} has no vector of {len(tags)} zeros and ones")
        held[str(track)] = tuple(compress(tags, flags))
    return held


def _paths(read: Reader, template: Template) -> Find:
    """How a track's path is made; the dictionaries of 7digital are read only if the template needs them."""
    seven = read.mapping(TO_7DIGITAL) if template.fields & {"id7", "path"} else {}
    paths = read.mapping(TO_PATH) if "path" in template.fields else {}

    def fill(track: str) -> str:
        number = seven.get(track, "")
        path = paths.get(number, f"{track} (no path known)")
        return template.fill(id=track, id7=str(number), path=str(path))

    return fill


CITATION = """@inproceedings{bertin2011million,
  title={The Million Song Dataset},
  author={Bertin-Mahieux, Thierry and Ellis, Daniel P. W. and Whitman, Brian and Lamere, Paul},
  booktitle={12th International Society for Music Information Retrieval Conference (ISMIR)},
  year={2011}
}"""

MSD = DataSet(
    name="msd",
    title="Million Song Dataset, top-50 Last.fm tags",
    license="audio not distributed; Last.fm tags for research only; the lists' repository is MIT",
    citation=CITATION,
    url=REPOSITORY,
    layout="the audio where the option path says, MSD_split/ with the lists (fetch=yes gets it)",
    expected={"train": 201_680, "valid": 11_774, "test": 28_435},
    survey=survey,
    options={
        "lists": "the folder with the lists [default: MSD_split in the root]",
        "fetch": "yes gets the lists, no audio, at the pinned commit and verifies them [default: no]",
        "path": "where a track lies below the root, by {id} (TRAAAAW128F429D538; {id[2]} is A), "
        "{id7} (its 7digital number) or {path} (8/9/8947470.clip.mp3) [default: {path}]",
    },
)
