"""A plain folder with a sub folder a class; or such folders in `train`, `valid` and `test`."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from samplecnn_zoo.audio import find_audio
from samplecnn_zoo.datasets.collection import DataSet, Finding, Recording, Survey, summary
from samplecnn_zoo.datasets.local import DataSetError, is_audio
from samplecnn_zoo.datasets.stratify import RULES, SPLIT_NAMES, draw, hold_out, parse_rule


@dataclass(frozen=True)
class Clip:
    """A file, its class, and the split whose folder it lies in, if it does."""

    path: Path
    label: str
    split: str = ""


def survey(root: Path, split: str = "") -> Survey:
    """Take the names of the sub folders for classes, and all audio at any depth below each for its clips.

    Where the sub folders are called train, valid and test, the classes are theirs and the split is kept; a
    tenth of train becomes the valid part if there is none.

    Raises:
        DataSetError: There are no two classes, or a split is asked for where folders give one.
    """
    folders = _folders(root)
    parts = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if parts and len(parts) == len(folders):
        if split:
            raise DataSetError(f"{root} is split by its folders; leave the option split out, not {split!r}")
        clips = [clip for part in parts for clip in _clips(part, SPLIT_NAMES[part.name.lower()])]
    else:
        clips = _clips(root)
    labels = sorted({clip.label for clip in clips})
    if len(labels) < 2:
        found = f"only {labels[0]!r} has" if labels else "none of its sub folders has"
        raise DataSetError(
            f"{root}: {found} audio below it; name the folder whose sub folders are the classes, two or more"
        )
    splits, notes = _splits(root, clips, split)
    recordings = [
        Recording(key, clip.path, (clip.label,), splits[key])
        for key, clip in sorted(_keyed(root, clips).items())
    ]
    findings = [*notes, *_odd(root, folders, recordings)]
    return Survey(tuple(labels), tuple(recordings), True, tuple(findings))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _clips(folder: Path, split: str = "") -> list[Clip]:
    return [Clip(path, sub.name, split) for sub in _folders(folder) for path in find_audio(sub)]


def _keyed(root: Path, clips: list[Clip]) -> dict[str, Clip]:
    return {clip.path.relative_to(root).as_posix(): clip for clip in clips}


def _splits(root: Path, clips: list[Clip], split: str) -> tuple[dict[str, str], list[Finding]]:
    keyed = _keyed(root, clips)
    labels = {key: clip.label for key, clip in keyed.items()}
    if not clips[0].split:
        return draw(labels, parse_rule(split or "stratified")), []
    splits = {key: clip.split for key, clip in keyed.items()}
    if "valid" in splits.values():
        return splits, []
    lent = hold_out({key: label for key, label in labels.items() if splits[key] == "train"})
    note = Finding("note", f"there is no folder valid: {len(lent)} clips of train are the valid part")
    return splits | dict.fromkeys(lent, "valid"), [note]


def _odd(root: Path, folders: list[Path], recordings: list[Recording]) -> list[Finding]:
    used = {item.key.partition("/")[0] for item in recordings}
    trained = Counter(item.tags[0] for item in recordings if item.split == "train")
    untrained = sorted({item.tags[0] for item in recordings} - trained.keys())
    loose = sorted(path.name for path in root.iterdir() if path.is_file() and is_audio(path.name))
    return [
        *summary("warning", "sub folders without audio", [f.name for f in folders if f.name not in used]),
        *summary("warning", "classes without a clip to train on", untrained),
        *summary("warning", "audio files in no sub folder, so of no class", loose),
    ]


FOLDER = DataSet(
    name="folder",
    title="A folder a class",
    license="yours to know",
    citation="",
    url="",
    layout="a sub folder a class with its audio files, or such folders in train/, valid/ and test/",
    expected={},
    survey=survey,
    options={"split": f"drawn, stratified by class: {RULES} [default: stratified]"},
)
