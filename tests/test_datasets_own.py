"""One's own sets: a folder a class, a table; MTG-Jamendo's tables; and splits that are drawn."""

from collections import Counter
from pathlib import Path

import pytest

from samplecnn_zoo.datasets import DataSetError, get
from samplecnn_zoo.datasets.stratify import Rule, draw, parse_rule
from tests import sets

FOLDER, TABLE, JAMENDO = get("folder"), get("table"), get("jamendo")


def test_a_folder_is_split_class_by_class(tmp_path: Path) -> None:
    found = FOLDER.collect(sets.folder(tmp_path))
    assert found.tags == ("cello", "harp", "lute") and found.single_label
    for tag in found.tags:
        counts = Counter(item.split for item in found.recordings if item.tags == (tag,))
        assert counts == {"train": 8, "valid": 1, "test": 1}
    assert found == FOLDER.collect(tmp_path) != FOLDER.collect(tmp_path, split="stratified:1")
    assert "harp/solo/3.wav" in {item.key for item in found.recordings}


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("Training", "validation", "eval")])
def test_folders_of_splits_are_kept(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        sets.folder(tmp_path / name, clips=2)
    found = FOLDER.collect(tmp_path)
    assert found.counts() == {"train": 6, "valid": 6, "test": 6}
    with pytest.raises(
        DataSetError, match=r"is split by its folders; leave the option split out, not 'fold:1/3'"
    ):
        FOLDER.collect(tmp_path, split="fold:1/3")


def test_a_folder_beside_the_splits_makes_them_no_classes(tmp_path: Path) -> None:
    for name in ("train", "test"):
        sets.folder(tmp_path / name, clips=3)
    wanted = FOLDER.collect(tmp_path)
    (tmp_path / "artwork").mkdir()
    (tmp_path / "artwork" / "cover.png").touch()
    found = FOLDER.collect(tmp_path)
    assert (found.tags, found.recordings) == (wanted.tags, wanted.recordings)
    assert found.notes[-1] == "sub folders without audio: 1 (artwork)"
    sets.clip(tmp_path / "more" / "0.wav")
    with pytest.raises(
        DataSetError, match=r"test and train are parts of a split, 'more' with its audio is none; move it"
    ):
        FOLDER.collect(tmp_path)


def test_one_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        sets.clip(tmp_path / name / "0.wav")
    assert FOLDER.collect(tmp_path).tags == ("bus", "train")


def test_two_formats_of_a_recording_are_one_clip(tmp_path: Path) -> None:
    root = sets.folder(tmp_path, clips=5)
    wanted = FOLDER.collect(root)
    for copy in ("cello/1.flac", "harp/solo/2.mp3"):
        sets.clip(root / copy)
    sets.clip(root / "cello" / "solo" / "1.flac")  # a recording of its own: it lies elsewhere
    found = FOLDER.collect(root)
    assert {item.key for item in found.recordings} - {item.key for item in wanted.recordings} == {
        "cello/solo/1.flac"
    }
    assert found.notes == ("other formats of clips, left out: 2 (cello/1.flac, harp/solo/2.mp3)",)


def test_without_a_valid_part_train_lends_a_tenth(tmp_path: Path) -> None:
    sets.folder(tmp_path / "train", clips=20)
    sets.folder(tmp_path / "test", clips=2)
    found = FOLDER.collect(tmp_path)
    assert found.counts() == {"train": 54, "valid": 6, "test": 6}
    assert found.notes == ("there is no folder valid: 6 clips of train are the valid part",)


def test_what_is_odd_in_a_folder_is_said(tmp_path: Path) -> None:
    root = sets.folder(tmp_path, clips=2)
    (root / "tuba").mkdir()
    sets.clip(root / "loose.wav")
    (root / "notes.txt").touch()
    assert [finding.what for finding in FOLDER.validate(root)] == [
        "sub folders without audio: 1 (tuba)",
        "audio files in no sub folder, so of no class: 1 (loose.wav)",
    ]


def test_a_class_without_a_clip_to_train_on_is_said(tmp_path: Path) -> None:
    sets.folder(tmp_path / "train", clips=3)
    sets.clip(tmp_path / "test" / "oboe" / "0.wav")
    assert "classes without a clip to train on: 1 (oboe)" in FOLDER.collect(tmp_path).notes


def test_a_folder_too_high_or_too_low_is_refused(tmp_path: Path) -> None:
    sets.folder(tmp_path / "genres")
    with pytest.raises(
        DataSetError, match=r"only 'genres' has audio below it; name the folder whose sub folders"
    ):
        FOLDER.collect(tmp_path)
    with pytest.raises(DataSetError, match=r"none of its sub folders has audio below it"):
        FOLDER.collect(tmp_path / "genres" / "lute")


def table(root: Path, text: str, name: str = "tracks.csv", clips: int = 6) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    for index in range(clips):
        sets.clip(root / f"{index}.wav", 0.2)
    return root


ROWS = "".join(
    f"{index}.wav,{tags}\n" for index, tags in enumerate(("a|b", "b;c", " c ", "", "a | a", "c|b|a"))
)


def test_a_table_gives_tags_in_the_order_of_their_names(tmp_path: Path) -> None:
    found = TABLE.collect(table(tmp_path, f"path,tags\n{ROWS}"))
    assert found.tags == ("a", "b", "c") and not found.single_label
    assert [item.tags for item in found.recordings] == [
        ("a", "b"),
        ("b", "c"),
        ("c",),
        (),
        ("a",),
        ("c", "b", "a"),
    ]


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_table_may_be_separated_by_commas_tabs_or_semicolons(tmp_path: Path, delimiter: str) -> None:
    header = delimiter.join(("\ufeffArtist", " Tags", "PATH", "Split"))
    rows = [
        delimiter.join(("x", "calm", f"{index}.wav", split))
        for index, split in enumerate(("train", "dev", "Test"))
    ]
    found = TABLE.collect(table(tmp_path, "\n".join([header, *rows, ""])))
    assert found.counts() == {"train": 1, "valid": 1, "test": 1} and found.single_label


def test_cells_may_be_quoted_empty_or_missing(tmp_path: Path) -> None:
    sets.clip(tmp_path / "a, \u2028b.wav")
    text = 'path,tags,group\r\n"a, \u2028b.wav","x|y z"\r\n\r\n,,\r\n0.wav\r\n'
    found = TABLE.collect(table(tmp_path, text))
    assert [(item.key, item.tags) for item in found.recordings] == [
        ("a, \u2028b.wav", ("x", "y z")),
        ("0.wav", ()),
    ]


def test_a_cell_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"tracks\.csv, line 2: this is no table \(field larger"):
        TABLE.collect(table(tmp_path, "path,tags\n0.wav," + 200_000 * "x"))


