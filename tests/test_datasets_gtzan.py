"""GTZAN: the fault-filtered split is the published one, folds share no track, every layout is found."""

from collections import Counter
from pathlib import Path

import pytest

from samplecnn_zoo.datasets import DataSetError, get
from samplecnn_zoo.datasets.gtzan import GENRES, filtered_split
from tests import sets

GTZAN = get("gtzan")
PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "data" / "splits" / "gtzan"


def test_the_shipped_split_has_the_published_counts() -> None:
    split = filtered_split()
    assert Counter(split.values()) == {"train": 443, "valid": 197, "test": 290} == GTZAN.expected
    assert {name.partition(".")[0] for name in split} == {*GENRES} and len(split) == 930


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs the published lists in splits/gtzan")
def test_the_shipped_split_is_the_published_one() -> None:
    for part in ("train", "valid", "test"):
        names = (PUBLISHED / f"{part}_filtered.txt").read_text().split()
        wanted = {Path(name).name.removesuffix(".wav") for name in names}
        assert {name for name, split in filtered_split().items() if split == part} == wanted


def test_a_whole_copy_gives_it_exactly(tmp_path: Path) -> None:
    root = sets.gtzan(tmp_path)
    found = GTZAN.collect(root)
    assert found.counts() == {"train": 443, "valid": 197, "test": 290} and found.single_label
    assert {item.key: item.split for item in found.recordings} == filtered_split()
    assert all(item.tags == (item.key.partition(".")[0],) for item in found.recordings)
    assert GTZAN.validate(root) == []


@pytest.mark.parametrize("suffix", [".au", ".wav", ".flac", ".mp3", ".ogg"])
@pytest.mark.parametrize(
    "layout", ["genres/{genre}", "genres_original/{genre}", "{genre}", "Data/genres/{genre}", ""]
)
def test_every_layout_is_found(tmp_path: Path, layout: str, suffix: str) -> None:
    for name in ("blues.00000", "rock.00012"):
        sets.clip(tmp_path / layout.format(genre=name.partition(".")[0]) / f"{name}{suffix}")
    assert [item.key for item in GTZAN.collect(tmp_path).recordings] == ["blues.00000", "rock.00012"]


def test_of_two_copies_the_nearer_and_the_lossless_one_is_taken(tmp_path: Path) -> None:
    for name in (
        "a/b/blues.00000.wav",
        "a/blues.00000.mp3",
        "a/blues.00000.au",
        "a/._blues.00000.wav",
        "a/x.wav",
    ):
        sets.clip(tmp_path / name)
    (tmp_path / "a" / "blues.00001.png").touch()
    (found,) = GTZAN.collect(tmp_path).recordings
    assert found.path == tmp_path / "a" / "blues.00000.au"


def test_the_unreadable_track_is_skipped_and_named(tmp_path: Path) -> None:
    root = sets.gtzan(tmp_path, tracks=range(50, 60))
    (broken,) = root.rglob("jazz.00054.wav")
    broken.write_bytes(b"RIFF\0\0\0\0garbled")
    found = GTZAN.collect(root)
    assert "jazz.00054" not in {item.key for item in found.recordings}
    assert any(note.startswith("unreadable files: 1 (") and "jazz.00054" in note for note in found.notes)


def test_a_partial_copy_keeps_its_tags_and_names_what_it_lacks(tmp_path: Path) -> None:
    for name in ("blues.00000", "rock.00012", "metal.00004"):
        sets.clip(tmp_path / f"{name}.wav")
    found = GTZAN.collect(tmp_path)
    assert found.tags == GENRES and len(found.recordings) == 2
    assert "missing clips: 928 (blues.00001, blues.00002, blues.00003 and 925 more)" in found.notes
    assert "clips outside of the fault-filtered split: 1 (metal.00004)" in found.notes


def test_folds_test_each_track_once_and_are_balanced(tmp_path: Path) -> None:
    root = sets.gtzan(tmp_path, tracks=range(12, 30))
    tested: Counter[str] = Counter()
    for fold in range(1, 6):
        found = GTZAN.collect(root, split=f"fold:{fold}/5:3")
        of = {
            split: {i.key for i in found.recordings if i.split == split}
            for split in ("train", "valid", "test")
        }
        assert not of["train"] & of["test"] and not of["valid"] & (of["train"] | of["test"])
        for split in ("valid", "test"):
            genres = Counter(name.partition(".")[0] for name in of[split])
            assert max(genres.values()) - min(genres[genre] for genre in GENRES) <= 1
        tested.update(of["test"])
    assert set(tested.values()) == {1} and len(tested) == len(found.recordings)
    other = GTZAN.collect(root, split="fold:1/5:4")
    assert other != GTZAN.collect(root, split="fold:1/5:3") == GTZAN.collect(root, split="fold:1/5:3")


@pytest.mark.parametrize(
    "split", ["filter", "fold:0/5", "fold:6/5", "fold:1/2", "fold:1", "stratified:x", ""]
)
def test_a_split_that_cannot_be_drawn_is_refused(tmp_path: Path, split: str) -> None:
    sets.clip(tmp_path / "blues.00000.wav")
    with pytest.raises(DataSetError, match=r"the option split may be|needs at least three folds"):
        GTZAN.collect(tmp_path, split=split)
