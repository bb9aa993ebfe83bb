"""Which files are meant by files, folders and patterns."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from samplecnn_zoo.audio import find_audio


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a small collection and go where it lies; its files are empty."""
    for name in (
        "music/b.mp3",
        "music/a.WAV",
        "music/cover.jpg",
        "music/notes",
        "music/.hidden.wav",
        "music/album 2/x.flac",
        "music/album 10/y.m4a",
        "music/album 2/deep/z.ogg",
        "music/.trash/t.wav",
        "other/o.opus",
        "odd/take.dat",
        "odd/[1].wav",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


FOUND = [
    "music/a.WAV",
    "music/album 10/y.m4a",
    "music/album 2/deep/z.ogg",
    "music/album 2/x.flac",
    "music/b.mp3",
]


def names(paths: str | Path | Iterable[str | Path]) -> list[str]:
    return [path.as_posix() for path in find_audio(paths)]


def test_a_folder_gives_its_audio_files_sorted(music: Path) -> None:
    assert names("music") == FOUND
    assert names([music / "music"]) == [f"{music.as_posix()}/{name}" for name in FOUND]


def test_named_files_stay_whatever_they_are(music: Path) -> None:
    named = ["music/notes", "music/.hidden.wav", "missing.wav", "music/missing/*.wav", "odd/[1].wav"]
    assert names(named) == named


def test_order_is_that_of_the_arguments_and_each_file_comes_once(music: Path) -> None:
    given: list[str | Path] = [
        "other",
        "music/b.mp3",
        "./music/b.mp3",
        music / "music/b.mp3",
        "music",
        "other/o.opus",
    ]
    assert names(given) == ["other/o.opus", "music/b.mp3", *FOUND[:-1]]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("music/*.mp3", ["music/b.mp3"]),
        ("music/?.*", ["music/a.WAV", "music/b.mp3"]),
        ("music/*", FOUND),
        ("music/**", FOUND),
        ("music/**/*", FOUND),
        ("**/*.ogg", ["music/album 2/deep/z.ogg"]),
        ("music/**/[xy].*", ["music/album 10/y.m4a", "music/album 2/x.flac"]),
        ("*/album*", FOUND[1:4]),
        ("odd/*", ["odd/[1].wav"]),
        ("odd/*.dat", ["odd/take.dat"]),
        ("music/.trash/*", ["music/.trash/t.wav"]),
        ("nothing*.mp3", ["nothing*.mp3"]),
        ("a**b", ["a**b"]),
    ],
)
def test_patterns(music: Path, pattern: str, expected: list[str]) -> None:
    assert names(pattern) == expected
    absolute = f"{music.as_posix()}/{pattern}"
    assert names(absolute) == [f"{music.as_posix()}/{name}" for name in expected]


def test_links_are_followed_and_loops_end(music: Path) -> None:
    (music / "music/album 2/loop").symlink_to(music / "music")
    (music / "music/album 2/up").symlink_to(music / "music/album 2")
    (music / "music/linked").symlink_to(music / "other")
    (music / "music/gone.wav").symlink_to(music / "nowhere.wav")
    expected = sorted([*FOUND, "music/linked/o.opus", "music/gone.wav"], key=Path)
    assert names("music") == expected
    assert names("music/**") == expected
    assert names(["music/linked", "other", "music/gone.wav"]) == ["music/linked/o.opus", "music/gone.wav"]


def test_linked_files_are_files_of_their_own(music: Path) -> None:
    (music / "other/same.opus").symlink_to(music / "other/o.opus")
    assert names("other") == ["other/o.opus", "other/same.opus"]


def test_two_loops_do_not_multiply(music: Path) -> None:
    for number in range(4):
        (music / f"music/loop{number}").symlink_to(music / "music")
    assert names("music") == FOUND
    assert len(names("music/**/*")) == len(FOUND)


def test_nothing_gives_nothing(music: Path) -> None:
    (music / "empty").mkdir()
    assert find_audio([]) == []
    assert find_audio("empty") == []


def test_a_folder_that_can_not_be_listed_is_reported(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "music/album 2/deep" in names("music")
