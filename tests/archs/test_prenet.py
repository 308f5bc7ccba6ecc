from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.prenet_arch import PReNet

PARITY = Path(__file__).parents[1] / "parity"


def test_matches_the_published_network():
    parity.check(
        PReNet(), PARITY / "prenet.json", call=lambda net, inputs: net.published(*inputs.values())
    )


def test_forward_is_the_last_stage():
    net, image = parity.fill(PReNet(stages=3)), torch.rand(1, 3, 9, 12)
    with torch.no_grad():
        restored, estimates = net.published(image)
        assert torch.equal(net(image), restored) and torch.equal(restored, estimates[2])
    assert len(estimates) == 3 and not torch.equal(estimates[1], restored)


def test_the_network_for_real_photos_gives_the_image_itself():
    """With a closed output gate the result is the bias of the last convolution."""
    net, image = parity.fill(PReNet(stages=2, width=8, memory_last=True)), torch.rand(1, 3, 9, 12)
    with torch.no_grad():
        assert not torch.equal(net(image), parity.fill(PReNet(stages=2, width=8))(image))
        net.conv_o[0].bias.fill_(-100)
        torch.testing.assert_close(net(image), net.conv[0].bias[:, None, None].expand(1, 3, 9, 12))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(size):
    net, image = parity.fill(PReNet(**PReNet.smoke)), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()
