"""Presets on a Hub that speaks to the real client: pushed, loaded by revision, verified, or refused."""

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest

from samplecnn_zoo.zoo import PresetError, hub, list_presets, load_pretrained, preset_info, push_to_hub
from samplecnn_zoo.zoo.store import read_stored
from tests.hub_server import HubServer
from tests.presets import WEIGHTS, edit, save_tiny, scores, segments
from tests.web_server import Fault

REPO = "someone/tiny"


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two presets with other weights."""
    folder = tmp_path_factory.mktemp("presets")
    save_tiny(folder / "one", seed=1, description="the first")
    save_tiny(folder / "two", seed=2, description="the second")
    return folder / "one", folder / "two"


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub, its client with a cache and a token of its own."""
    for name in ("HF_HUB_OFFLINE", "SAMPLECNN_ZOO_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SAMPLECNN_ZOO_CACHE", str(tmp_path / "own"))
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.HF_TOKEN_PATH", str(tmp_path / "token"))
    # The storage that newer clients upload to has no local stand-in; the LFS calls are the other way.
    monkeypatch.setattr(f"{constants}.HF_HUB_DISABLE_XET", True, raising=False)
    monkeypatch.setattr(hub, "FIRST_PAUSE_S", 0.01)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr(f"{constants}.ENDPOINT", server.url)  # read at import; older clients go by both
        template = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", server.url + template)
        yield server


def push(directory: Path, **options: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # the client warns of a card that the Hub would not take
        return push_to_hub(directory, REPO, token="hf_right", **options)


def same(directory: Path, name: str) -> None:
    """Check that both load to networks with equal outputs, with Keras and without."""
    x = segments(3)
    np.testing.assert_array_equal(scores(load_pretrained(name), x), scores(load_pretrained(directory), x))
    one, other = read_stored(name), read_stored(directory)
    assert one.preset == other.preset


def test_what_is_pushed_loads_by_name_and_by_revision(presets: tuple[Path, Path], server: HubServer) -> None:
    first, second = push(presets[0]), push(presets[1])
    assert first.startswith(f"hf://{REPO}@")
    assert first != second
    same(presets[1], f"hf://{REPO}")
    same(presets[0], first)
    same(presets[1], second)
    commit = first.partition("@")[2]
    assert load_pretrained(f"hf://{REPO}", revision=commit).preset.description == "the first"


def test_a_push_is_one_commit_of_what_a_preset_has(presets: tuple[Path, Path], server: HubServer) -> None:
    (shutil.copytree(presets[0], presets[0].parent / "more") / "notes.txt").write_text("mine")
    push(presets[0].parent / "more")
    commits = list(server.repos[REPO].commits.values())
    assert len(commits) == 2  # the empty repository, and this
    assert set(commits[-1]) == {*hub.FILES, "README.md", ".gitattributes"}
    for file in hub.FILES:
        assert commits[-1][file] == (presets[0] / file).read_bytes()


def test_pushing_the_same_again_changes_nothing(presets: tuple[Path, Path], server: HubServer) -> None:
    assert push(presets[0]) == push(presets[0])
    assert len(server.repos[REPO].commits) == 2
    assert server.lfs.count("PUT") == 1


def test_only_the_needed_files_are_fetched(presets: tuple[Path, Path], server: HubServer) -> None:
    push(presets[0])
    server.repos[REPO].commits[server.repos[REPO].branches["main"]]["big.bin"] = bytes(10)
    server.asked.clear()
    directory = hub.fetch(hub.HubName(REPO))
    assert {file.name for file in directory.iterdir()} == set(hub.FILES)
    assert not server.count("big.bin|README")


def test_a_branch_is_made_and_loads_by_its_name(presets: tuple[Path, Path], server: HubServer) -> None:
    push(presets[0])
    pinned = push(presets[1], revision="v2")
    same(presets[1], f"hf://{REPO}@v2")
    same(presets[1], pinned)
    same(presets[0], f"hf://{REPO}")
    push(presets[0], revision="v2")
    same(presets[0], f"hf://{REPO}@v2")


def test_a_pinned_revision_in_the_cache_asks_nothing(presets: tuple[Path, Path], server: HubServer) -> None:
    name = push(presets[0])
    same(presets[0], name)
    server.asked.clear()
    same(presets[0], name)
    assert server.asked == []


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "SAMPLECNN_ZOO_OFFLINE"])
def test_offline_takes_what_is_cached(
    variable: str, presets: tuple[Path, Path], server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(presets[0])
    same(presets[0], f"hf://{REPO}")
    monkeypatch.setenv(variable, "1")
    server.asked.clear()
    same(presets[0], f"hf://{REPO}")
    with pytest.raises(PresetError, match=r"preset.json is not in .*cache and HF_HUB_OFFLINE"):
        load_pretrained(f"hf://{REPO}@v2")
    with pytest.raises(PresetError, match="forbids uploads"):
        push(presets[0])
    assert server.asked == []


def test_half_a_snapshot_offline_is_no_preset(
    presets: tuple[Path, Path], server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(presets[0])
    (hub.fetch(hub.HubName(REPO)) / WEIGHTS).unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PresetError, match=rf"{WEIGHTS} is not in .*HF_HUB_OFFLINE"):
        load_pretrained(f"hf://{REPO}")
    assert list_presets()[-1].where != "cached"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    same(presets[0], f"hf://{REPO}")


def test_a_private_repository_wants_a_token(
    presets: tuple[Path, Path], server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(presets[0], private=True)
    assert server.repos[REPO].private
    with pytest.raises(PresetError, match=rf"hf://{REPO}: no such repository, or .*hf auth login"):
        load_pretrained(f"hf://{REPO}")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(PresetError, match=r"refuses it \(HTTP 401\): the token is wrong") as caught:
        load_pretrained(f"hf://{REPO}")
    assert "hf_wrong" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    same(presets[0], f"hf://{REPO}")


def test_private_is_never_sent_to_a_public_repository(presets: tuple[Path, Path], server: HubServer) -> None:
    push(presets[0])
    with pytest.raises(PresetError, match=r"exists and is public, private was asked: nothing was sent"):
        push(presets[1], private=True)
    assert len(server.repos[REPO].commits) == 2
    assert server.lfs.count("PUT") == 1


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_a_push_without_the_right_token_is_refused(
    token: str | None, presets: tuple[Path, Path], server: HubServer
) -> None:
    with pytest.raises(PresetError, match=r"HTTP 401|may not see it"):
        push_to_hub(presets[0], REPO, token=token)
    assert REPO not in server.repos


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf://someone/nothing", "no such repository"),
        (f"hf://{REPO}@v9", "has no revision 'v9'"),
        (f"hf://{REPO}@{'0' * 40}", "has no revision '000"),
        ("hf://tiny", "is hf://org/name or"),
        ("hf://someone/tiny/sub", "one a repository"),
        ("hf://someone/../etc", "is hf://org/name or"),
        ("hf://", "is hf://org/name or"),
        ("hf://someone/tiny@", "is hf://org/name or"),
    ],
)
def test_what_is_not_there_is_said(
    name: str, message: str, presets: tuple[Path, Path], server: HubServer
) -> None:
    push(presets[0])
    with pytest.raises(PresetError, match=message):
        load_pretrained(name)


