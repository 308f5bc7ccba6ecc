import itertools

import pytest
import torch

from wxr_plugin.inference.tiling import ramp, run_tiled, starts


@pytest.mark.parametrize("length", [1, 7, 32, 33, 100])
def test_tiles_cover_every_pixel_and_overlap(length):
    tile, overlap = 32, 8
    begins = starts(length, tile, overlap)
    covered = {i for begin in begins for i in range(begin, min(begin + tile, length))}
    assert covered == set(range(length))
    assert all(b - a <= tile - overlap for a, b in itertools.pairwise(begins))


def test_ramp_is_positive_and_flat_inside():
    weights = ramp(20, 4, torch.device("cpu"))
    assert weights.min() > 0
    assert torch.equal(weights[4:-4], torch.ones(12))


@pytest.mark.parametrize("size", [(1, 1), (5, 70), (65, 64), (97, 131)])
def test_tiled_equals_whole_for_a_local_network(size):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 3, 1)
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        assert torch.allclose(run_tiled(conv, image, 32, 8), conv(image), atol=1e-5)


def test_overlap_must_be_smaller_than_the_tile():
    with pytest.raises(ValueError, match="overlap 32 for tile 32"):
        run_tiled(torch.nn.Identity(), torch.rand(1, 3, 8, 8), 32, 32)
