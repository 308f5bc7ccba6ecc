"""A local server with the endpoints of the Hugging Face hub that huggingface_hub uses.

`python hub_server.py PORT` serves empty repositories until it is stopped.
"""

import base64
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_token_of_the_tests"
REPO = r"(?P<repo>[^/]+/[^/]+?)"


@dataclass
class Repo:
    """A repository: branches, and the files of each commit."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add or replace files on a branch and return the commit."""
        before = self.commits.get(self.branches.get(branch, ""), {})
        tree = before | files
        content = repr((len(self.commits), sorted(tree.items()))).encode()
        sha = hashlib.sha1(content).hexdigest()
        self.commits[sha] = tree
        self.branches[branch] = sha
        return sha

    def find(self, revision: str) -> str | None:
        """Return the commit of a branch or commit."""
        if revision in self.commits:
            return revision
        return self.branches.get(revision)


@dataclass
class Hub:
    """All repositories, and what the server does wrong."""

    url: str
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    page: bool = False
    """A login page answers everything."""
    status: int = 0
    """Every request is answered with this status."""
    cut: int | None = None
    """Bytes of each file after which the connection ends."""
    cuts: list[int] = field(default_factory=list)
    """The same, of the next files alone."""
    refuse_commits: bool = False
    """The right to write is missing."""

    def add(self, name: str, files: dict[str, bytes], **settings) -> str:
        """Add a repository with these files and return the commit."""
        repo = self.repos.setdefault(name, Repo(**settings))
        return repo.commit(files)

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        """Return the files of a branch."""
        repo = self.repos[name]
        return repo.commits[repo.branches[branch]]

    def asked(self, method: str = "") -> list[str]:
        """Return the paths of the requests so far, those of one method if given."""
        return [path for used, path in self.requests if not method or used == method]


