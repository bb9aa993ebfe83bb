"""The journal: nothing lost, nothing done twice, and the same bytes however often a run was interrupted."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from samplecnn_zoo.audio import AudioError
from samplecnn_zoo.bulk import Journal, JournalError, Outcome, assemble, process
from samplecnn_zoo.formats import JsonWriter, Record

HEADER = {"command": "tag", "preset_sha256": "abc", "levels": (-1, -2)}


def make_files(folder: Path, count: int = 5) -> list[Path]:
    files = [folder / f"{index}.wav" for index in range(count)]
    for index, file in enumerate(files):
        file.write_bytes(b"x" * (index + 1))
    return files


class Work:
    """A function of one file that counts its calls and fails where it is told to."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.calls: list[str] = []

    def __call__(self, path: Path) -> Record:
        self.calls.append(path.name)
        if path.name in self.bad:
            raise AudioError(path, "corrupt", "no audio")
        return {"path": str(path), "size": path.stat().st_size}


def finish(
    journal_path: Path, files: list[Path], work: Callable[[Path], Record], *, resume: bool = False
) -> tuple[bytes, list[Outcome]]:
    output = journal_path.with_suffix(".json")
    with Journal(journal_path, HEADER, resume=resume) as journal:
        outcomes = list(process(files, work, journal=journal))
        assemble(output, journal.records(files), JsonWriter)
    return output.read_bytes(), outcomes


def test_outcomes_come_in_order_and_a_bad_file_stops_nothing(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    outcomes = list(process(files, Work("1.wav")))
    assert [outcome.path for outcome in outcomes] == files
    assert [outcome.record is None for outcome in outcomes] == [False, True, False, False, False]
    assert str(outcomes[1].error).startswith(f"{files[1]}: no audio; ")


def test_an_unexpected_error_is_one_line_with_its_kind(tmp_path: Path) -> None:
    def work(path: Path) -> Record:
        raise ZeroDivisionError("two\nlines")

    (outcome,) = process(make_files(tmp_path, 1), work)
    assert outcome.error == f"{tmp_path / '0.wav'}: ZeroDivisionError: two lines"


def test_output_is_in_input_order_whatever_order_the_journal_has(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    finish(tmp_path / "run.journal", files[3:], Work())
    work = Work()
    data, _ = finish(tmp_path / "run.journal", files, work, resume=True)
    assert [row["path"] for row in json.loads(data)] == [str(file) for file in files]
    assert work.calls == ["0.wav", "1.wav", "2.wav"]


def test_cut_at_every_byte_the_resumed_output_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # hundreds of runs; no power fails here
    files = make_files(tmp_path, 3)
    path = tmp_path / "run.journal"
    whole, _ = finish(path, files, Work("1.wav"))
    journal = path.read_bytes()
    for cut in range(len(journal) + 1):
        path.write_bytes(journal[:cut])
        work = Work("1.wav")
        resumed, outcomes = finish(path, files, work, resume=True)
        assert resumed == whole
        assert [outcome.path for outcome in outcomes] == files
    assert work.calls == ["1.wav"]  # from the whole journal: only what failed


def test_at_most_the_file_in_hand_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    path = tmp_path / "run.journal"
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(path.read_bytes()))
    files = make_files(tmp_path)
    with Journal(path, HEADER) as journal:
        run = process(files, Work(), journal=journal)
        for done in range(1, 6):
            next(run)
            lines = path.read_bytes().splitlines(keepends=True)
            assert len(lines) == 1 + done
            assert lines[-1].endswith(b"\n")
            assert synced[-1] == b"".join(lines), "the line is not on the disk yet"


@pytest.mark.parametrize("rubbish", [b"\0" * 40 + b"\n", b"5\n", b"[]\n", b'{"record": 1}\n', b'{"pa'])
def test_a_torn_or_broken_line_is_a_file_not_done(tmp_path: Path, rubbish: bytes) -> None:
    files = make_files(tmp_path, 3)
    path = tmp_path / "run.journal"
    whole, _ = finish(path, files, Work())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], rubbish]))
    work = Work()
    assert finish(path, files, work, resume=True)[0] == whole
    assert work.calls == ["1.wav", "2.wav"]


def test_failed_files_are_in_the_journal_and_tried_again(tmp_path: Path) -> None:
    files = make_files(tmp_path, 3)
    path = tmp_path / "run.journal"
    finish(path, files, Work("1.wav"))
    assert json.loads(path.read_bytes().splitlines()[2])["error"].startswith(f"{files[1]}: no audio")
    mended = Work()
    data, _ = finish(path, files, mended, resume=True)
    assert mended.calls == ["1.wav"]
    assert len(json.loads(data)) == 3


