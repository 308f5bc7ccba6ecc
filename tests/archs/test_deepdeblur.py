from pathlib import Path

import numpy as np
import parity
import pytest
import torch
import torch.nn.functional as F
from skimage.transform import pyramid_gaussian

from wxr_plugin.archs.deepdeblur_arch import DeepDeblur, pyramid

PARITY = Path(__file__).parents[1] / "parity"


def on_means(net, inputs):
    """Run the network on the fixture's pyramid: plain means of 2x2 and 4x4 pixels."""
    image = inputs["x"] * 255
    return net.published([image, F.avg_pool2d(image, 2), F.avg_pool2d(image, 4)])


def test_matches_the_published_network():
    parity.check(DeepDeblur(), PARITY / "deepdeblur.json", call=on_means)


@pytest.mark.parametrize("size", [(4, 4), (32, 20)])
def test_the_pyramid_is_the_one_of_the_authors(size):
    image = torch.rand(3, *size)
    expected = list(pyramid_gaussian(image.permute(1, 2, 0).numpy(), 2, channel_axis=2))
    for got, level in zip(pyramid(image[None], 3), expected, strict=True):
        np.testing.assert_allclose(got[0].permute(1, 2, 0), level, atol=1e-6)


def test_forward_restores_the_pyramid_of_the_extended_image():
    net, image = DeepDeblur(**DeepDeblur.smoke).eval(), torch.rand(1, 3, 7, 10)
    levels = pyramid(F.pad(image, (0, 0, 0, 1), mode="replicate") * 255, 2)
    with torch.no_grad():
        torch.testing.assert_close(net(image), net.published(levels)[0][:, :, :7] / 255)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(size):
    net, image = DeepDeblur(**DeepDeblur.smoke | {"scales": 3}).eval(), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()
