"""The part of the Hugging Face Hub's interface that models need, for the real huggingface_hub client.

Repositories with commits and branches, visibility and tokens, the preupload and commit calls, LFS objects on
another address as on the Hub (there: a content network), and the headers that the client's cache goes by.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Self

from tests.web_server import Answer, WebServer

Files = dict[str, bytes]
LFS = (".h5", ".bin")


@dataclass
class Repo:
    """A repository: what each commit holds, and which commit each branch is at."""

    private: bool
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: Files) -> str:
        """Add a commit and return its id."""
        text = repr((len(self.commits), branch, sorted(files.items())))
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha

    def find(self, revision: str) -> str | None:
        """Return the commit that a branch or an id means."""
        sha = self.branches.get(revision, revision)
        return sha if sha in self.commits else None


class Lfs(WebServer):
    """Where large files lie: PUT and GET by their sha256."""

    def answer(self, method: str, path: str, body: bytes, headers: "Message[str, str]") -> Answer:
        """Take or give an object; what does not have its hash is refused."""
        if method == "PUT":
            if path != f"/{hashlib.sha256(body).hexdigest()}":
                return Answer(400, b"the content has another hash")
            self.files[path] = body
            return Answer(200)
        return super().answer(method, path, body, headers)


class HubServer(WebServer):
    """The Hub; `token` is the one that may read what is private and write."""

    def __init__(self, token: str = "hf_right") -> None:
        super().__init__()
        self.token = token
        self.repos: dict[str, Repo] = {}
        self.lfs = Lfs()

    def __enter__(self) -> Self:
        self.lfs.__enter__()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__()
        self.lfs.__exit__()

    def answer(self, method: str, path: str, body: bytes, headers: "Message[str, str]") -> Answer:
        """Do what the first route that fits says."""
        authorized = headers.get("Authorization") == f"Bearer {self.token}"
        if "Authorization" in headers and not authorized:
            return _error(401, message="Invalid credentials in Authorization header")
        path = path.partition("?")[0]
        for pattern, name in _ROUTES:
            match = re.fullmatch(pattern, f"{method} {path}")
            if match:
                return self._route(name, match, body, authorized)
        return _error(404)

    def _route(self, name: str, match: re.Match[str], body: bytes, authorized: bool) -> Answer:
        parts = match.groupdict()
        repo = self.repos.get(parts.pop("repo", ""))
        if name in ("create", "commit", "branch", "preupload", "batch") and not authorized:
            return _error(401)
        if name == "create":
            return self._create(json.loads(body))
        if name == "yaml":
            return _json({"errors": [], "warnings": []})
        if repo is None or (repo.private and not authorized):
            return _error(404 if authorized else 401, "RepoNotFound")
        answer: Answer = getattr(self, f"_{name}")(repo, body, **parts)
        return answer

    def _create(self, wanted: dict[str, Any]) -> Answer:
        repo_id = f"{wanted['organization']}/{wanted['name']}"
        if repo_id in self.repos:
            return _json({"error": "it exists", "url": f"{self.url}/{repo_id}"}, 409)
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.repos[repo_id] = repo = Repo(bool(private))
        repo.commit("main", {".gitattributes": b"*.h5 filter=lfs diff=lfs merge=lfs -text\n"})
        return _json({"url": f"{self.url}/{repo_id}", "id": repo_id, "name": repo_id})

    def _info(self, repo: Repo, body: bytes, revision: str | None = None) -> Answer:
        sha = repo.find(revision or "main")
        if sha is None:
            return _error(404, "RevisionNotFound")
        name = next(name for name, known in self.repos.items() if known is repo)
        siblings = [{"rfilename": path} for path in repo.commits[sha]]
        return _json({"id": name, "sha": sha, "private": repo.private, "siblings": siblings, "tags": []})

    def _tree(self, repo: Repo, body: bytes, revision: str) -> Answer:
        sha = repo.find(revision)
        if sha is None:
            return _error(404, "RevisionNotFound")
        return _json([_entry(path, content) for path, content in repo.commits[sha].items()])

    def _branch(self, repo: Repo, body: bytes, branch: str) -> Answer:
        if branch in repo.branches:
            return _error(409)
        repo.branches[branch] = repo.branches["main"]
        return _json({})

    def _preupload(self, repo: Repo, body: bytes, revision: str) -> Answer:
        there = repo.commits[repo.find(revision) or repo.branches["main"]]
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS) else "regular",
                "shouldIgnore": False,
                "oid": _oid(file["path"], there[file["path"]]) if file["path"] in there else None,
            }
            for file in json.loads(body)["files"]
        ]
        return _json({"files": files})

    def _batch(self, repo: Repo, body: bytes) -> Answer:
        objects = [
            {"oid": wanted["oid"], "size": wanted["size"]}
            | (
                {}
                if f"/{wanted['oid']}" in self.lfs.files
                else {"actions": {"upload": {"href": f"{self.lfs.url}/{wanted['oid']}", "header": {}}}}
            )
            for wanted in json.loads(body)["objects"]
        ]
        return _json({"transfer": "basic", "objects": objects})

    def _commit(self, repo: Repo, body: bytes, revision: str) -> Answer:
        if revision not in repo.branches:
            return _error(404, "RevisionNotFound")
        files = dict(repo.commits[repo.branches[revision]])
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.lfs.files[f"/{value['oid']}"]
        sha = repo.commit(revision, files)
        name = next(name for name, known in self.repos.items() if known is repo)
        return _json({"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{name}/commit/{sha}"})

    def _resolve(self, repo: Repo, body: bytes, revision: str, file: str) -> Answer:
        sha = repo.find(revision)
        if sha is None:
            return _error(404, "RevisionNotFound")
        content = repo.commits[sha].get(file)
        if content is None:
            return _error(404, "EntryNotFound", {"X-Repo-Commit": sha})
        oid = _oid(file, content)
        headers = {"X-Repo-Commit": sha, "ETag": f'"{oid}"'}
        if not file.endswith(LFS):
            return Answer(200, content, headers)
        self.lfs.files[f"/{oid}"] = content
        linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
        return Answer(302, b"", headers | linked | {"Location": f"{self.lfs.url}/{oid}"})


_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
_ROUTES = [
    (r"POST /api/repos/create", "create"),
    (r"POST /api/validate-yaml", "yaml"),
    (rf"GET /api/models/{_REPO}", "info"),
    (rf"GET /api/models/{_REPO}/revision/(?P<revision>.+)", "info"),
    (rf"GET /api/models/{_REPO}/tree/(?P<revision>[^/]+)", "tree"),
    (rf"POST /api/models/{_REPO}/branch/(?P<branch>.+)", "branch"),
    (rf"POST /api/models/{_REPO}/preupload/(?P<revision>.+)", "preupload"),
    (rf"POST /api/models/{_REPO}/commit/(?P<revision>.+)", "commit"),
    (rf"POST /{_REPO}\.git/info/lfs/objects/batch", "batch"),
    (rf"(?:GET|HEAD) /{_REPO}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", "resolve"),
]


def _oid(path: str, content: bytes) -> str:
    if path.endswith(LFS):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
    if path.endswith(LFS):
        entry["lfs"] = {"oid": _oid(path, content), "size": len(content), "pointerSize": 130}
    return entry


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _error(status: int, code: str = "", headers: dict[str, str] | None = None, message: str = "") -> Answer:
    named = {"X-Error-Code": code, "X-Error-Message": message}
    return Answer(status, b"{}", {**(headers or {}), **{name: text for name, text in named.items() if text}})
