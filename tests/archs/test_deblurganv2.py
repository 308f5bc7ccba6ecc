from pathlib import Path

import parity
import pytest
import torch
from torch import nn

from wxr_plugin.archs.deblurganv2_arch import DeblurGANv2

PARITY = Path(__file__).parents[1] / "parity"
TRUNKS = [pytest.param("inception", marks=pytest.mark.slow), "mobilenet"]


@pytest.mark.parametrize("trunk", TRUNKS)
def test_matches_the_published_network(trunk):
    """The fixture's network was in training mode; both modes use the image's statistics."""
    net = DeblurGANv2(trunk)
    parity.check(
        net,
        PARITY / f"deblurganv2_{trunk}.json",
        call=lambda net, inputs: net.published(inputs["x"]),
    )


@pytest.mark.parametrize("trunk", TRUNKS)
def test_frozen_are_the_parameters_without_use(trunk):
    net = DeblurGANv2(trunk)
    net(torch.rand(1, 3, 40, 70)).mean().backward()
    frozen = {name: p for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen and all(p.grad is None for p in frozen.values())
    assert all(p.grad is not None for name, p in net.named_parameters() if name not in frozen)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return DeblurGANv2("mobilenet")


def test_an_image_is_extended_in_grey_and_restored_on_its_own(net):
    images = torch.rand(2, 3, 64, 50)
    grey = torch.zeros(1, 3, 96, 64)
    grey[..., :64, :50] = images[1] * 2 - 1
    with torch.no_grad():
        restored = net.eval()(images)
        torch.testing.assert_close(restored[1:], (net.published(grey)[..., :64, :50] + 1) / 2)
    assert restored.min() >= 0 and restored.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(net, size):
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        assert net.eval()(image).shape == image.shape


def test_running_statistics_change_in_training_only(net):
    norm = next(layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))
    for mode, calls in ((False, 0), (True, 1), (False, 1)):
        net.train(mode)(torch.rand(2, 3, 64, 64))
        assert norm.num_batches_tracked == calls
        assert bool(norm.running_mean.any()) == bool(calls)


def test_an_unknown_trunk_is_refused():
    with pytest.raises(ValueError, match="trunk is 'resnet'; take inception or mobilenet"):
        DeblurGANv2("resnet")
