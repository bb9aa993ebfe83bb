"""What a data set is to the rest of the package: recordings with tags and a split, and the facts about the set.

A module beside this one describes one set: a `DataSet` with its licence, citation and expected counts, whose
`collect` turns a local copy into a `Collection`. Nothing here reads audio, and nothing is ever downloaded.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SPLITS = ("train", "valid", "test")
CLIP_S = 29.1  # the paper's clip length (section 5.1)


class DataSetError(ValueError):
    """A local copy that can't be used as it is: one line with what is wrong and the way out."""


@dataclass(frozen=True)
class Recording:
    """One clip of a set.

    Attributes:
        key: What names the clip in its set, and orders it; unique.
        path: The audio file.
        tags: The tags that hold; exactly one in a single-label set.
        split: One of `SPLITS`.
    """

    key: str
    path: Path
    tags: tuple[str, ...]
    split: str


@dataclass(frozen=True)
class Collection:
    """A local copy of a set: its recordings, and the tags in the order of a network's outputs.

    Raises:
        DataSetError: Two recordings share a key, a tag or split is unknown, or a single-label recording has
            none or several.
    """

    name: str
    tags: tuple[str, ...]
    recordings: tuple[Recording, ...]
    single_label: bool = False
    notes: tuple[str, ...] = ()  # what was left out, and why: a line each

    def __post_init__(self) -> None:
        twice = [key for key, times in Counter(item.key for item in self.recordings).items() if times > 1]
        if twice:
            raise DataSetError(
                f"{self.name}: {twice[0]!r} stands for {len(twice)} or more recordings; keys are unique"
            )
        known = set(self.tags)
        for item in self.recordings:
            self._check(item, known)

    def _check(self, item: Recording, known: set[str]) -> None:
        if unknown := set(item.tags) - known:
            raise DataSetError(f"{self.name}: {item.key}: tags {sorted(unknown)} are not among the set's")
        if item.split not in SPLITS:
            raise DataSetError(
                f"{self.name}: {item.key}: split is one of {', '.join(SPLITS)}, not {item.split!r}"
            )
        if self.single_label and len(item.tags) != 1:
            raise DataSetError(
                f"{self.name}: {item.key}: a single-label recording has one tag, not {len(item.tags)}"
            )

    def counts(self) -> dict[str, int]:
        """Recordings by split, in the order of `SPLITS`."""
        counted = Counter(item.split for item in self.recordings)
        return {split: counted[split] for split in SPLITS}


@dataclass(frozen=True)
class Finding:
    """One line of `validate`: `error` stops the set from being used, `warning` is odd, `note` is only said."""

    level: str
    what: str


@dataclass(frozen=True)
class DataSet:
    """The facts about a set, and how a local copy of it is read.

    Attributes:
        name: What `samplecnn prepare` calls it.
        title: Its name in the literature.
        license: Of the audio and of the labels.
        citation: BibTeX.
        url: Where people get it.
        layout: What `root` has to hold, in words.
        expected: Clips by split in the official version; empty where there is none.
        collect: Reads a copy at `root`, with the set's own options as keywords. Files that can't be used are
            left out with a note; raises `DataSetError` when nothing can.
        options: The names of the keywords that `collect` takes, and what each means.
    """

    name: str
    title: str
    license: str
    citation: str
    url: str
    layout: str
    expected: Mapping[str, int]
    collect: Callable[..., Collection]
    options: Mapping[str, str] = field(default_factory=dict)

    def validate(self, root: Path) -> list[Finding]:
        """Say exactly what is missing or odd in the copy at `root`; an empty list means all is as expected."""
        raise NotImplementedError  # DATASETS writes it
