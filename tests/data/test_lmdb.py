"""LMDBs: BasicSR's format, original bytes, resuming after kill -9, and every kind of damage."""

import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from basicsr.data import build_dataset
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from filelock import FileLock

from wxr_plugin.cli import main as cli
from wxr_plugin.data.images.io import encode, write_image
from wxr_plugin.data.images.store import ImageStore, image_key, read_meta_info
from wxr_plugin.data.lmdb import build as lmdb_build
from wxr_plugin.data.lmdb.build import build
from wxr_plugin.data.lmdb.check import check
from wxr_plugin.data.lmdb.entries import sub_images
from wxr_plugin.errors import WxrError
from wxr_plugin.utils import lmdb_cache


def picture(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(
        0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8
    )
    return cv2.resize(noise, (width, height))


@pytest.fixture
def photos(tmp_path) -> Path:
    """Five photos in two folders: two PNG, three JPEG."""
    names = ("a.png", "b.jpg", "rain/c.jpg", "rain/d.png", "rain/e.v2 ü.jpeg")
    for seed, name in enumerate(names):
        write_image(tmp_path / "photos" / name, picture(seed))
    return tmp_path / "photos"


def contents(path: Path) -> dict[str, bytes]:
    with lmdb_cache.environment(path).begin() as transaction:
        return {key.decode(): bytes(value) for key, value in transaction.cursor()}


def quiet(src, dst, **options):
    return build(src, dst, progress=False, **options)


def command(*words) -> int:
    return cli.main([str(word) for word in words])


def test_the_files_own_bytes_are_stored_under_their_names(photos, tmp_path):
    result = quiet(photos, tmp_path / "p.lmdb")
    assert (result.images, result.already_built, result.bad) == (5, False, [])
    stored = contents(tmp_path / "p.lmdb")
    assert stored["rain/c"] == (photos / "rain/c.jpg").read_bytes()
    assert sorted(stored) == ["a", "b", "rain/c", "rain/d", "rain/e%2Ev2 %C3%BC"]
    lines = (tmp_path / "p.lmdb" / "meta_info.txt").read_text().splitlines()
    assert lines[:3] == ["a.png (40,56,3) 0", "b.jpg (40,56,3) 0", "rain/c.jpg (40,56,3) 0"]


def test_stock_paired_dataset_reads_the_result(photos, tmp_path):
    for name in ("lq", "gt"):
        quiet(photos, tmp_path / f"{name}.lmdb")
    opt = {
        "name": "p",
        "type": "PairedImageDataset",
        "phase": "val",
        "scale": 1,
        "io_backend": {"type": "lmdb"},
    }
    opt |= {"dataroot_gt": str(tmp_path / "gt.lmdb"), "dataroot_lq": str(tmp_path / "lq.lmdb")}
    dataset = build_dataset(opt)
    items = {item["gt_path"]: item for item in map(dataset.__getitem__, range(len(dataset)))}
    assert len(items) == 5
    expected = cv2.imread(str(photos / "rain/c.jpg"))[..., ::-1].transpose(2, 0, 1) / np.float32(
        255
    )
    assert np.array_equal(items["rain/c"]["gt"].numpy(), expected)
    assert np.array_equal(
        items["rain/e%2Ev2 %C3%BC"]["lq"].numpy(), items["rain/e%2Ev2 %C3%BC"]["gt"].numpy()
    )


def test_a_format_that_opencv_does_not_know_is_stored_as_png(tmp_path):
    from PIL import Image

    (tmp_path / "p").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "p" / "lab.tif")
    Image.fromarray(picture(0)).save(tmp_path / "p" / "really_pcx.png", "PCX")
    quiet(tmp_path / "p", tmp_path / "p.lmdb")
    stored = contents(tmp_path / "p.lmdb")
    assert stored["lab"] == (tmp_path / "p" / "lab.tif").read_bytes()
    assert np.array_equal(
        cv2.imdecode(np.frombuffer(stored["really_pcx"], np.uint8), 1)[..., ::-1], picture(0)
    )
    assert "really_pcx.png (40,56,3) 1" in (tmp_path / "p.lmdb" / "meta_info.txt").read_text()


