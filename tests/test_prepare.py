"""From files to shards: what is in them, what happens to bad files, and what a second run does."""

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from samplecnn_zoo import audio
from samplecnn_zoo.cli import app
from samplecnn_zoo.datasets import shards
from samplecnn_zoo.datasets.collection import Collection, Recording
from samplecnn_zoo.datasets.prepare import failures, limited, prepare
from samplecnn_zoo.datasets.prepared import Prepared, PreparedError
from samplecnn_zoo.datasets.records import FULL_SCALE, open_shard
from samplecnn_zoo.datasets.registry import get
from tests.preparing import CLIP_SAMPLES, RATE, SPLITS, TAGS, collection, content, prepared
from tests.sounds import hostile, noise, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("made"))


def test_what_the_set_says_of_itself(made: Prepared) -> None:
    assert (made.name, made.sample_rate, made.clip_samples) == ("noises", RATE, CLIP_SAMPLES)
    assert made.tags == TAGS
    assert made.counts == SPLITS
    assert not made.single_label
    assert [shard.clips for shard in made.shards("train")] == [4, 4, 3]
    assert [shard.file for shard in made.shards("test")] == ["test-00000.tfrecord"]


@pytest.mark.parametrize("split", SPLITS)
def test_every_clip_is_the_start_of_its_file(made: Prepared, split: str) -> None:
    pcm = made.pcm(split)
    assert len(pcm) == len(made.clips(split)) == SPLITS[split]
    for clip, samples in zip(made.clips(split), pcm, strict=True):
        whole = audio.load(clip.path, RATE)
        assert clip.samples == min(len(whole), CLIP_SAMPLES)
        np.testing.assert_array_equal(
            samples / np.float32(FULL_SCALE), np.resize(whole[: clip.samples], CLIP_SAMPLES)
        )
    assert {clip.samples for clip in made.clips(split)} == {CLIP_SAMPLES, 9800}


def test_labels_and_table_belong_to_the_clips(made: Prepared) -> None:
    clips, labels = made.clips("train"), made.labels("train")
    assert labels.dtype == np.float32
    for clip, row in zip(clips, labels, strict=True):
        assert {tag for tag, held in zip(TAGS, row, strict=True) if held} == set(clip.tags)
        source = Path(clip.path)
        assert clip.key == source.stem
        assert clip.source_sha1 == hashlib.sha1(source.read_bytes()).hexdigest()
        assert (clip.source_size, clip.source_mtime_ns) == (
            source.stat().st_size,
            source.stat().st_mtime_ns,
        )


def test_records_hold_the_row_numbers_of_the_table_and_shards_their_hash(made: Prepared) -> None:
    clips = [clip for split in SPLITS for clip in made.clips(split)]
    assert [clip.row for clip in clips] == list(range(18))
    for shard in (shard for split in SPLITS for shard in made.shards(split)):
        path = made.directory / shard.file
        assert shard.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        own = [clip for clip in clips if clip.shard == shard.file]
        assert open_shard(path, CLIP_SAMPLES)["row"].tolist() == [clip.row for clip in own]
        assert [clip.position for clip in own] == list(range(shard.clips))


def test_clips_are_mixed_over_the_shards(made: Prepared) -> None:
    keys = [clip.key for clip in made.clips("train")]
    assert keys != sorted(keys)


def test_order_of_the_list_workers_and_place_change_nothing(made: Prepared, tmp_path: Path) -> None:
    other = collection(tmp_path / "elsewhere")
    turned = replace(other, recordings=other.recordings[::-1])
    again = prepare(turned, tmp_path / "set", sample_rate=RATE, shard_clips=4, workers=1)
    names = [shard.file for split in SPLITS for shard in made.shards(split)]
    assert [(again.directory / name).read_bytes() for name in names] == [
        (made.directory / name).read_bytes() for name in names
    ]


