"""What a data set is to the rest of the package: recordings with tags and a split, and facts about the set.

A module beside this one describes one set: a `DataSet` with its licence, citation and expected counts, whose
`collect` turns a local copy into a `Collection`. No audio is decoded here, and none is ever downloaded.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samplecnn_zoo.datasets.local import DataSetError, Progress, no_progress, read_headers

__all__ = [
    "CLIP_S",
    "SPLITS",
    "Collection",
    "DataSet",
    "DataSetError",
    "Finding",
    "Recording",
    "Survey",
    "summary",
]

SPLITS = ("train", "valid", "test")
CLIP_S = 29.1  # the paper's clip length (section 5.1)


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
        times = Counter(item.key for item in self.recordings)
        if twice := [key for key, count in times.items() if count > 1]:
            raise DataSetError(
                f"{self.name}: {twice[0]!r} stands for {times[twice[0]]} recordings; keys are unique"
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
    """A line on a copy: an `error` stops its use, a `warning` is odd or missing, a `note` is only said."""

    level: str
    what: str


@dataclass(frozen=True)
class Survey:
    """What was found in a local copy: the recordings that can be used, and a line on all that was odd."""

    tags: tuple[str, ...]
    recordings: tuple[Recording, ...]
    single_label: bool = False
    findings: tuple[Finding, ...] = ()


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
        survey: Reads a copy at `root`, with the set's own options as keywords. Any option may be a text, as
            it comes from a command line.
        options: The names of the keywords that `survey` takes, and what each means.
    """

    name: str
    title: str
    license: str
    citation: str
    url: str
    layout: str
    expected: Mapping[str, int]
    survey: Callable[..., Survey]
    options: Mapping[str, str] = field(default_factory=dict)

    def collect(self, root: str | Path, **options: Any) -> Collection:
        """Read the copy at `root`; what can't be used is left out, and a note says so.

        Raises:
            DataSetError: There is no copy, nothing in it can be used, or an option is unknown or impossible.
        """
        survey = self._survey(root, options)
        for finding in survey.findings:
            if finding.level == "error":
                raise DataSetError(f"{self.name}: {finding.what}")
        if not survey.recordings:
            why = "; ".join(finding.what for finding in survey.findings[:3])
            raise DataSetError(f"{self.name}: {root} holds no clip of the set{f' ({why})' if why else ''}")
        notes = tuple(finding.what for finding in survey.findings)
        return Collection(self.name, survey.tags, survey.recordings, survey.single_label, notes)

    def validate(
        self, root: str | Path, *, headers: bool = True, progress: Progress = no_progress, **options: Any
    ) -> list[Finding]:
        """Say exactly what is missing or odd in the copy at `root`; an empty list means all is as expected.

        Args:
            root: The local copy.
            headers: Open every file and name those that are no audio; some thousand files a second.
            progress: Wraps the files (iterable, total) for a progress bar.
            options: The set's own.
        """
        try:
            survey = self._survey(root, options)
            collection = Collection(self.name, survey.tags, survey.recordings, survey.single_label)
        except DataSetError as error:
            return [Finding("error", str(error))]
        findings = [*survey.findings, *self._odd_counts(collection)]
        if headers:
            findings += _unreadable(collection.recordings, progress)
        return findings

    def _survey(self, root: str | Path, options: Mapping[str, Any]) -> Survey:
        if unknown := sorted(options.keys() - self.options.keys()):
            known = ", ".join(self.options) or "none"
            raise DataSetError(f"{self.name}: there is no option {unknown[0]!r}; its options are: {known}")
        if not Path(root).is_dir():
            raise DataSetError(f"{self.name}: {root} is no folder; root has to hold {self.layout}")
        return self.survey(Path(root), **options)

    def _odd_counts(self, collection: Collection) -> list[Finding]:
        counts = collection.counts()
        if not collection.recordings:
            return [Finding("error", "there is no clip that could be used")]
        if not self.expected or counts == dict(self.expected):
            return []
        found, whole = (_words(numbers) for numbers in (counts, self.expected))
        return [Finding("warning", f"{found} clips can be used; the whole set has {whole}")]


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in counts.items())


def _unreadable(recordings: Sequence[Recording], progress: Progress) -> list[Finding]:
    headers = read_headers([item.path for item in recordings], progress)
    bad = [str(header) for header in headers.values() if isinstance(header, Exception)]
    return summary("warning", "unreadable files", bad)


def summary(level: str, what: str, names: Sequence[str], *, shown: int = 3) -> list[Finding]:
    """A finding about many: how many there are of `what`, and the first few by name; none about none."""
    if not names:
        return []
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return [Finding(level, f"{len(names):,} {what}: {', '.join(names[:shown])}{more}")]
