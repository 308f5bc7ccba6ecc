"""A local web server with files, ranges, redirects, cuts and the answers of the hub."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass
class Served:
    """What the server answers to the requests for one path."""

    body: bytes = b""
    etag: str | None = '"one"'
    kind: str = "application/octet-stream"
    status: int = 200
    location: str | None = None
    ranges: bool = True
    has_length: bool = True
    cuts: list[int] = field(default_factory=list)
    """Bytes of the body after which each of the next answers ends; then whole ones."""
    shift: int = 0
    """Bytes by which a range starts too early."""
    delay: float = 0
    """Seconds before the body."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Site:
    """Files by path, and the requests that came."""

    url: str
    files: dict[str, Served] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def put(self, path: str, body: bytes = b"", **settings) -> str:
        """Serve a file and return its address."""
        self.files[path] = Served(body, **settings)
        return self.url + path

    def ranges_of(self, path: str) -> list[str | None]:
        """Return the Range of each request for a path."""
        return [headers.get("Range") for _, asked, headers in self.requests if asked == path]


@contextmanager
def serving() -> Iterator[Site]:
    """Yield a site on this machine, which ends with the block."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.site
    finally:
        server.shutdown()
        server.server_close()


def forget_proxies(monkeypatch) -> None:
    """Keep a proxy of the environment from the requests to this machine."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Say nothing of a client that leaves early, as some tests do."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(with_body=True)

    def do_HEAD(self):
        self._answer(with_body=False)

    def log_message(self, *_):
        pass

    def _answer(self, with_body: bool) -> None:
        site = self.server.site
        site.requests.append((self.command, self.path, dict(self.headers)))
        served = site.files.get(self.path, Served(b"nothing", status=404, kind="text/plain"))
        start = self._start(served)
        body = served.body[max(0, start - served.shift) :] if start else served.body
        status = 206 if start and served.status == 200 else served.status
        if start and start >= len(served.body):
            status, body = 416, b""
        self.send_response(status)
        self._send_headers(served, status, start, len(body))
        if not with_body:
            return
        time.sleep(served.delay)
        cut = served.cuts.pop(0) if served.cuts else None
        self.wfile.write(body[:cut])
        if cut is not None or not served.has_length:
            self.close_connection = True

    def _start(self, served: Served) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        can = served.ranges and served.status == 200
        if not asked or not can or (condition and condition != served.etag):
            return 0
        return int(asked[1])

    def _send_headers(self, served: Served, status: int, start: int, length: int) -> None:
        total = len(served.body)
        self.send_header("Content-Type", served.kind)
        if served.etag:
            self.send_header("ETag", served.etag)
        if served.location:
            self.send_header("Location", served.location)
        if status == 206:
            first = start - served.shift
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        if status == 416:
            self.send_header("Content-Range", f"bytes */{total}")
        if served.has_length:
            self.send_header("Content-Length", str(length))
        for name, value in served.headers.items():
            self.send_header(name, value)
        self.end_headers()
