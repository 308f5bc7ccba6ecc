"""Choice of tiles: the memory that a network takes, its reach, and the user's settings."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from wxr_plugin.data.packaged_photos import packaged_photo
from wxr_plugin.errors import WxrError
from wxr_plugin.inference import cutting, memory, reach
from wxr_plugin.inference.cutting import AUTO, Cut, Cutter
from wxr_plugin.inference.memory import Footprint
from wxr_plugin.inference.restorer import Restorer

CPU = torch.device("cpu")
GIB = 2.0**30


class Blur(nn.Module):
    """Looks 5 pixels far."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 11, padding=5, groups=3, bias=False)
        nn.init.constant_(self.conv.weight, 1 / 121)

    def forward(self, lq):
        return self.conv(lq)


class Mean(Blur):
    """Looks at the whole image."""

    whole_image = "the mean of the image"

    def forward(self, lq):
        return lq - lq.mean((2, 3), keepdim=True) + 0.5


@pytest.fixture
def room(monkeypatch):
    """Set the free memory, in bytes."""
    return lambda count: monkeypatch.setattr(memory, "budget", lambda device: count)


def test_the_receptive_field_is_measured():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 5, padding=4, dilation=2)
    ).double()
    assert reach.receptive_field(net) == 1 + 4 and reach.visible_reach(net) <= 10
    assert reach.receptive_field(Blur()) == 5
    assert reach.receptive_field(Mean()) == reach.WIDTHS[-1] // 2


class Vignette(nn.Module):
    """Network that darkens 20 pixels along the edges: padding alone reaches that far."""

    def forward(self, lq):
        shade = F.avg_pool2d(torch.ones_like(lq), 41, stride=1, padding=20)
        return lq * shade + 0 * F.avg_pool2d(lq, 41, stride=1, padding=20)


def test_padding_at_a_cut_counts_as_visible():
    assert reach.visible_reach(Vignette()) == 20
    assert Cutter(Vignette(), CPU).overlap(128) == 64


def test_what_has_faded_is_not_visible():
    """Of a wide kernel whose tails are below a quarter of a level, the visible part counts."""
    net = Blur()
    with torch.no_grad():
        net.conv.weight.copy_(torch.eye(11)[5].outer(torch.eye(11)[5]) + 1e-6)
    assert reach.receptive_field(net) == 5 and reach.visible_reach(net) == 0


@pytest.mark.parametrize(("count", "cut"), [(1e9, None), (3e6, (256, 42))])
def test_whole_where_memory_allows_it_and_else_the_largest_tile(room, count, cut, monkeypatch):
    monkeypatch.setattr(cutting.Cutter, "footprint", Footprint(40.0))
    room(count)
    chosen = Cutter(Blur(), CPU).choose(2000, 2000 * 1500, AUTO, None)
    assert (
        chosen == Cut(None) if cut is None else chosen.tile == 256 and chosen.overlap >= 2 * 5 + 32
    )


def test_small_photos_are_whole_without_an_estimate(monkeypatch):
    monkeypatch.setattr(cutting.Cutter, "footprint", property(lambda self: pytest.fail("measured")))
    assert Cutter(Blur(), CPU).choose(1024, 1024 * 700, AUTO, None) == Cut(None)


def test_a_network_that_sees_the_whole_image_gets_the_largest_tile_and_a_line(
    room, monkeypatch, caplog
):
    monkeypatch.setattr(cutting.Cutter, "footprint", Footprint(40.0))
    room(40.0 * 1536 * 1536)
    assert Cutter(Mean(), CPU).choose(3000, 3000 * 2000, AUTO, None) == Cut(1536, 192)
    assert "whole photos do not fit into memory; tiles of 1536 pixels do" in caplog.text
    assert "depends on the whole image (the mean of the image)" in caplog.text


@pytest.mark.parametrize(("overlap", "warned"), [(2, True), (32, False)])
def test_what_a_person_asks_for_is_done_with_a_line_where_the_overlap_is_too_small(
    overlap, warned, caplog
):
    assert Cutter(Blur(), CPU).choose(300, 300 * 200, 128, overlap) == Cut(128, overlap)
    assert (f"Blur looks up to 5 pixels far and tiles share {overlap}" in caplog.text) == warned
    assert ("--overlap 64 avoids them" in caplog.text) == warned


