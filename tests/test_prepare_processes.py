"""Real processes: workers that die, runs that are killed, disks that are full, and the command."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from samplecnn_zoo.datasets import decoding
from samplecnn_zoo.datasets.collection import Collection
from samplecnn_zoo.datasets.decoding import DecoderError, Task, decode_all
from samplecnn_zoo.datasets.prepare import prepare
from tests.preparing import CLIP_SAMPLES, RATE, collection, content
from tests.sounds import noise, write

KILLS = 10
ROOT = Path(__file__).parents[1]
# A run over a folder of noises in shards of four clips; it says when it begins to work.
SCRIPT = """
import sys
from pathlib import Path
from samplecnn_zoo.datasets.prepare import prepare
from tests.preparing import RATE, collection_of
print("begun", flush=True)
prepare(collection_of(Path(sys.argv[1])), sys.argv[2], sample_rate=8 * RATE, shard_clips=4, workers=2)
"""


def tasks(paths: list[Path]) -> list[Task]:
    return [Task(row, str(path), RATE, CLIP_SAMPLES) for row, path in enumerate(paths)]


def files(folder: Path, count: int) -> list[Path]:
    return [write(folder / f"{index}.wav", noise(0.5, RATE, seed=index), RATE) for index in range(count)]


def test_outcomes_come_in_order_and_few_are_worked_ahead(tmp_path: Path) -> None:
    asked = 0

    def counted() -> Iterator[Task]:
        nonlocal asked
        for task in tasks(files(tmp_path, 20)):
            asked += 1
            yield task

    for row, outcome in enumerate(decode_all(counted(), workers=2)):
        assert outcome.row == row
        assert outcome.samples == 500
        assert asked <= row + 1 + 2 * 2, "memory grows with the list"


def test_workers_end_when_the_outcomes_are_no_longer_wanted(tmp_path: Path) -> None:
    others = children(os.getpid())  # of earlier tests: multiprocessing keeps a tracker
    outcomes = decode_all(tasks(files(tmp_path, 20)), workers=2)
    next(outcomes)
    assert len(children(os.getpid()) - others) == 2
    outcomes.close()
    assert children(os.getpid()) <= others


def test_a_worker_that_died_is_begun_anew(tmp_path: Path) -> None:
    others = children(os.getpid())
    outcomes = decode_all(tasks(files(tmp_path, 12)), workers=1)
    first = next(outcomes)
    (worker,) = children(os.getpid()) - others
    os.kill(worker, signal.SIGKILL)
    rest = list(outcomes)
    assert [outcome.error for outcome in (first, *rest)] == [None] * 12


def test_a_file_that_kills_its_decoder_is_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = (
        "import os, sys\n"
        "from samplecnn_zoo.datasets import decoding\n"
        "real = decoding.decode\n"
        "decoding.decode = lambda task: os.abort() if task.row == 2 else real(task)\n"
        "decoding._serve(sys.stdin.buffer, sys.stdout.buffer)\n"
    )
    monkeypatch.setattr(decoding, "COMMAND", (sys.executable, "-c", dying))
    paths = files(tmp_path, 5)
    outcomes = list(decode_all(tasks(paths), workers=1))
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True, True]
    assert outcomes[2].error == (f"{paths[2]}: the decoder died on it twice (exit code -6); convert the file")


def test_modules_in_the_users_folder_are_not_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('mine')")
    paths = files(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    (outcome,) = decode_all(tasks(paths), workers=1)
    assert outcome.error is None


def test_a_decoder_that_can_not_begin_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(DecoderError, match=r"no decoder can be begun: .* first file, with exit code 3; what"):
        list(decode_all(tasks(files(tmp_path, 9)), workers=2))


def children(parent: int) -> set[int]:
    """Living processes whose parent this is."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, above = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has just ended
            continue
        if int(above) == parent and state != "Z":
            found.add(int(folder.name))
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def start(audio: Path, out: Path, **options: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, str(audio), str(out)]
    process: subprocess.Popen[str] = subprocess.Popen(  # type: ignore[call-overload]
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    return process


def finished(process: "subprocess.Popen[str]") -> str:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 clips; at 8 times their rate, resampling them is some work."""
    folder = tmp_path_factory.mktemp("noises") / "audio"
    collection(folder, counts={"train": 20, "valid": 4, "test": 6})
    return folder


@pytest.fixture(scope="module")
def undisturbed(noises: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """What a run that nobody stops writes, and the seconds of its work."""
    out = tmp_path_factory.mktemp("undisturbed") / "set"
    process = start(noises, out)
    assert process.stdout is not None
    process.stdout.readline()
    begin = time.monotonic()
    finished(process)
    return content(out), time.monotonic() - begin


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to find workers in")
@pytest.mark.parametrize("kill", range(KILLS))
def test_killed_at_a_random_moment_and_run_again_it_gives_the_same_bytes(
    noises: Path, undisturbed: tuple[dict[str, bytes], float], tmp_path: Path, kill: int
) -> None:
    whole, work_s = undisturbed
    out = tmp_path / "set"
    delay_s = random.Random(f"kill {kill}").uniform(0, work_s)
    process = start(noises, out)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay_s)
    workers = children(process.pid)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    done = {path: path.stat().st_ino for path in finished_shards(out)}
    finished(start(noises, out))
    assert content(out) == whole, f"killed after {delay_s:.3f} s of {work_s:.3f} s"
    assert {path: path.stat().st_ino for path in done} == done, "a whole shard was made again"


def finished_shards(out: Path) -> list[Path]:
    """Shards that the journal has."""
    return [out / path.name.removesuffix(".json") for path in out.glob("journal/*.tfrecord.json")]


def test_ctrl_c_stops_the_run_its_workers_and_leaves_no_half_file(noises: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    process = start(noises, out, process_group=0)
    wait_for(lambda: bool(finished_shards(out)))
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert not list(out.rglob("*.partial"))
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def run(*arguments: object, limit_bytes: int | None = None) -> "subprocess.CompletedProcess[str]":
    """The command, optionally with no file allowed to grow beyond a limit: to it, a full disk."""

    def limit() -> None:
        import resource

        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    command = [sys.executable, "-m", "samplecnn_zoo", "prepare", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limit, check=False)


@pytest.fixture
def genres(tmp_path: Path) -> Path:
    """A folder of two classes, five clips each."""
    root = tmp_path / "genres"
    for index in range(10):
        folder = root / ("blues", "metal")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"{index}.wav", noise(2.0, RATE, seed=index), RATE)
    return root


def test_the_command_prepares_and_then_does_nothing(genres: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    first = run("folder", "--root", genres, "-o", out, "--rate", RATE)
    assert (first.returncode, first.stdout) == (0, "")
    assert first.stderr.splitlines()[-1].endswith("test clips of folder at 1000 Hz")
    before = content(out)
    second = run("folder", "--root", genres, "-o", out, "--rate", RATE)
    assert second.returncode == 0
    assert second.stderr.splitlines()[-1] == first.stderr.splitlines()[-1]
    assert content(out) == before


def test_a_bad_file_is_a_line_and_exit_code_1(genres: Path, tmp_path: Path) -> None:
    bad = genres / "metal" / "cut.wav"
    bad.write_bytes((genres / "metal" / "1.wav").read_bytes()[:1000])
    out = tmp_path / "set"
    for _ in range(2):
        ended = run("folder", "--root", genres, "-o", out, "--rate", RATE)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].endswith(f", 1 files failed, see {out / 'failed.csv'}")
    assert str(bad) in (out / "failed.csv").read_text()


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(genres: Path, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    whole, out = tmp_path / "whole", tmp_path / "set"
    assert run("folder", "--root", genres, "-o", whole, "--rate", RATE).returncode == 0
    ended = run("folder", "--root", genres, "-o", out, "--rate", RATE, limit_bytes=100_000)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"samplecnn: {out / 'train-00000.tfrecord.partial'}: File too large; ")
    assert last.endswith("what is finished stays, the same command goes on")
    assert "Traceback" not in ended.stderr
    assert not list(out.rglob("*.partial"))
    assert run("folder", "--root", genres, "-o", out, "--rate", RATE).returncode == 0
    assert content(out) == content(whole)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing",), "there is no data set 'nothing'"),
        (("folder", "--option", "seed"), "--option wants name=value, got 'seed'"),
        (("folder", "--option", "sead=1"), "sead"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    genres: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = run(*arguments, "--root", genres, "-o", tmp_path / "set")
    assert ended.returncode == 2
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "set").exists()


def test_an_output_that_cant_be_written_and_other_options_are_wrong_use(genres: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run("folder", "--root", genres, "-o", tmp_path / "file" / "set", "--rate", RATE)
    assert ended.returncode == 2
    assert "Not a directory; choose another output" in ended.stderr
    out = tmp_path / "set"
    run("folder", "--root", genres, "-o", out, "--rate", RATE)
    ended = run("folder", "--root", genres, "-o", out, "--rate", 2000)
    assert ended.returncode == 2
    assert "begun with sample_rate 1000, now it is 2000; prepare into another folder" in ended.stderr


def test_the_workers_and_the_command_import_no_framework() -> None:
    code = (
        "import sys, samplecnn_zoo.datasets.prepare, samplecnn_zoo.datasets.decoding, samplecnn_zoo.cli\n"
        "print(*{'keras', 'tensorflow', 'jax', 'torch'} & {*sys.modules})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stdout == "\n"


def test_an_entry_of_the_journal_is_plain_json(tmp_path: Path) -> None:
    made: Collection = collection(tmp_path / "audio", counts={"train": 2})
    out = prepare(made, tmp_path / "set", sample_rate=RATE).directory
    (entry,) = (json.loads(path.read_text()) for path in (out / "journal").iterdir())
    assert [clip["position"] for clip in entry["clips"]] == [0, 1]
