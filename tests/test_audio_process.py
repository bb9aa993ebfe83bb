"""What a whole process shows: flat memory, a clean stderr, other users, many threads."""

import ctypes
import importlib.util
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from samplecnn_zoo import audio
from samplecnn_zoo.decoders import hush
from tests import sounds

ROOT = Path(__file__).parents[1]
glibc_only = pytest.mark.skipif(hush._stderr is None, reason="C's stderr can be hushed in glibc only")


def run(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh Python and return what it printed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


# ---- imports


def test_importing_audio_imports_no_framework_and_no_extra() -> None:
    code = "import sys, samplecnn_zoo.audio; print(*sorted(sys.modules))"
    loaded = set(run(code).stdout.split())
    assert "soundfile" in loaded
    assert not loaded & {"tensorflow", "keras", "av", "tensorflow_io", "torch", "jax", "openvino"}


# ---- memory

PEAK = """
import resource, sys
from samplecnn_zoo import audio
seconds = sum(1 for _ in audio.segments(sys.argv[1], 22050, 22050))
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def long_file(path: Path, minutes: int) -> Path:
    """Write minutes of 8 kHz stereo noise, or of mp3 frames without a length, a second at a time."""
    if path.suffix == ".mp3":
        second = sounds.write(path, sounds.noise(10.0, 8000), 8000, bitrate_mode="CONSTANT").read_bytes()
        path.write_bytes(sounds.without_xing(second) * (minutes * 6))
        return path
    ten_seconds = sounds.noise(10.0, 8000, channels=2)
    with soundfile.SoundFile(path, "w", 8000, 2) as file:
        for _ in range(minutes * 6):
            file.write(ten_seconds)
    return path


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, extension: str) -> None:
    peaks = []
    for minutes in (1, 12):  # 12 minutes at 22,050 Hz are 64 MB of float32
        done = run(PEAK, long_file(tmp_path / f"{minutes}.{extension}", minutes))
        seconds, peak = map(int, done.stdout.split())
        assert seconds == pytest.approx(60 * minutes, rel=0.02)
        peaks.append(peak)
    assert peaks[1] - peaks[0] <= 15


# ---- stderr

LOAD = """
import sys
from samplecnn_zoo import audio
for path in sys.argv[1:]:
    try:
        audio.load(path, 8000)
    except audio.AudioError as error:
        print(error.kind)
"""
PLAIN = """
import soundfile, sys
for path in sys.argv[1:]:
    try:
        soundfile.read(path)
    except soundfile.LibsndfileError:
        pass
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Make files that libmpg123 complains about."""
    folder = tmp_path_factory.mktemp("broken")
    whole = sounds.write(folder / "a.mp3", sounds.noise(3.0, 44100, channels=2), 44100)
    data = whole.read_bytes()
    made = {
        "half.mp3": data[: len(data) // 2],
        "damaged.mp3": sounds.damaged(data),
        "text.mp3": b"This is no music.\n" * 4000,
        "random.mp3": np.random.default_rng(0).bytes(100_000),
        "tag.mp3": b"ID3\x04\x00\x00\x00\x00\x10\x00" + b"TIT2\x7f\x7f\x7f\x7f" + bytes(2100) + data,
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in made]


@glibc_only
def test_decoders_write_nothing_to_stderr(broken: list[Path]) -> None:
    assert "mpg123" in run(PLAIN, *broken).stderr  # else there is nothing to hush
    done = run(LOAD, *broken)
    assert done.stderr == ""
    # The last has a bad tag only, which PyAV reads over.
    has_av = importlib.util.find_spec("av") is not None
    assert len(done.stdout.split()) == len(broken) - has_av


THREADS = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from samplecnn_zoo import audio

def load(path):
    try:
        audio.load(path, 8000)
    except audio.AudioError:
        pass

done = threading.Event()
def draw():
    count = 0
    while not done.is_set() or count < 200:
        print("bar", file=sys.stderr, flush=True)
        count += 1
    print(count)

bar = threading.Thread(target=draw)
bar.start()
with ThreadPoolExecutor(4) as pool:
    list(pool.map(load, sys.argv[1:] * 3))
done.set()
bar.join()
"""


@glibc_only
def test_a_progress_bar_loses_nothing_while_threads_decode(broken: list[Path]) -> None:
    done = run(THREADS, *broken)
    assert done.stderr == "bar\n" * int(done.stdout)


def say_in_c(text: bytes) -> None:
    """Print to C's stderr as a C library does."""
    libc = ctypes.CDLL(None)
    libc.fputs(text, ctypes.c_void_p.in_dll(libc, "stderr"))


@glibc_only
def test_only_c_is_hushed_and_only_inside(capfd: pytest.CaptureFixture[str]) -> None:
    say_in_c(b"before ")
    with hush.hushed():
        say_in_c(b"inside ")
        with hush.hushed():
            say_in_c(b"deep ")
        say_in_c(b"still ")
        os.write(2, b"python ")
    say_in_c(b"after")
    assert capfd.readouterr().err == "before python after"


@glibc_only
def test_it_is_loud_again_after_an_error_and_after_many_threads(capfd: pytest.CaptureFixture[str]) -> None:
    def fail(_: int) -> None:
        with pytest.raises(KeyError), hush.hushed():
            raise KeyError

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fail, range(500)))
    say_in_c(b"heard")
    assert capfd.readouterr().err == "heard"


