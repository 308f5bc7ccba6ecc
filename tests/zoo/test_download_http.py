"""Transfers over HTTP: ranges, cuts, changed files, pages, disks, proxies."""

import errno
import json
import shutil
import socket
from collections import namedtuple

import pytest

from wxr_plugin.errors import WxrError
from wxr_plugin.utils import disk
from wxr_plugin.zoo.download import http
from wxr_plugin.zoo.download.http import TransferError, fetch

BODY = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(http, "PAUSE", 0.0)
    monkeypatch.setattr(http, "CHUNK", 1000)


@pytest.fixture
def part(tmp_path):
    return tmp_path / "work" / "part"


def left(part):
    """Return the names of what a transfer left behind."""
    return sorted(path.name for path in part.parent.iterdir())


def test_a_file_arrives_whole_and_its_progress_is_reported(site, part):
    reports = []
    fetch(site.put("/a.pth", BODY), part, len(BODY), report=lambda *now: reports.append(now))
    assert part.read_bytes() == BODY and left(part) == ["part"]
    assert reports[0] == (0, len(BODY)) and reports[-1] == (len(BODY), len(BODY))
    assert site.ranges_of("/a.pth") == [None]


def test_a_cut_transfer_continues_where_it_ended(site, part):
    fetch(site.put("/a.pth", BODY, cuts=[3000, 2000]), part)
    assert part.read_bytes() == BODY
    assert site.ranges_of("/a.pth") == [None, "bytes=3000-", "bytes=5000-"]
    assert [headers.get("If-Range") for *_, headers in site.requests] == [None, '"one"', '"one"']


def test_a_later_call_continues_the_part_of_an_earlier_one(site, part):
    url = site.put("/a.pth", BODY, cuts=[4000] + [0] * 9)
    with pytest.raises(TransferError, match=r"cut 5 times at 4000 bytes .*continues there"):
        fetch(url, part)
    assert left(part) == ["part", "part.json"]
    site.files["/a.pth"].cuts.clear()
    fetch(url, part)
    assert part.read_bytes() == BODY and site.ranges_of("/a.pth")[-1] == "bytes=4000-"


def test_a_changed_file_is_not_joined_to_the_part_of_the_old_one(site, part):
    url = site.put("/a.pth", BODY, cuts=[4000] + [0] * 9)
    with pytest.raises(TransferError):
        fetch(url, part)
    changed = BODY[::-1]
    site.put("/a.pth", changed, etag='"two"')
    fetch(url, part)
    assert part.read_bytes() == changed and site.ranges_of("/a.pth")[-1] == "bytes=4000-"


@pytest.mark.parametrize("settings", [{"ranges": False}, {"etag": None}, {"etag": 'W/"weak"'}])
def test_a_transfer_that_cannot_be_resumed_starts_again(site, part, settings):
    fetch(site.put("/a.pth", BODY, cuts=[3000], **settings), part)
    assert part.read_bytes() == BODY


def test_without_an_etag_only_a_hashed_file_is_resumed(site, part):
    fetch(site.put("/a.pth", BODY, cuts=[3000], etag=None), part, is_hashed=True)
    assert site.ranges_of("/a.pth") == [None, "bytes=3000-"]
    fetch(site.put("/b.pth", BODY, cuts=[3000], etag=None), part.with_name("other"))
    assert site.ranges_of("/b.pth") == [None, None]


def test_a_wrong_range_is_thrown_away(site, part):
    fetch(site.put("/a.pth", BODY, cuts=[3000], shift=10), part)
    assert part.read_bytes() == BODY and site.ranges_of("/a.pth")[-1] is None


def test_a_complete_part_needs_no_further_bytes(site, part):
    url = site.put("/a.pth", BODY)
    part.parent.mkdir()
    part.write_bytes(BODY)
    state = {"url": url, "validator": '"one"', "total": len(BODY)}
    part.with_name("part.json").write_text(json.dumps(state))
    fetch(url, part)
    assert part.read_bytes() == BODY and len(site.requests) == 1 and left(part) == ["part"]


def test_a_file_without_a_length_arrives(site, part):
    fetch(site.put("/a.pth", BODY, has_length=False), part)
    assert part.read_bytes() == BODY


def test_redirects_are_followed_but_not_without_end(site, part):
    end = site.put("/signed/a.pth", BODY, cuts=[5000])
    fetch(site.put("/a.pth", status=302, location=end), part)
    assert part.read_bytes() == BODY and site.ranges_of("/signed/a.pth")[1] == "bytes=5000-"
    loop = site.put("/loop", status=302, location=site.url + "/loop")
    with pytest.raises(TransferError, match="redirects without end"):
        fetch(loop, part.with_name("other"))


@pytest.mark.parametrize(
    "page",
    [
        {"body": b"<p>Log in", "kind": "text/html; charset=utf-8"},
        {"body": b"\n <!DOCTYPE html><title>Quota exceeded"},
        {"body": b"<html><body>"},
    ],
)
def test_a_web_page_is_no_file(site, part, page):
    with pytest.raises(TransferError, match="a web page came instead of the file"):
        fetch(site.put("/a.pth", **page), part)
    assert not part.exists()


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "needs a login"),
        (403, "needs a login"),
        (404, "the link has expired: ask the authors"),
        (429, "too many requests"),
        (500, "try later"),
        (503, "try later"),
    ],
)
def test_an_answer_without_a_file_says_what_to_do(site, part, status, advice):
    with pytest.raises(TransferError, match=f"answers {status} .*{advice}"):
        fetch(site.put("/a.pth", b"no", status=status), part)
    assert left(part) == []


def test_a_file_of_another_size_is_refused_before_it_is_fetched(site, part):
    with pytest.raises(TransferError, match="offers 10240 bytes, and the published file has 7"):
        fetch(site.put("/a.pth", BODY), part, size=7)
    assert left(part) == []


def test_a_file_that_does_not_fit_is_refused_before_it_is_fetched(site, part, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(disk.MARGIN + 5000))
    with pytest.raises(WxrError, match=r"needs 10.2 kB, and .* has 67.1 MB free"):
        fetch(site.put("/a.pth", BODY), part)
    assert left(part) == []


def test_a_disk_that_fills_up_gets_its_space_back(site, part, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(http.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(site.put("/a.pth", BODY), part)
    assert left(part) == []


def test_a_machine_that_does_not_answer(part, monkeypatch, site):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a.pth"
        with pytest.raises(TransferError, match=r"no connection to 127\.0\.0\.1 .*mirror"):
            fetch(url, part)
        monkeypatch.setenv("http_proxy", url.replace("//", "//user:secret@"))
        with pytest.raises(TransferError, match=r"the proxy 127\.0\.0\.1:\d+ does not") as error:
            fetch("http://weights.example/a.pth", part)
        assert "secret" not in str(error.value) and "http_proxy" in str(error.value)
