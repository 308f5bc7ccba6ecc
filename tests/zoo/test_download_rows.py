"""Files of rows: addresses in turn, checks on arrival, records, locks."""

import hashlib
import multiprocessing
import sys
import types
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from published_files import filled, publish

from wxr_plugin.errors import WxrError
from wxr_plugin.zoo.download import addresses, download, http, is_complete
from wxr_plugin.zoo.download.addresses import Address, wanted_files
from wxr_plugin.zoo.download.obtain import check_recorded
from wxr_plugin.zoo.rows import find_row

ROW = "griddehazenet-indoor"
OFFICIAL = "indoor_haze_best_3_6"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(http, "PAUSE", 0.0)


@pytest.fixture
def body(tmp_path):
    """Gives the bytes of the row's file, as published."""
    folder = tmp_path / "published"
    folder.mkdir()
    return publish(find_row(ROW), folder).read_bytes()


@pytest.fixture
def folder(tmp_path):
    """Gives an empty folder of weights."""
    folder = tmp_path / "weights"
    folder.mkdir()
    return folder


@pytest.fixture
def publish_at(monkeypatch):
    """Return a function that puts the row's file at these addresses and no other."""

    def put(*places):
        file = addresses._File(addresses=places)
        method = addresses._Method(ask="authors@example.org", files={OFFICIAL: file})
        monkeypatch.setattr(addresses, "methods", lambda: {"GridDehazeNet": method})

    return put


def left(folder):
    """Return what lies in a folder and below, apart from the record of licences."""
    paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return paths - {"LICENCES.yml"}


def get(folder, **settings):
    settings = {"accept_licence": True, "progress": False, **settings}
    return download(ROW, folder=folder, **settings)


def test_a_file_is_fetched_once_under_an_accepted_licence(site, body, folder, publish_at):
    publish_at(Address("http", site.put("/a", body)))
    assert not is_complete(ROW, folder)
    with pytest.raises(WxrError, match=r"its licence is 'MIT by the README.*accept_licence=True"):
        download(ROW, folder=folder)
    assert site.requests == [] and left(folder) == set()
    path = get(folder)
    assert path == folder / OFFICIAL and path.read_bytes() == body and is_complete(ROW, folder)
    assert left(folder) == {OFFICIAL, "SHA256SUMS"}
    assert "GridDehazeNet: MIT by the README" in (folder / "LICENCES.yml").read_text()
    assert download(ROW, folder=folder, offline=True) == path and len(site.requests) == 1
    path.unlink()
    assert download(ROW, folder=folder, progress=False) == path  # the licence was accepted before


def test_the_published_address_goes_through_the_mirror_table(site, body, folder, tmp_path):
    (wanted,) = wanted_files(find_row(ROW))
    file = wanted.addresses[0].at.removeprefix("https://github.com")
    site.put(f"/github{file}", body)
    table = tmp_path / "mirrors.yml"
    table.write_text(f"https://github.com/: {site.url}/github/")
    assert get(folder, mirrors=table).read_bytes() == body


def test_a_mirror_of_google_drive_has_plain_files(site, body, folder, publish_at, tmp_path):
    publish_at(Address("drive", "1"), Address("drive-folder", "5", file="in/best"))
    site.put("/drive/folders/5/in/best", body)
    table = tmp_path / "mirrors.yml"
    table.write_text(f"https://drive.google.com/: {site.url}/")
    assert get(folder, mirrors=table).read_bytes() == body
    assert [path for _, path, _ in site.requests] == ["/uc?id=1", "/drive/folders/5/in/best"]


def test_another_file_than_the_published_one_is_removed(site, folder, tmp_path):
    (wanted,) = wanted_files(find_row("prenet-rain100h"))
    path = wanted.addresses[0].at.removeprefix("https://github.com")
    site.put(path, b"x" * wanted.size)
    table = tmp_path / "mirrors.yml"
    table.write_text(f"https://github.com/: {site.url}/")
    with pytest.raises(WxrError, match=r"its SHA-256 is .* and that of the published file 127c0"):
        download(wanted.row.name, folder=folder, accept_licence=True, mirrors=table, progress=False)
    assert left(folder) == set()


def test_a_file_that_was_exchanged_since_it_first_arrived(site, body, folder, publish_at, tmp_path):
    publish_at(Address("http", site.put("/a", body)))
    path = get(folder)
    digest = hashlib.sha256(body).hexdigest()
    assert (folder / "SHA256SUMS").read_text() == f"{digest}  {OFFICIAL}\n"
    check_recorded(path, folder)
    path.write_bytes(b"mine")
    with pytest.raises(WxrError, match="has changed since it arrived"):
        check_recorded(path, folder)
    path.unlink()
    exchanged = publish(find_row(ROW), tmp_path, make=filled).read_bytes()
    site.put("/a", exchanged)
    with pytest.raises(WxrError, match=f"and {digest} when it first arrived: .*SHA256SUMS"):
        get(folder)
    assert not path.exists()
    (folder / "SHA256SUMS").unlink()
    assert get(folder).read_bytes() == exchanged


def test_a_file_that_is_no_checkpoint_or_of_another_network(site, folder, publish_at, tmp_path):
    publish_at(Address("http", site.put("/a", b"x" * 100)))
    with pytest.raises(WxrError, match="not readable as a checkpoint"):
        get(folder)
    torch.save({"a": torch.ones(2)}, tmp_path / "other.pth")
    site.put("/a", (tmp_path / "other.pth").read_bytes())
    with pytest.raises(WxrError, match=f"does not fit {ROW}: .*ask authors@example.org, and put"):
        get(folder)
    assert not (folder / OFFICIAL).exists() and not (folder / "SHA256SUMS").exists()