def test_paths_start_at_the_table_or_are_absolute(tmp_path: Path) -> None:
    sound = sets.clip(tmp_path / "elsewhere" / "x.flac")
    root = table(tmp_path / "set", f"path,tags\n0.wav,a\n{sound},b\n../elsewhere/x.flac,b\nno.wav,a\n")
    found = TABLE.collect(root)
    assert [item.path.resolve() for item in found.recordings] == [root / "0.wav", sound, sound]
    assert found.notes == ("missing files of the table: 1 (no.wav)",)


def test_groups_stay_together_in_a_drawn_split(tmp_path: Path) -> None:
    rows = "".join(f"{index}.wav,t{index % 2},band{index // 4}\n" for index in range(40))
    root = table(tmp_path, f"path,tags,group\n{rows}", clips=40)
    found = TABLE.collect(root)
    splits = {f"band{int(item.key[:-4]) // 4}": item.split for item in found.recordings}
    assert len(splits) == 10 and Counter(splits.values()) == {"train": 8, "valid": 1, "test": 1}
    for item in found.recordings:
        assert item.split == splits[f"band{int(item.key[:-4]) // 4}"]


def test_a_group_in_several_splits_is_said(tmp_path: Path) -> None:
    text = "path,tags,group,split\n0.wav,a,x,train\n1.wav,b,x,valid\n2.wav,a,y,test\n"
    assert TABLE.collect(table(tmp_path, text)).notes == ("groups in several splits: 1 (x)",)