@contextmanager
def serving_hub(port: int = 0) -> Iterator[Hub]:
    """Yield a hub on this machine, which ends with the block."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Ignore clients that leave early."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    ROUTES = (
        ("GET", rf"/api/models/{REPO}(/revision/(?P<revision>[^/]+))?", "info"),
        ("GET", rf"/api/models/{REPO}/tree/(?P<revision>[^/]+)", "tree"),
        ("GET", rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", "resolve"),
        ("HEAD", rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", "resolve"),
        ("POST", "/api/repos/create", "create"),
        ("POST", "/api/validate-yaml", "validate"),
        ("POST", rf"/api/models/{REPO}/branch/(?P<revision>[^/]+)", "branch"),
        ("POST", rf"/api/models/{REPO}/preupload/(?P<revision>[^/]+)", "preupload"),
        ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/(?P<file>[0-9a-f]+)", "put"),
        ("POST", rf"/api/models/{REPO}/commit/(?P<revision>[^/]+)", "commit"),
    )

    def answer(self):
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, self.path))
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        if hub.page:
            return self.send(200, b"<html>Log in to the network</html>", kind="text/html")
        if hub.status:
            return self.send(hub.status, b"not now")
        for method, pattern, name in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                return getattr(self, name)(**match.groupdict())
        return self.send(404, b"{}")

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass

    def send(self, status, body=b"", kind="application/json", cut=None, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

    def reply(self, content, status=200):
        self.send(status, json.dumps(content).encode())

    def refused(self, repo, writes=False):
        """Answer for a repository that may not be read, and return whether that was done."""
        token = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        known = self.server.hub.repos.get(repo)
        if writes and not token:
            self.send(401, b'{"error": "Invalid username or password."}')
        elif writes and self.server.hub.refuse_commits:
            self.send(403, b'{"error": "Forbidden"}')
        elif known is None or (known.private and not token):
            self.send(401 if not token else 404, b"{}", X_Error_Code="RepoNotFound")
        elif known.gated and not token:
            self.send(401, b"{}", X_Error_Code="GatedRepo")
        else:
            return False
        return True

    def found(self, repo, revision):
        """Return the commit, or None after an answer."""
        if self.refused(repo):
            return None
        sha = self.server.hub.repos[repo].find(revision or "main")
        if sha is None:
            self.send(404, b"{}", X_Error_Code="RevisionNotFound")
        return sha

    def info(self, repo, revision):
        sha = self.found(repo, revision)
        if sha is None:
            return
        known = self.server.hub.repos[repo]
        tree = known.commits[sha]
        blobs = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = []
        for name, body in tree.items():
            siblings.append({"rfilename": name} | ({"size": len(body)} if blobs else {}))
        self.reply(
            {
                "id": repo,
                "modelId": repo,
                "sha": sha,
                "private": known.private,
                "gated": "auto" if known.gated else False,
                "tags": [],
                "siblings": siblings,
                "cardData": front_matter(tree.get("README.md", b"")),
            }
        )

    def tree(self, repo, revision):
        sha = self.found(repo, revision)
        if sha is None:
            return
        entries = []
        for name, body in self.server.hub.repos[repo].commits[sha].items():
            oid = hashlib.sha1(body).hexdigest()
            entries.append({"type": "file", "path": name, "size": len(body), "oid": oid})
        self.reply(entries)

    def resolve(self, repo, revision, file):
        sha = self.found(repo, revision)
        if sha is None:
            return
        body = self.server.hub.repos[repo].commits[sha].get(file)
        if body is None:
            self.send(404, b"{}", X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
            return
        headers = {"X_Repo_Commit": sha, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        status, start = (206, int(asked[1])) if asked else (200, 0)
        if asked:
            headers["Content_Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        hub = self.server.hub
        is_body = self.command == "GET"
        cut = hub.cuts.pop(0) if hub.cuts and is_body else hub.cut
        self.send(status, body[start:], "application/octet-stream", cut, **headers)

    def create(self):
        asked = json.loads(self.body)
        token = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not token:
            self.send(401, b'{"error": "Invalid username or password."}')
            return
        name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
        hub = self.server.hub
        if name in hub.repos:
            self.reply({"error": "exists", "url": f"{hub.url}/{name}"}, 409)
            return
        hub.repos[name] = Repo(private=asked.get("visibility") == "private")
        hub.repos[name].commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self.reply({"url": f"{hub.url}/{name}", "name": name})

    def validate(self):
        content = json.loads(self.body)["content"]
        metadata = front_matter(content.encode())
        if isinstance(metadata, str):
            self.reply({"errors": [{"message": "no block of keys"}], "warnings": []}, 400)
        else:
            empty = [] if metadata else [{"message": "empty metadata"}]
            self.reply({"errors": [], "warnings": empty})

    def branch(self, repo, revision):
        if self.refused(repo, writes=True):
            return
        known = self.server.hub.repos[repo]
        status = 409 if revision in known.branches else 200
        known.branches.setdefault(revision, known.branches["main"])
        self.reply({}, status)

    def preupload(self, repo, revision):
        if self.refused(repo, writes=True):
            return
        answers = []
        for file in json.loads(self.body)["files"]:
            mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False})
        self.reply({"files": answers})

    def batch(self, repo):
        if self.refused(repo, writes=True):
            return
        objects = []
        for item in json.loads(self.body)["objects"]:
            href = f"{self.server.hub.url}/lfs/{item['oid']}"
            objects.append(item | {"actions": {"upload": {"href": href}}})
        self.reply({"transfer": "basic", "objects": objects})

    def put(self, file):
        assert hashlib.sha256(self.body).hexdigest() == file
        self.server.hub.objects[file] = self.body
        self.send(200)

    def commit(self, repo, revision):
        if self.refused(repo, writes=True):
            return
        hub, files = self.server.hub, {}
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = hub.objects[value["oid"]]
        sha = hub.repos[repo].commit(files, revision)
        self.reply({"commitUrl": f"{hub.url}/{repo}/commit/{sha}", "commitOid": sha})


def front_matter(card: bytes) -> dict | None:
    """Return the YAML at the beginning of a card."""
    match = re.match(r"---\n(.*?)\n---\n", card.decode(), re.DOTALL)
    return yaml.safe_load(match[1]) if match else None


def main() -> None:
    with serving_hub(int(sys.argv[1])) as hub:
        print(hub.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
