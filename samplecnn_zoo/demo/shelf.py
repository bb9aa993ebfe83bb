"""The clips that the page brings: to try it with, and to find those that sound like a visitor's."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

import samplecnn_zoo
from samplecnn_zoo.audio import AudioError, find_audio
from samplecnn_zoo.demo.hearing import vector_of
from samplecnn_zoo.tagger import Tagger

Floats = npt.NDArray[np.float32]
OnError = Callable[[AudioError], object]


@dataclass(frozen=True)
class Neighbour:
    """A clip of the shelf and how much it sounds like another: the cosine of their features, at most 1."""

    path: Path
    similarity: float


@dataclass(frozen=True)
class Shelf:
    """Clips, and the features that each preset has of them, (clips, channels) of length 1."""

    paths: tuple[Path, ...] = ()
    vectors: Mapping[str, Floats] = field(default_factory=dict)

    def nearest(
        self, preset: str, vector: Floats, *, top: int = 3, but: Path | None = None
    ) -> list[Neighbour]:
        """The `top` clips that sound most like the one of this vector (channels,), the nearest first.

        `but` is left out: the clip itself, where it is one of these.
        """
        if not self.paths:
            return []
        cosines = self.vectors[preset] @ _unit(vector)
        found = [Neighbour(self.paths[row], float(cosines[row])) for row in np.argsort(-cosines)]
        return [one for one in found if one.path != but][:top]


def clips_dir() -> Path | None:
    """The folder of the bundled clips: inside an installed package, in the examples of a checkout."""
    package = Path(samplecnn_zoo.__file__).resolve().parent
    for folder in (package / "clips", package.parent / "examples" / "audio"):
        if folder.is_dir():
            return folder
    return None


def fill(
    taggers: Sequence[Tagger],
    folder: Path | None,
    *,
    on_error: OnError,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Shelf:
    """Listen to every clip of a folder with every preset; a bad file is told to `on_error` and left out.

    Args:
        taggers: What listens.
        folder: Searched for audio; None makes an empty shelf.
        on_error: Gets the error of a bad file.
        progress: Passes the files through, and may show how far it is.
    """
    found = [path.resolve() for path in find_audio(folder)] if folder is not None else []
    rows = dict(_rows(taggers, progress(found), on_error))
    stacks = zip(*rows.values(), strict=True)
    return Shelf(
        tuple(rows),
        {tagger.preset.name: np.stack(stack) for tagger, stack in zip(taggers, stacks, strict=False)},
    )


def _rows(
    taggers: Sequence[Tagger], paths: Iterable[Path], on_error: OnError
) -> Iterator[tuple[Path, list[Floats]]]:
    for path in paths:
        try:
            _check_name(path)
            yield path, [_unit(vector_of(tagger, path)) for tagger in taggers]
        except AudioError as error:
            on_error(error)


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        what = "its name is not UTF-8, and could not stand in a page"
        raise AudioError(path, "unreadable", what, "rename it") from error


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length or 1.0)