def test_what_train_lends_are_whole_groups(tmp_path: Path) -> None:
    rows = "".join(
        f"{index}.wav,{'ab'[index % 2]},{'test' if index >= 32 else 'train'},band{index // 4}\n"
        for index in range(40)
    )
    found = TABLE.collect(table(tmp_path, f"path,tags,split,group\n{rows}", clips=40))
    bands = {item.key: int(item.key[:-4]) // 4 for item in found.recordings}
    lent = [bands[item.key] for item in found.recordings if item.split == "valid"]
    assert len(lent) == 4 and len(set(lent)) == 1
    assert found.counts() == {"train": 28, "valid": 4, "test": 8}
    shared = "path,tags,group,split\n0.wav,a,x,train\n1.wav,b,x,test\n2.wav,a,y,train\n"
    assert "groups in several splits: 1 (x)" in TABLE.collect(table(tmp_path / "2", shared)).notes


def test_train_lends_a_valid_part_to_a_table_too(tmp_path: Path) -> None:
    rows = "".join(f"{index}.wav,a,{'test' if index > 9 else 'train'}\n" for index in range(12))
    found = TABLE.collect(table(tmp_path, f"path,tags,split\n{rows}", clips=12))
    assert found.counts() == {"train": 9, "valid": 1, "test": 2}
    assert found.notes == ("no row is valid: 1 clips of train are the valid part",)
    drawn = TABLE.collect(tmp_path, split="fold:2/3")
    assert drawn.counts() == {"train": 4, "valid": 4, "test": 4}


@pytest.mark.parametrize(
    ("text", "options", "match"),
    [
        (
            "file,tags\n0.wav,a\n",
            {},
            "there is no column 'path'; give a table with the columns path, tags and if",
        ),
        ("path\n0.wav\n", {}, "there is no column 'tags'"),
        ("", {}, "there is no column 'path'"),
        ("path,tags\n,a\n", {}, "line 2: the path is empty"),
        (
            "path,tags,split\n0.wav,a,holdout\n",
            {},
            "line 2: the split is train, valid or test, not 'holdout'",
        ),
        ("path,tags,split\n0.wav,a,train\n1.wav,a,\n", {}, "line 3: it has no split, others have"),
        ("path,tags\n0.wav,a\n0.wav,b\n", {}, "0.wav stands in 2 lines; put its tags into one"),
        ("path,tags\n0.wav,\n", {}, "no row has a tag; separate them with"),
        ("path,tags\n0.wav,a|b\n", {"labels": "single"}, "line 2: labels=single needs one tag, not 2"),
        ("path,tags\n0.wav,a\n", {"labels": "one"}, "the option labels is one of auto, single, multi"),
        ("path,tags\n0.wav,a\n", {"split": "random"}, "the option split may be stratified, "),
        ("path,tags\n0.wav,a\n", {"table": "no.csv"}, r"no\.csv: there is no such file"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    tmp_path: Path, text: str, options: dict[str, str], match: str
) -> None:
    root = table(tmp_path, text)
    with pytest.raises(DataSetError, match=match):
        TABLE.collect(root, progress=lambda steps, _: steps, **options)


def test_one_tag_a_clip_may_be_meant_as_one_of_many(tmp_path: Path) -> None:
    root = table(tmp_path, "path,tags\n0.wav,a\n1.wav,b\n")
    assert TABLE.collect(root).single_label and not TABLE.collect(root, labels="multi").single_label


def test_of_several_tables_one_has_to_be_named(tmp_path: Path) -> None:
    root = table(tmp_path, "path,tags\n0.wav,a\n")
    table(root, "path\ttags\n1.wav\tb\n", "more.tsv")
    with pytest.raises(
        DataSetError, match=r"one \.csv or \.tsv is needed, found more\.tsv, tracks\.csv; name it"
    ):
        TABLE.collect(root)
    assert TABLE.collect(root, table="more.tsv").tags == ("b",)


def test_a_table_of_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,tags\nmüll.wav,a\n".encode("latin1"))
    with pytest.raises(DataSetError, match=r"t\.csv: this is no UTF-8 text \(byte 11\)"):
        TABLE.collect(tmp_path)


def test_jamendo_reads_the_tables_of_split_0(tmp_path: Path) -> None:
    found = JAMENDO.collect(sets.jamendo(tmp_path))
    assert found.counts() == {"train": 4, "valid": 4, "test": 4} and not found.single_label
    assert list(found.tags) == sorted(found.tags) and len(found.tags) == 5
    last = found.recordings[-1]
    assert last.key == "track_0002213" and last.split == "test"
    assert last.tags == ("genre---g3", "instrument---bass", "mood/theme---happy")
    assert last.path == tmp_path / "13" / "2213.low.mp3"
    assert found.notes == ("5 tags instead of 50",)


def test_jamendo_finds_a_clone_beside_and_audio_by_a_template(tmp_path: Path) -> None:
    root = sets.jamendo(tmp_path / "audio")
    (root / "mtg-jamendo-dataset").rename(tmp_path / "mtg-jamendo-dataset")
    (root / "10" / "1210.low.mp3").rename(root / "1210.mp3")
    assert len(JAMENDO.collect(root).recordings) == 11
    (tmp_path / "mtg-jamendo-dataset").rename(tmp_path / "clone")
    found = JAMENDO.collect(root, clone="../clone", path="{stem}.low.mp3")
    assert len(found.recordings) == 11 and "missing tracks: 1 (10/1210.mp3)" in found.notes
    with pytest.raises(
        DataSetError, match=r"no such file; clone https://github\.com/MTG/mtg-jamendo-dataset"
    ):
        JAMENDO.collect(root)
    (root / "20").mkdir()
    (root / "20" / "track_0000210.ogg").touch()
    assert [item.key for item in JAMENDO.collect(root, clone="../clone", path="20/{id}").recordings] == [
        "track_0000210"
    ]


def test_jamendo_refuses_another_table(tmp_path: Path) -> None:
    root = sets.jamendo(tmp_path)
    path = root / "mtg-jamendo-dataset/data/splits/split-0/autotagging_top50tags-test.tsv"
    text = path.read_text()
    path.write_text(text.replace("DURATION", "SECONDS"))
    with pytest.raises(DataSetError, match=r"its columns are TRACK_ID, .*SECONDS, TAGS, not "):
        JAMENDO.collect(root)
    path.write_text(text + "track_1\tartist\n")
    with pytest.raises(DataSetError, match=r"\['track_1'\] has 2 columns, 6 are needed"):
        JAMENDO.collect(root)


def test_a_rule_is_read_from_text() -> None:
    assert parse_rule("stratified") == Rule() and parse_rule("stratified:7") == Rule(7)
    assert parse_rule("fold:2/5") == Rule(0, 2, 5) and parse_rule("fold:5/5:3") == Rule(3, 5, 5)


@pytest.mark.parametrize(
    ("size", "counts"), [(1, (1, 0, 0)), (2, (2, 0, 0)), (3, (1, 1, 1)), (25, (21, 2, 2))]
)
def test_shares_leave_small_classes_something_to_train_on(size: int, counts: tuple[int, int, int]) -> None:
    splits = Counter(draw({str(index): "a" for index in range(size)}, Rule()).values())
    assert tuple(splits[split] for split in ("train", "valid", "test")) == counts


def test_folds_differ_by_one_clip_over_all_classes() -> None:
    classes = {f"{label}{index}": label for label in "abcdefg" for index in range(3)}
    tested = [Counter(draw(classes, Rule(0, fold, 5)).values()) for fold in range(1, 6)]
    assert sorted(count["test"] for count in tested) == [4, 4, 4, 4, 5]
    assert [count["valid"] for count in tested] == [count["test"] for count in tested[1:] + tested[:1]]


def test_a_draw_does_not_depend_on_the_order_of_the_clips() -> None:
    classes = {f"{index}": "ab"[index % 2] for index in range(50)}
    backwards = dict(reversed(classes.items()))
    for rule in (Rule(3), Rule(3, 1, 4)):
        assert draw(classes, rule) == draw(backwards, rule)
