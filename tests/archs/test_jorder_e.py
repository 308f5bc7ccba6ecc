from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.jorder_e_arch import JORDER_E

PARITY = Path(__file__).parents[1] / "parity"


def published(net, inputs):
    return net.published(inputs["x"])


def damped(net, inputs):
    """Scale the weights as in the fixture, so that values stay small through all nine blocks."""
    for name, tensor in net.state_dict().items():
        if name.endswith((".conv2.weight", ".conv4.weight", ".conv6.weight")):
            tensor.mul_(0.3)
    return published(net, inputs)


@pytest.mark.parametrize(
    ("fixture", "arguments", "call"),
    [("jorder_e", {}, damped), ("jorder_e_practical", {"width": 32, "blocks": 3}, published)],
)
def test_matches_the_published_network(fixture, arguments, call):
    parity.check(JORDER_E(**arguments), PARITY / f"{fixture}.json", call=call)


def test_forward_is_the_published_network_on_the_converted_image():
    net, image = parity.fill(JORDER_E(**JORDER_E.smoke)), torch.rand(1, 3, 9, 12)
    with torch.no_grad():
        second, first, *_ = net.published(image * 255)
        torch.testing.assert_close(net(image), second / 255)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(size):
    net, image = parity.fill(JORDER_E(**JORDER_E.smoke)), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()
