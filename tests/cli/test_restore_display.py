"""Output of `wxr restore` during its work and at its end."""

import io

import numpy as np
import pytest
from rich.console import Console
from torch import nn

from wxr_plugin.archs.conditional_unet_arch import ConditionalUNet
from wxr_plugin.cli import main as cli
from wxr_plugin.cli import restore_run as restore_command
from wxr_plugin.cli.restore_display import RestoreBar, counted, duration, run_line
from wxr_plugin.data.images.io import write_image
from wxr_plugin.inference.diffusion import make_diffusion
from wxr_plugin.inference.pipeline import restore_files
from wxr_plugin.inference.restorer import Restorer

PHOTO = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)


class Same(nn.Module):
    def forward(self, lq):
        return lq


@pytest.fixture
def photo(tmp_path):
    write_image(tmp_path / "in" / "a.png", PHOTO)
    return tmp_path / "in" / "a.png"


def parts(restorer):
    """Restore PHOTO and return what is reported meanwhile."""
    reports = []
    restorer.on_part = lambda *report: reports.append(report)
    restorer.restore(PHOTO)
    return reports


@pytest.mark.parametrize("batch", [1, 4])
def test_tiles_of_a_photo_are_counted(batch):
    reports = parts(Restorer(Same(), "cpu", tile=64, overlap=8, batch=batch))
    total = reports[0][2]
    assert reports[0] == ("tile", 0, total) and reports[-1] == ("tile", total, total) and total >= 4
    assert len(reports) == 1 + -(-total // batch)


def test_a_whole_photo_is_one_tile():
    assert parts(Restorer(Same(), "cpu")) == [("tile", 0, 1), ("tile", 1, 1)]


def test_steps_of_a_sampling_are_counted():
    net = ConditionalUNet(nf=8, ch_mult=[1, 2])
    diffusion = make_diffusion(net, {"steps": 3, "max_sigma": 50})
    reports = parts(Restorer(net, "cpu", tile=64, overlap=8, diffusion=diffusion))
    assert reports == [("step", done, 3) for done in range(4)]


def test_the_bar_shows_the_tiles_of_a_photo_on_a_terminal(photo, tmp_path):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    restorer = Restorer(Same(), "cpu", tile=64, overlap=8)
    shown = []
    with RestoreBar(restorer, 1, console) as bar:
        report = restorer.on_part

        def watched(*part):
            report(*part)
            bar.bar.refresh()
            shown.append(bar.bar.tasks[bar.part].visible)

        restorer.on_part = watched
        outcomes = bar.follow(restore_files({tmp_path / "out.png": photo}, restorer))
        assert [outcome.error for outcome in outcomes] == [""]
    assert "tile" in screen.getvalue() and "1/6" in screen.getvalue()
    assert shown[0] and not shown[-1], "the lower bar goes when the photo is done"
    assert restorer.on_part is None


def test_one_line_says_what_is_run(tmp_path):
    line = run_line(Restorer(Same(), "cpu", tile=64, overlap=8), None, [tmp_path / "net.pth"])
    assert line == "running Same (net.pth) on cpu, fp32, tiles of at most 64 pixels that share 8"
    whole = Restorer(Same(), "cpu")
    assert run_line(whole, "mine", None) == "running Same (mine) on cpu, fp32, whole photos"
    whole.tile = "auto"
    assert run_line(whole, "mine", None).endswith(
        "fp32, whole photos where memory allows, else tiles"
    )


def test_the_command_says_what_is_run_what_it_is_worth_and_how_long_it_took(
    photo, tmp_path, capsys
):
    assert cli.main(["restore", str(photo), "-o", str(tmp_path / "dry.png")]) == 0
    out = capsys.readouterr().out
    assert (
        "running AffineUNet (small_restorer.safetensors) on" in out
        and "wxr zoo list --task derain" in out
    )
    assert "1 photo restored in " in out and (tmp_path / "dry.png").is_file()
    assert cli.main(["restore", str(photo), "-o", str(tmp_path / "dry.png")]) == 0
    assert "dry.png exists (--overwrite restores it again)" in capsys.readouterr().out


def test_another_network_gets_no_advice_about_the_packaged_one(
    photo, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(restore_command, "load_restorer", lambda args: Restorer(Same(), "cpu"))
    (photo.parent / "clip.mp4").write_bytes(b"")
    words = ["restore", str(photo.parent), "-o", str(tmp_path / "out"), "--checkpoint", "net.pth"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "packaged" not in out and "skipped 1 file that is no photo: clip.mp4" in out


def test_counts_and_times_are_written_as_people_write_them():
    assert (counted(1), counted(15), counted(0)) == ("1 photo", "15 photos", "0 photos")
    assert [duration(value) for value in (0.84, 42, 185, 7800)] == [
        "0.8 s",
        "42 s",
        "3 min 5 s",
        "2 h 10 min",
    ]
