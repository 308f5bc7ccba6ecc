import copy
from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.mirnet_arch import Blur, MIRNet

PARITY = Path(__file__).parents[1] / "parity"


@pytest.mark.slow
def test_matches_the_published_network():
    net = MIRNet()
    assert sum(parameter.numel() for parameter in net.parameters()) == 31_787_419
    parity.check(net, PARITY / "mirnet.json")


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_is_restored_as_its_extension(size):
    net, image = parity.fill(MIRNet(**MIRNet.smoke)), torch.rand(1, 3, *size)
    height, width = (-(-side // 4) * 4 for side in size)
    mode = "reflect" if height - size[0] < size[0] and width - size[1] < size[1] else "replicate"
    extended = torch.nn.functional.pad(image, (0, width - size[1], 0, height - size[0]), mode=mode)
    with torch.no_grad():
        assert torch.equal(net(image), net(extended)[..., : size[0], : size[1]])


def test_shared_modules_are_shared_in_a_copy_too():
    net = copy.deepcopy(MIRNet(**MIRNet.smoke | {"groups": 2}))
    units = [
        module
        for name, module in net.named_modules(remove_duplicate=False)
        if name.endswith(".body.1")
    ]
    prelus = {module for module in units if isinstance(module, torch.nn.PReLU)}
    assert len(prelus) == 1
    block = net.body[0].body[0]
    assert all(first is second for first, second in block.blocks)


def test_the_blur_keeps_a_flat_image_and_halves_it():
    x = torch.full((1, 2, 6, 8), 0.3)
    torch.testing.assert_close(Blur(2)(x), torch.full((1, 2, 3, 4), 0.3))


def test_a_wrong_width_is_refused():
    with pytest.raises(ValueError, match="multiple of 8, not 12"):
        MIRNet(n_feat=12)
