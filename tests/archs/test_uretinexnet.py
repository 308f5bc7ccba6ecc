from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.uretinexnet_arch import URetinexNet

PARITY = Path(__file__).parents[1] / "parity"


def lighter(net, inputs):
    """Set biases as in the fixture, so that the brightened illumination is above 0."""
    net.adjust_model.conv4.bias.add_(1)
    return net.published(inputs["x"])


def test_matches_the_published_network():
    parity.check(URetinexNet(), PARITY / "uretinexnet.json", call=lighter)


def test_the_ratio_and_the_rounds_count():
    image, seen = torch.rand(1, 3, 9, 12), []
    for arguments in ({}, {"ratio": 3}, {"rounds": 1}):
        net = parity.fill(URetinexNet(**URetinexNet.smoke, **arguments))
        with torch.no_grad():
            net.adjust_model.conv4.bias.add_(5)
            seen.append(net.published(image))
            torch.testing.assert_close(net(image), seen[-1][0])
    (base, *light), (less, *same), (short, *short_parts) = seen
    assert not torch.equal(base, less) and torch.equal(light[1], same[1])
    assert not torch.equal(base, short) and not torch.equal(light[1], short_parts[1])


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(size):
    net, image = parity.fill(URetinexNet(**URetinexNet.smoke)), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()
