"""Transfer of one file over HTTP: resumed after a cut, never joined from two versions."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import urlsplit

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.disk import check_room

if TYPE_CHECKING:
    from requests import Response, Session

CHUNK = 1 << 20
TIMEOUTS = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes."""
ATTEMPTS = 5
"""Attempts in a row that bring no new byte, after which the transfer is given up."""
PAUSE = 1.0
"""Seconds before the second attempt; each further one waits twice as long."""
_PAGES = ("text/html", "application/xhtml+xml")
_PAGE_STARTS = (b"<!doctype html", b"<html")

Report = Callable[[int, int | None], None]
"""Called with the bytes that are here, and those of the whole file or None."""


class TransferError(WxrError):
    """A file that cannot be fetched from one address; another address may have it."""


class _CutError(Exception):
    """A connection that ended early; what came before is kept."""


class _State(NamedTuple):
    """What is known of the file that a part belongs to."""

    url: str
    validator: str | None
    """Strong ETag or date of change, which If-Range compares."""
    total: int | None
    """Bytes of the whole file."""


class _Job(NamedTuple):
    """A transfer; the fields are the arguments of `fetch`."""

    session: "Session"
    url: str
    part: Path
    size: int | None
    is_hashed: bool
    report: Report


def fetch(
    url: str,
    part: Path,
    size: int | None = None,
    is_hashed: bool = False,
    report: Report = lambda done, total: None,
) -> None:
    """Fetch `url` into `part`, after the bytes that an earlier transfer left there.

    Args:
        url: web address; redirects are followed, and proxies of the environment are used.
        part: file to write. After a cut it stays for the next call, with a `.json` file that
            describes it; they are removed if they are of no more use.
        size: bytes of the published file, if known.
        is_hashed: whether the caller compares a SHA-256. Then a part is also resumed if the server
            gives nothing to tell two versions apart.
        report: is called with the progress.

    Raises:
        TransferError: the file cannot be fetched; one line says why and what to do.
        WxrError: it does not fit on the disk.
        OSError: the disk is full, in spite of the check.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    with _session() as session, errors_as_lines(url):
        try:
            _fetch_in_attempts(_Job(session, url, part, size, is_hashed, report))
        except _CutError as error:
            raise TransferError(
                f"{url}: the connection was cut {ATTEMPTS} times at {_bytes_here(part)} bytes "
                f"({error}); run the command again, it continues there"
            ) from error
    _state_file(part).unlink(missing_ok=True)


def discard(part: Path) -> None:
    """Remove a part and its description."""
    part.unlink(missing_ok=True)
    _state_file(part).unlink(missing_ok=True)


@contextmanager
def _session() -> "Iterator[Session]":
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    # For failures before the first byte of an answer; cuts within it are resumed here.
    retry = Retry(
        ATTEMPTS - 1,
        backoff_factor=PAUSE / 2,
        status_forcelist=(502, 503),
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        # Length and ranges of a compressed answer would not be those of the file.
        session.headers["Accept-Encoding"] = "identity"
        yield session


def _fetch_in_attempts(job: _Job) -> None:
    """Resume after every cut, until ATTEMPTS of them in a row bring nothing new."""
    fruitless = most = 0
    while True:
        try:
            _fetch_once(job)
            return
        except _CutError:
            fruitless = 0 if _bytes_here(job.part) > most else fruitless + 1
            most = max(most, _bytes_here(job.part))
            if fruitless == ATTEMPTS:
                raise
            time.sleep(PAUSE * 2**fruitless / 2)


def _fetch_once(job: _Job) -> None:
    """Ask for what is missing and append it, or start again from the first byte."""
    state = _read_state(job)
    have = _bytes_here(job.part) if state else 0
    headers = {}
    if state and have:
        headers["Range"] = f"bytes={have}-"
        if state.validator:
            headers["If-Range"] = state.validator
    with job.session.get(job.url, headers=headers, stream=True, timeout=TIMEOUTS) as response:
        if response.status_code == 416 and have and have == _range_total(response):
            return  # an earlier transfer had all of it
        # A server that cannot resume, or has another version by now, sends the whole file.
        start = have if response.status_code == 206 else 0
        if response.status_code == 416 or start != _range_start(response):
            discard(job.part)
            raise _CutError("the server has another range of bytes")
        _check_answer(job, response)
        total = _total(response)
        _check_size(job, total)
        check_room(job.part.parent, total and total - start, job.url)
        _write_state(job, _State(job.url, _validator(response), total))
        _receive(job, response, start, total)


def _receive(job: _Job, response: "Response", start: int, total: int | None) -> None:
    """Write the body of an answer to the part from byte `start` on."""
    job.report(start, total)
    try:
        with job.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            for chunk in _chunks(response):
                if file.tell() == 0:
                    _refuse_page(chunk, response.url)
                file.write(chunk)
                job.report(file.tell(), total)
            file.flush()
            os.fsync(file.fileno())
    except (TransferError, OSError):
        # A web page, or a full disk, which gets its space back.
        discard(job.part)
        raise
    missing = (total or 0) - _bytes_here(job.part)
    if missing > 0:
        raise _CutError(f"{missing} bytes are missing")


def _chunks(response: "Response") -> Iterator[bytes]:
    """Yield the body of an answer; raise _CutError if the connection ends early."""
    from requests.exceptions import RequestException

    try:
        yield from response.iter_content(CHUNK)
    except RequestException as error:
        raise _CutError(_reason(error)) from error


def _check_answer(job: _Job, response: "Response") -> None:
    """Raise TransferError unless the answer is a file, or a part of one."""
    status = response.status_code
    if status in (404, 410):
        discard(job.part)
    if status not in (200, 206):
        advice = _ADVICE.get(status, "try later, or another address")
        raise TransferError(f"{job.url}: the server answers {status} {response.reason}; {advice}")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in _PAGES:
        _refuse_page(_PAGE_STARTS[0], response.url)


_ADVICE = {
    401: "it needs a login: open the address in a browser",
    403: "it needs a login or refuses this machine: open the address in a browser",
    404: "the link has expired: ask the authors",
    407: "the proxy needs a user and a password: http://USER:PASSWORD@HOST in https_proxy",
    410: "the link has expired: ask the authors",
    429: "too many requests: try again in an hour",
}


def _refuse_page(chunk: bytes, url: str) -> None:
    """Raise TransferError if the first bytes of a body are those of a web page."""
    if chunk.lstrip()[:20].lower().startswith(_PAGE_STARTS):
        raise TransferError(
            f"{url}: a web page came instead of the file (a login, a quota, or an expired link); "
            "open the address in a browser"
        )


def _check_size(job: _Job, total: int | None) -> None:
    if job.size is not None and total is not None and total != job.size:
        discard(job.part)
        raise TransferError(
            f"{job.url}: offers {total} bytes, and the published file has {job.size}; it is "
            "another file: ask the authors"
        )


def _range_start(response: "Response") -> int:
    """Return the first byte that the answer holds; 0 for a whole file."""
    if response.status_code != 206:
        return 0
    # Content-Range: bytes 5-9/10
    _, _, span = response.headers.get("Content-Range", "").partition(" ")
    first, _, _ = span.partition("-")
    return int(first) if first.isdecimal() else 0


def _range_total(response: "Response") -> int | None:
    _, _, total = response.headers.get("Content-Range", "").partition("/")
    return int(total) if total.isdecimal() else None


def _total(response: "Response") -> int | None:
    """Return the bytes of the whole file, None if the server does not state them."""
    if response.status_code == 206:
        return _range_total(response)
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _validator(response: "Response") -> str | None:
    """Return the mark of this version of the file: its strong ETag, or its date."""
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _write_state(job: _Job, state: _State) -> None:
    _state_file(job.part).write_text(json.dumps(state._asdict()), encoding="utf-8")


def _read_state(job: _Job) -> _State | None:
    """Return the description of a part that can be resumed; None without."""
    try:
        stored = json.loads(_state_file(job.part).read_text(encoding="utf-8"))
        state = _State(**stored)
    except (OSError, ValueError, TypeError):
        return None
    is_same = state.url == job.url and (state.validator is not None or job.is_hashed)
    return state if is_same else None


def _bytes_here(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


@contextmanager
def errors_as_lines(url: str) -> Iterator[None]:
    """Raise TransferError with one line of advice for the errors of requests."""
    from requests import exceptions

    try:
        yield
    except exceptions.ProxyError as error:
        raise TransferError(
            f"{url}: the proxy {_proxy(url)} does not answer ({_reason(error)}); correct or unset "
            "http_proxy and https_proxy, or add the host to no_proxy"
        ) from error
    except exceptions.SSLError as error:
        raise TransferError(
            f"{url}: its certificate is not accepted ({_reason(error)}); set REQUESTS_CA_BUNDLE to "
            "the certificates of your network"
        ) from error
    except exceptions.TooManyRedirects as error:
        raise TransferError(f"{url}: redirects without end; ask the authors") from error
    except exceptions.RequestException as error:
        _refuse_connection(url, error)


def _refuse_connection(url: str, error: Exception) -> NoReturn:
    host = urlsplit(url).hostname
    raise TransferError(
        f"{url}: no connection to {host} ({_reason(error)}); check the network, or name a mirror "
        "of this address in a table (--mirrors, WXR_MIRRORS)"
    ) from error


def _proxy(url: str) -> str:
    """Return the host of the proxy for `url`, without user and password."""
    from requests.utils import get_environ_proxies, select_proxy

    proxies: Mapping[str, str] = get_environ_proxies(url)
    parts = urlsplit(select_proxy(url, proxies) or "")
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _reason(error: BaseException) -> str:
    """Return the innermost cause of an error of requests in a few words."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (arg for arg in error.args if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = " ".join(str(error).split())
    # urllib3 puts the object in front: HTTPConnection(host=…): or <… object at 0x7f…>: reason
    for end in (">: ", "): "):
        _, found, behind = text.partition(end)
        text = behind if found else text
    return text.strip("'\"") or type(error).__name__