def test_another_rate_and_channels_are_resampled_and_averaged(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(1.7, 4410, channels=2), 4410, subtype="FLOAT")
    one = Collection("one", ("a",), (Recording("a", path, ("a",), "test"),), single_label=True)
    set_ = prepare(one, tmp_path / "set", sample_rate=1600)
    (clip,) = set_.clips("test")
    wanted = audio.load(path, 1600)
    assert (set_.clip_samples, clip.samples) == (46560, len(wanted))
    np.testing.assert_allclose(set_.pcm("test")[0][: clip.samples] / 32768, wanted, atol=0.5001 / 32768)


def test_only_the_start_of_a_long_file_is_decoded_and_judged(tmp_path: Path) -> None:
    samples = noise(120, RATE)
    samples[40 * RATE :] = np.nan
    path = write(tmp_path / "long.wav", samples, RATE, subtype="FLOAT")
    one = Collection("one", ("a",), (Recording("a", path, (), "train"),))
    assert prepare(one, tmp_path / "set", sample_rate=RATE).clips("train")[0].samples == CLIP_SAMPLES


def with_bad_files(folder: Path) -> Collection:
    """The collection, and one recording of each bad kind in the training part."""
    good = collection(folder / "audio")
    (folder / "bad").mkdir()
    bad = [Recording(f"bad {kind}", path, (), "train") for kind, path in hostile(folder / "bad").items()]
    return replace(good, recordings=(*good.recordings, *bad))


def test_bad_files_are_listed_with_their_reason_and_skipped(tmp_path: Path) -> None:
    all_ = with_bad_files(tmp_path)
    lines: list[str | None] = []

    def watch(steps: Iterable[str | None], total: int) -> Iterable[str | None]:
        assert total == len(all_.recordings)
        for step in steps:
            lines.append(step)
            yield step

    set_ = prepare(all_, tmp_path / "set", sample_rate=RATE, shard_clips=4, workers=2, progress=watch)
    assert set_.counts == SPLITS
    bad = {str(item.path) for item in all_.recordings if item.key.startswith("bad")}
    assert {path for path, _ in failures(set_)} == bad
    assert set_.description.failed == len(bad)
    assert [line for line in lines if line] == [reason for _, reason in failures(set_)]
    assert len(lines) == len(all_.recordings)
    for path, reason in failures(set_):
        assert reason.startswith(f"{path}: ")
    rows = [clip.row for clip in set_.clips("train")]
    assert rows != list(range(len(rows))), "rows of failed files are missing"
    for clip, samples in zip(set_.clips("train"), set_.pcm("train"), strict=True):
        np.testing.assert_array_equal(samples[:1000] / 32768, audio.load(clip.path, RATE)[:1000])


def test_a_split_of_bad_files_alone_has_no_clip_and_no_shard(tmp_path: Path) -> None:
    good = collection(tmp_path / "audio", counts={"train": 3})
    bad = Recording("bad", tmp_path / "missing.wav", (), "test")
    set_ = prepare(replace(good, recordings=(*good.recordings, bad)), tmp_path / "set", sample_rate=RATE)
    assert set_.counts == {"train": 3, "valid": 0, "test": 0}
    assert not set_.shards("test")
    assert set_.labels("test").shape == (0, len(TAGS))
    assert len(set_.pcm("test")) == 0


def test_bad_files_alone_are_no_set(tmp_path: Path) -> None:
    bad = Collection("bad", ("a",), (Recording("a", tmp_path / "missing.wav", (), "train"),))
    with pytest.raises(PreparedError, match=r"none of 1 files gave a clip; the first: .*no such file"):
        prepare(bad, tmp_path / "set", sample_rate=RATE)
    with pytest.raises(PreparedError, match="no complete set"):
        Prepared.open(tmp_path / "set")


