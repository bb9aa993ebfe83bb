"""Files of one folder of one commit of a Git repository: fetched when asked for, verified before each use.

Git finds every object by the hash of its content, so what it gives for a commit is what the commit names. The
ids of the files are kept beside them, and compared with the files each time these are read.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samplecnn_zoo.datasets.local import DataSetError

IDS = "git-blobs.txt"  # beside the files: the commit, then an id and a name a line
# What git sets while it runs a hook, and what would lead us into the repository of that hook.
OF_A_REPOSITORY = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX",
)  # fmt: skip
ENTRY = re.compile(r"\d+ blob ([0-9a-f]{40})\t([^/\n]+)")


@dataclass(frozen=True)
class Pinned:
    """A folder of a repository at a commit."""

    url: str
    commit: str
    folder: str

    def fetch(self, place: Path, names: Sequence[str], optional: Sequence[str] = ()) -> None:
        """Bring files of the folder into `place` with their ids, unless they are there and right.

        Each file is written whole or not at all.

        Raises:
            DataSetError: git is missing or reports an error, a file is not in the folder, or `place` can't
                be written.
        """
        if self._is_whole(place, names):
            return
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place, prefix=".fetch-") as scratch:
                self._fetch(place, Path(scratch), names, set(optional))
        except OSError as error:
            raise DataSetError(
                f"{place}: can't be written ({error.strerror}); choose another folder"
            ) from error

    def _is_whole(self, place: Path, names: Sequence[str]) -> bool:
        try:
            return all(self.verified(place, name) for name in names)
        except DataSetError:
            return False

    def _fetch(self, place: Path, scratch: Path, names: Sequence[str], optional: set[str]) -> None:
        _git(scratch, "init", "--quiet", "--bare", ".")
        _git(scratch, "remote", "add", "origin", self.url)
        # A partial clone: only the files that are asked for travel.
        _git(scratch, "config", "remote.origin.promisor", "true")
        _git(scratch, "config", "remote.origin.partialclonefilter", "blob:none")
        _git(scratch, "fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", self.commit)
        listing = _git(scratch, "ls-tree", f"{self.commit}:{self.folder}").stdout.decode()
        ids = {name: blob for blob, name in ENTRY.findall(listing)}
        if missing := [name for name in names if name not in ids]:
            raise DataSetError(f"{self.url} has no {self.folder}/{missing[0]} in commit {self.commit}")
        wanted = {name: ids[name] for name in [*names, *sorted(optional & ids.keys())]}
        for name, blob in wanted.items():
            with open(scratch / name, "wb") as file:
                _git(scratch, "cat-file", "blob", blob, out=file.fileno())
            _check(scratch / name, blob)
            os.replace(scratch / name, place / name)
        text = "".join(f"{blob}\t{name}\n" for name, blob in wanted.items())
        (scratch / IDS).write_text(f"{self.commit}\n{text}", encoding="utf-8")
        os.replace(scratch / IDS, place / IDS)

    def verified(self, place: Path, name: str) -> bool:
        """Compare a file with its id, and say whether there is one: files got in another way have none.

        Raises:
            DataSetError: The file differs from its id, or is of another commit.
        """
        if not (place / IDS).is_file():
            return False
        commit, *rows = (place / IDS).read_text(encoding="utf-8").splitlines()
        if commit != self.commit:
            raise DataSetError(f"{place}: holds commit {commit}, {self.commit} is needed; {self.way_out}")
        ids = {row.partition("\t")[2]: row.partition("\t")[0] for row in rows}
        if name not in ids:
            return False
        _check(place / name, ids[name])
        return True

    @property
    def way_out(self) -> str:
        """What to do about a missing or wrong file."""
        return (
            f"fetch=yes gets {self.folder}/ of {self.url} at commit {self.commit[:10]}, "
            "or say with lists=DIR where its files are"
        )


def blob_id(path: Path) -> str:
    """The id that Git gives to a file's content.

    Raises:
        DataSetError: It can't be read.
    """
    try:
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        with open(path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise DataSetError(
            f"{path}: can't be read ({error.strerror}); fetch it again with fetch=yes"
        ) from error
    return digest.hexdigest()


def _check(path: Path, wanted: str) -> None:
    if (found := blob_id(path)) != wanted:
        raise DataSetError(
            f"{path}: its git blob id is {found}, {wanted} was published: it is damaged; "
            "delete it and fetch it again with fetch=yes"
        )


def _git(folder: Path, *arguments: str, out: int = subprocess.PIPE) -> "subprocess.CompletedProcess[bytes]":
    """Run git in `folder`, whatever repository the caller stands in; it never asks for a password."""
    if shutil.which("git") is None:
        raise DataSetError("fetching needs git; install it, or copy the lists and say where with lists=DIR")
    outside = {name: value for name, value in os.environ.items() if name not in OF_A_REPOSITORY}
    environment = {**outside, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    done = subprocess.run(
        ["git", "--git-dir", str(folder), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=folder,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise DataSetError(f"git {arguments[0]} failed: {said[-1]}")
    return done
