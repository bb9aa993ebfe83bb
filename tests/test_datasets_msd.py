"""The Million Song Dataset and TAGTRAUM: published lists, read without running them, fetched and verified."""

import hashlib
import os
import pickle
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samplecnn_zoo.datasets import DataSetError, get, msd, tagtraum
from samplecnn_zoo.datasets.pinned import IDS, Pinned, blob_id
from samplecnn_zoo.datasets.published import lines
from samplecnn_zoo.datasets.unpickle import read_pickle, unpickle
from tests import sets

MSD, TAGTRAUM = get("msd"), get("tagtraum")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
BY_ID: dict[str, Any] = {"path": "{id[2]}/{id}"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of 18 tracks: the first 16 are trained on."""
    monkeypatch.setattr(msd, "NUM_TRAIN", 16)
    monkeypatch.setattr(tagtraum, "NUM_TRAIN", 16)


def test_lists_and_vectors_become_recordings(tmp_path: Path) -> None:
    found = MSD.collect(sets.msd(tmp_path), **BY_ID)
    assert found.counts() == {"train": 16, "valid": 2, "test": 6} and not found.single_label
    assert list(found.tags) == lines("msd_top50.txt")
    second = found.recordings[1]
    assert second.key == sets.TRACKS[1] and second.tags == found.tags[::3]
    assert found.notes == (
        "lists without a git blob id, used as they are: 4 (50tagList.txt, msd_id_to_tag_vector.cP, "
        "filtered_list_train.cP and 1 more)",
    )


@pytest.mark.parametrize(
    ("path", "place"), [("{path}", "{p}"), ("{id7}", "{n}"), ("x/{id[3]}/{id7}", "x/A/{n}")]
)
def test_audio_is_found_by_the_numbers_and_paths_of_7digital(tmp_path: Path, path: str, place: str) -> None:
    sets.msd_lists(tmp_path / "lists")
    sets.clip(tmp_path / f"{place.format(p='2/0/1002.clip', n=1002)}.mp3")
    options: dict[str, Any] = {"path": path, "lists": "lists"}
    found = MSD.collect(tmp_path, **options)
    assert [item.key for item in found.recordings] == [sets.TRACKS[2]]
    assert any(note.startswith("missing tracks: 23 (") for note in found.notes)


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("filtered_list_train.cP", {"a": "b"}, "this is no list of track ids; fetch=yes gets MSD_split/"),
        ("filtered_list_test.cP", [1, 2], "this is no list of track ids"),
        ("msd_id_to_tag_vector.cP", ["x"], "this is no dictionary"),
        ("msd_id_to_tag_vector.cP", {"TRA": np.ones((49, 1))}, "TRA has no vector of 50 zeros and ones"),
    ],
)
def test_another_content_is_refused(tmp_path: Path, name: str, value: object, match: str) -> None:
    root = sets.msd(tmp_path)
    (root / "MSD_split" / name).write_bytes(sets.python2(value))
    with pytest.raises(DataSetError, match=match):
        MSD.collect(root, **BY_ID)


def test_other_tags_are_refused_and_missing_lists_say_how_to_get_them(tmp_path: Path) -> None:
    root = sets.msd(tmp_path)
    (root / "MSD_split" / "50tagList.txt").write_text("rock\npop\n")
    with pytest.raises(DataSetError, match=r"50tagList\.txt: these are not the published tags"):
        MSD.collect(root, **BY_ID)
    shutil.rmtree(root / "MSD_split")
    with pytest.raises(
        DataSetError, match=r"no such file; fetch=yes gets MSD_split/ of https.* or say with lists=DIR"
    ):
        MSD.collect(root, **BY_ID)


def run_me(*_: object) -> None:
    raise AssertionError("code of a pickle was run")


class Evil:
    """Pickles into a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self._call


EVIL = {
    "a function": Evil(run_me),
    "a command": Evil(os.system, "touch owned"),
    "eval": Evil(eval, "open('owned', 'w')"),
    "getattr": Evil(getattr, "x", "upper"),
    "in a list": ["TRA", Evil(os.system, "touch owned")],
    "numpy's loader": Evil(np.load, "owned"),
    "an array of objects": np.array([Evil(os.system, "touch owned")], object),
    "a class": Evil(Path, "owned"),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("what", EVIL)
def test_nothing_in_a_pickle_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        pickle.UnpicklingError, match=r"it names .*was not run|it holds an array of type 'O8'"
    ):
        unpickle(pickle.dumps(EVIL[what], protocol))
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"cnumpy\nndarray\n(I9\ntR.", "makes an array in an unknown way"),
        (b"cnumpy\nndarray\n}S'x'\nI1\nsb.", "sets attributes of a function"),
        (b"cnumpy\nndarray\nN}S'_call'\nI1\ns\x86b.", "sets attributes of a function"),
        (b"cnumpy\nndarray\n.", "it holds a _Name"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(I1\ntR.", "makes something else out of an array"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\ntR.", "an array without its data"),
        (b"cnumpy\ndtype\n(S'O8'\ntR.", "an array of type 'O8'"),
        (b"c_codecs\nencode\n(V\\u0041\nS'zip'\ntR.", "it encodes str as 'zip'"),
        (
            b"cposix\nsystem\n(S'true'\ntR.",
            "it names posix.system, which data has no need of: it was not run",
        ),
        (b"(S'true'\niposix\nsystem\n.", "it names posix.system"),
        (b"\x80\x02\x82\x01.", "a damaged pickle"),
        (b"Pid\n.", "a damaged pickle|persistent"),
        (b"", "a damaged pickle"),
        (b"no pickle at all", "a damaged pickle|invalid"),
        (b"(lp0\ng0\na.", "a damaged pickle"),
    ],
)
def test_a_pickle_that_is_no_data_is_refused(data: bytes, match: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match=match):
        unpickle(data)


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n%s%sI00\n%stb."
FLAGS = b"cnumpy\ndtype\n(S'b1'\nI0\nI1\ntR(I3\nS'%s'\nNNNI-1\nI-1\nI0\ntb"