def test_names_that_are_no_utf8_are_names_too(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "audio" / label).mkdir(parents=True)
        for number in range(4):
            write(tmp_path / "audio" / label / f"{number}.wav", noise(1.0, RATE, seed=number), RATE)
    odd = os.fsencode(tmp_path / "audio") + b"/a/caf\xe9"
    try:
        os.rename(tmp_path / "audio" / "a" / "0.wav", odd + b".wav")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    Path(os.fsdecode(odd + b".mp3")).write_bytes(b"another recording")
    Path(os.fsdecode(odd + b"2.wav")).write_bytes(b"no audio")
    found = get("folder").collect(tmp_path / "audio")
    assert "left out: 1 (a/caf\udce9.mp3)" in found.notes[0]
    set_ = prepare(found, tmp_path / "set", sample_rate=RATE)
    assert Prepared.open(set_.directory).description.notes == found.notes
    keys = {clip.key for split in SPLITS for clip in set_.clips(split)}
    assert "a/caf\\udce9.wav" in keys and len(keys) == 8
    assert [path for path, _ in failures(set_)] == [os.fsdecode(odd + b"2.wav")]
    told = CliRunner().invoke(app, ["datasets", "folder", "--root", str(tmp_path / "audio")])
    assert b"caf\xe9.mp3" in told.stdout_bytes


def no_decoding(*_: object) -> None:
    raise AssertionError("a file was decoded again")


def test_a_second_run_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_ = with_bad_files(tmp_path)
    first = prepare(all_, tmp_path / "set", sample_rate=RATE, shard_clips=4)
    before = {path: path.stat().st_mtime_ns for path in first.directory.rglob("*")}
    monkeypatch.setattr(shards, "decode_all", no_decoding)
    second = prepare(all_, tmp_path / "set", sample_rate=RATE, shard_clips=4, progress=no_decoding)  # type: ignore[arg-type]
    assert second.description == first.description
    assert {path: path.stat().st_mtime_ns for path in first.directory.rglob("*")} == before


def test_the_sources_may_be_gone_afterwards(tmp_path: Path) -> None:
    all_ = collection(tmp_path / "audio")
    prepare(all_, tmp_path / "set", sample_rate=RATE)
    for item in all_.recordings:
        item.path.unlink()
    assert prepare(all_, tmp_path / "set", sample_rate=RATE).counts == SPLITS


def test_a_mended_file_comes_in_and_only_its_shard_is_made_again(tmp_path: Path) -> None:
    good = collection(tmp_path / "audio")
    last = good.recordings[-1].path
    data = last.read_bytes()
    last.unlink()
    options: dict[str, Any] = {"sample_rate": RATE, "shard_clips": 4}
    broken = prepare(good, tmp_path / "set", **options)
    assert broken.counts == {**SPLITS, "test": 3}
    before = {shard.file: (broken.directory / shard.file).stat().st_ino for shard in broken.shards("train")}
    last.write_bytes(data)
    whole = prepare(good, tmp_path / "set", **options)
    assert whole.counts == SPLITS
    assert not failures(whole)
    assert {name: (whole.directory / name).stat().st_ino for name in before} == before
    fresh = prepare(good, tmp_path / "fresh", **options)
    assert content(whole.directory) == content(fresh.directory)


@pytest.mark.parametrize("loss", ["gone with all others", "gone", "broken"])
def test_no_shard_is_replaced_by_one_that_lacks_a_clip(tmp_path: Path, loss: str) -> None:
    good = collection(tmp_path / "audio", counts={"train": 4})
    lost, bad = good.recordings[0].path, good.recordings[3].path
    data = bad.read_bytes()
    bad.write_bytes(b"no audio")
    first = prepare(good, tmp_path / "set", sample_rate=RATE)
    assert (first.counts["train"], first.description.failed) == (3, 1)
    before = content(first.directory)
    if loss == "gone with all others":
        shutil.rmtree(tmp_path / "audio")
    else:
        bad.write_bytes(data)
        lost.unlink()
        if loss == "broken":
            lost.write_bytes(b"no audio any more")
    again = prepare(good, tmp_path / "set", sample_rate=RATE)
    assert (again.description, content(again.directory)) == (first.description, before)


