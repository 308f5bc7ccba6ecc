from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.deblurgan_arch import DeblurGAN

PARITY = Path(__file__).parents[1] / "parity"


@pytest.mark.parametrize(("layout", "fixture"), [("2018", "deblurgan_2018"), ("2019", "deblurgan")])
def test_matches_the_published_network(layout, fixture):
    parity.check(
        DeblurGAN(layout),
        PARITY / f"{fixture}.json",
        call=lambda net, inputs: net.published(inputs["x"]),
    )


def test_forward_is_the_published_network_on_the_converted_image():
    net, image = parity.fill(DeblurGAN(**DeblurGAN.smoke)), torch.rand(2, 3, 12, 16)
    with torch.no_grad():
        restored = net(image)
        torch.testing.assert_close(restored, (net.published((image - 0.5) / 0.5) + 1) / 2)
        torch.testing.assert_close(
            restored[1:], net(image[1:])
        )  # nothing is taken from other images
    assert restored.min() >= 0 and restored.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(size):
    net, image = parity.fill(DeblurGAN(**DeblurGAN.smoke, layout="2019")), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    net, image = DeblurGAN(**DeblurGAN.smoke), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert not torch.equal(net(image), net(image))
        net.eval()
        assert torch.equal(net(image), net(image))


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="layout is 2018; take '2018' or '2019'"):
        DeblurGAN(layout=2018)