def test_two_revisions_are_one_too_many() -> None:
    with pytest.raises(PresetError, match="names one revision and revision='b' another"):
        load_pretrained(f"hf://{REPO}@a", revision="b")
    assert hub.HubName.parse(f"hf://{REPO}@a", revision="a") == hub.HubName(REPO, "a")


def test_a_repository_of_something_else_is_no_preset(presets: tuple[Path, Path], server: HubServer) -> None:
    push(presets[0])
    repo = server.repos[REPO]
    repo.commit("main", {"config.json": b"{}"})
    with pytest.raises(PresetError, match=r"holds no preset.json, so it is no preset"):
        load_pretrained(f"hf://{REPO}")


def test_a_hub_in_trouble_is_asked_again(presets: tuple[Path, Path], server: HubServer) -> None:
    server.faults += [
        Fault("POST /api/repos/create", status=503),
        Fault("POST .*preupload", status=502),
        Fault("POST .*/commit/", status=500),
    ]
    server.lfs.faults.append(Fault("PUT", status=503))
    push(presets[0])
    server.faults += [
        Fault("HEAD .*preset.json", status=503),
        Fault("GET .*config.json", status=500),
        Fault("HEAD .*weights", status=502),
    ]
    server.lfs.faults.append(Fault("GET", status=500))
    same(presets[0], f"hf://{REPO}")


def test_a_hub_that_stays_in_trouble_is_left(presets: tuple[Path, Path], server: HubServer) -> None:
    push(presets[0])
    server.lfs.faults.append(Fault("GET", status=500, times=99))
    with pytest.raises(PresetError, match=rf"hf://{REPO}@\w+: the Hub failed \(.*500.*try again later"):
        load_pretrained(f"hf://{REPO}")
    assert server.lfs.count("GET") == hub.TRIES


def test_an_upload_that_stays_refused_is_one_line(presets: tuple[Path, Path], server: HubServer) -> None:
    server.lfs.faults.append(Fault("PUT", status=400, times=99))
    with pytest.raises(PresetError, match=rf"hf://{REPO}: the Hub failed \(.*{WEIGHTS}"):
        push(presets[0])
    assert len(server.repos[REPO].commits) == 1  # the empty repository


