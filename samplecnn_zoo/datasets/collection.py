"""What a data set is to the rest of the package: recordings with tags and a split, and facts about the set.

A module beside this one describes one set: a `DataSet` with its licence, citation and expected counts, whose
`collect` turns a local copy into a `Collection`. No audio is decoded here, and none is ever downloaded.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from samplecnn_zoo.audio import AudioError, AudioInfo
from samplecnn_zoo.datasets.local import DataSetError, Progress, no_progress, read_headers
from samplecnn_zoo.datasets.mp3 import duration_s

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
    """What was found in a local copy: the recordings that can be used, and a line on all that was odd.

    Attributes:
        tags: In the order of a network's outputs.
        recordings: Those whose file is there.
        single_label: Whether each recording has exactly one tag.
        findings: Everything else that is to be said.
        shortest_s: Clips shorter than this don't belong to the set, nor do unreadable files: `collect` opens
            each file to see. With None it opens none.
        official: Whether the split is the official one, whose counts are known.
    """

    tags: tuple[str, ...]
    recordings: tuple[Recording, ...]
    single_label: bool = False
    findings: tuple[Finding, ...] = ()
    shortest_s: float | None = None
    official: bool = True


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

    def collect(self, root: str | Path, *, progress: Progress = no_progress, **options: Any) -> Collection:
        """Read the copy at `root`; what can't be used is left out, and a note says so.

        Args:
            root: The local copy.
            progress: Wraps the files (iterable, total) for a progress bar, where the set's rule opens them.
            options: The set's own.

        Raises:
            DataSetError: There is no copy, nothing in it can be used, or an option is unknown or impossible.
        """
        survey = self._survey(root, options)
        if survey.shortest_s is not None:
            survey = _opened(survey, progress)
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
            headers: Open every file, and name those that are no audio or too short for the set.
            progress: Wraps the files (iterable, total) for a progress bar.
            options: The set's own.
        """
        try:
            survey = self._survey(root, options)
            if headers:
                survey = _opened(survey, progress)
            Collection(self.name, survey.tags, survey.recordings, survey.single_label)
        except DataSetError as error:
            return [Finding("error", str(error))]
        return [*survey.findings, *self._odd_counts(survey)]

    def check_options(self, names: Iterable[str]) -> None:
        """Refuse an option that the set does not have.

        Raises:
            DataSetError: A name is not among `options`.
        """
        if unknown := sorted(set(names) - self.options.keys()):
            known = ", ".join(self.options) or "none"
            raise DataSetError(f"{self.name}: there is no option {unknown[0]!r}; its options are: {known}")

    def _survey(self, root: str | Path, options: Mapping[str, Any]) -> Survey:
        self.check_options(options)
        if not Path(root).is_dir():
            raise DataSetError(f"{self.name}: {root} is no folder; root has to hold {self.layout}")
        return self.survey(Path(root), **options)

    def _odd_counts(self, survey: Survey) -> list[Finding]:
        if not survey.recordings:
            return [Finding("error", "there is no clip that could be used")]
        counts = Counter(item.split for item in survey.recordings)
        if not self.expected or not survey.official or counts == self.expected:
            return []
        found = _words({split: counts[split] for split in self.expected})
        return [Finding("warning", f"{found} clips can be used; the whole set has {_words(self.expected)}")]


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in counts.items())


def _opened(survey: Survey, progress: Progress) -> Survey:
    """The survey less the files that can't be opened, or are shorter than the set's rule allows."""
    headers = read_headers([item.path for item in survey.recordings], progress)
    bad = {path: header for path, header in headers.items() if isinstance(header, AudioError)}
    short = {path for path, header in headers.items() if _shorter(path, header, survey.shortest_s or 0.0)}
    kept = tuple(item for item in survey.recordings if item.path not in bad.keys() | short)
    findings = (
        *survey.findings,
        *summary("warning", "unreadable files", [str(error) for error in bad.values()]),
        *summary("note", f"clips shorter than {survey.shortest_s} s, left out", [*map(str, sorted(short))]),
    )
    return replace(survey, recordings=kept, findings=findings)


def _shorter(path: Path, header: AudioInfo | AudioError, shortest_s: float) -> bool:
    """Whether a file is too short; one that doesn't say how long it is stays.

    The published lists count the frames of an mp3 whole, with what a Xing header tells decoders to cut off.
    """
    if isinstance(header, AudioError):
        return False
    said_s = header.duration_s
    if path.suffix.lower() == ".mp3" and (said_s or 0.0) < shortest_s:
        said_s = max(said_s or 0.0, duration_s(path) or 0.0) or None
    return said_s is not None and said_s < shortest_s


def summary(level: str, what: str, names: Sequence[str], *, shown: int = 3) -> list[Finding]:
    """A finding about many: how many there are of `what`, and the first few by name; none about none.

    >>> summary("warning", "missing clips", ["a", "b", "c", "d"])
    [Finding(level='warning', what='missing clips: 4 (a, b, c and 1 more)')]
    """
    if not names:
        return []
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return [Finding(level, f"{what}: {len(names):,} ({', '.join(names[:shown])}{more})")]
