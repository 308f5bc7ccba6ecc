from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.gcanet_arch import GCANet, edges

PARITY = Path(__file__).parents[1] / "parity"


def test_matches_the_published_network():
    parity.check(
        GCANet(), PARITY / "gcanet.json", call=lambda net, inputs: net.published(inputs["x"])
    )


def test_matches_the_published_test_script():
    parity.check(
        GCANet(), PARITY / "gcanet_full.json", call=lambda net, inputs: 255 * net(inputs["x"])
    )


def test_deraining_gives_the_image_itself():
    haze, rain = parity.fill(GCANet(width=8)), parity.fill(GCANet(only_residual=False, width=8))
    image = torch.rand(1, 3, 8, 12)
    with torch.no_grad():
        torch.testing.assert_close(
            rain(image), (haze(image) - image).clamp_min(0), atol=1e-5, rtol=1e-4
        )


def test_edges_are_those_to_all_neighbours():
    image = torch.zeros(1, 3, 3, 3)
    image[0, :, 1, 1] = 40
    assert edges(image)[0, 0].tolist() == [[0, 10, 0], [10, 40, 10], [0, 10, 0]]


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(size):
    net, image = parity.fill(GCANet(**GCANet.smoke)), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()
