"""MagnaTagATune: the rule gives the published lists, and the table is read as it is published."""

import importlib.util
import re
from pathlib import Path

import pytest

from samplecnn_zoo.audio import load
from samplecnn_zoo.datasets import DataSetError, get
from samplecnn_zoo.datasets.magnatagatune import (
    Annotation,
    paper_name,
    read_annotations,
    split_of,
    top_tags,
)
from samplecnn_zoo.datasets.mp3 import duration_s
from samplecnn_zoo.datasets.published import lines
from tests import sets
from tests.sounds import noise, without_xing, write

MTAT = get("magnatagatune")
PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "data" / "splits" / "magnatagatune"
needs_lists = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason=f"needs the published lists in {PUBLISHED.parent.name}/{PUBLISHED.name}"
)
SPLITS = ("train", "valid", "test")


def published(name: str) -> list[str]:
    return (PUBLISHED / f"{name}.txt").read_text().split()


@needs_lists
def test_the_rule_gives_the_published_lists(tmp_path: Path) -> None:
    wanted = {split: {name.removesuffix(".npy") for name in published(split)} for split in SPLITS}
    clips = sorted(set.union(*wanted.values()))
    tags = {**sets.annotations(clips), "0/untagged-0-29": set(), "f/rare-0-29": {"rare"}}
    sets.table(tmp_path / "annotations_final.csv", tags)
    for name in tags:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.mp3").touch()
    found = MTAT.collect(tmp_path, length="trust")
    assert found.counts() == {"train": 15_244, "valid": 1_529, "test": 4_332} == MTAT.expected
    for split, names in wanted.items():
        assert {item.key for item in found.recordings if item.split == split} == names
    assert list(found.tags) == published("top50_tags")
    assert found.notes == ("clips without any of the top tags, left out: 2 (0/untagged-0-29, f/rare-0-29)",)


@needs_lists
def test_the_published_lists_follow_the_folders() -> None:
    for split in SPLITS:
        assert {split_of(name) for name in published(split)} == {split}
    assert lines("magnatagatune_top50.txt") == published("top50_tags")


def test_folders_are_splits() -> None:
    found = {letter: split_of(f"{letter}/clip") for letter in "0123456789abcdef"}
    assert "".join(letter for letter, split in found.items() if split == "train") == "0123456789ab"
    assert [found[letter] for letter in "cdef"] == ["valid", "test", "test", "test"]
    for wrong in ("g/clip", "10/clip", "clip", ""):
        with pytest.raises(DataSetError, match=re.escape(f"not at {wrong!r}")):
            split_of(wrong)


def test_tags_are_ordered_by_their_clips_and_ties_by_the_columns() -> None:
    rows = [Annotation("0/a", frozenset(["z", "m"])), Annotation("0/b", frozenset(["z", "k", "b"]))]
    assert top_tags(["k", "m", "b", "z", "none"], rows, 4) == ["z", "k", "m", "b"]
    assert top_tags(["b", "m", "k", "z", "none"], rows, 4) == ["z", "b", "m", "k"]


def test_synonyms_are_not_merged_and_names_are_the_networks_or_the_tables(tmp_path: Path) -> None:
    root = sets.magnatagatune(tmp_path)
    names = MTAT.collect(root).tags
    assert list(names) == lines("magnatagatune_top50.txt") and {"noVocals", "noVocal", "maleVoice"} < {*names}
    plain = MTAT.collect(root, names="csv").tags
    assert [paper_name(tag) for tag in plain] == list(names) and "no vocals" in plain
    with pytest.raises(DataSetError, match=r"the option names is one of paper, csv, not 'lee'"):
        MTAT.collect(root, names="lee")


def mp3(clip: Path, seconds: float, *, says: bool = True) -> Path:
    """Put an mp3 in the place of a wav; without Xing header it doesn't say how long it is."""
    clip.with_name(f"{clip.name}.wav").unlink(missing_ok=True)
    path = write(clip.with_name(f"{clip.name}.mp3"), noise(seconds, 8000), 8000)
    if not says:
        path.write_bytes(without_xing(path.read_bytes()))
    return path


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_frames_of_an_mp3_are_counted_as_they_decode(tmp_path: Path, rate: int, channels: int) -> None:
    path = write(tmp_path / "x.mp3", noise(1.5, rate, channels=channels), rate)
    plain = without_xing(path.read_bytes())
    path.write_bytes(plain)
    frames = len(load(path, rate))
    assert duration_s(path) == frames / rate
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x01" + bytes(257)
    path.write_bytes(tag + plain + b"TAG" + bytes(125))
    assert duration_s(path) == frames / rate


