"""What every data set promises, tried on a small copy of each; and the command that lists and checks them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from typer.testing import CliRunner

from samplecnn_zoo.audio import AudioError
from samplecnn_zoo.cli import app
from samplecnn_zoo.datasets import (
    DATASETS,
    Collection,
    DataSet,
    DataSetError,
    Finding,
    Recording,
    get,
    local,
)
from samplecnn_zoo.datasets.collection import SPLITS, Survey, summary
from samplecnn_zoo.datasets.local import Shelf, Template
from tests import sets


@dataclass(frozen=True)
class Case:
    """How a copy of a set is made, and the options that read it."""

    make: Callable[[Path], Path]
    options: dict[str, Any] = field(default_factory=dict)


CASES = {
    "magnatagatune": Case(sets.magnatagatune),
    "msd": Case(sets.msd, {"path": "{id[2]}/{id}"}),
    "gtzan": Case(lambda root: sets.gtzan(root, tracks=range(30))),
    "tagtraum": Case(sets.tagtraum),
    "jamendo": Case(sets.jamendo),
    "folder": Case(sets.folder),
    "table": Case(sets.own_table),
    "midi": Case(sets.midi),
}
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "datasets.md"
every_set = pytest.mark.parametrize("name", list(DATASETS))


class Backwards:
    """The entries of a folder in the reverse of the order of their names, as `os.scandir` would give them."""

    def __init__(self, entries: Iterable["os.DirEntry[str]"]) -> None:
        self._left = sorted(entries, key=lambda entry: entry.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> "os.DirEntry[str]":
        if not self._left:
            raise StopIteration
        return self._left.pop()

    def close(self) -> None: ...


def levels(findings: list[Finding]) -> set[str]:
    return {finding.level for finding in findings}


def test_each_set_has_a_case() -> None:
    assert CASES.keys() == DATASETS.keys()


@every_set
def test_a_set_says_what_it_is(name: str) -> None:
    facts = DATASETS[name]
    assert facts.name == name and facts.title and facts.license and facts.layout
    assert facts.citation or not facts.expected, "a published set has a citation"
    assert not facts.expected or tuple(facts.expected) == SPLITS


@every_set
def test_a_copy_becomes_a_collection_whatever_the_order_of_the_disk(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    root = case.make(tmp_path / "copy")
    collection = get(name).collect(root, **case.options)
    assert collection.name == name and collection.recordings
    assert all(item.path.is_file() and item.tags for item in collection.recordings)
    assert set(collection.counts()) == set(SPLITS) and collection.counts()["train"]
    assert sum(collection.counts().values()) == len(collection.recordings)

    scandir, listdir = os.scandir, os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": listdir(path)[::-1])
    monkeypatch.setattr(os, "scandir", lambda path=".": Backwards(scandir(path)))
    assert get(name).collect(root, **case.options) == collection


@every_set
def test_what_is_missing_and_what_is_no_audio_is_named_and_left_out(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    root = case.make(tmp_path / "copy")
    whole = get(name).collect(root, **case.options)
    gone, broken = whole.recordings[0], whole.recordings[-1]
    gone.path.unlink()
    broken.path.write_bytes(b"no music\n" * 100)
    findings = get(name).validate(root, **case.options)
    said = " ".join(finding.what for finding in findings)
    if name != "folder":  # nobody knows what was in somebody's folder
        assert gone.path.name.split(".")[0] in said
    assert f"{broken.path}: " in said and "unreadable" in said
    assert "warning" in levels(findings) and "error" not in levels(findings)
    left = {item.key for item in get(name).collect(root, **case.options).recordings}
    assert gone.key not in left and left <= {item.key for item in whole.recordings}


@every_set
def test_an_empty_folder_is_one_line_that_says_what_is_wanted(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataSetError) as caught:
        get(name).collect(tmp_path, **CASES[name].options)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    findings = get(name).validate(tmp_path, **CASES[name].options)
    assert "error" in levels(findings)
    with pytest.raises(DataSetError, match=f"{name}: .* is no folder; root has to hold "):
        get(name).collect(tmp_path / "nowhere")


@every_set
def test_an_unknown_option_is_refused_with_those_there_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"there is no option 'spilt'; its options are: "):
        get(name).collect(tmp_path, spilt="filtered")


def test_an_unknown_set_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        DataSetError, match=r"no data set 'mtat'; there are magnatagatune, msd, gtzan, .* midi"
    ):
        get("mtat")


def test_a_whole_copy_has_no_findings(tmp_path: Path) -> None:
    assert get("midi").validate(sets.midi(tmp_path / "midi")) == []
    assert get("folder").validate(sets.folder(tmp_path / "folder")) == []
    assert get("table").validate(sets.own_table(tmp_path / "table")) == []


def recording(key: str, tags: tuple[str, ...] = ("a",), split: str = "train") -> Recording:
    return Recording(key, Path(key), tags, split)


@pytest.mark.parametrize(
    ("recordings", "match"),
    [
        ((recording("x"), recording("y"), recording("x")), "s: 'x' stands for 2 recordings; keys are unique"),
        ((recording("x", ("a", "c")),), r"s: x: tags \['c'\] are not among the set's"),
        ((recording("x", split="dev"),), "s: x: split is one of train, valid, test, not 'dev'"),
        ((recording("x", ("a", "b")),), "s: x: a single-label recording has one tag, not 2"),
        ((recording("x", ()),), "s: x: a single-label recording has one tag, not 0"),
    ],
)
def test_a_collection_that_cannot_be_is_refused(recordings: tuple[Recording, ...], match: str) -> None:
    with pytest.raises(DataSetError, match=match):
        Collection("s", ("a", "b"), recordings, single_label=True)


def test_an_error_among_the_findings_stops_collecting(tmp_path: Path) -> None:
    survey = Survey(("a",), (recording("x"),), findings=(Finding("note", "n"), Finding("error", "torn")))
    dataset = DataSet("s", "S", "l", "", "", "files", {}, lambda root: survey)
    with pytest.raises(DataSetError, match="s: torn"):
        dataset.collect(tmp_path)


def test_nothing_that_can_be_used_tells_why(tmp_path: Path) -> None:
    survey = Survey(("a",), (), findings=tuple(summary("warning", "missing clips", ["x", "y", "z", "w"])))
    dataset = DataSet("s", "S", "l", "", "", "files", {}, lambda root: survey)
    with pytest.raises(DataSetError, match=r"no clip of the set \(missing clips: 4 \(x, y, z and 1 more\)\)"):
        dataset.collect(tmp_path)


@pytest.mark.parametrize(("official", "lines"), [(True, 1), (False, 0)])
def test_counts_are_compared_in_the_official_split_alone(tmp_path: Path, official: bool, lines: int) -> None:
    path = sets.clip(tmp_path / "x.wav")
    survey = Survey(("a",), (Recording("x", path, ("a",), "train"),), official=official)
    expected = {"train": 2000, "valid": 0, "test": 0}
    dataset = DataSet("s", "S", "l", "", "", "files", expected, lambda root: survey)
    line = "1 train, 0 valid, 0 test clips can be used; the whole set has 2,000 train, 0 valid, 0 test"
    assert dataset.validate(tmp_path) == [Finding("warning", line)] * lines


def test_a_bar_sees_every_file_and_closed_files_are_not_opened(tmp_path: Path) -> None:
    root = sets.gtzan(tmp_path, tracks=range(3))
    bars: list[tuple[int, int]] = []

    def progress(steps: Iterable[None], total: int) -> Iterator[None]:
        bars.append((total, sum(1 for _ in steps)))
        yield from ()

    get("gtzan").validate(root, progress=progress)
    files = len(list(root.rglob("*.wav")))
    assert bars == [(files, files)]
    get("gtzan").validate(root, headers=False, progress=progress)
    assert len(bars) == 1


def test_a_file_is_found_in_any_format_the_lossless_one_first(tmp_path: Path) -> None:
    for name in ("a/x.00001.mp3", "a/x.00001.flac", "a/y.ogg", "a/.z.wav", "a/text.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    shelf = Shelf(tmp_path)
    assert shelf.find("a/x.00001") == tmp_path / "a/x.00001.flac"
    assert shelf.find("a/x.00001.mp3") == tmp_path / "a/x.00001.mp3"
    assert shelf.find("a/x.00001.wav") == tmp_path / "a/x.00001.flac"
    assert [shelf.find(name) for name in ("a/z", "a/text", "b/x", "a/x")] == [None] * 4
    assert shelf.strangers() == ["a/y.ogg"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("audio.wav", "is a path with some of the fields {id}, not 'audio.wav'"),
        ("{track}.wav", "is a path with some of the fields {id}, not"),
        ("{id", "no template"),
        ("{id[9]}/{id}.wav", "doesn't fit"),
        ("{id.nothing}", "doesn't fit"),
        ("{id:q}", "doesn't fit"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused(text: str, match: str) -> None:
    with pytest.raises(DataSetError, match=f"the option path.*{match}"):
        Template("path", text, ["id"]).fill(id="TRAAA")


def test_a_stopped_bar_leaves_the_other_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def header(path: Path) -> AudioError:
        opened.append(path)
        time.sleep(0.02)
        return AudioError(path, "missing", "gone")

    def stopped(steps: Iterable[None], _: int) -> Iterator[None]:
        for step in steps:
            yield step
            raise KeyboardInterrupt

    monkeypatch.setattr(local, "_header", header)
    with pytest.raises(KeyboardInterrupt):
        local.read_headers([tmp_path / str(number) for number in range(5000)], stopped)
    done = len(opened)
    time.sleep(0.1)
    assert len(opened) == done < 500


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["datasets", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_lists_every_set_with_its_licence() -> None:
    code, said, _ = run()
    words = " ".join(said.split())
    assert code == 0
    for name, dataset in DATASETS.items():
        assert f"{name} {dataset.title}" in words and dataset.license in words
    facts = json.loads(run("--format", "json")[1])
    assert [item["name"] for item in facts] == list(DATASETS)


@every_set
def test_the_command_shows_a_set(name: str) -> None:
    code, said, _ = run(name)
    words = " ".join(said.split())
    assert code == 0 and DATASETS[name].layout in words and " ".join(DATASETS[name].citation.split()) in words
    assert json.loads(run(name, "--format", "json")[1])["options"] == dict(DATASETS[name].options)


def test_the_command_checks_a_copy(tmp_path: Path) -> None:
    root = sets.midi(tmp_path / "midi")
    assert run("midi", "--root", root) == (0, f"{root}: all is as expected\n", "")
    (root / "audio" / "c2.flac").unlink()
    code, said, _ = run("midi", "--root", root)
    assert (code, said) == (1, "warning: missing clips of index.csv: 1 (audio/c2.flac)\n")
    assert json.loads(run("midi", "--root", root, "-f", "json")[1])[0]["level"] == "warning"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["mtat"], "there is no data set 'mtat'"),
        (
            ["gtzan", "--root", ".", "--option", "splits=1"],
            "there is no option 'splits'; its options are: split",
        ),
        (["gtzan", "--root", ".", "--option", "progress=1"], "there is no option 'progress'"),
        (["gtzan", "--root", ".", "--option", "split"], "--option wants name=value, got 'split'"),
        (["--root", "."], "give its name first"),
    ],
)
def test_wrong_use_of_the_command_is_one_line_and_code_2(arguments: list[str], match: str) -> None:
    code, _, said = run(*arguments)
    assert code == 2 and match in " ".join(said.split())


@pytest.mark.skipif(not DOCUMENT.is_file(), reason="the tests run without the project's files")
def test_the_document_tells_each_set_its_counts_and_its_options() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, dataset in DATASETS.items():
        assert f"| `{name}` |" in text
        assert "/".join(f"{count:,}" for count in dataset.expected.values()) in text
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for option in dataset.options:
            assert f"`{option}`" in section or f"`{option}=" in section, f"{name}: {option}"


def test_the_package_of_the_sets_imports_no_framework() -> None:
    code = (
        "import sys, samplecnn_zoo.datasets as d; d.get('msd'); d.DATASETS; "
        "print(*{'tensorflow', 'keras', 'jax', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
    with pytest.raises(AttributeError, match="has no attribute 'collect'"):
        from samplecnn_zoo import datasets

        datasets.collect  # noqa: B018
