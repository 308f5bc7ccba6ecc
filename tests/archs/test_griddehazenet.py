from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.griddehazenet_arch import GridDehazeNet

PARITY = Path(__file__).parents[1] / "parity"


def raised(net, inputs):
    """Set the fixture's larger coefficients and an output above 0, so that all layers matter."""
    net.coefficient.mul_(6).add_(1)
    net.conv_out.bias.add_(1)
    return net.published(inputs["x"])


def test_matches_the_published_network():
    parity.check(GridDehazeNet(), PARITY / "griddehazenet.json", call=raised)


def test_forward_is_the_published_network_on_the_converted_image():
    net, image = parity.fill(GridDehazeNet(**GridDehazeNet.smoke)), torch.rand(1, 3, 21, 12)
    with torch.no_grad():
        net.conv_out.bias.add_(3)
        torch.testing.assert_close(net(image), net.published((image - 0.5) / 0.5))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(size):
    net, image = parity.fill(GridDehazeNet(**GridDehazeNet.smoke)), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()
