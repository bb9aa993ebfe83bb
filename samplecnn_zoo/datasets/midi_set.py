"""The MIDI set as a data set like the others: a folder that `samplecnn_zoo.datasets.midi` has rendered."""

from pathlib import Path

from samplecnn_zoo.datasets.collection import DataSet, Recording, Survey, summary
from samplecnn_zoo.datasets.local import DataSetError, Shelf
from samplecnn_zoo.datasets.midi import Clip, read_clips, read_tags


def survey(root: Path) -> Survey:
    """Find the clips that `root/index.csv` lists, in its split, with the tags of `root/tags.txt`.

    Raises:
        DataSetError: `root` has not been rendered, or its tables can't be read.
    """
    clips, tags = _tables(root)
    shelf = Shelf(root / "audio")
    files = {clip.file: shelf.find(clip.file) for clip in clips}
    recordings = [
        Recording(clip.file, path, tuple(tag for tag in tags if tag in clip.tags), clip.split)
        for clip in clips
        if (path := files[clip.file])
    ]
    missing = [f"audio/{name}.flac" for name, path in files.items() if path is None]
    findings = summary("warning", "missing clips of index.csv", missing)
    return Survey(tuple(tags), tuple(recordings), findings=tuple(findings))


def _tables(root: Path) -> tuple[list[Clip], list[str]]:
    try:
        return read_clips(root), read_tags(root)
    except FileNotFoundError as error:
        raise DataSetError(
            f"{error.filename}: there is no such file; render the set first (docs/midi50.md)"
        ) from error
    except (KeyError, ValueError) as error:
        raise DataSetError(f"{root / 'index.csv'}: no index of rendered clips ({error!r})") from error


MIDI = DataSet(
    name="midi",
    title="Rendered MIDI (samplecnn_zoo.datasets.midi)",
    license="that of the MIDI files and of the soundfont that were rendered",
    citation="",
    url="docs/midi50.md",
    layout="index.csv, tags.txt and audio/*.flac, as samplecnn_zoo.datasets.midi.prepare writes them",
    expected={},
    survey=survey,
)
