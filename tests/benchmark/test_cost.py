"""What restoring takes, against networks of which it is known."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from wxr_plugin.benchmark import cost
from wxr_plugin.inference.restorer import Restorer


class Plain(nn.Module):
    """One convolution of 3x3 with a bias."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, lq):
        return self.conv(lq)


class Greedy(nn.Module):
    """Holds 64 MiB for a moment."""

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, lq):
        return lq * self.one * torch.ones(16 * 2**20).sum().clamp(1, 1)


def photo(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(256, 256), (300, 900), (20, 7), (1, 1)])
def test_multiplications_of_a_convolution(size):
    restorer = Restorer(Plain(), "cpu")
    assert cost.macs_per_megapixel(restorer, photo(*size)) == 3 * 3 * 9 * 1e6
    assert cost.parameters(restorer) == 3 * 3 * 9 + 3


def test_a_network_without_multiplications_that_torch_counts_is_told():
    with pytest.raises(RuntimeError, match="counts no operation"):
        cost.macs_per_megapixel(Restorer(Greedy(), "cpu"), photo(8, 8))


def test_the_square_is_mirrored_where_the_photo_is_small():
    small = photo(3, 5)
    square = cost.square(small)
    assert square.shape == (256, 256, 3) and np.array_equal(square[:3, :5], small)
    assert np.array_equal(square[3:6, :5], small[::-1])


def peaks() -> list[float]:
    """Of a block that holds 64 MiB for a moment, and of one that does nothing."""
    restorer, device = Restorer(Greedy(), "cpu"), torch.device("cpu")
    restorer.restore(photo(8, 8))
    before = cost.memory_used()
    with cost.measured(device, before) as greedy:
        restorer.restore(photo(8, 8))
    with cost.measured(device, before) as nothing:
        pass
    assert greedy.seconds > nothing.seconds > 0
    return [greedy.peak_mib, nothing.peak_mib]


@pytest.mark.skipif(cost.memory_used() is None, reason="only Linux reports a process' memory")
def test_the_peak_is_that_of_the_block_alone():
    """Run in a process of its own, as the memory of one that has run many tests may shrink."""
    script = "import test_cost; print(*test_cost.peaks())"
    path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1] / "helpers"), *sys.path])}
    said = subprocess.check_output([sys.executable, "-c", script], env=os.environ | path, text=True)
    greedy, nothing = map(float, said.split())
    assert 56 < greedy < 200 and nothing < 30
