import pytest
import torch
import torch.nn.functional as F
from torch import nn

from wxr_plugin.inference.diffusion import sample_tiled
from wxr_plugin.sampling.noise import image_generator
from wxr_plugin.sampling.sampler import METHODS
from wxr_plugin.sampling.schedules import make_schedule

S = make_schedule(4)
REACH = 2


class Local(nn.Module):
    """Return noise that depends on the time and on pixels at most REACH away, padded with 0."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(6, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, xt, lq, time):
        self.sizes.append(tuple(xt.shape[-2:]))
        return self.second(F.silu(self.first(torch.cat((xt, lq), 1)))) * time / 4


def run(net, lq, method, **settings):
    generators = [image_generator(image, 0) for image in lq]
    return sample_tiled(net, lq, S, method=method, train_steps=8, generator=generators, **settings)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_tiles_give_what_the_whole_image_gives(method, batch):
    """The noise of every step is that of the whole image for a reach of a third of the overlap."""
    torch.manual_seed(0)
    net, lq = Local(), torch.rand(2, 3, 60, 83)
    whole, tiled = (
        run(net, lq, method, tile=tile, overlap=3 * REACH, batch=batch) for tile in (None, 32)
    )
    assert net.sizes[0] == (60, 83) and max(net.sizes[S.steps :]) <= (32, 32)
    torch.testing.assert_close(tiled, whole)
    assert not torch.allclose(run(net, lq, method, tile=32, overlap=3), whole)


@pytest.mark.parametrize("method", METHODS)
def test_a_network_that_sees_single_pixels_cannot_tell(method):
    torch.manual_seed(0)
    conv, lq = nn.Conv2d(6, 3, 1), torch.rand(1, 3, 50, 40)

    def predict(xt, lq, time):
        return conv(torch.cat((xt, lq), 1)) * time

    results = [run(predict, lq, method, tile=tile, overlap=5) for tile in (None, 24)]
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)


def test_an_image_that_fits_is_not_cut():
    net = Local()
    run(net, torch.rand(1, 3, 20, 32), "ode", tile=32, overlap=8)
    assert net.sizes == [(20, 32)] * S.steps


def test_overlap_must_be_smaller_than_the_tile():
    with pytest.raises(ValueError, match="overlap 32 for tile 32"):
        run(Local(), torch.rand(1, 3, 40, 40), "ode", tile=32, overlap=32)