def test_what_is_no_mp3_has_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    for data in (b"", b"ID3", b"RIFF....", b"\xff\xfb", bytes(100), b"\xff\xff\xff\xff"):
        path.write_bytes(data)
        assert duration_s(path) is None


def test_short_empty_and_untagged_clips_are_left_out_and_the_rest_is_kept(tmp_path: Path) -> None:
    root = sets.magnatagatune(tmp_path)
    short, empty, unknown, other, padded, cut = (f"{letter}/bach-01-song-0-29" for letter in "012345")
    sets.clip(root / f"{short}.wav", 29.0)
    (root / f"{empty}.wav").write_bytes(b"")
    mp3(root / padded, 29.0)  # 29.0 s of music in 29.2 s of frames: what the published lists count
    mp3(root / cut, 28.0, says=False)
    mp3(root / unknown, 29.0).write_bytes(b"x" + (root / f"{unknown}.mp3").read_bytes())
    (root / f"{other}.wav").rename(root / "3" / "stranger.wav")
    found = MTAT.collect(root)
    keys = {item.key for item in found.recordings}
    decodes = (
        importlib.util.find_spec("av") is not None
    )  # an mp3 behind a strange byte: libsndfile refuses it
    assert not keys & {short, empty, other, cut} and padded in keys
    assert (unknown in keys) == decodes and len(keys) == 27 + decodes
    notes = " ".join(found.notes)
    assert (
        "clips shorter than 29.1 s, left out: 2 (" in notes and f"{empty}.wav: the file has no bytes" in notes
    )
    assert f"missing clips of the table: 1 ({other}.mp3)" in notes
    assert "audio files that the table doesn't name: 1 (3/stranger.wav)" in notes
    assert short in {item.key for item in MTAT.collect(root, length="trust").recordings}


@pytest.mark.parametrize("place", ["mp3", "audio", "elsewhere"])
def test_the_folders_may_lie_below_the_root(tmp_path: Path, place: str) -> None:
    sets.magnatagatune(tmp_path / place, suffix=".flac")
    (tmp_path / place / "annotations_final.csv").rename(tmp_path / "annotations_final.csv")
    options = {"audio": place} if place == "elsewhere" else {}
    assert len(MTAT.collect(tmp_path, progress=lambda steps, _: steps, **options).recordings) == 32


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "not an empty one"),
        ("clip_id,guitar,mp3_path\n1,0,0/a.mp3\n", "columns clip_id, tags, mp3_path between tabs"),
        ('"clip_id"\t"guitar"\n', "columns clip_id, tags, mp3_path"),
        ('"clip_id"\t"guitar"\t"mp3_path"\n"2"\t"0/a.mp3"\n', "clip '2' has 2 columns, 3 are needed"),
        (
            "clip_id\tguitar\tmp3_path\n1\t1\tq/a.mp3\n",
            "a clip lies in one of the folders 0 to f, not at 'q/a'",
        ),
    ],
)
def test_another_table_is_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "annotations_final.csv").write_text(text)
    (tmp_path / "q").mkdir()
    sets.clip(tmp_path / "q" / "a.wav")
    with pytest.raises(DataSetError, match=match):
        MTAT.collect(tmp_path)


def test_a_table_with_other_top_tags_is_said_to_be_odd(tmp_path: Path) -> None:
    sets.table(tmp_path / "annotations_final.csv", {"0/a": {"singer"}, "0/b": {"singer", "guitar"}})
    sets.clip(tmp_path / "0" / "a.wav", 30)
    said = [finding.what for finding in MTAT.validate(tmp_path)]
    assert said[0].startswith("top tags that differ from the published list; is annotations_final.csv whole?")
    assert "singer (not guitar), guitar (not classical)" in said[0]


def test_the_table_may_have_carriage_returns_and_a_mark_at_its_start(tmp_path: Path) -> None:
    path = sets.table(tmp_path / "annotations_final.csv", {"0/a": {"guitar"}})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    tags, rows = read_annotations(path)
    assert tags[0] == "guitar" and rows == [Annotation("0/a", frozenset(["guitar"]))]