@glibc_only
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_is_loud() -> None:
    code = """
import ctypes, os
from samplecnn_zoo.decoders.hush import hushed
libc = ctypes.CDLL(None)
with hushed():
    child = os.fork()
    if not child:
        libc.fputs(b"child", ctypes.c_void_p.in_dll(libc, "stderr"))
        with hushed():
            pass
        os._exit(0)
    os.waitpid(child, 0)
"""
    assert run(code).stderr == "child"


# ---- threads and users


def test_many_threads_read_what_one_reads(tmp_path: Path) -> None:
    paths = [
        sounds.write(tmp_path / f"{seed}.{extension}", sounds.noise(1.0, 44100, seed=seed), 44100)
        for seed in range(4)
        for extension in ("wav", "flac", "mp3", "ogg")
    ]
    alone = [audio.load(path, 8000) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        for expected, found in zip(
            alone * 3, pool.map(lambda path: audio.load(path, 8000), paths * 3), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_threads_get_the_error_of_their_own_file(tmp_path: Path) -> None:
    bad = sounds.hostile(tmp_path)
    good = sounds.write(tmp_path / "good.wav", sounds.tone(0.2, 8000), 8000)

    def kind(path: Path) -> str:
        try:
            audio.load(path, 8000)
        except audio.AudioError as error:
            return error.kind
        return "good"

    cases = [*bad.items(), ("good", good)] * 10
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(kind, [path for _, path in cases])) == [expected for expected, _ in cases]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc here")
def test_files_are_closed_when_a_reader_stops_early(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.mp3", sounds.noise(3.0, 44100), 44100)
    path.write_bytes(sounds.without_xing(path.read_bytes()))

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for _ in range(5):
        blocks = audio.stream(path, 8000, block_s=0.1)
        next(blocks)
        assert descriptors() > before
        del blocks
    assert descriptors() == before


OTHER_USER = """
import os, sys
from samplecnn_zoo import audio
if os.geteuid() == 0:
    os.seteuid(65534)
for path in sys.argv[1:]:
    try:
        audio.load(path, 8000)
    except audio.AudioError as error:
        print(error.kind, str(error).rpartition(": ")[2])
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no POSIX permissions here")
def test_what_may_not_be_read_is_unreadable() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = sounds.write(folder / "a.wav", sounds.tone(1.0, 8000), 8000)
        inner = folder / "closed"
        inner.mkdir(mode=0)
        path.chmod(0)
        folder.chmod(0o755)
        done = run(OTHER_USER, path, inner / "b.wav")
        inner.chmod(0o700)
    line = "unreadable can't be read (Permission denied); check its permissions\n"
    assert done.stdout == 2 * line, done.stderr
