from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.wgws_arch import WGWSNet

PARITY = Path(__file__).parents[1] / "parity"
FLAGS = ([1, 0, 0], [0, 1, 0], [0, 0, 1])


def all_weathers(net, inputs):
    """Run the recorded calls: no weather as filled, then each one with all gates moved by 0.1."""
    outputs = {"flag000": net.published(inputs["x"], [0, 0, 0])}
    move_gates(net, 0.1)
    return outputs | {
        "flag" + "".join(map(str, flag)): net.published(inputs["x"], flag) for flag in FLAGS
    }


def move_gates(net, distance):
    for name, parameter in net.named_parameters():
        if name.endswith("indicator"):
            parameter.data.add_(distance)


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "channels"), [("K1", 18), ("K1", 20), ("K3", 18)])
def test_matches_the_published_network(variant, channels):
    parity.check(
        WGWSNet(variant, channels),
        PARITY / f"wgws_{variant.lower()}_c{channels}.json",
        call=all_weathers,
    )


@pytest.mark.slow
def test_matches_the_published_first_stage():
    parity.check(WGWSNet("stage1"), PARITY / "wgws_s1_c18.json")


@pytest.mark.parametrize("variant", ["stage1", "K1", "K3"])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(variant, size):
    net, image = parity.fill(WGWSNet(variant, **WGWSNet.smoke)), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()


@pytest.mark.parametrize("flag", FLAGS)
def test_a_weather_changes_the_result_and_only_where_its_gates_are_open(flag):
    net, image = parity.fill(WGWSNet(**WGWSNet.smoke, flag=flag)), torch.rand(1, 3, 16, 16)
    move_gates(net, 10)
    with torch.no_grad():
        general = net.published(image, (0, 0, 0))
        assert not torch.allclose(net(image), general)
        assert torch.equal(net(image), net.published(image, flag))
        move_gates(net, -20)
        assert torch.equal(net(image), general)


def test_gates_learn_though_they_are_steps():
    net = parity.fill(WGWSNet(**WGWSNet.smoke, flag=(0, 1, 0)))
    net(torch.rand(1, 3, 8, 8)).square().mean().backward()
    gates = {
        name: p.grad.item() for name, p in net.named_parameters() if name.endswith("indicator")
    }
    assert all((gradient != 0) == ("B2_" in name) for name, gradient in gates.items())


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="one of stage1, K1, K3, not 'K2'"):
        WGWSNet("K2")
    with pytest.raises(ValueError, match="three weathers"):
        WGWSNet(flag=[1, 0])
