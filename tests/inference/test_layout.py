"""Weights in channels_last, where they help."""

import pytest
import torch
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from wxr_plugin.contributing import network_checks
from wxr_plugin.inference.layout import gains, laid_out

CPU = torch.device("cpu")


def last(net):
    weights = [
        m.weight for m in net.modules() if isinstance(m, nn.Conv2d) and min(m.weight.shape[1:3]) > 1
    ]
    return [weight.is_contiguous(memory_format=torch.channels_last) for weight in weights]


@pytest.mark.parametrize("name", gains())
def test_a_network_of_the_list_gives_the_same_images(name):
    net, channels_last = (
        network_checks.build_quick(ARCH_REGISTRY.get(name)).eval() for _ in range(2)
    )
    assert gains()[name] > 1 and all(last(laid_out(channels_last, CPU)))
    with torch.no_grad():
        for size in ((64, 48), (37, 53)):
            image = network_checks.photos(2, *size)
            torch.testing.assert_close(
                network_checks.call(channels_last, image),
                network_checks.call(net, image),
                atol=1e-4,
                rtol=1e-4,
            )


def test_other_networks_stay_as_they_are_unless_they_ask():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3))
    assert not any(last(laid_out(net, CPU)))
    net.channels_last = True
    assert all(last(laid_out(net, CPU)))
    nafnet = build_network({"type": "NAFNet", **ARCH_REGISTRY.get("NAFNet").smoke})
    nafnet.channels_last = False
    assert not all(last(laid_out(nafnet, CPU)))


def test_it_is_for_a_cpu():
    assert not any(last(laid_out(nn.Sequential(nn.Conv2d(3, 8, 3)), torch.device("meta"))))
