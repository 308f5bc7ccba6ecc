"""Memory that runs out, tiles in main memory, lower precision and 16 bits."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.cutting import Cut
from wxr_plugin.inference.memory import is_out_of_memory
from wxr_plugin.inference.restorer import Restorer

PHOTO = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)


class Hungry(nn.Module):
    """Adds a tenth; has room for `room` pixels at once, and says otherwise what a device says."""

    def __init__(self, room, error):
        super().__init__()
        self.room, self.error = room, error
        self.seen: list[tuple[int, ...]] = []

    reach = 0

    def forward(self, lq):
        if lq.numel() // 3 > self.room:
            raise self.error
        self.seen.append((len(lq), *lq.shape[-2:]))
        return lq + 0.1


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried"
    ),
    RuntimeError("MPS backend out of memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu", "mps", "python"])
def test_a_photo_that_does_not_fit_is_cut_into_tiles_that_do(error, caplog):
    net = Hungry(100 * 100, error)
    restorer = Restorer(net, "cpu")
    expected = (PHOTO / 255 + 0.1).clip(0, 1) * 255
    assert np.abs(restorer.restore(PHOTO) - expected).max() <= 0.51
    assert restorer.tile == 75 and restorer.cut == Cut(75, 32)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"out of memory; from now on tiles of {tile} pixels, 1 at a time" for tile in (150, 75)
    ]
    caplog.clear()
    restorer.restore(PHOTO)
    assert not caplog.records, "the next photo begins with the tiles that fit"


def test_fewer_tiles_at_a_time_come_before_smaller_ones(caplog):
    net = Hungry(2 * 96 * 96, ERRORS[0])
    restorer = Restorer(net, "cpu", tile=96, overlap=16, batch=8)
    restorer.restore(PHOTO)
    assert (restorer.tile, restorer.overlap, restorer.batch) == (96, 16, 2) and len(
        caplog.records
    ) == 2
    assert max(count for count, *_ in net.seen) == 2


def test_what_never_fits_is_raised():
    with pytest.raises(torch.OutOfMemoryError):
        Restorer(Hungry(10, ERRORS[0]), "cpu").restore(PHOTO)


def test_other_errors_are_not_taken_for_it():
    assert all(map(is_out_of_memory, ERRORS)) and not is_out_of_memory(
        RuntimeError("shapes cannot be multiplied")
    )
    error = ValueError("out of memory")
    assert not is_out_of_memory(error)
    with pytest.raises(ValueError):
        Restorer(Hungry(10, error), "cpu").restore(PHOTO)


def test_no_more_than_a_tile_reaches_the_network_and_the_photo_stays_as_it_is():
    net, photo = Hungry(10**9, None), PHOTO.copy()
    Restorer(net, "cpu", tile=64, overlap=16, batch=3).restore(photo)
    assert all(count <= 3 and height <= 64 and width <= 64 for count, height, width in net.seen)
    assert np.array_equal(photo, PHOTO)


@pytest.mark.parametrize("tile", [None, 64])
def test_sixteen_bits_stay_sixteen(tile):
    deep = np.random.default_rng(0).integers(0, 58000, (90, 70, 3), np.uint16)
    restored = Restorer(Hungry(10**9, None), "cpu", tile=tile, overlap=12).restore(deep)
    assert restored.dtype == np.uint16 and np.abs(restored.astype(int) - deep - 6553.5).max() <= 1
    assert len(np.unique(restored & 255)) > 200, "low bytes are kept"


@pytest.mark.parametrize(
    "photo",
    [PHOTO[..., 0], PHOTO / 255, np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused(photo):
    with pytest.raises(ValueError, match="need an RGB array"):
        Restorer(nn.Identity(), "cpu").restore(photo)


def test_bfloat16_is_near_and_not_the_same():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.GELU(), nn.Conv2d(16, 3, 3, padding=1), nn.Sigmoid()
    )
    exact, near = (
        Restorer(net, "cpu", precision=precision).restore(PHOTO) for precision in ("fp32", "bf16")
    )
    assert 0 < np.abs(exact.astype(int) - near).max() <= 4


@pytest.mark.parametrize(
    ("precision", "message"), [("fp16", "fp16 is for GPUs"), ("half", "take one of fp32, bf16")]
)
def test_precisions_that_do_not_go(precision, message):
    with pytest.raises(WxrError, match=message):
        Restorer(nn.Identity(), "cpu", precision=precision)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no glibc")
def test_freed_memory_is_used_again():
    code = """
import resource, torch
from wxr_plugin.inference.memory import reuse_memory
def faults():
    for _ in range(9):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(12 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), reuse_memory() or faults())
"""
    usual, reusing = map(int, subprocess.check_output([sys.executable, "-c", code]).split())
    assert reusing < 100 < usual, "pages of 48 MiB that the system has to clear the ninth time"
