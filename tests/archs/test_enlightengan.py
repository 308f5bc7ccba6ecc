from pathlib import Path

import parity
import pytest
import torch
import torch.nn.functional as F

from wxr_plugin.archs.enlightengan_arch import EnlightenGAN

PARITY = Path(__file__).parents[1] / "parity"


def published(net, inputs):
    return net.published(inputs["x"], inputs["gray"])


def brightened(net, image):
    """Brighten an image with sides that are multiples of 16 as the authors' test script does."""
    red, green, blue = (2 * image).unbind(1)
    dark = 1 - (0.299 * red + 0.587 * green + 0.114 * blue)[:, None] / 2
    return (net.published(2 * image - 1, dark)[0] + 1) / 2


def test_matches_the_published_network():
    parity.check(EnlightenGAN(), PARITY / "enlightengan.json", call=published)


@pytest.fixture
def net():
    return parity.fill(EnlightenGAN(**EnlightenGAN.smoke))


@pytest.mark.parametrize(
    ("size", "border"),
    [((16, 32), (0, 0, 0, 0)), ((19, 32), (0, 0, 6, 7)), ((20, 27), (2, 3, 6, 6))],
)
def test_forward_is_the_published_network_on_the_framed_image(net, size, border):
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        whole = brightened(net, F.pad(image, border, mode="reflect"))
        expected = whole[..., border[2] : border[2] + size[0], border[0] : border[0] + size[1]]
        torch.testing.assert_close(net(image), expected)


def test_wide_images_are_halved(net):
    net.halved_above, image = 40, torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        half = F.interpolate(
            brightened(net, F.avg_pool2d(image, 2)), scale_factor=2, mode="bilinear"
        )
        torch.testing.assert_close(net(image), half)
        assert net(image[..., :1, :63]).shape == (1, 3, 1, 63)
        net.halved_above = 0
        torch.testing.assert_close(net(image), brightened(net, image))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (7, 40), (33, 50)])
def test_any_size_comes_back(net, size):
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()
