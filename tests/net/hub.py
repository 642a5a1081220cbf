"""A small Hugging Face Hub: what huggingface_hub asks of the real one to list, download, sign in and publish.

    with SmallHub() as hub:
        hub.add("owner/name", {"model_index.json": b"..."}, gated=True)
        hub.allow("hf_token", "ada", may_see=("owner/name",))
        ... run with hub.environment() ...
        hub.fault("GET .*unet", cut_after=1000)

Files of more than `LARGE` bytes, and weights, are kept as LFS keeps them: listed with their sha256, and redirected to
an address of another origin that is signed and knows no token.
"""

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field

from tests.net.server import Asked, Reply, Server

LARGE = 10_000  # bytes
REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


def is_large(path: str, data: bytes) -> bool:
    return len(data) > LARGE or path.endswith((".safetensors", ".bin"))


def blob_id(data: bytes) -> str:
    """As git names a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repo:
    """A repository: its states, the latest last."""

    private: bool = False
    gated: str | bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    card: dict = field(default_factory=dict)

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit that a revision names, and its files."""
        if revision == "main" and self.commits:
            revision = list(self.commits)[-1]
        return (revision, self.commits[revision]) if revision in self.commits else None


class SmallHub(Server):
    """See above."""

    def __init__(self, rate: int = 0) -> None:
        super().__init__(rate)
        self.repos: dict[str, Repo] = {}
        self.users: dict[str, str] = {}  # token to name
        self.granted: set[tuple[str, str]] = set()  # name and repository
        self.stored: dict[str, bytes] = {}  # large files by their sha256
        self.batches: list[dict] = []

    def environment(self) -> dict[str, str]:
        """What leads huggingface_hub here; large files over plain HTTP."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1"}

    def add(self, repo: str, files: dict[str, bytes], commit: str = "", **kind) -> str:
        """Commit these files over those that are there; the commit, whose name is made up where none is given."""
        known = self.repos.setdefault(repo, Repo())
        for name, value in kind.items():
            setattr(known, name, value)
        latest = known.at("main")
        now = {**(latest[1] if latest else {}), **files}
        commit = commit or hashlib.sha1(secrets.token_bytes(8)).hexdigest()
        known.commits[commit] = now
        self.stored |= {hashlib.sha256(data).hexdigest(): data for path, data in now.items() if is_large(path, data)}
        return commit

    def allow(self, token: str, user: str, may_see: tuple[str, ...] = ()) -> None:
        """A token of a user, who was let into these repositories."""
        self.users[token] = user
        self.granted |= {(user, repo) for repo in may_see}

    def reply(self, asked: Asked) -> Reply:
        for pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, f"{asked.method} {asked.path}")
            if found and (answered := answer(self, asked, **found.groupdict())):
                return answered
        return Reply.of({"error": "Not Found"}, 404)

    # who asks

    def _user(self, asked: Asked) -> str:
        return self.users.get(asked.bearer, "")

    def _refused(self, asked: Asked, repo: str, for_files: bool = False) -> Reply | None:
        """Why this is not given to who asks, as the real Hub says it."""
        user, known = self._user(asked), self.repos.get(repo)
        if asked.bearer and not user:
            return _error(401, "Invalid credentials in Authorization header", "")
        owns = bool(user) and repo.startswith(f"{user}/")
        if known is None or (known.private and not owns):
            return _error(404 if user else 401, "Repository not found", "RepoNotFound")
        if for_files and known.gated and not owns and (user, repo) not in self.granted:
            said = f"Access to model {repo} is restricted. You must be authenticated to access it."
            return _error(403 if user else 401, said, "GatedRepo")
        return None

    # what is asked

    def _whoami(self, asked: Asked) -> Reply:
        if not (user := self._user(asked)):
            return _error(401, "Invalid username or password.", "")
        token = {"type": "access_token", "accessToken": {"displayName": "studio", "role": "write"}}
        return Reply.of({"type": "user", "name": user, "orgs": [], "auth": token})

    def _info(self, asked: Asked, repo: str, revision: str = "main") -> Reply:
        if refused := self._refused(asked, repo):
            return refused
        known = self.repos[repo]
        if not (found := known.at(revision)):
            return _error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        commit, files = found
        listed = [_sibling(path, data, "blobs" in asked.query) for path, data in sorted(files.items())]
        said = {"_id": "1", "id": repo, "modelId": repo, "author": repo.partition("/")[0], "sha": commit,
                "private": known.private, "gated": known.gated, "disabled": False, "downloads": 0, "likes": 0,
                "tags": [], "siblings": listed, "cardData": known.card}  # fmt: skip
        return Reply.of(said)

    def _tree(self, asked: Asked, repo: str, revision: str) -> Reply:
        if refused := self._refused(asked, repo):
            return refused
        if not (found := self.repos[repo].at(revision)):
            return _error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return Reply.of([_entry(path, data) for path, data in sorted(found[1].items())])

    def _resolve(self, asked: Asked, repo: str, revision: str, path: str) -> Reply:
        if refused := self._refused(asked, repo, for_files=True):
            return refused
        if not (found := self.repos[repo].at(revision)):
            return _error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        commit, files = found
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if path not in files:
            return _error(404, "Entry not found", "EntryNotFound", **headers)
        data = files[path]
        if not is_large(path, data):
            return Reply(200, data, {**headers, "ETag": f'"{blob_id(data)}"'}, is_file=True)
        sha256 = hashlib.sha256(data).hexdigest()
        linked = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{sha256}"'}
        return Reply(302, b"", {**headers, **linked, "Location": f"{self.elsewhere}/cdn/{sha256}?signed=1"})

    def _cdn(self, asked: Asked, sha256: str) -> Reply:
        """What is redirected to: it takes a signature and refuses a token, as signed addresses do."""
        if "authorization" in asked.headers or asked.query.get("signed") != "1" or sha256 not in self.stored:
            return Reply(400, b"<Error>InvalidArgument</Error>", {"Content-Type": "application/xml"})
        return Reply(200, self.stored[sha256], {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"}, is_file=True)

    # publishing

    def _create(self, asked: Asked) -> Reply:
        if not (user := self._user(asked)):
            return _error(401, "Invalid username or password.", "")
        wanted = asked.json()
        repo = f"{wanted.get('organization') or user}/{wanted['name']}"
        if repo in self.repos:
            return Reply.of({"error": "You already created this model repo", "url": f"{self.url}/{repo}"}, 409)
        private = wanted.get("private") is True or wanted.get("visibility") == "private"
        self.add(repo, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=private)
        return Reply.of({"url": f"{self.url}/{repo}", "name": repo, "id": repo})

    def _preupload(self, asked: Asked, repo: str, revision: str) -> Reply:
        if refused := self._not_theirs(asked, repo):
            return refused
        modes = [
            {"path": one["path"], "shouldIgnore": False,
             "uploadMode": "lfs" if is_large(one["path"], b" " * min(one["size"], LARGE + 1)) else "regular"}
            for one in asked.json()["files"]
        ]  # fmt: skip
        return Reply.of({"files": modes})

    def _batch(self, asked: Asked, repo: str) -> Reply:
        if refused := self._not_theirs(asked, repo):
            return refused
        wanted = asked.json()
        self.batches.append(wanted)
        objects = [
            {"oid": one["oid"], "size": one["size"]}
            | ({} if one["oid"] in self.stored
               else {"actions": {"upload": {"href": f"{self.elsewhere}/upload/{one['oid']}", "header": {}}}})
            for one in wanted["objects"]
        ]  # fmt: skip
        return Reply.of({"transfer": "basic", "objects": objects})

    def _upload(self, asked: Asked, sha256: str) -> Reply:
        if hashlib.sha256(asked.body).hexdigest() != sha256:
            return Reply(400, b"the body is not what was announced")
        self.stored[sha256] = asked.body
        return Reply(200)

    def _commit(self, asked: Asked, repo: str, revision: str) -> Reply:
        if refused := self._not_theirs(asked, repo):
            return refused
        files: dict[str, bytes] = {}
        for line in asked.body.splitlines():
            said = json.loads(line)
            if said["key"] == "file":
                files[said["value"]["path"]] = base64.b64decode(said["value"]["content"])
            elif said["key"] == "lfsFile":
                if said["value"]["oid"] not in self.stored:
                    return _error(400, "LFS pointer pointed to a file that does not exist", "")
                files[said["value"]["path"]] = self.stored[said["value"]["oid"]]
        commit = self.add(repo, files)
        return Reply.of({"success": True, "commitOid": commit, "commitUrl": f"{self.url}/{repo}/commit/{commit}"})

    def _yaml(self, asked: Asked) -> Reply:
        return Reply.of({"errors": [], "warnings": []})

    def _not_theirs(self, asked: Asked, repo: str) -> Reply | None:
        if refused := self._refused(asked, repo):
            return refused
        if not repo.startswith(f"{self._user(asked)}/"):
            return _error(403, "You do not have the rights to write to this repo", "")
        return None


def _error(status: int, said: str, code: str, **headers: str) -> Reply:
    marks = {"X-Error-Message": said} | ({"X-Error-Code": code} if code else {}) | headers
    return Reply(status, json.dumps({"error": said}).encode(), {"Content-Type": "application/json", **marks})


def _sibling(path: str, data: bytes, with_blobs: bool) -> dict:
    if not with_blobs:
        return {"rfilename": path}
    said = {"rfilename": path, "size": len(data), "blobId": blob_id(data)}
    if is_large(path, data):
        said["lfs"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 134}
    return said


def _entry(path: str, data: bytes) -> dict:
    said = {"type": "file", "path": path, "size": len(data), "oid": blob_id(data)}
    if is_large(path, data):
        said["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return said


_ROUTES = (
    (r"GET /api/whoami-v2", SmallHub._whoami),
    (rf"GET /api/models/{REPO}", SmallHub._info),
    (rf"GET /api/models/{REPO}/revision/(?P<revision>[\w.-]+)", SmallHub._info),
    (rf"GET /api/models/{REPO}/tree/(?P<revision>[\w.-]+)/?", SmallHub._tree),
    (rf"(?:GET|HEAD) /{REPO}/resolve/(?P<revision>[\w.-]+)/(?P<path>.+)", SmallHub._resolve),
    (r"(?:GET|HEAD) /cdn/(?P<sha256>[0-9a-f]{64})", SmallHub._cdn),
    (r"POST /api/repos/create", SmallHub._create),
    (rf"POST /api/models/{REPO}/preupload/(?P<revision>[\w.-]+)", SmallHub._preupload),
    (rf"POST /{REPO}\.git/info/lfs/objects/batch", SmallHub._batch),
    (r"PUT /upload/(?P<sha256>[0-9a-f]{64})", SmallHub._upload),
    (rf"POST /api/models/{REPO}/commit/(?P<revision>[\w.-]+)", SmallHub._commit),
    (r"POST /api/validate-yaml", SmallHub._yaml),
)