def test_sub_images_cover_the_photo_row_by_row():
    image = picture(1, 50, 70)
    crops = sub_images(image, 32, 16)
    assert len(crops) == 3 * 4 and all(crop.shape == (32, 32, 3) for crop in crops)
    assert np.array_equal(crops[1], image[:32, 16:48]) and np.array_equal(
        crops[-1], image[18:, 38:]
    )
    assert [crop.shape for crop in sub_images(image, 64, 64)] == [(50, 64, 3), (50, 64, 3)]
    assert len(sub_images(image[:32, :64], 32, 32)) == 2


def test_cut_images_are_stored_as_png_with_numbers(photos, tmp_path):
    assert quiet(photos, tmp_path / "p.lmdb", crop_size=32, step=16).images == 5 * 2 * 3
    store = ImageStore(tmp_path / "p.lmdb")
    assert store.keys()[:2] == ["a_s001", "a_s002"] and contents(tmp_path / "p.lmdb")[
        "b_s006"
    ].startswith(b"\x89PNG")
    assert np.array_equal(store.read("b_s006"), ImageStore(photos).read("b")[8:, 24:])
    assert "a_s001.png (32,32,3) 1" in (tmp_path / "p.lmdb" / "meta_info.txt").read_text()
    assert check(tmp_path / "p.lmdb") == []


def test_folder_and_lmdb_have_the_same_keys_and_images(photos, tmp_path):
    quiet(photos, tmp_path / "p.lmdb")
    folder, database = ImageStore(photos), ImageStore(tmp_path / "p.lmdb")
    assert folder.keys() == database.keys() and len(folder) == 5
    for key in folder.keys():  # noqa: SIM118
        assert np.array_equal(folder.read(key), database.read(key))
    assert folder.path("b") == str(photos / "b.jpg") and database.path("b") == str(
        tmp_path / "p.lmdb" / "b"
    )


def test_a_cached_folder_is_read_once(photos):
    store = ImageStore(photos, cache=True)
    before = store.read("b")
    (photos / "b.jpg").unlink()
    assert np.array_equal(store.read("b"), before)


def test_keys_can_be_turned_back_into_names():
    from urllib.parse import unquote

    assert image_key("rain/a photo 100%.v2.jpg") == "rain/a photo 100%25%2Ev2"
    for name in ("x/ü.y", "line\nbreak", "100%2E"):
        key = image_key(f"{name}.png")
        assert unquote(key) == name and key.isascii() and "." not in key and "\n" not in key