def test_a_file_that_changed_is_done_again(tmp_path: Path) -> None:
    files = make_files(tmp_path, 3)
    path = tmp_path / "run.journal"
    finish(path, files, Work())
    files[1].write_bytes(b"longer than before")
    work = Work()
    data, _ = finish(path, files, work, resume=True)
    assert work.calls == ["1.wav"]
    assert json.loads(data)[1]["size"] == 18


def test_a_file_that_changed_into_a_bad_one_has_no_row(tmp_path: Path) -> None:
    files = make_files(tmp_path, 3)
    path = tmp_path / "run.journal"
    finish(path, files, Work())
    files[1].write_bytes(b"longer than before")
    data, _ = finish(path, files, Work("1.wav"), resume=True)
    assert [row["path"] for row in json.loads(data)] == [str(files[0]), str(files[2])]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"preset_sha256": "xyz"}, "preset_sha256 'abc', now it is 'xyz'"),
        ({"levels": (-1,)}, r"levels \[-1, -2\], now it is \[-1\]"),
        ({"hop_s": 2.0}, "hop_s None, now it is 2.0"),
    ],
)
def test_another_runs_journal_is_refused_and_left_alone(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "run.journal"
    finish(path, make_files(tmp_path), Work())
    before = path.read_bytes()
    with pytest.raises(JournalError, match=f"begun with {words}; resume with .*--overwrite"):
        Journal(path, HEADER | change, resume=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"RIFF....WAVE\n", b"[]\n", b"{}\n", b"5\n"])
def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.journal"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="not a journal"):
        Journal(path, HEADER, resume=True)
    assert path.read_bytes() == content


def test_without_resume_the_journal_starts_anew(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    path = tmp_path / "run.journal"
    finish(path, files, Work())
    work = Work()
    finish(path, files, work)
    assert len(work.calls) == 5


def test_two_runs_do_not_write_one_journal(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "run.journal"
    with Journal(path, HEADER), pytest.raises(JournalError, match="another run is writing it"):
        Journal(path, HEADER, resume=True)
    with Journal(path, HEADER, resume=True) as journal:
        assert len(journal) == 0


def test_a_name_that_is_no_utf8_survives(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9\n.wav")
    file.write_bytes(b"x")
    finish(tmp_path / "run.journal", [file], Work())
    work = Work()
    data, _ = finish(tmp_path / "run.journal", [file], work, resume=True)
    assert not work.calls
    assert json.loads(data)[0]["path"] == str(file)


def test_a_number_that_is_not_finite_never_reaches_the_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "run.journal", HEADER) as journal, pytest.raises(ValueError, match="JSON"):
        journal.append(Outcome(Path("a"), {"path": "a", "score": float("nan")}))


class FullDisk:
    """A writer that has room for two records."""

    def __init__(self, stream: BinaryIO) -> None:
        self.room = 2

    def write(self, record: Record) -> None:
        self.room -= 1
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None: ...


def test_a_full_disk_leaves_the_old_output_and_no_rest(tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    output.write_text("old")
    records = [{"path": str(index)} for index in range(3)]
    with pytest.raises(OSError, match="No space left") as caught:
        assemble(output, records, FullDisk)
    assert str(caught.value.filename).startswith(str(output))
    assert output.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.json"]


def test_the_output_is_exchanged_at_once(tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    output.write_text("old")
    with output.open() as reader:
        assemble(output, [{"path": "a"}], JsonWriter)
        assert reader.read() == "old"
    assert json.loads(output.read_bytes()) == [{"path": "a"}]


def test_assembling_holds_one_record_at_a_time(tmp_path: Path) -> None:
    alive = 0

    class Counted(dict[str, Any]):
        def __init__(self, name: str) -> None:
            nonlocal alive
            alive += 1
            super().__init__(path=name)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    seen: list[int] = []

    class Spy:
        def __init__(self, stream: BinaryIO) -> None: ...

        def write(self, record: Record) -> None:
            seen.append(alive)

        def close(self) -> None: ...

    assert assemble(tmp_path / "out.json", (Counted(str(index)) for index in range(50)), Spy) == 50
    assert max(seen) <= 2


def test_the_journal_is_read_one_record_at_a_time(tmp_path: Path) -> None:
    files = make_files(tmp_path, 4)
    with Journal(tmp_path / "run.journal", HEADER) as journal:
        list(process(files, Work(), journal=journal))
        records = journal.records([files[2], files[0], tmp_path / "other.wav"])
        assert next(records)["size"] == 3
        assert next(records)["size"] == 1
        assert next(records, None) is None
