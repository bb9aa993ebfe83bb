"""Where originals come from and where they are kept: what the environment says counts."""

from pathlib import Path

import pytest

from samplecnn_zoo.zoo import PresetError, cache, fetch
from samplecnn_zoo.zoo.published import PUBLISHED

RECORD = PUBLISHED["samplecnn_3x9.lee_msd"]
PATH = "jongpillee/musicTagging_MSD/71ed2353cf3ccf261603eb016fef37e368c70e41/models/weight_msdTag.hdf5"


@pytest.mark.parametrize("mirror", ["file:///etc", "ftp://somewhere", "mirror.org"])
def test_a_mirror_is_a_web_address(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLECNN_ZOO_MIRROR", mirror)
    with pytest.raises(PresetError, match="must begin with https:// or http://"):
        fetch.source_url(RECORD)


def test_originals_are_asked_of_their_pinned_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMPLECNN_ZOO_MIRROR", raising=False)
    assert fetch.source_url(RECORD) == RECORD.url == f"https://raw.githubusercontent.com/{PATH}"


def test_a_mirror_may_be_a_folder_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLECNN_ZOO_MIRROR", "https://host.org/raw/")
    assert fetch.source_url(RECORD) == f"https://host.org/raw/{PATH}"


@pytest.mark.parametrize(
    ("system", "variables", "folder"),
    [
        ("linux", {}, ".cache/samplecnn_zoo"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/samplecnn_zoo"),
        ("darwin", {}, "Library/Caches/samplecnn_zoo"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/samplecnn_zoo"),
        ("linux", {"SAMPLECNN_ZOO_CACHE": "~/mine"}, "mine"),
    ],
)
def test_the_cache_is_where_the_platform_has_its_own(
    system: str, variables: dict[str, str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SAMPLECNN_ZOO_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", system)
    assert cache.cache_dir() == tmp_path / folder
