"""Presets on the Hugging Face Hub: fetched at a revision and verified, pushed whole in one commit."""

import errno
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import samplecnn_zoo
from samplecnn_zoo.zoo.cache import git_blob, hub_cache, offline, passing
from samplecnn_zoo.zoo.card import model_card
from samplecnn_zoo.zoo.preset import Preset, PresetError
from samplecnn_zoo.zoo.stored import (
    CARD_FILE,
    CONFIG_FILE,
    METADATA_FILE,
    PRESET_FILE,
    WEIGHTS_FILE,
    read_directory,
)

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

SCHEME = "hf://"
# What loading needs, here or by Keras alone; first the small one that tells whether it is a preset.
FILES = (PRESET_FILE, CONFIG_FILE, METADATA_FILE, WEIGHTS_FILE)
TRIES = 4
FIRST_PAUSE_S = 1.0  # doubles with every failure

_NAME = re.compile(r"hf://([A-Za-z0-9][\w.-]*/[\w.-]+?)(?:@(\S+))?")
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_CLIENT = frozenset({"huggingface_hub", "hf_xet", "httpx", "httpx2", "requests", "urllib3"})
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class HubName:
    """A repository on the Hub and a branch, tag or commit in it; None is its main branch."""

    repo_id: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str, *, revision: str | None = None) -> "HubName":
        """Return what `hf://org/name[@revision]` means.

        Raises:
            PresetError: if it reads otherwise, or `revision` contradicts the one in it.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise PresetError(
                f"{text!r}: a preset on the Hub is hf://org/name or hf://org/name@revision, one a repository"
            )
        repo_id, stated = match.groups()
        if revision is not None and stated is not None and revision != stated:
            raise PresetError(f"{text}: it names one revision and revision={revision!r} another; give one")
        return cls(repo_id, stated or revision)

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo_id}" + (f"@{self.revision}" if self.revision else "")


def fetch(name: HubName) -> Path:
    """Return the directory in the Hub's own cache that holds a preset, its missing files downloaded.

    All files are of one commit. Each is compared with the hash that the Hub keeps it under, and downloaded
    once more where it differs. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured.

    Raises:
        PresetError: if there is no such repository or revision, it may not be read, it holds no preset, the
            Hub cannot be reached, or a file stays damaged.
    """
    first = _file(name, FILES[0])
    directory = first.parent
    pinned = HubName(name.repo_id, directory.name)  # the client calls it by its commit
    for file in FILES:
        _verify(pinned, first if file == FILES[0] else _file(pinned, file))
    _log.info("%s is commit %s", name, directory.name)
    return directory


def _file(name: HubName, file: str, *, force: bool = False) -> Path:
    """Return a file of the repository, one at a time: unlike whole snapshots, these calls have timeouts."""
    from huggingface_hub import hf_hub_download

    def download() -> Path:
        return Path(
            hf_hub_download(
                name.repo_id,
                file,
                revision=name.revision,
                cache_dir=hub_cache(),
                endpoint=_endpoint(),
                local_files_only=offline(),
                force_download=force,
                library_name="samplecnn_zoo",
                library_version=samplecnn_zoo.__version__,
            )
        )

    return _tried(download, name, file)


def _verify(name: HubName, path: Path) -> None:
    """Refuse, and take out of the cache, a file that is not what the Hub keeps under its hash."""
    if _is_right(path):
        return
    if not offline():
        _log.warning("%s: %s is damaged; it is fetched again", name, path.name)
        _file(name, path.name, force=True)
        if _is_right(path):
            return
    try:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
    except OSError as error:
        raise PresetError(f"{name}: {path} is damaged; remove it and fetch it again") from error
    raise PresetError(f"{name}: {path.name} is damaged and was removed from {hub_cache()}; fetch it again")


def _is_right(path: Path) -> bool:
    """Compare a file with its hash, which is the name that the cache's link leads to (not on all Windows)."""
    etag = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{40}", etag):
        return git_blob(path) == etag
    if re.fullmatch(r"[0-9a-f]{64}", etag):
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == etag
    return True


def cached() -> Iterator[tuple[str, Path]]:
    """Yield the name and the directory of each repository in the Hub's cache that has a preset's files."""
    for file in sorted(hub_cache().glob(f"models--*/snapshots/*/{PRESET_FILE}")):
        directory = file.parent
        repo = directory.parents[1]
        if all((directory / needed).is_file() for needed in FILES):
            repo_id = repo.name.removeprefix("models--").replace("--", "/", 1)
            yield str(HubName(repo_id, _revision(repo, directory.name))), directory


def _revision(repo: Path, commit: str) -> str | None:
    """Return the shortest name of a cached commit: None for main, another branch or tag, or its own id."""
    refs = {
        file.relative_to(repo / "refs").as_posix(): file.read_text(encoding="utf-8").strip()
        for file in sorted((repo / "refs").rglob("*"))
        if file.is_file()
    }
    names = [ref for ref, found in refs.items() if found == commit]
    return None if "main" in names else next(iter(names), commit)


