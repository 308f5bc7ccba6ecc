"""Folders of photos through `wxr restore`: what is kept, what fails, and what is done at once."""

import errno
import threading

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from wxr_plugin.cli import main as cli
from wxr_plugin.cli import restore_run as restore_command
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.data.images.photo import write_photo
from wxr_plugin.inference import pipeline
from wxr_plugin.inference.restorer import Restorer

PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


class Negative(nn.Module):
    def forward(self, lq):
        return 1 - lq


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        write_image(tmp_path / "in" / f"{number}.png", PHOTO + np.uint8(number))
    return tmp_path / "in"


@pytest.fixture
def restore(tmp_path, monkeypatch, capsys):
    """Run the command with a network that makes negatives; return the exit code and the output."""

    def restorer(args):
        return Restorer(Negative(), "cpu", tile=args.tile or None, overlap=args.overlap)

    monkeypatch.setattr(restore_command, "load_restorer", restorer)

    def run(*words):
        code = cli.main(["restore", *map(str, words), "-o", str(tmp_path / "out")])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_every_photo_comes_back_under_its_name(folder, restore, tmp_path):
    code, said = restore(folder)
    assert code == 0 and "6 photos restored" in said and "megapixels/s" in said
    for number in range(6):
        assert np.array_equal(
            read_image(tmp_path / "out" / f"{number}.png"), 255 - (PHOTO + np.uint8(number))
        )


def test_failures_are_listed_and_the_others_are_restored(folder, restore, tmp_path):
    (folder / "1.png").write_bytes(b"<html>")
    (folder / "3.png").write_bytes(b"")
    code, said = restore(folder)
    assert code == 1 and "4 photos restored" in said
    assert (
        f"failed: {folder / '1.png'}: a web page" in said
        and f"failed: {folder / '3.png'}: empty file" in said
    )
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_a_network_that_fails_on_a_photo_fails_on_that_alone(folder, tmp_path):
    class Picky(nn.Module):
        def forward(self, lq):
            if torch.equal(
                (lq[0, :, 0, 0] * 255).round().byte(), torch.from_numpy(PHOTO[0, 0] + np.uint8(2))
            ):
                raise RuntimeError("no such photo\nplease")
            return lq

    jobs = {tmp_path / "out" / photo.name: photo for photo in sorted(folder.iterdir())}
    results = pipeline.restore_files(jobs, Restorer(Picky(), "cpu"))
    outcomes = {outcome.photo.name: outcome for outcome in results}
    assert [name for name, outcome in outcomes.items() if outcome.error] == ["2.png"]
    assert outcomes["2.png"].error.endswith("2.png: RuntimeError: no such photo please")
    assert outcomes["0.png"].pixels == 30 * 40


def test_the_next_photo_is_read_and_the_last_written_while_one_is_computed(
    folder, tmp_path, monkeypatch
):
    """Each waits for the others: done one after the other, this would never end."""
    read, written = threading.Event(), threading.Event()
    count = iter(range(6))

    class Waiting(nn.Module):
        def forward(self, lq):
            number = next(count)
            assert number != 0 or read.wait(30)
            assert number != 1 or written.wait(30)
            return lq

    def reading(path):
        if path.name == "1.png":
            read.set()
        return original(path)

    original, write = pipeline.read_photo, pipeline.write_photo
    monkeypatch.setattr(pipeline, "read_photo", reading)
    monkeypatch.setattr(pipeline, "write_photo", lambda *args: (write(*args), written.set()))
    jobs = {tmp_path / "out" / photo.name: photo for photo in sorted(folder.iterdir())}
    outcomes = pipeline.restore_files(jobs, Restorer(Waiting(), "cpu"))
    assert not [outcome.error for outcome in outcomes if outcome.error]


def test_stopping_writes_what_was_computed_and_the_next_call_goes_on(
    folder, restore, tmp_path, monkeypatch
):
    calls = iter(range(99))

    class Stopped(Negative):
        def forward(self, lq):
            if next(calls) == 3:
                raise KeyboardInterrupt
            return super().forward(lq)

    with monkeypatch.context() as patch:
        patch.setattr(restore_command, "load_restorer", lambda args: Restorer(Stopped(), "cpu"))
        assert restore(folder)[0] == 130
    done = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert done == ["0.png", "1.png", "2.png"]
    written_at = (tmp_path / "out" / "0.png").stat().st_mtime_ns
    code, said = restore(folder)
    assert code == 0 and "3 of 6 results exist" in said and "3 photos restored" in said
    assert (tmp_path / "out" / "0.png").stat().st_mtime_ns == written_at
    assert "6 photos restored" in restore(folder, "--overwrite")[1]


