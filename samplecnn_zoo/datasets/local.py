"""A local copy of a set: its files by name in whatever format, their headers, and options given as texts."""

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Formatter

from samplecnn_zoo.audio import AudioError, AudioInfo, info
from samplecnn_zoo.finding import EXTENSIONS

Progress = Callable[[Iterable[None], int], Iterable[None]]
"""Wraps steps (iterable, total) for a progress bar."""

KNOWN_EXTENSIONS = EXTENSIONS | {".npy"}
# Where a clip is there in several formats: the ones that lose nothing first.
PREFERRED = (".wav", ".flac", ".aif", ".aiff", ".au", ".mp3")


class DataSetError(ValueError):
    """A local copy that can't be used as it is: one line with what is wrong and the way out."""


def no_progress(steps: Iterable[None], total: int) -> Iterable[None]:
    """Return the steps as they are."""
    return steps


class Shelf:
    """The audio files below a folder, found by their names without extension.

    Each folder is listed once, when its first file is asked for, so that a set of a hundred thousand clips
    costs a listing a folder and not dozens of attempts a clip.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, dict[str, str]] = {}
        self._taken: set[tuple[str, str]] = set()

    def find(self, name: str) -> Path | None:
        """The file that `name` (/ between folders, with or without extension) stands for, if it is there.

        A file of exactly that name comes first, then one of another format.
        """
        folder, _, last = name.rpartition("/")
        listing = self._listing(folder)
        stem = without_extension(last)
        found = listing.get(stem)
        if found is None:
            return None
        self._taken.add((folder, stem))
        exact = self.root / folder / last
        return exact if found != last and last != stem and exact.is_file() else self.root / folder / found

    def strangers(self) -> list[str]:
        """Audio files in the folders looked at that nobody asked for, sorted."""
        return sorted(
            f"{folder}/{name}".lstrip("/")
            for folder, listing in self._folders.items()
            for stem, name in listing.items()
            if (folder, stem) not in self._taken
        )

    def _listing(self, folder: str) -> dict[str, str]:
        if folder not in self._folders:
            self._folders[folder] = _list(self.root / folder)
        return self._folders[folder]


def _list(folder: Path) -> dict[str, str]:
    """Name without extension → file name."""
    try:
        names = [entry.name for entry in os.scandir(folder) if is_audio(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DataSetError(f"{folder}: can't be listed ({error.strerror}); check its permissions") from error
    return {without_extension(name): name for name in sorted(names, key=preference, reverse=True)}


def preference(name: str) -> tuple[int, str]:
    """Where a file stands among those of one clip in several formats, the least first."""
    suffix = Path(name).suffix.lower()
    return (PREFERRED.index(suffix) if suffix in PREFERRED else len(PREFERRED), name)


def is_audio(name: str) -> bool:
    """Whether a file name has an extension of audio and is not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def without_extension(name: str) -> str:
    """The name less an extension of audio (or .npy, as in some published lists); other dots belong to it."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in KNOWN_EXTENSIONS else name


def read_headers(
    paths: Sequence[Path], progress: Progress = no_progress
) -> dict[Path, AudioInfo | AudioError]:
    """What each file says of itself, or why it can't be read; many files at a time, nothing is decoded."""
    headers: dict[Path, AudioInfo | AudioError] = {}
    pool = ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1)))

    def steps() -> Iterator[None]:
        for path, header in zip(paths, pool.map(_header, paths), strict=True):
            headers[path] = header
            yield

    try:
        for _ in progress(steps(), len(paths)):
            pass
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the files under way alone
    return headers


def _header(path: Path) -> AudioInfo | AudioError:
    try:
        return info(path)
    except AudioError as error:
        return error


def read_text(path: Path, way_out: str) -> str:
    """The text of a file of labels.

    Raises:
        DataSetError: It is not there, can't be read, or is no UTF-8; `way_out` ends the line.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataSetError(f"{path}: there is no such file; {way_out}") from error
    except OSError as error:
        raise DataSetError(f"{path}: can't be read ({error.strerror}); {way_out}") from error
    except UnicodeDecodeError as error:
        raise DataSetError(f"{path}: this is no UTF-8 text (byte {error.start}); {way_out}") from error


def table_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The number of its last line and the cells of each row of a table that are not all empty.

    Raises:
        DataSetError: A row can't be taken apart.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            if any(row):
                yield reader.line_num, row
    except csv.Error as error:
        raise DataSetError(f"{path}, line {reader.line_num}: this is no table ({error})") from error


def choice(name: str, value: object, allowed: Sequence[str]) -> str:
    """The value of an option that is one of some words.

    Raises:
        DataSetError: It is none of them.
    """
    if value not in allowed:
        raise DataSetError(f"the option {name} is one of {', '.join(allowed)}, not {value!r}")
    return str(value)


def whole(name: str, value: object, least: int = 0) -> int:
    """The value of an option that is a whole number, of at least `least`.

    Raises:
        DataSetError: It is not.
    """
    try:
        number = int(str(value))
    except ValueError:
        number = least - 1
    if number < least:
        raise DataSetError(f"the option {name} is a whole number from {least} on, not {value!r}")
    return number


class Template:
    """A path with fields in it, as "{id[2]}/{id[3]}/{id}.mp3".

    Raises:
        DataSetError: It names a field that there is not, or none; or a brace has no partner.
    """

    def __init__(self, option: str, text: str, fields: Sequence[str]) -> None:
        self._text, self._option = text, option
        try:
            found = {
                re.split(r"[.\[]", name)[0] for _, name, _, _ in Formatter().parse(text) if name is not None
            }
        except ValueError as error:
            raise DataSetError(f"the option {option}: {text!r} is no template ({error})") from error
        self.fields = frozenset(found)
        if not found or not found <= set(fields):
            known = ", ".join(f"{{{name}}}" for name in fields)
            raise DataSetError(f"the option {option} is a path with some of the fields {known}, not {text!r}")

    def fill(self, **values: str) -> str:
        """The path of one clip.

        Raises:
            DataSetError: A field has no such letter.
        """
        try:
            return self._text.format_map(values)
        except (IndexError, AttributeError, ValueError, KeyError, TypeError) as error:
            raise DataSetError(f"the option {self._option}: {self._text!r} doesn't fit {values}") from error
