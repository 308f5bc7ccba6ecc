"""Restoring on a device: memory that really runs out, tiles in main memory, half precision."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from wxr_plugin.inference.restorer import Restorer

pytestmark = pytest.mark.gpu

ROOM = 512 << 20
"""Bytes that the device has left in the test of memory that runs out."""


class Wide(nn.Module):
    """Local network with `width` features a pixel; on a CPU it raises the memory error itself."""

    def __init__(self, width, most_pixels):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.most_pixels = most_pixels

    def forward(self, lq):
        if lq.device.type == "cpu" and lq[:, 0].numel() > self.most_pixels:
            raise torch.OutOfMemoryError("out of memory")
        return lq + 0.1 * self.last(self.first(lq).relu())


def network(device, most_pixels=1 << 30):
    torch.manual_seed(0)
    return Wide(32 if device.type == "cuda" else 4, most_pixels)


def photo(side):
    return np.random.default_rng(0).integers(0, 256, (side, side * 5 // 4, 3), np.uint8)


@pytest.fixture
def little_memory(device):
    """Leave ROOM of the device's memory to this process."""
    if device.type == "cpu":
        yield
        return
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + ROOM) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_photo_that_does_not_fit_is_cut_into_tiles_that_do(device, little_memory, caplog):
    """Whole, one layer's features need 640 MiB; in tiles the result is that of a CPU with room."""
    whole = photo(2048 if device.type == "cuda" else 200)
    restorer = Restorer(network(device, most_pixels=150 * 150), str(device), overlap=32)
    with caplog.at_level(logging.WARNING):
        restored = restorer.restore(whole)
    assert restorer.tile is not None and "out of memory" in caplog.text
    expected = Restorer(network(device), "cpu").restore(whole)
    assert np.abs(restored.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_float32_and_not_the_same(device, precision):
    if precision == "fp16" and device.type == "cpu":
        pytest.skip("fp16 is for GPUs")
    exact, near = (
        Restorer(network(device), str(device), precision=p).restore(photo(200))
        for p in ("fp32", precision)
    )
    assert 0 < np.abs(exact.astype(int) - near).max() <= 4


@pytest.mark.parametrize("batch", [1, 3])
def test_tiles_equal_the_whole(device, batch):
    whole = Restorer(network(device), str(device)).restore(photo(200))
    tiled = Restorer(network(device), str(device), tile=96, overlap=16, batch=batch).restore(
        photo(200)
    )
    assert np.abs(whole.astype(int) - tiled).max() <= 1


@pytest.mark.gpu(only_cuda=True)
def test_a_tiled_photo_takes_the_memory_of_a_tile(device):
    peaks = []
    for side in (1024, 2048):
        torch.cuda.reset_peak_memory_stats()
        Restorer(network(device), str(device), tile=512, overlap=16).restore(photo(side))
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < 2 * peaks[0], "four times the pixels"