@pytest.mark.parametrize("damage", ["missing", "shorter", "changed", "journal"])
def test_a_damaged_shard_is_made_again(tmp_path: Path, damage: str) -> None:
    all_ = collection(tmp_path / "audio")
    first = prepare(all_, tmp_path / "set", sample_rate=RATE, shard_clips=4)
    whole = content(first.directory)
    path = first.directory / first.shards("train")[1].file
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "shorter":
        path.write_bytes(data[:-1])
    elif damage == "changed":  # found when the set is not complete, as after a kill
        path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
        (first.directory / "prepared.json").unlink()
    else:
        (first.directory / "journal" / f"{path.name}.json").write_text('{"sha256":')
    if damage in ("missing", "shorter"):
        with pytest.raises(PreparedError, match=r"it is (missing|\d+ bytes long, not \d+); .*makes it again"):
            Prepared.open(first.directory)
    prepare(all_, tmp_path / "set", sample_rate=RATE, shard_clips=4)
    assert content(first.directory) == whole


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("clips.parquet", None, r"clips\.parquet: it can't be read \(.*No such file.*\); .*makes it again"),
        ("clips.parquet", b"PAR1 no table", r"clips\.parquet: it can't be read \(.*\); .*makes it again"),
        ("failed.csv", None, None),
        ("prepared.json", b"{", "not what `samplecnn prepare` writes"),
    ],
)
def test_a_part_of_a_complete_set_that_is_missing_or_damaged_comes_back(
    tmp_path: Path, name: str, data: bytes | None, words: str | None
) -> None:
    all_ = collection(tmp_path / "audio", counts={"train": 2})
    folder = prepare(all_, tmp_path / "set", sample_rate=RATE).directory
    whole = content(folder)
    (folder / name).unlink()
    if data is not None:
        (folder / name).write_bytes(data)
    if words:
        with pytest.raises(PreparedError, match=words):
            Prepared.open(folder)
    prepare(all_, folder, sample_rate=RATE)
    assert content(folder) == whole


def test_a_table_that_is_damaged_within_or_of_other_clips_is_said(tmp_path: Path) -> None:
    made = prepare(collection(tmp_path / "audio", counts={"train": 2}), tmp_path / "set", sample_rate=RATE)
    table = made.directory / "clips.parquet"
    data = table.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    table.write_bytes(data[:4] + bytes(len(data) - footer - 4) + data[-footer:])
    with pytest.raises(
        PreparedError, match=r"clips\.parquet: it is damaged \(.*\); delete it, then `samplecnn"
    ):
        Prepared.open(made.directory).labels("train")
    pq.write_table(pq.read_table(io.BytesIO(data)).slice(1), table)
    with pytest.raises(PreparedError, match="it has 1 rows, the shards have 2 clips"):
        Prepared.open(made.directory)


def test_other_options_or_another_collection_are_refused_and_change_nothing(tmp_path: Path) -> None:
    all_ = collection(tmp_path / "audio")
    out = tmp_path / "set"
    prepare(all_, out, sample_rate=RATE, shard_clips=4)
    before = content(out)
    fewer = replace(all_, recordings=all_.recordings[1:])
    moved = replace(all_, recordings=(replace(all_.recordings[0], split="test"), *all_.recordings[1:]))
    turned = replace(all_, tags=TAGS[::-1])
    cases: list[tuple[Collection, dict[str, Any], str]] = [
        (all_, {"sample_rate": 2000, "shard_clips": 4}, "sample_rate 1000, now it is 2000"),
        (all_, {"sample_rate": RATE, "shard_clips": 5}, "shard_clips 4, now it is 5"),
        (fewer, {"sample_rate": RATE, "shard_clips": 4}, "recordings 18, now it is 17"),
        (moved, {"sample_rate": RATE, "shard_clips": 4}, "recordings_sha256 '"),
        (turned, {"sample_rate": RATE, "shard_clips": 4}, "tags "),
        (replace(all_, name="other"), {"sample_rate": RATE, "shard_clips": 4}, "set 'noises', now"),
    ]
    for other, options, words in cases:
        with pytest.raises(PreparedError, match=f"begun with {words}.*prepare into another folder"):
            prepare(other, out, **options)
    assert content(out) == before


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(PreparedError, match=r"it holds other files \(audio\); name a new or an empty folder"):
        prepare(collection(tmp_path / "audio"), tmp_path, sample_rate=RATE)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex", "audio"}


