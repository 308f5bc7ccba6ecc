from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.context import Context
from wxr_plugin.archs.restormer_arch import Restormer

PARITY = Path(__file__).parents[1] / "parity"
SMALL = Restormer.smoke | {"context_dim": 6}


def test_matches_the_published_network():
    parity.check(Restormer(), PARITY / "restormer.json")


def test_the_denoising_kind_has_no_bias_in_its_norms():
    names = Restormer(**SMALL, layer_norm="BiasFree").state_dict()
    assert "latent.0.norm1.body.weight" in names and "latent.0.norm1.body.bias" not in names


def test_context_changes_nothing_before_training():
    torch.manual_seed(0)
    plain, steered = Restormer(**SMALL), Restormer(**SMALL, context=["degradation"])
    steered.load_state_dict(plain.state_dict(), strict=False)
    image = torch.rand(2, 3, 24, 20)
    with torch.no_grad():
        assert torch.equal(plain(image), steered(image, Context(degradation=torch.randn(2, 6))))


@pytest.mark.parametrize("size", [(5, 7), (8, 8), (17, 30)])
def test_an_odd_image_is_restored_as_its_reflection(size):
    net, image = parity.fill(Restormer(**SMALL)), torch.rand(1, 3, *size)
    height, width = (-(-side // 8) * 8 for side in size)
    mode = "reflect" if height - size[0] < size[0] and width - size[1] < size[1] else "replicate"
    extended = torch.nn.functional.pad(image, (0, width - size[1], 0, height - size[0]), mode=mode)
    with torch.no_grad():
        assert torch.equal(net(image), net(extended)[..., : size[0], : size[1]])
