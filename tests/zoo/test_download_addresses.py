"""The table of addresses, mirrors, archives, checksums and licences."""

import tarfile
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pytest

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.disk import readable
from wxr_plugin.zoo.download.addresses import Address, hub_models, methods, wanted_files
from wxr_plugin.zoo.download.archives import unpack
from wxr_plugin.zoo.download.http import TransferError
from wxr_plugin.zoo.download.licences import accept_licences, open_licences
from wxr_plugin.zoo.download.mirrors import mirrored, read_mirrors
from wxr_plugin.zoo.download.sums import read_sums, record_sum
from wxr_plugin.zoo.places import places
from wxr_plugin.zoo.rows import find_row, rows

NOWHERE = {"jorder-e-rain-heavy"}
"""Files that their authors do not publish."""


def all_wanted():
    return [wanted for row in rows().values() for wanted in wanted_files(row)]


def test_every_file_of_every_row_has_an_address_or_says_whom_to_ask():
    assert methods().keys() == {row.method for row in rows().values()}
    without = {wanted.name for wanted in all_wanted() if not wanted.addresses}
    assert without == NOWHERE
    for wanted in all_wanted():
        assert "@" in wanted.ask or wanted.ask.startswith("https://"), wanted
        for address in wanted.addresses:
            assert address.url.startswith("https://") and "{" not in str(address), address
            assert address.kind != "hub" or (address.at.count("/") == 1 and address.file)
            assert address.kind != "drive-folder" or address.file
            assert "/blob/" not in address.url and "/tree/" not in address.url


def test_the_docs_count_the_files_of_each_kind():
    kinds = {wanted.target: wanted.addresses[:1] for wanted in all_wanted()}
    counts = Counter(address.kind for found in kinds.values() for address in found)
    text = (Path(__file__).parents[2] / "docs/zoo.md").read_text(encoding="utf-8")
    words = " ".join(text.split())
    assert f"addresses of {counts.total()} of the {len(kinds)} files" in words
    drive = counts["drive"] + counts["drive-folder"]
    assert f"{counts['http']} are on the web, {counts['hub']} on the Hugging Face hub" in words
    assert f"{drive} on Google Drive" in words


def test_every_entry_of_the_table_is_a_file_of_a_row():
    names = {(wanted.row.method, wanted.name) for wanted in all_wanted()}
    for method, entry in methods().items():
        assert {(method, name) for name in entry.files} <= names


def test_no_two_methods_put_a_file_at_the_same_place():
    owners = defaultdict(set)
    for wanted in all_wanted():
        owners[wanted.target].add((wanted.row.source, wanted.addresses))
        official = wanted.name in wanted.row.official
        if wanted.is_network and official:
            assert Path(wanted.target) in places(wanted.row, wanted.name, Path())
    assert [target for target, found in owners.items() if len(found) > 1] == []


def test_further_files_and_hashes_come_from_the_row():
    guided = wanted_files(find_row("wild-daclip"))
    assert [wanted.name for wanted in guided] == ["wild-ir.pth", "wild-daclip_ViT-L-14.pt"]
    assert [wanted.is_network for wanted in guided] == [True, False]
    row = find_row("instructir-derain")
    assert wanted_files(row)[1].name == "lm_instructir-7d.pt"
    assert hub_models(row) == ("TaylorAI/bge-micro-v2",) and hub_models(guided[0].row) == ()
    (prenet,) = wanted_files(find_row("prenet-rain100h"))
    assert prenet.sha256 == prenet.row.sha256 and prenet.size == 681694
    assert prenet.addresses[0].url.endswith("/logs/Rain100H/PReNet6/net_latest.pth")
    parts = wanted_files(find_row("uretinexnet-lol"))
    assert [bool(part.sha256) for part in parts] == [True] * 3
    (unnamed,) = wanted_files(find_row("tkl-setting2"))
    assert str(unnamed.target) == "tkl-setting2.pth"


def test_a_row_of_a_plugin_has_no_address_and_names_its_source():
    foreign = msgspec.structs.replace(find_row("msbdn-dff"), method="Foreign", source="https://a.b")
    (wanted,) = wanted_files(foreign)
    assert wanted.addresses == () and wanted.ask == "https://a.b"


