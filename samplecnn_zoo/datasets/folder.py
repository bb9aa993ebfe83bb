"""A plain folder with a sub folder a class; or such folders in `train`, `valid` and `test`."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from samplecnn_zoo.audio import find_audio
from samplecnn_zoo.datasets.collection import DataSet, Finding, Recording, Survey, summary
from samplecnn_zoo.datasets.local import DataSetError, is_audio, preference, without_extension
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
    tenth of train becomes the valid part if there is none. Folders without audio play no part.

    Raises:
        DataSetError: There are no two classes, a split is asked for where folders give one, or there is audio
            beside such folders.
    """
    files = {folder: find_audio(folder) for folder in _folders(root)}
    parts = _parts(root, [folder for folder, own in files.items() if own])
    if parts and split:
        raise DataSetError(f"{root} is split by its folders; leave the option split out, not {split!r}")
    if parts:
        clips = [clip for part, name in parts.items() for clip in _clips_of_part(part, name, files[part])]
    else:
        clips = [Clip(path, folder.name) for folder, own in files.items() for path in own]
    clips, twice = _once(root, clips)
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
    findings = [*notes, *twice, *_odd(root, list(files), recordings)]
    return Survey(tuple(labels), tuple(recordings), True, tuple(findings))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _parts(root: Path, folders: list[Path]) -> dict[Path, str]:
    """The folders that are parts of a split, and which; none where they are classes.

    A single class may well be called "train"; where two are called as parts are, nobody means classes.
    """
    splits = {folder: SPLIT_NAMES.get(folder.name.lower(), "") for folder in folders}
    named = {folder: split for folder, split in splits.items() if split}
    others = [folder.name for folder, split in splits.items() if not split]
    if not others:
        return named
    if len(set(named.values())) > 1:
        parts = " and ".join(folder.name for folder in named)
        raise DataSetError(
            f"{root}: {parts} are parts of a split, {others[0]!r} with its audio is none; "
            "move it elsewhere, or rename the parts if they are classes"
        )
    return {}


def _clips_of_part(part: Path, split: str, files: list[Path]) -> list[Clip]:
    below = [(path, path.relative_to(part).parts) for path in files]
    return [Clip(path, parts[0], split) for path, parts in below if len(parts) > 1]


def _once(root: Path, clips: list[Clip]) -> tuple[list[Clip], list[Finding]]:
    """Of files beside each other that differ in their format alone, one: they are one recording."""
    found: dict[Path, Clip] = {}
    for clip in sorted(clips, key=lambda clip: preference(clip.path.name)):
        found.setdefault(clip.path.with_name(without_extension(clip.path.name)), clip)
    kept = set(found.values())
    left = [clip.path.relative_to(root).as_posix() for clip in clips if clip not in kept]
    note = summary("note", "other formats of clips, left out", left)
    return [clip for clip in clips if clip in kept], note


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