def test_the_map_grows_on_demand(photos, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    write_image(photos / "large.png", noise)
    quiet(photos, tmp_path / "p.lmdb", map_size=40960)
    assert (tmp_path / "p.lmdb" / "data.mdb").stat().st_size > 300_000
    assert check(tmp_path / "p.lmdb") == []


def test_two_files_with_one_key_are_refused_by_name(photos, tmp_path):
    write_image(photos / "b.png", picture(9))
    for use in (lambda: quiet(photos, tmp_path / "p.lmdb"), lambda: ImageStore(photos)):
        with pytest.raises(WxrError, match=r"b\.jpg and .*b\.png would both be 'b'"):
            use()


def test_names_that_are_not_utf8_are_refused(photos):
    (photos / os.fsdecode(b"caf\xe9.png")).write_bytes((photos / "a.png").read_bytes())
    with pytest.raises(WxrError, match=r"caf\\udce9\.png': the name is not UTF-8"):
        ImageStore(photos)


def test_bad_files_are_named_and_left_out_within_the_quota(photos, tmp_path, capsys):
    (photos / "empty.png").write_bytes(b"")
    (photos / "page.jpg").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(
        WxrError, match=r"(?s)more than --max-bad 1.*empty\.png: empty file.*page\.jpg: a web page"
    ):
        quiet(photos, tmp_path / "p.lmdb", max_bad=1)
    assert not (tmp_path / "p.lmdb" / "meta_info.txt").exists()
    assert command("lmdb", "build", photos, tmp_path / "p.lmdb", "--max-bad", 0) == 2
    assert command("lmdb", "build", photos, tmp_path / "p.lmdb", "--max-bad", 2) == 0
    assert "left out: empty.png: empty file" in capsys.readouterr().out
    assert len(contents(tmp_path / "p.lmdb")) == 5


def test_a_folder_without_a_readable_image_is_refused(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(WxrError, match="no images in it"):
        quiet(tmp_path / "none", tmp_path / "p.lmdb")
    (tmp_path / "none" / "a.jpg").write_bytes(b"")
    with pytest.raises(WxrError, match="none of its images"):
        quiet(tmp_path / "none", tmp_path / "p.lmdb")
    with pytest.raises(WxrError, match="no such folder"):
        quiet(tmp_path / "nowhere", tmp_path / "p.lmdb")


def test_a_finished_build_is_recognised_and_another_one_refused(photos, tmp_path):
    target = tmp_path / "p.lmdb"
    quiet(photos, target)
    before = (target / "data.mdb").stat().st_mtime_ns
    os.utime(photos / "a.png")
    shutil.copytree(photos, tmp_path / "copy")
    assert quiet(photos, target).already_built and quiet(tmp_path / "copy", target).already_built
    with pytest.raises(WxrError, match="uncut; choose another folder"):
        quiet(photos, target, crop_size=32)
    write_image(photos / "a.png", picture(77))
    with pytest.raises(WxrError, match="the images have changed since"):
        quiet(photos, target)
    assert (target / "data.mdb").stat().st_mtime_ns == before


def test_other_content_is_refused(photos, tmp_path):
    (tmp_path / "mine.lmdb").mkdir()
    (tmp_path / "mine.lmdb" / "thesis.txt").write_text("years of work")
    with pytest.raises(WxrError, match="did not make"):
        quiet(photos, tmp_path / "mine.lmdb")
    with pytest.raises(WxrError, match=r"end in \.lmdb"):
        quiet(photos, tmp_path / "mine")
    with pytest.raises(WxrError, match="a step needs a crop size"):
        quiet(photos, tmp_path / "p.lmdb", step=3)


def test_only_one_build_writes(photos, tmp_path):
    (tmp_path / "p.lmdb").mkdir()
    with (
        FileLock(tmp_path / "p.lmdb" / ".build.lock"),
        pytest.raises(WxrError, match="another build is writing"),
    ):
        quiet(photos, tmp_path / "p.lmdb")


def build_slowly(photos: Path, target: Path) -> None:
    """In batches of two, with 20 ms for each image."""
    convert = lmdb_build.convert
    lmdb_build.convert = lambda *args, **options: time.sleep(0.02) or convert(*args, **options)
    lmdb_build._BATCH = 2
    build(photos, target, crop_size=32, step=16, workers=1, progress=False)


def finished_files(target: Path) -> int:
    journal = target / "build.jsonl"
    return max(0, journal.read_bytes().count(b"\n") - 1) if journal.exists() else 0


def killed_run(photos: Path, target: Path, files: int) -> int:
    """Kill a build as soon as `files` source files are finished; return how many are then."""
    process = multiprocessing.get_context("fork").Process(
        target=build_slowly, args=(photos, target)
    )
    process.start()
    while finished_files(target) < files and process.is_alive():
        time.sleep(0.003)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return finished_files(target)


def test_a_killed_build_resumes_and_ends_like_an_uninterrupted_one(tmp_path):
    for seed in range(40):
        write_image(tmp_path / "photos" / f"{seed:02d}.jpg", picture(seed))
    quiet(tmp_path / "photos", tmp_path / "whole.lmdb", crop_size=32, step=16)
    target = tmp_path / "killed.lmdb"
    progress = [killed_run(tmp_path / "photos", target, files) for files in (0, 1, 10, 25)]
    assert progress[0] < progress[1] < progress[2] < progress[3] < 40, (
        "each run continues where the last was killed"
    )
    assert (
        not (target / "meta_info.txt").exists() and "run the `wxr lmdb build`" in check(target)[0]
    )
    quiet(tmp_path / "photos", target, crop_size=32, step=16)
    assert contents(target) == contents(tmp_path / "whole.lmdb")
    assert (target / "meta_info.txt").read_text() == (
        tmp_path / "whole.lmdb" / "meta_info.txt"
    ).read_text()
    assert check(target) == []


@pytest.mark.parametrize("moment", ["journal", "commit", "meta"])
def test_a_build_that_stops_between_two_steps_resumes(photos, tmp_path, monkeypatch, moment):
    """A kill at a random time rarely hits these moments.

    They are after the commit but before the journal, and before meta_info.txt.
    """
    quiet(photos, tmp_path / "whole.lmdb")
    target = tmp_path / "p.lmdb"

    def stop(*_):
        raise KeyboardInterrupt

    name = {"journal": "Journal.add", "commit": "_put", "meta": "files.write_text"}[moment]
    with monkeypatch.context() as patch:
        patch.setattr(f"wxr_plugin.data.lmdb.build.{name}", stop)
        with pytest.raises(KeyboardInterrupt):
            quiet(photos, target)
    if moment == "meta":
        with (target / "build.jsonl").open("ab") as file:
            file.write(b'{"file":"torn')
        (photos / "a.png").unlink()
    quiet(photos, target)
    expected = contents(tmp_path / "whole.lmdb")
    assert contents(target) == (
        {k: v for k, v in expected.items() if k != "a"} if moment == "meta" else expected
    )
    assert check(target) == [] and not list(target.glob("*.tmp"))


def test_entries_of_the_journal_that_the_lmdb_lacks_are_stored_again(photos, tmp_path):
    """A power failure can lose a commit whose line in the journal reached the disk."""
    target = tmp_path / "p.lmdb"
    quiet(photos, target)
    expected = contents(target)
    (target / "meta_info.txt").unlink()
    lmdb_cache.forget(target)
    with lmdb.open(str(target)) as database, database.begin(write=True) as transaction:
        assert transaction.delete(b"rain/c")
    assert quiet(photos, target).images == 5
    assert contents(target) == expected and check(target) == []


def test_a_stopped_build_of_something_else_is_refused(photos, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            lmdb_build, "_drop_surplus", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        quiet(photos, tmp_path / "p.lmdb")
    shutil.copytree(photos, tmp_path / "copy")
    with pytest.raises(WxrError, match=r"a build was started from .*photos uncut"):
        quiet(tmp_path / "copy", tmp_path / "p.lmdb")


def damage(path: Path, change) -> None:
    lmdb_cache.forget(path)
    with (
        lmdb.open(str(path), map_size=1 << 22) as database,
        database.begin(write=True) as transaction,
    ):
        change(transaction)


def test_check_finds_every_kind_of_damage(photos, tmp_path, capsys):
    target = tmp_path / "p.lmdb"
    quiet(photos, target)
    assert command("lmdb", "check", target) == 0

    def change(transaction):
        transaction.delete(b"a")
        transaction.put(b"stranger", encode(picture(5), ".png"))
        transaction.put(b"b", encode(picture(6), ".jpg"))
        transaction.put(b"rain/c", (photos / "rain/c.jpg").read_bytes()[:-100])

    damage(target, change)
    capsys.readouterr()
    assert command("lmdb", "check", target) == 1
    listed = capsys.readouterr().out
    for line in (
        "missing: a",
        "surplus: stranger",
        "corrupt: b: its bytes",
        "corrupt: rain/c: its bytes",
        "4 problems",
    ):
        assert line in listed
    assert "rain/d" not in listed


def test_check_reads_stock_lmdbs_too(photos, tmp_path):
    names = ["a.png", "b.jpg", "rain/c.jpg"]
    make_lmdb_from_imgs(
        str(photos), str(tmp_path / "s.lmdb"), names, ["a", "b", "rain/c"], map_size=1 << 22
    )
    assert check(tmp_path / "s.lmdb") == []
    assert ImageStore(tmp_path / "s.lmdb").keys() == ["a", "b", "rain/c"]

    def change(transaction):
        transaction.put(b"a", transaction.get(b"a")[:-100])
        transaction.put(b"b", encode(picture(5, 16, 16), ".png"))

    damage(tmp_path / "s.lmdb", change)
    assert check(tmp_path / "s.lmdb") == [
        "corrupt: a: cut short; copy or download it again",
        "corrupt: b: 16x16 pixels, but 40x56 in meta_info.txt",
    ]


def test_a_data_file_cut_short_is_named_and_not_fatal(photos, tmp_path):
    target = tmp_path / "p.lmdb"
    quiet(photos, target)
    with (target / "data.mdb").open("r+b") as file:
        file.truncate((target / "data.mdb").stat().st_size // 2)
    assert "cut short" in check(target)[0]
    with pytest.raises(WxrError, match="cut short"):
        ImageStore(target)
    lmdb_cache.forget(target)
    (target / "data.mdb").write_bytes(b"not a database" * 1000)
    assert "cannot be opened as an LMDB" in check(target)[0]


@pytest.mark.parametrize("share", [0, 0.3, 0.9, None])
@pytest.mark.parametrize("finished", [True, False])
def test_a_damaged_data_file_is_built_again(photos, tmp_path, share, finished):
    target = tmp_path / "p.lmdb"
    quiet(photos, target)
    whole = contents(target)
    lmdb_cache.forget(target)
    if not finished:
        (target / "meta_info.txt").unlink()
    data = target / "data.mdb"
    if share is None:
        data.unlink()
    else:
        os.truncate(data, int(share * data.stat().st_size))
    result = quiet(photos, target)
    assert (result.images, result.already_built) == (5, False)
    assert "p.lmdb" in result.damage
    assert contents(target) == whole and check(target) == []
    assert quiet(photos, target).already_built


def test_a_damaged_data_file_is_kept_when_its_source_has_changed(photos, tmp_path):
    target = tmp_path / "p.lmdb"
    quiet(photos, target)
    os.truncate(target / "data.mdb", 100)
    (photos / "a.png").unlink()
    with pytest.raises(WxrError, match="the images have changed since"):
        quiet(photos, target)
    assert (target / "data.mdb").stat().st_size == 100


@pytest.mark.parametrize(
    "key", ["../../outside", "/outside", "a/../../b", "..\\outside", "C:\\outside"]
)
def test_keys_that_lead_out_of_a_folder_are_refused(key, photos, tmp_path, capsys):
    target = tmp_path / "p.lmdb"
    quiet(photos, target)
    damage(target, lambda transaction: transaction.put(key.encode(), encode(picture(5), ".png")))
    with (target / "meta_info.txt").open("a") as file:
        file.write(f"{key}.png (40,56,3) 1\n")
    with pytest.raises(WxrError, match=r"p\.lmdb: the key '.*' (leads to a parent|is an absolute)"):
        ImageStore(target)
    assert command("lmdb", "check", target) == 1
    assert f"unsafe: {key!a}" in capsys.readouterr().out


def unwritten_pages(path: Path) -> int:
    """Make an LMDB whose last transaction freed its last pages before they were written.

    Return their bytes.
    """
    with lmdb.open(str(path), map_size=1 << 22) as database:
        for changes in ({b"b": 30_000}, {b"b": 0}, {b"e": 1}, {b"c": 90_000, b"d": 9000}):
            with database.begin(write=True) as transaction:
                for key, size in changes.items():
                    transaction.put(key, b"x" * size) if size else transaction.delete(key)
                    transaction.delete(b"c")
        return (database.info()["last_pgno"] + 1) * 4096 - (path / "data.mdb").stat().st_size


def test_pages_that_were_freed_before_they_were_written_are_no_damage(tmp_path):
    assert unwritten_pages(tmp_path / "p.lmdb") > 0
    with lmdb_cache.environment(tmp_path / "p.lmdb").begin() as transaction:
        assert {key: len(value) for key, value in transaction.cursor()} == {b"d": 9000, b"e": 1}
    unwritten_pages(tmp_path / "q.lmdb")
    os.truncate(tmp_path / "q.lmdb/data.mdb", 3 * 4096)
    with pytest.raises(lmdb_cache.CutDatabaseError, match="cut short"):
        lmdb_cache.environment(tmp_path / "q.lmdb")


def test_meta_info_lines_of_another_kind_are_refused(photos, tmp_path):
    quiet(photos, tmp_path / "p.lmdb")
    (tmp_path / "p.lmdb" / "meta_info.txt").write_text("a.png\n")
    with pytest.raises(WxrError, match=r"meta_info\.txt:1: expected"):
        read_meta_info(tmp_path / "p.lmdb")
    assert "expected" in check(tmp_path / "p.lmdb")[0]


def test_commands_on_nothing_end_with_one_line_and_code_2(tmp_path, capsys):
    assert command("lmdb", "check", tmp_path / "none.lmdb") == 2
    assert command("lmdb", "build", tmp_path / "none", tmp_path / "p.lmdb") == 2
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "no such folder"
    ] * 2
    assert not (tmp_path / "p.lmdb").exists()


@pytest.mark.parametrize(
    "content", [b"n\xe4me.png (1,2,3) 1\n", b"a.png (" + b"9" * 5000 + b",2,3) 1\n"]
)
def test_a_damaged_list_of_images_is_named(photos, tmp_path, content):
    quiet(photos, tmp_path / "p.lmdb")
    (tmp_path / "p.lmdb" / "meta_info.txt").write_bytes(content)
    with pytest.raises(WxrError, match=r"meta_info\.txt") as caught:
        read_meta_info(tmp_path / "p.lmdb")
    assert len(str(caught.value)) < 500