def test_the_next_address_is_tried_and_all_reasons_are_given(site, body, folder, publish_at):
    gone = Address("http", site.url + "/gone")
    page = Address("page", "https://pan.example/s/1", note="password cr7d")
    publish_at(gone, page)
    with pytest.raises(WxrError) as error:
        get(folder)
    message = str(error.value)
    assert "/gone: the server answers 404" in message and "\n" not in message
    assert "https://pan.example/s/1: has to be opened in a browser (password cr7d)" in message
    assert "ask authors@example.org" in message and str(folder / OFFICIAL) in message
    publish_at(gone, Address("http", site.put("/a", body)))
    assert get(folder).read_bytes() == body


def test_a_file_without_an_address(folder, publish_at):
    publish_at()
    with pytest.raises(WxrError, match=r"publish no such file; ask authors@example\.org"):
        get(folder)


def test_the_last_file_of_an_archive_that_fits_is_taken(site, body, folder, publish_at, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("GOPRO_L1/models/model-900.pt", body)
        archive.writestr("GOPRO_L1/models/model-1000.pt", b"damaged")
        archive.writestr("GOPRO_L1/optim/optim-1000.pt", b"no model")
    url = site.put("/a.zip", (tmp_path / "a.zip").read_bytes())
    publish_at(Address("http", url, member="*model-*.pt"))
    assert get(folder).read_bytes() == body
    assert left(folder) == {OFFICIAL, "SHA256SUMS"}


def test_offline_names_the_file_and_its_address(site, body, folder, publish_at, monkeypatch):
    publish_at(Address("http", site.put("/a", body)))
    with pytest.raises(WxrError, match=rf"offline, .*{OFFICIAL} \(http://127\S+/a\); fetch them"):
        get(folder, offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WxrError, match="offline"):
        get(folder)
    assert site.requests == []
    assert get(folder, offline=False).is_file()


@pytest.mark.parametrize("kind", ["drive", "drive-folder"])
def test_google_drive_goes_through_gdown(folder, body, publish_at, monkeypatch, kind):
    listed = namedtuple("listed", "id path local_path")
    calls = []

    def fetched(id, output, **settings):
        calls.append((id, settings["resume"]))
        Path(output).write_bytes(body)

    gdown = types.ModuleType("gdown")
    gdown.exceptions = types.SimpleNamespace(DownloadError=KeyError)
    gdown.download = fetched
    gdown.download_folder = lambda **_: [listed("7", "real/other", ""), listed("8", "in/best", "")]
    monkeypatch.setitem(sys.modules, "gdown", gdown)
    publish_at(Address(kind, "5", file="best"))
    assert get(folder).read_bytes() == body
    assert calls == [("5" if kind == "drive" else "8", True)]


def test_google_drive_that_refuses_or_has_no_such_file(folder, publish_at, monkeypatch):
    def refuse(**_):
        raise KeyError("Too many users have viewed or downloaded this file recently")

    gdown = types.ModuleType("gdown")
    gdown.exceptions = types.SimpleNamespace(DownloadError=KeyError)
    gdown.download = refuse
    gdown.download_folder = lambda **_: []
    monkeypatch.setitem(sys.modules, "gdown", gdown)
    publish_at(Address("drive", "5"), Address("drive-folder", "6", file="best"))
    with pytest.raises(WxrError, match=r"does not hand it out .*Too many users.*has no best, but"):
        get(folder)
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(WxrError, match=r"needs gdown \(pip install 'wxr_plugin\[download\]'\)"):
        get(folder)


@pytest.fixture
def hub(site, monkeypatch):
    """Return a function that serves a file as the hub does, from the site as HF_ENDPOINT."""
    monkeypatch.setenv("HF_ENDPOINT", site.url)

    def serve(body, digest):
        headers = {"X-Repo-Commit": "1" * 40, "X-Linked-Size": str(len(body))}
        site.put("/o/n/resolve/main/a.pth", body, etag=f'"{digest}"', headers=headers)
        site.put(f"/o/n/resolve/{'1' * 40}/a.pth", body, etag=f'"{digest}"', headers=headers)

    return serve


def test_the_hub_is_asked_at_its_endpoint_and_its_hash_is_compared(hub, body, folder, publish_at):
    publish_at(Address("hub", "o/n", file="a.pth"))
    hub(body, "0" * 64)
    with pytest.raises(WxrError, match=r"o/n/resolve/main/a\.pth: arrived damaged"):
        get(folder)
    hub(body, hashlib.sha256(body).hexdigest())
    assert get(folder).read_bytes() == body
    assert left(folder) == {OFFICIAL, "SHA256SUMS"}


def test_a_hub_repository_without_the_file(hub, site, folder, publish_at):
    publish_at(Address("hub", "o/n", file="none.pth"))
    with pytest.raises(WxrError, match=r"none\.pth: .*404"):
        get(folder)
    assert left(folder) == set()


def test_two_processes_fetch_a_file_once(site, body, folder, publish_at):
    publish_at(Address("http", site.put("/a", body, delay=0.5)))
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=get, args=(folder,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(site.requests) == 1 and left(folder) == {OFFICIAL, "SHA256SUMS"}
