"""Weights that do not fit a network: a line that names both sides."""

import pytest
import torch
from torch import nn

from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.checkpoints.fitting import load_into
from wxr_plugin.checkpoints.reading import CheckpointError


def net(width: int = 4, layers: int = 2) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(layers)))


@pytest.fixture
def stored(tmp_path):
    """Return a function that writes a network's weights and gives arguments of `load_into`."""

    def write(net, **more):
        torch.save({"params": net.state_dict(), **more}, tmp_path / "net.pth")
        return load_weights(tmp_path / "net.pth"), tmp_path / "net.pth"

    return write


def refused(network, stored, **how) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_into(network, *stored, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_fitting_weights_are_loaded(stored):
    source, target = net(), net()
    load_into(target, *stored(source))
    assert torch.equal(target[1].weight, source[1].weight)


def test_other_shapes_name_both_sides(stored):
    said = refused(net(), stored(net(8), network_g={"type": "Chain", "width": 8}))
    assert (
        "fit the network Sequential: 0.weight is (8, 8) in the file and (4, 4) in the network (and "
        "3 more)" in said
    )
    assert "The file is for network_g: {'type': 'Chain', 'width': 8}." in said


def test_other_names_name_both_sides(stored):
    assert "1.bias (and 1 more) are missing in the file. Give" in refused(
        net(), stored(net(layers=1))
    )
    said = refused(net(), stored(net(layers=3)))
    assert "2.bias (and 1 more) are unknown to the network, but in the file" in said


def test_without_strictness_something_has_to_fit(stored):
    target, part = net(), net(layers=1)
    load_into(target, *stored(part), strict=False)
    assert torch.equal(target[0].weight, part[0].weight)
    assert "are missing in the file" in refused(target, stored(nn.Conv2d(1, 1, 1)), strict=False)
