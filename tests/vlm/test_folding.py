"""Batch normalisation folded into convolutions: the same result, without the normalisations."""

import copy

import pytest
import torch
from torch import nn

from wxr_plugin.vlm.folding import fold_batch_norms

timm = pytest.importorskip("timm")


@pytest.fixture
def trunk() -> nn.Module:
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.double().eval()


def test_a_folded_trunk_computes_the_same(trunk):
    folded = copy.deepcopy(trunk)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in trunk.modules())
    assert fold_batch_norms(folded) == norms > 40
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    image = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    for ours, theirs in zip(folded(image), trunk(image), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_other_networks_stay_as_they_are():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    assert fold_batch_norms(network) == 0
    assert isinstance(network[1], nn.BatchNorm2d)
