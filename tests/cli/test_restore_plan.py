"""Photos that `wxr restore` takes, and the files that it writes."""

import numpy as np
import pytest
from PIL import Image

from wxr_plugin.cli import main as cli
from wxr_plugin.cli import restore_plan
from wxr_plugin.cli.restore_plan import skipped_line
from wxr_plugin.data.images.sources import read_source
from wxr_plugin.errors import WxrError

PHOTO = np.zeros((8, 8, 3), np.uint8)


def plan(paths, output, kind=None):
    """Plan the results of the photos and folders `paths`."""
    sources = [read_source(path, output) for path in paths]
    return restore_plan.plan(sources, output, kind)


@pytest.fixture
def folder(tmp_path):
    """Write two photos, a PDF, a video and a text."""
    place = tmp_path / "mixed"
    place.mkdir()
    for name in ("a.jpg", "b.png"):
        Image.fromarray(PHOTO).save(place / name)
    (place / "doc.pdf").write_bytes(b"%PDF-1.7\n")
    (place / "clip.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42")
    (place / "notes.txt").write_text("rain")
    return place


def test_one_photo_is_written_to_the_file_that_is_named(folder, tmp_path):
    result = tmp_path / "dry.png"
    assert plan([folder / "a.jpg"], result) == {result: folder / "a.jpg"}
    assert plan([folder / "a.jpg"], folder / "a_restored.png") == {
        folder / "a_restored.png": folder / "a.jpg"
    }


def test_a_file_for_many_photos_is_refused(folder, tmp_path):
    with pytest.raises(
        WxrError, match=r"-o .*dry\.png names one file, and there are 2 photos; name a folder"
    ):
        plan([folder], tmp_path / "dry.png")
    assert not (tmp_path / "dry.png").exists()


def test_a_folder_with_the_name_of_an_image_is_refused(folder, tmp_path):
    (tmp_path / "dry.png").mkdir()
    with pytest.raises(WxrError, match=r"dry\.png is a folder, but has the name of an image"):
        plan([folder / "a.jpg"], tmp_path / "dry.png")


def test_a_format_that_is_not_the_named_files_is_refused(folder, tmp_path):
    with pytest.raises(WxrError, match="ask for two formats; leave --format out"):
        plan([folder / "a.jpg"], tmp_path / "dry.png", "jpg")
    assert plan([folder / "a.jpg"], tmp_path / "dry.jpg", "same")


@pytest.mark.parametrize("kind", ["png", "same"])
def test_results_never_lie_next_to_the_photos(folder, kind):
    """A folder with a.jpg and a.png is refused by wxr label and wxr daclip."""
    with pytest.raises(
        WxrError, match=r"would lie next to photos, .* choose another folder with -o"
    ):
        plan([folder / "a.jpg"], folder, kind)
    with pytest.raises(WxrError, match=r"two photos of one name in one folder.*a_restored\.png"):
        plan([folder / "a.jpg"], folder / "a.png")
    with pytest.raises(WxrError, match="overwritten by its own result"):
        plan([folder / "a.jpg"], folder / "a.jpg")


def test_results_of_one_folder_never_lie_next_to_photos_of_another(folder, tmp_path):
    (tmp_path / "other").mkdir()
    Image.fromarray(PHOTO).save(tmp_path / "other" / "c.jpg")
    with pytest.raises(WxrError, match="would lie next to photos"):
        plan([folder / "a.jpg", tmp_path / "other"], tmp_path / "other")
    assert len(plan([folder / "a.jpg", tmp_path / "other"], tmp_path / "out")) == 2


def test_photos_that_are_named_in_some_order_keep_it(folder, tmp_path):
    named = [folder / "b.png", folder / "a.jpg"]
    assert list(plan(named, tmp_path / "out").values()) == named


def test_results_inside_the_folder_are_not_photos(folder):
    (folder / "out").mkdir()
    Image.fromarray(PHOTO).save(folder / "out" / "a.png")
    assert list(plan([folder], folder / "out").values()) == [folder / "a.jpg", folder / "b.png"]


def test_photos_of_one_name_are_refused(folder, tmp_path):
    Image.fromarray(PHOTO).save(folder / "a.png")
    with pytest.raises(
        WxrError, match=r"would both become .*a\.png; restore them apart or with --format same"
    ):
        plan([folder], tmp_path / "out")
    assert len(plan([folder], tmp_path / "out", "same")) == 3
    (tmp_path / "notes").write_text("no folder")
    with pytest.raises(WxrError, match="is a file; -o names the folder"):
        plan([folder], tmp_path / "notes")


def test_files_that_are_no_photos_are_listed_in_one_line(folder, tmp_path):
    others = read_source(folder, tmp_path / "out").others
    assert skipped_line(others) == (
        "skipped 3 files that are no photos: clip.mp4, doc.pdf, notes.txt"
    )
    assert skipped_line(others[:1]) == "skipped 1 file that is no photo: clip.mp4"
    (folder / "out").mkdir()
    (folder / "out" / "log.txt").write_text("a result's")
    for number in range(4):
        (folder / f"z{number}.csv").write_text("")
    others = read_source(folder, folder / "out").others
    assert skipped_line(others).endswith("notes.txt, z0.csv, z1.csv and 2 more")
    assert not read_source(folder / "a.jpg", tmp_path / "out").others


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("doc.pdf", b"%PDF-1.7\n", "a PDF document, not an image; write its pages as images"),
        ("photo.jpg", b"%PDF-1.7\n", "a PDF document"),
        ("clip.bin", b"\x00\x00\x00\x18ftypisom", "a video, not an image"),
        ("phone.heic", b"\x00\x00\x00\x18ftypheic", "a HEIC photo, a format that is not supported"),
    ],
)
def test_a_named_file_that_is_no_photo_is_refused_by_what_it_is(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WxrError, match=f"{name}: {message}"):
        plan([tmp_path / name], tmp_path / "out")


def test_a_dry_run_lists_what_is_missing_and_writes_nothing(folder, tmp_path, capsys):
    output = tmp_path / "restored"
    output.mkdir()
    (output / "a.png").touch()
    assert cli.main(["-q", "restore", str(folder), "-o", str(output), "--dry-run"]) == 0
    assert capsys.readouterr().out == f"{folder / 'b.png'} -> {output / 'b.png'}\n"
    assert [file.name for file in output.iterdir()] == ["a.png"]