def push_to_hub(
    directory: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    revision: str | None = None,
) -> str:
    """Upload a preset to the Hub in one commit, its repository and branch created if need be.

    The preset is checked as if it were loaded, before anything is sent. A model card that was not edited is
    made anew with the repository's name in it; files of the repository that no preset has stay as they are.

    Args:
        directory: a preset, as `save_pretrained` writes it.
        repo_id: `org/name`.
        private: only those whom the owner lets may read it.
        token: of an account that may write there; None takes HF_TOKEN or that of `hf auth login`.
        revision: the branch, None for the main one.

    Returns:
        `hf://org/name@commit`, which `load_pretrained` takes.

    Raises:
        PresetError: if the preset is not whole, a name is none, the account may not write there, the Hub
            cannot be reached, or `private` is asked of a repository that is public.
    """
    from huggingface_hub import HfApi

    directory = Path(directory)
    preset = read_directory(directory).preset
    if not (directory / METADATA_FILE).is_file():
        raise PresetError(f"{directory}: it holds no {METADATA_FILE}; save it again with save_pretrained")
    name = HubName.parse(f"{SCHEME}{repo_id}")
    if name.revision is not None:
        raise PresetError(f"{repo_id!r}: give the repository as org/name and the branch as revision")
    if offline():
        raise PresetError(f"{name}: HF_HUB_OFFLINE or SAMPLECNN_ZOO_OFFLINE forbids uploads; unset it")
    api = HfApi(
        endpoint=_endpoint(),
        token=token,
        library_name="samplecnn_zoo",
        library_version=samplecnn_zoo.__version__,
    )
    return _tried(lambda: _push(api, name.repo_id, directory, preset, private, revision), name, "preset")


def _push(
    api: "HfApi", repo_id: str, directory: Path, preset: Preset, private: bool, revision: str | None
) -> str:
    """Upload; what is there already is not sent again, so that it may be tried again."""
    api.create_repo(repo_id, private=private, exist_ok=True)
    if private and not api.model_info(repo_id).private:
        raise PresetError(
            f"{SCHEME}{repo_id} exists and is public, private was asked: nothing was sent; "
            "change its settings on the Hub, or push to another name"
        )
    if revision is not None and revision != "main":
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    done = api.create_commit(
        repo_id,
        _operations(directory, preset, repo_id),
        commit_message=f"{preset.name}, with samplecnn_zoo {samplecnn_zoo.__version__}",
        revision=revision,
    )
    return str(HubName(repo_id, done.oid))


def _operations(directory: Path, preset: Preset, repo_id: str) -> "list[CommitOperationAdd]":
    from huggingface_hub import CommitOperationAdd

    contents: dict[str, Path | bytes] = {file: directory / file for file in FILES}
    contents[CARD_FILE] = _card(directory / CARD_FILE, preset, repo_id)
    return [CommitOperationAdd(file, content) for file, content in contents.items()]


def _card(file: Path, preset: Preset, repo_id: str) -> bytes:
    """Return the card to upload: the one that is there if somebody edited it, else one of this repository."""
    text = file.read_text(encoding="utf-8") if file.is_file() else None
    if text is not None and text != model_card(preset):
        return text.encode()
    return model_card(preset, repo_id=repo_id).encode()


def _endpoint() -> str | None:
    """Return HF_ENDPOINT as it is now; the client reads it only when it is imported."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _tried(call: Callable[[], _T], name: HubName, file: str) -> _T:
    """Return what `call` gives, tried again where the Hub is at fault.

    Raises:
        PresetError: in place of whatever the client raises.
    """
    for tries_left in range(TRIES - 1, -1, -1):
        try:
            return call()
        except Exception as error:  # its classes differ from release to release of the client
            if isinstance(error, PresetError) or not _is_clients(error):
                raise
            if not tries_left or not _is_passing(error):
                raise PresetError(f"{name}: {_message(error, name, file)}") from error
            pause = FIRST_PAUSE_S * 2 ** (TRIES - 1 - tries_left)
            _log.warning("%s: %s; trying again in %g s", name, _first_line(error), pause)
            time.sleep(pause)
    raise AssertionError("unreachable")


def _is_clients(error: Exception) -> bool:
    """Whether the client says that something failed, a RuntimeError where an upload did."""
    return (
        isinstance(error, (OSError, ValueError, RuntimeError))
        or type(error).__module__.partition(".")[0] in _CLIENT
    )


def _is_passing(error: Exception) -> bool:
    """Whether the same call may succeed soon; what the client could not even ask for, it has retried."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    status = _status(error)
    if status is not None:
        return passing(status)
    if _is_disks(error):
        return False
    return not isinstance(error, (LocalEntryNotFoundError, ValueError)) and not offline()


def _is_disks(error: Exception) -> bool:
    """Whether this machine's disk is at fault, not the Hub."""
    return isinstance(error, OSError) and error.errno in _DISK


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status behind an error, if there is one."""
    while error is not None:
        status: Any = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
        error = error.__cause__ or error.__context__
    return None


def _message(error: Exception, name: HubName, file: str) -> str:
    """Return what is wrong and the way out, for what people meet."""
    from huggingface_hub import errors

    if _is_disks(error):
        return f"{hub_cache()} cannot be written ({_first_line(error)}); HF_HOME names another folder"
    login = "check the name, or log in with 'hf auth login' (or HF_TOKEN)"
    status = _status(error)
    if isinstance(error, errors.GatedRepoError):
        return "the repository is gated: accept its terms on its page, and " + login
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the repository has no revision {name.revision!r}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such repository, or the token may not see it; " + login
    if status in (401, 403):
        return f"the Hub refuses it (HTTP {status}): the token is wrong or may not do this; " + login
    if isinstance(error, errors.LocalEntryNotFoundError) and status is None:
        if offline():
            return f"{file} is not in {hub_cache()} and HF_HUB_OFFLINE or SAMPLECNN_ZOO_OFFLINE is set"
        return f"{file} is not in {hub_cache()} and the Hub cannot be reached ({_first_line(error)})"
    if isinstance(error, errors.EntryNotFoundError) and status in (None, 404):
        return f"the repository holds no {file}, so it is no preset of samplecnn_zoo"
    return f"the Hub failed ({_first_line(error)}); try again later"


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