def test_a_full_disk_ends_the_work(folder, restore, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pipeline, "write_photo", full)
    code, said = restore(folder)
    assert (
        code == 2
        and "cannot be written (No space left on device); what was restored before is kept" in said
    )


def test_odd_files_keep_what_they_have(tmp_path, restore):
    source, alpha = tmp_path / "odd", np.full((30, 40), 7, np.uint8)
    source.mkdir()
    deep = PHOTO.astype(np.uint16) * 257 + 3 * (PHOTO < 200).astype(np.uint16)
    cv2.imwrite(str(source / "deep.png"), deep)
    Image.fromarray(np.dstack((PHOTO, alpha))).save(source / "alpha.png")
    Image.fromarray(PHOTO[..., 0]).save(source / "grey.png")
    Image.fromarray(PHOTO[:1, :1]).save(source / "one.png")
    Image.fromarray(PHOTO).save(
        source / "a.webp", save_all=True, append_images=[Image.fromarray(255 - PHOTO)]
    )
    code, said = restore(source, "--tile", 16, "--overlap", 4)
    assert code == 0 and "a.webp: holds 2 images" in said, said
    out = tmp_path / "out"
    assert (
        np.abs(cv2.imread(str(out / "deep.png"), cv2.IMREAD_UNCHANGED) - (65535.0 - deep)).max()
        <= 1
    )
    assert np.array_equal(np.asarray(Image.open(out / "alpha.png"))[..., 3], alpha)
    assert Image.open(out / "grey.png").mode == "L" and Image.open(out / "one.png").size == (1, 1)


@pytest.mark.parametrize(
    ("kind", "names"), [("same", ["a.JPG", "b.webp"]), ("jpg", ["a.jpg", "b.jpg"])]
)
def test_formats(tmp_path, restore, kind, names):
    Image.fromarray(PHOTO).save(tmp_path / "a.JPG")
    Image.fromarray(PHOTO).save(tmp_path / "b.webp")
    assert (
        restore(tmp_path / "a.JPG", tmp_path / "b.webp", "--format", kind, "--quality", 30)[0] == 0
    )
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    small = (tmp_path / "out" / names[0]).stat().st_size
    restore(tmp_path / "a.JPG", "--format", kind, "--overwrite")
    assert (tmp_path / "out" / names[0]).stat().st_size > small


def test_all_wrong_options_are_reported_together(folder, restore):
    code, said = restore(folder, "--tile", 0, "--batch", 2, "--quality", 0)
    assert code == 2
    for problem in (
        "--batch counts tiles",
        "--quality 0: take 1 to 100",
        "--quality has no effect on PNG",
    ):
        assert problem in said
    assert "--batch 0: take 1 or more" in restore(folder, "--batch", 0)[1]
    assert "--tile -1" in restore(folder, "--tile", -1)[1]


def test_a_grey_ppm_is_restored(restore, tmp_path):
    Image.new("L", (64, 48)).save(tmp_path / "g.ppm")
    assert restore(tmp_path / "g.ppm", "--format", "same")[0] == 0
    assert (tmp_path / "out" / "g.ppm").is_file()


def test_an_encoder_that_fails_costs_one_photo(folder, restore, tmp_path, monkeypatch):
    def broken(path, photo, quality):
        if path.name == "2.png":
            raise AttributeError("tuple has no tobytes")
        write_photo(path, photo, quality)

    monkeypatch.setattr(pipeline, "write_photo", broken)
    code, said = restore(folder)
    assert code == 1 and "2.png: cannot be written (AttributeError: tuple has no tobytes)" in said
    assert len(list((tmp_path / "out").glob("*.png"))) == 5


def test_a_link_to_itself_is_named_and_the_others_are_restored(folder, restore, tmp_path):
    (folder / "self.jpg").symlink_to("self.jpg")
    code, said = restore(folder)
    assert code == 1 and "self.jpg" in said and "Traceback" not in said
    assert len(list((tmp_path / "out").glob("*.png"))) == 6