@pytest.mark.parametrize(
    ("shape", "order", "data", "match"),
    [
        (b"(I3\nt", b"|", b"S'\\x00'\n", r"an array of 1 bytes, \(3,\) needs 3"),
        (b"(I-1\nI-1\nt", b"|", b"S'\\x00'\n", r"an array of shape \(-1, -1\)"),
        (b"(L99999999999999999999L\nt", b"|", b"S'\\x00'\n", "an array of 1 bytes"),
        (b"I1\n", b"|", b"S'\\x00'\n", "parts are of other kinds"),
        (b"(I1\nt", b"!", b"S'\\x00'\n", "an array of byte order '!'"),
        (b"(I1\nt", b"|", b"N", "parts are of other kinds"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(shape: bytes, order: bytes, data: bytes, match: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match=match):
        unpickle(ARRAY % (shape, FLAGS % order, data))


VALUES = [
    ["TRA", "é", 1, 2.5, True, None, b"\xff\x00"],
    {"TRA": np.arange(6, dtype=np.float32).reshape(2, 3), 7: "x"},
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([[True], [False]]),
    np.array([1, 300], ">i4"),
    {"a": np.float64(0.1), "b": [np.int8(-3)]},
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_data_is_read_as_pickle_reads_it(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    np.testing.assert_equal(unpickle(data), pickle.loads(data))


def test_pickles_of_python_2_are_read_as_pickle_reads_them() -> None:
    value = {"TRA": np.arange(50)[:, None] % 2 == 0, "n": [1, "x/y.mp3"]}
    data = sets.python2(value)
    np.testing.assert_equal(unpickle(data), pickle.loads(data, encoding="latin1"))
    np.testing.assert_equal(unpickle(data), value)


def test_a_file_too_large_to_be_a_list_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "x.cP", "wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(DataSetError, match=r"x\.cP: a pickle of at most 1,073,741,824 bytes is read; get it"):
        read_pickle(tmp_path / "x.cP", "get it")
    with pytest.raises(DataSetError, match=r"y\.cP: there is no such file; get it"):
        read_pickle(tmp_path / "y.cP", "get it")


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pinned:
    """The lists in a repository on this machine."""
    source = tmp_path / "published"
    sets.msd_lists(source / "MSD_split")
    (source / "large.bin").write_bytes(os.urandom(10_000))
    commit = sets.repository(source)
    found = Pinned(source.as_uri(), commit, "MSD_split")
    monkeypatch.setattr(msd, "LISTS", found)
    return found


@needs_git
def test_lists_are_fetched_at_the_commit_and_verified(tmp_path: Path, pinned: Pinned) -> None:
    source = tmp_path / "published"
    (source / "MSD_split" / "50tagList.txt").write_text("later\n")
    sets.repository(source)
    root = tmp_path / "msd"
    sets.clip(root / "A" / f"{sets.TRACKS[0]}.wav")
    with pytest.raises(DataSetError, match="fetch=yes gets MSD_split"):
        MSD.collect(root, **BY_ID)
    assert not (root / "MSD_split").exists(), "nothing is fetched unasked"
    found = MSD.collect(root, fetch="yes", **BY_ID)
    assert [item.key for item in found.recordings] == [sets.TRACKS[0]]
    assert not any("git blob id" in note for note in found.notes)
    assert sorted(path.name for path in (root / "MSD_split").iterdir()) == sorted(
        [*(path.name for path in (source / "MSD_split").iterdir()), IDS]
    )
    assert MSD.collect(root, **BY_ID) == found, "what was fetched once is used again"
    (tmp_path / "published").rename(tmp_path / "offline")
    assert MSD.collect(root, fetch="yes", **BY_ID) == found, "and not fetched again"


@needs_git
def test_a_list_that_changed_after_it_was_fetched_is_refused(tmp_path: Path, pinned: Pinned) -> None:
    root = tmp_path / "msd"
    sets.clip(root / "A" / f"{sets.TRACKS[0]}.wav")
    MSD.collect(root, fetch="yes", **BY_ID)
    path = root / "MSD_split" / "filtered_list_test.cP"
    path.write_bytes(sets.python2(["TRX"]))
    with pytest.raises(
        DataSetError, match=r"filtered_list_test\.cP: its git blob id is [0-9a-f]{40}, .* damaged"
    ):
        MSD.collect(root, **BY_ID)
    MSD.collect(root, fetch="yes", **BY_ID)
    (root / "MSD_split" / IDS).write_text("0" * 40 + "\n")
    with pytest.raises(DataSetError, match=f"holds commit 0000.*, {pinned.commit} is needed"):
        MSD.collect(root, **BY_ID)


@needs_git
def test_a_damaged_repository_gives_nothing(tmp_path: Path, pinned: Pinned) -> None:
    source = tmp_path / "published"
    blob = blob_id(source / "MSD_split" / "filtered_list_test.cP")
    stored = source / ".git" / "objects" / blob[:2] / blob[2:]
    stored.chmod(0o644)
    other = blob_id(source / "large.bin")
    shutil.copy(source / ".git" / "objects" / other[:2] / other[2:], stored)
    root = tmp_path / "msd"
    root.mkdir()
    with pytest.raises(DataSetError, match=r"git cat-file failed: |its git blob id is"):
        MSD.collect(root, fetch="yes", **BY_ID)
    assert not (root / "MSD_split" / "filtered_list_test.cP").exists()


@needs_git
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"commit": "0" * 40}, "git fetch failed: "),
        ({"url": "file:///nowhere/at/all"}, "git fetch failed: "),
        ({"folder": "TAGTRAUM_split"}, "git ls-tree failed: "),
    ],
)
def test_what_cannot_be_fetched_is_one_line(
    tmp_path: Path, pinned: Pinned, change: dict[str, str], match: str
) -> None:
    wrong = Pinned(**{"url": pinned.url, "commit": pinned.commit, "folder": pinned.folder, **change})
    with pytest.raises(DataSetError, match=match) as caught:
        wrong.fetch(tmp_path / "into", ["50tagList.txt"])
    assert "\n" not in str(caught.value) and list((tmp_path / "into").iterdir()) == []


@needs_git
def test_a_file_that_the_commit_lacks_and_a_folder_that_is_a_file_are_named(
    tmp_path: Path, pinned: Pinned
) -> None:
    with pytest.raises(DataSetError, match=f"has no MSD_split/x.cP in commit {pinned.commit}"):
        pinned.fetch(tmp_path / "into", ["x.cP"])
    (tmp_path / "file").touch()
    with pytest.raises(DataSetError, match=r"file/below: can't be written .*choose another folder"):
        pinned.fetch(tmp_path / "file" / "below", ["50tagList.txt"])


def test_without_git_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataSetError, match=r"fetching needs git; install it, or copy the lists"):
        MSD.collect(tmp_path, fetch="yes")
    with pytest.raises(DataSetError, match=r"the option fetch is one of no, yes, not 'maybe'"):
        MSD.collect(tmp_path, fetch="maybe")


