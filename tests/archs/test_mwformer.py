from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.mwformer_arch import MWFormer

PARITY = Path(__file__).parents[1] / "parity"


@pytest.fixture
def net():
    return parity.fill(MWFormer(**MWFormer.smoke))


@pytest.mark.slow
def test_both_parts_match_the_published_networks():
    net = MWFormer()
    parity.check(net.style_filter, PARITY / "mwformer_style.json")
    parity.check(net.backbone, PARITY / "mwformer.json")


def test_forward_is_the_published_network_on_the_converted_image(net):
    image = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(image), net.published((image - 0.5) / 0.5))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(net, size):
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()


def test_each_image_of_a_batch_has_its_own_weights(net):
    images = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        both = net.published(images)
        torch.testing.assert_close(both[1:], net.published(images[1:]), rtol=1e-4, atol=1e-4)
        vectors = net.style_filter(images)
        assert vectors.shape == (2, 8) and not torch.allclose(vectors[0], vectors[1])


def test_the_vector_of_another_photo_changes_the_result(net):
    image, other_photo = torch.rand(2, 1, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(net.published(image), net.published(image, net.style_filter(image)))
        assert not torch.allclose(
            net.published(image), net.published(image, net.style_filter(other_photo))
        )