def test_a_broken_download_is_made_whole(presets: tuple[Path, Path], server: HubServer) -> None:
    push(presets[0])
    size = (presets[0] / WEIGHTS).stat().st_size
    server.lfs.faults.append(Fault("GET", cut_after=size // 2))
    same(presets[0], f"hf://{REPO}")
    assert server.lfs.count("GET") == 2


@pytest.mark.parametrize("file", [WEIGHTS, "config.json", "preset.json", "metadata.json"])
def test_a_file_that_arrives_wrong_is_fetched_again(
    file: str, presets: tuple[Path, Path], server: HubServer
) -> None:
    push(presets[0])
    site = server.lfs if file == WEIGHTS else server
    site.faults.append(Fault("GET" if file == WEIGHTS else f"GET .*{file}", flip=40))
    same(presets[0], f"hf://{REPO}")


@pytest.mark.parametrize("file", [WEIGHTS, "preset.json"])
def test_a_file_that_stays_wrong_is_refused_and_not_kept(
    file: str, presets: tuple[Path, Path], server: HubServer
) -> None:
    push(presets[0])
    site = server.lfs if file == WEIGHTS else server
    site.faults.append(Fault("GET" if file == WEIGHTS else f"GET .*{file}", flip=40, times=9))
    with pytest.raises(PresetError, match=rf"{file} is damaged and was removed"):
        load_pretrained(f"hf://{REPO}")
    site.faults.clear()
    same(presets[0], f"hf://{REPO}")


def test_a_file_damaged_in_the_cache_is_fetched_again(
    presets: tuple[Path, Path], server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = push(presets[0])
    file = (hub.fetch(hub.HubName.parse(name)) / WEIGHTS).resolve()
    file.write_bytes(file.read_bytes()[:-1])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PresetError, match=r"damaged and was removed from .*fetch it again"):
        load_pretrained(name)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    same(presets[0], name)


def test_a_damaged_preset_is_never_pushed(
    presets: tuple[Path, Path], server: HubServer, tmp_path: Path
) -> None:
    broken = shutil.copytree(presets[0], tmp_path / "broken")
    (broken / WEIGHTS).write_bytes((broken / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(PresetError, match="sha256"):
        push(broken)
    other = shutil.copytree(presets[0], tmp_path / "other")
    (other / "metadata.json").unlink()
    with pytest.raises(PresetError, match=r"holds no metadata.json"):
        push(other)
    assert server.asked == []


@pytest.mark.parametrize("repo_id", ["tiny", "a/b/c", "someone/tiny@v1", "", "some one/tiny"])
def test_a_repository_has_an_owner_and_a_name(repo_id: str, presets: tuple[Path, Path]) -> None:
    with pytest.raises(PresetError, match=r"hf://org/name|as org/name"):
        push_to_hub(presets[0], repo_id, token="hf_right")


def test_the_card_goes_up_with_the_name_of_the_repository(
    presets: tuple[Path, Path], server: HubServer, tmp_path: Path
) -> None:
    push(presets[0])
    repo = server.repos[REPO]
    card = repo.commits[repo.branches["main"]]["README.md"].decode()
    assert f'Tagger("hf://{REPO}").tag(' in card
    mine = shutil.copytree(presets[0], tmp_path / "mine")
    (mine / "README.md").write_text("---\nlicense: mit\n---\nMy own words.\n", encoding="utf-8")
    push(mine)
    assert repo.commits[repo.branches["main"]]["README.md"].decode().endswith("My own words.\n")


def test_the_list_shows_what_the_hub_brought(presets: tuple[Path, Path], server: HubServer) -> None:
    first = push(presets[0])
    load_pretrained(first)
    push(presets[1])
    load_pretrained(f"hf://{REPO}")
    push(presets[0], revision="v2")
    load_pretrained(f"hf://{REPO}@v2")
    cached = {info.name: info for info in list_presets() if info.where == "cached"}
    assert set(cached) == {first, f"hf://{REPO}", f"hf://{REPO}@v2"}
    for name, info in cached.items():
        assert preset_info(name).license == info.license == "CC0-1.0"
        assert info.size_bytes > 1000


def test_other_repositories_in_the_cache_are_left_out(presets: tuple[Path, Path], server: HubServer) -> None:
    push(presets[0])
    directory = hub.fetch(hub.HubName(REPO))
    (directory / "preset.json").unlink()
    (directory / "preset.json").write_text('{"task": "CausalLMPreset"}', encoding="utf-8")
    assert not [info for info in list_presets() if info.where == "cached"]


def test_a_newer_format_on_the_hub_is_refused(
    presets: tuple[Path, Path], server: HubServer, tmp_path: Path
) -> None:
    push(presets[0])
    newer = shutil.copytree(presets[0], tmp_path / "newer")
    edit(newer / "preset.json", lambda value: value.update(format_version=99))
    repo = server.repos[REPO]
    files = repo.commits[repo.branches["main"]]
    repo.commit("main", {**files, "preset.json": (newer / "preset.json").read_bytes()})
    with pytest.raises(PresetError, match="format_version 99 is newer"):
        load_pretrained(f"hf://{REPO}")


def test_a_fresh_head_on_a_preset_of_the_hub_says_so(presets: tuple[Path, Path], server: HubServer) -> None:
    push(presets[0])
    with pytest.warns(UserWarning, match=rf"the head of 'hf://{REPO}' is new"):
        assert load_pretrained(f"hf://{REPO}", num_tags=3).output_shape == (None, 3)


def test_the_client_is_the_real_one() -> None:
    assert Path(huggingface_hub.__file__).parent.name == "huggingface_hub"
    assert huggingface_hub.hf_hub_download.__module__.startswith("huggingface_hub.")