def test_the_longest_beginning_of_a_mirror_table_counts(tmp_path, monkeypatch):
    file = tmp_path / "mirrors.yml"
    file.write_text("https://a.b/: http://m/1/\nhttps://a.b/c/: http://m/2/\n")
    table = read_mirrors(file)
    assert mirrored("https://a.b/x", table) == "http://m/1/x"
    assert mirrored("https://a.b/c/x", table) == "http://m/2/x"
    assert mirrored("https://other/x", table) == "https://other/x"
    monkeypatch.delenv("WXR_MIRRORS", raising=False)
    assert read_mirrors() == {}
    monkeypatch.setenv("WXR_MIRRORS", str(file))
    assert read_mirrors() == table
    file.write_text("- a\n- b")
    with pytest.raises(WxrError, match=r"WXR_MIRRORS: .*no table of mirrors; write lines such as"):
        read_mirrors()
    with pytest.raises(WxrError, match=r"none\.yml: no such file"):
        read_mirrors(tmp_path / "none.yml")


@pytest.fixture
def archive(tmp_path):
    """Return a function that packs names with their own text into a zip or tar archive."""

    def pack(kind, *names):
        path = tmp_path / f"archive.{kind}"
        source = tmp_path / "source"
        with zipfile.ZipFile(path, "w") if kind == "zip" else tarfile.TarFile(path, "w") as file:
            for name in names:
                source.write_text(name)
                (file.write if kind == "zip" else file.add)(source, name)
        return path

    return pack


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_last_model_of_an_archive_comes_first(archive, tmp_path, kind):
    path = archive(kind, "L1/models/model-9.pt", "L1/models/model-100.pt", "L1/optim/optim-9.pt")
    address = Address("drive", "id", member="*model-*.pt")
    out = tmp_path / "out"
    read = [(name, out.read_text()) for name in unpack(path, address, out)]
    assert read == [(name, name) for name in ("L1/models/model-100.pt", "L1/models/model-9.pt")]


def test_archives_without_the_file_or_damaged(archive, tmp_path):
    out = tmp_path / "out"
    path = archive("zip", "MWFormer_real", "MWFormer_L")
    address = Address("drive", "id", member="*", without="*real*")
    assert list(unpack(path, address, out)) == ["MWFormer_L"]
    with pytest.raises(TransferError, match="the archive has no x, but MWFormer_real, MWFormer_L"):
        list(unpack(path, Address("drive", "id", member="x"), out))
    path.write_bytes(path.read_bytes().replace(b"MWFormer_L", b"MWFormer_M", 1))
    with pytest.raises(TransferError, match="the archive is damaged"):
        list(unpack(path, address, out))
    path.write_bytes(b"no archive")
    with pytest.raises(TransferError, match="no zip or tar archive came"):
        list(unpack(path, address, out))


def test_checksums_are_kept_in_the_format_of_sha256sum(tmp_path):
    assert read_sums(tmp_path) == {}
    wanted = wanted_files(find_row("prenet-rain100h"))[0].target
    record_sum(tmp_path, wanted, "b" * 64)
    record_sum(tmp_path, wanted_files(find_row("msbdn-dff"))[0].target, "c" * 64)
    record_sum(tmp_path, wanted, "a" * 64)
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines()
    assert lines == [
        "a" * 64 + "  logs/Rain100H/PReNet6/net_latest.pth",
        "c" * 64 + "  model.pkl",
    ]
    assert read_sums(tmp_path)["model.pkl"] == "c" * 64


def test_a_licence_is_open_until_it_is_accepted_as_it_is(tmp_path):
    prenet, msbdn = find_row("prenet-rain100h"), find_row("msbdn-dff")
    assert list(open_licences([prenet, msbdn], tmp_path)) == ["PReNet", "MSBDN"]
    accept_licences([prenet], tmp_path)
    assert list(open_licences([prenet, msbdn], tmp_path)) == ["MSBDN"]
    changed = msgspec.structs.replace(prenet, licence="another")
    assert list(open_licences([changed], tmp_path)) == ["PReNet"]


def test_sizes_in_words():
    assert [readable(size) for size in (999, 1500, 66_603_665, 15 * 10**9, 2 * 10**12)] == [
        "999 bytes",
        "1.5 kB",
        "66.6 MB",
        "15.0 GB",
        "2.0 TB",
    ]