@needs_git
def test_a_blob_id_is_gits(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(os.urandom(3_000_000))
    done = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True)
    assert blob_id(path) == done.stdout.strip()
    assert blob_id(path) == hashlib.sha1(b"blob 3000000\0" + path.read_bytes()).hexdigest()


@pytest.mark.parametrize("packed", [False, True])
def test_tagtraum_takes_genres_from_the_labels_and_the_split_from_the_lists(
    tmp_path: Path, packed: bool
) -> None:
    root = sets.tagtraum(tmp_path)
    if packed:
        with zipfile.ZipFile(root / "msd_tagtraum_cd2c.cls.zip", "w") as archive:
            archive.write(root / "msd_tagtraum_cd2c.cls", "msd_tagtraum_cd2c.cls")
        (root / "msd_tagtraum_cd2c.cls").unlink()
    found = TAGTRAUM.collect(root)
    assert found.counts() == {"train": 16, "valid": 2, "test": 6} and found.single_label
    assert found.tags == ("Jazz", "New Age", "Rap") and found.recordings[1].tags == ("New Age",)
    assert "msd_tagtraum_cd2c.cls has not 15 genres: 3 (Jazz, New Age, Rap)" in found.notes


def test_tagtraum_draws_a_split_without_lists(tmp_path: Path) -> None:
    root = sets.tagtraum(tmp_path)
    shutil.rmtree(root / "TAGTRAUM_split")
    with pytest.raises(DataSetError, match="fetch=yes gets TAGTRAUM_split/"):
        TAGTRAUM.collect(root)
    found = TAGTRAUM.collect(root, split="stratified:1")
    assert found.counts() == {"train": 18, "valid": 3, "test": 3}


@pytest.mark.parametrize("text", ["TRAAA Jazz\n", "TRAAA\tJazz\tRock\n", "TRAAA\t\n"])
def test_labels_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "msd_tagtraum_cd2c.cls").write_text("# comment\n\n" + text)
    with pytest.raises(DataSetError, match=r"cls, line 3: a track, a tab and one genre are needed; get "):
        TAGTRAUM.collect(tmp_path)
    (tmp_path / "msd_tagtraum_cd2c.cls").unlink()
    (tmp_path / "msd_tagtraum_cd2c.cls.zip").write_bytes(b"PK no archive")
    with pytest.raises(DataSetError, match=r"no archive with msd_tagtraum_cd2c\.cls"):
        TAGTRAUM.collect(tmp_path)
