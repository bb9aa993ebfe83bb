"""GTZAN: ten genres, with the fault-filtered split of Kereliuk et al. or folds by track."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from samplecnn_zoo.datasets.collection import DataSet, Finding, Recording, Survey, summary
from samplecnn_zoo.datasets.local import PREFERRED, is_audio, without_extension
from samplecnn_zoo.datasets.published import lines
from samplecnn_zoo.datasets.stratify import RULES, draw, parse_rule

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
TRACKS = 100  # of each genre, numbered from 0
NAME = re.compile(rf"({'|'.join(GENRES)})\.(\d{{5}})")


def filtered_split() -> dict[str, str]:
    """Clip → split, for the 930 clips of the fault-filtered version."""
    rows = (line.split("\t") for line in lines("gtzan_filtered.tsv"))
    return {clip: split for split, clip in rows}


def survey(root: Path, split: str = "filtered") -> Survey:
    """Find the clips by their names, wherever below `root` they lie and in whatever format.

    Raises:
        DataSetError: `split` is neither "filtered" nor a rule to draw one.
    """
    files = dict(sorted(_tracks(root)))
    genres = {clip: clip.partition(".")[0] for clip in files}
    splits = filtered_split() if split == "filtered" else draw(genres, parse_rule(split))
    recordings = [
        Recording(clip, path, (genres[clip],), splits[clip]) for clip, path in files.items() if clip in splits
    ]
    wanted = filtered_split() if split == "filtered" else _all_tracks()
    findings: list[Finding] = [
        *summary("warning", "missing clips", sorted(set(wanted) - files.keys())),
        *summary("note", "clips outside of the fault-filtered split", sorted(files.keys() - splits.keys())),
    ]
    official = split == "filtered"
    return Survey(GENRES, tuple(recordings), True, tuple(findings), shortest_s=0.0, official=official)


def _all_tracks() -> set[str]:
    return {f"{genre}.{number:05d}" for genre in GENRES for number in range(TRACKS)}


def _tracks(root: Path) -> Iterator[tuple[str, Path]]:
    """Clip and file; of several copies of a clip the one that is nearest to the root, lossless before mp3."""
    found: dict[str, Path] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            clip = without_extension(name)
            if is_audio(name) and NAME.fullmatch(clip):
                path = Path(folder, name)
                found[clip] = min(found.get(clip, path), path, key=_rank)
    yield from found.items()


def _rank(path: Path) -> tuple[int, int, str]:
    suffix = path.suffix.lower()
    return (
        len(path.parts),
        PREFERRED.index(suffix) if suffix in PREFERRED else len(PREFERRED),
        str(path),
    )


GTZAN = DataSet(
    name="gtzan",
    title="GTZAN Genre Collection",
    license="no licence is stated: the audio is for research only; the split's names are BSD (torchaudio)",
    citation="""@article{tzanetakis2002musical,
  title={Musical genre classification of audio signals},
  author={Tzanetakis, George and Cook, Perry},
  journal={IEEE Transactions on Speech and Audio Processing},
  volume={10}, number={5}, pages={293--302},
  year={2002}
}
@article{kereliuk2015deep,
  title={Deep learning and music adversaries},
  author={Kereliuk, Corey and Sturm, Bob L. and Larsen, Jan},
  journal={IEEE Transactions on Multimedia},
  volume={17}, number={11}, pages={2059--2071},
  year={2015}
}""",
    url="http://marsyas.info/downloads/datasets.html",
    layout="blues.00000.au to rock.00099.au (or wav, flac, mp3, ogg), in any folders",
    expected={"train": 443, "valid": 197, "test": 290},
    survey=survey,
    options={"split": f"filtered (default), or drawn, stratified by genre: {RULES}"},
)
