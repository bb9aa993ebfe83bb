"""Small collections of real files, their prepared sets, and what a folder holds byte for byte."""

from pathlib import Path

from samplecnn_zoo.datasets.collection import Collection, Recording
from samplecnn_zoo.datasets.prepare import prepare
from samplecnn_zoo.datasets.prepared import Prepared
from tests.sounds import noise, write

RATE = 1000  # clips of 29.1 s are small, and 16-bit files of this rate go into the shards as they are
CLIP_SAMPLES = 29100
TAGS = ("first", "odd", "every third")
SPLITS = {"train": 11, "valid": 3, "test": 4}


def collection(root: Path, *, seconds: float = 29.4, counts: dict[str, int] | None = None) -> Collection:
    """Noise, a seed a clip, written below `root`; the last clip of each split is only a third as long."""
    root.mkdir(parents=True, exist_ok=True)
    number = 0
    for split, count in (counts or SPLITS).items():
        for index in range(count):
            length = seconds / 3 if index == count - 1 else seconds
            path = root / f"{number:02d}-{split}.wav"
            write(path, noise(length, RATE, seed=number), RATE, subtype="PCM_16")
            number += 1
    return collection_of(root)


def collection_of(root: Path) -> Collection:
    """The clips that `collection` wrote."""
    paths = sorted(root.iterdir())
    recordings = tuple(
        Recording(path.stem, path, tags_of(number), path.stem.partition("-")[2])
        for number, path in enumerate(paths)
    )
    return Collection("noises", TAGS, recordings)


def tags_of(number: int) -> tuple[str, ...]:
    held = {"first": number == 0, "odd": number % 2 == 1, "every third": number % 3 == 0}
    return tuple(tag for tag in TAGS if held[tag])


def prepared(folder: Path) -> Prepared:
    """Make and prepare a collection in shards of four clips."""
    made = collection(folder / "audio")
    return prepare(made, folder / "set", sample_rate=RATE, shard_clips=4, workers=2)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