def test_a_tile_without_an_overlap_gets_one_that_is_enough():
    assert Cutter(Blur(), CPU).choose(300, 300 * 200, 256, None) == Cut(256, 64)


def test_a_network_of_others_says_how_far_it_looks(monkeypatch):
    monkeypatch.setattr(reach, "_distance", lambda *_: pytest.fail("measured"))
    net = Blur()
    net.reach = 20
    assert Cutter(net, CPU).choose(2000, 2000 * 100, 512, None) == Cut(512, 96)


def test_what_cannot_be_measured_is_said(caplog):
    class Square(Blur):
        def forward(self, lq):
            if lq.shape[-1] != lq.shape[-2]:
                raise ValueError("squares only")
            return super().forward(lq)

    assert Cutter(Square(), CPU).choose(600, 600 * 600, 512, None).overlap == 160
    assert "how far Square looks cannot be measured (ValueError); give --overlap" in caplog.text


def test_an_overlap_that_does_not_fit_is_refused(room, monkeypatch):
    monkeypatch.setattr(cutting.Cutter, "footprint", Footprint(40.0))
    room(1e5)
    with pytest.raises(WxrError, match="tiles of 256 pixels cannot share 300"):
        Cutter(Blur(), CPU).choose(2000, 2000 * 1500, AUTO, 300)


def test_the_footprint_grows_with_pixels_and_with_their_square():
    """Five images of 4 bytes and 3 channels at once; and a matrix of pixels by pixels."""
    net = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(3)))
    with torch.inference_mode():
        convolutions = memory.measure_footprint(net, CPU)
        squared = memory.measure_footprint(
            lambda x: x.mean(1)[:, :32, :32].flatten()[:, None] @ x.mean(1).flatten()[None, :1024],
            CPU,
        )
    assert 2 * 12 <= convolutions.linear <= 5 * 12 and convolutions.quadratic == 0
    assert squared.linear > 0
    assert (
        Footprint(0, 1.0).side(512.0**4) == 512
        and Footprint(8.0).side(8 * 320.0**2, batch=1) == 320
    )


def test_there_is_memory_and_a_container_bounds_it(tmp_path, monkeypatch):
    assert 0 < memory.budget(CPU) < 1e15
    for name, text in (
        ("memory.max", "1000"),
        ("memory.current", "900"),
        ("memory.stat", "anon 5\ninactive_file 300\n"),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.budget(CPU) == memory.CPU_SHARE * 400


@pytest.mark.slow
def test_the_packaged_network_in_tiles_is_50_db_from_whole(room, monkeypatch):
    """Default tiles, where no whole photo fits, lack the seams of a fixed overlap of 32 (34 dB)."""
    monkeypatch.setattr(cutting, "SMALL", 256)
    photo = np.tile(packaged_photo("coffee"), (1, 5, 1))[:64, :2900]
    whole = Restorer.from_checkpoint("tiny", device="cpu").restore(photo)
    restorer = Restorer.from_checkpoint("tiny", device="cpu", tile=AUTO)
    monkeypatch.setattr(restorer._cutter, "_fits", lambda *_: False)
    room(restorer._cutter.footprint.bytes(2048 * 2048))
    tiled = restorer.restore(photo)
    assert restorer.cut == Cut(2048, 1024)
    assert peak_signal_noise_ratio(whole, tiled) > 50


NARROW = {"EnlightenGAN": {"width": 4}, "MSBDN": {"width": 4}, "PReNet": {"width": 4}}
"""Arguments that make a published variant quick, and leave its depth."""


def test_every_row_of_the_table_is_of_a_published_variant():
    for name, rows in reach.table().items():
        with torch.device("meta"):
            net = ARCH_REGISTRY.get(name)()
        assert sum(parameter.numel() for parameter in net.parameters()) in rows
        assert reach.known(net) == reach.receptive_field(net) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
def test_the_table_of_receptive_fields_is_true(name):
    """In float64, whose convolutions do not spread NaN over the tiles of a fast algorithm."""
    assert reach.table().keys() == NARROW.keys()
    field = reach.measure_field(ARCH_REGISTRY.get(name)(**NARROW[name]).eval().double())
    assert [field] == list(reach.table()[name].values())
