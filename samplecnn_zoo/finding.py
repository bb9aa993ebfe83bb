"""Which audio files are meant by files, folders and patterns."""

import os
from collections.abc import Iterable
from pathlib import Path

# What find_audio takes for audio when it looks through folders.
# fmt: off
EXTENSIONS = frozenset([
    ".aac", ".aif", ".aifc", ".aiff", ".ape", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp2",
    ".mp3", ".mp4", ".mpc", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".tta", ".w64", ".wav", ".weba",
    ".webm", ".wma", ".wv",
])
# fmt: on


def find_audio(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """List audio files, each once, in the order of `paths`.

    A file is taken as it is, also one that doesn't exist, so that it is reported and not lost. A folder gives
    the files below it that have a known extension, sorted, without hidden ones; links to folders are
    followed, each folder once. A pattern with `*`, `?` or `[…]` (`**` for any depth) gives what it matches,
    sorted: folders as above, and files with a known extension or the one that the pattern itself ends with.
    """
    named = [paths] if isinstance(paths, str | Path) else paths
    unique: dict[str, Path] = {}
    for path in named:
        for file in _files(Path(path)):
            # By its real folder, so that a linked folder adds nothing; a linked file is a file of its own.
            key = os.path.join(os.path.realpath(file.parent), file.name)
            unique.setdefault(key, file)
    return list(unique.values())


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return _below(path)
    if not os.path.lexists(path) and any(c in str(path) for c in "*?["):
        return _matches(path) or [path]
    return [path]


def _matches(pattern: Path) -> list[Path]:
    wanted = EXTENSIONS | {pattern.suffix.lower()} - {""}
    found: list[Path] = []
    try:
        matches = sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    except ValueError:  # no pattern after all: "a**b"
        return []
    for match in matches:
        if match.is_dir():
            found += _below(match)
        elif match.suffix.lower() in wanted:
            found.append(match)
    return [match for match in found if not _hidden(match, pattern)]


def _hidden(match: Path, pattern: Path) -> bool:
    return any(part.startswith(".") and part not in pattern.parts for part in match.parts)


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    seen: set[str] = set()

    def report(error: OSError) -> None:
        found.append(Path(error.filename))

    for root, folders, files in os.walk(folder, onerror=report, followlinks=True):
        real = os.path.realpath(root)
        folders[:] = [] if real in seen else [name for name in sorted(folders) if not name.startswith(".")]
        if real not in seen:
            found += [Path(root, name) for name in files if _is_audio(name)]
        seen.add(real)
    return sorted(found)


def _is_audio(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