def test_two_runs_do_not_write_one_folder(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "set").mkdir()
    with open(tmp_path / "set" / ".lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(PreparedError, match="another run is writing it"):
            prepare(collection(tmp_path / "audio"), tmp_path / "set", sample_rate=RATE)


def test_too_little_room_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=900_000))
    monkeypatch.setattr(shards, "decode_all", no_decoding)
    with pytest.raises(PreparedError, match=r"1\.0 MB are needed, 0\.9 MB are free; make room"):
        prepare(collection(tmp_path / "audio"), tmp_path / "set", sample_rate=RATE)


def test_a_place_that_is_no_folder_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        prepare(collection(tmp_path / "audio"), tmp_path / "file" / "set", sample_rate=RATE)


@pytest.mark.parametrize("option", ["sample_rate", "shard_clips", "workers"])
def test_numbers_are_positive(tmp_path: Path, option: str) -> None:
    options: dict[str, Any] = {"sample_rate": RATE, option: 0}
    with pytest.raises(ValueError, match=f"{option} must be at least 1, not 0"):
        prepare(collection(tmp_path / "audio"), tmp_path / "set", **options)
    with pytest.raises(ValueError, match="there is no recording"):
        prepare(Collection("none", ("a",), ()), tmp_path / "set", sample_rate=RATE)


def test_a_limit_takes_some_of_every_split_and_says_so(tmp_path: Path) -> None:
    all_ = collection(tmp_path / "audio")
    few = limited(all_, 6)
    assert few.counts() == {"train": 4, "valid": 1, "test": 1}
    assert {item.key for item in few.recordings} <= {item.key for item in all_.recordings}
    assert few.notes == ("only 6 of 18 recordings, limited to 6",)
    assert limited(all_, 100).counts() == SPLITS
    with pytest.raises(ValueError, match="limit must be at least 1, not 0"):
        limited(all_, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no complete set, prepared.json is missing"),
        ("{", "not what `samplecnn prepare` writes"),
        ("[]", "not what `samplecnn prepare` writes"),
        (
            '{"format_version": 1, "shards": [], "tags": [], "notes": []}',
            "not what `samplecnn prepare` writes",
        ),
        ('{"format_version": 2, "shards": [], "tags": [], "notes": []}', "format 2 is newer"),
    ],
)
def test_what_is_no_prepared_set_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "prepared.json").write_text(text)
    with pytest.raises(PreparedError, match=words):
        Prepared.open(tmp_path)


def test_an_unknown_split_is_refused(made: Prepared) -> None:
    for ask in (made.clips, made.labels, made.pcm, made.shards):
        with pytest.raises(PreparedError, match="split is one of train, valid, test, not 'dev'"):
            ask("dev")
    with pytest.raises(IndexError, match="clip 4 of 4"):
        made.pcm("test")[4]


def test_the_files_are_plain_json_and_csv(made: Prepared) -> None:
    description = json.loads((made.directory / "prepared.json").read_text())
    assert description["counts"] == SPLITS
    with open(made.directory / "failed.csv", newline="") as file:
        assert list(csv.reader(file)) == [["path", "reason"]]
    assert sorted(os.listdir(made.directory / "journal")) == sorted(
        f"{shard.file}.json" for split in SPLITS for shard in made.shards(split)
    )
