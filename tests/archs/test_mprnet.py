import copy
from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.mprnet_arch import MPRNet

PARITY = Path(__file__).parents[1] / "parity"
DEBLUR = {"n_feat": 96, "scale_unetfeats": 48, "scale_orsnetfeats": 32}


@pytest.mark.parametrize("name, sizes", [("derain", {}), ("deblur", DEBLUR)])
def test_matches_the_published_network(name, sizes):
    parity.check(
        MPRNet(**sizes),
        PARITY / f"mprnet_{name}.json",
        call=lambda net, inputs: net.published(inputs["x"]),
    )


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_is_restored_as_its_extension(size):
    net, image = parity.fill(MPRNet(**MPRNet.smoke)), torch.rand(1, 3, *size)
    height, width = (-(-side // 8) * 8 for side in size)
    mode = "reflect" if height - size[0] < size[0] and width - size[1] < size[1] else "replicate"
    extended = torch.nn.functional.pad(image, (0, width - size[1], 0, height - size[0]), mode=mode)
    with torch.no_grad():
        assert torch.equal(net(image), net.published(extended)[0][..., : size[0], : size[1]])


def test_a_copy_computes_with_its_own_weights():
    net, image = parity.fill(MPRNet(**MPRNet.smoke)), torch.rand(1, 3, 16, 16)
    changed = copy.deepcopy(net)
    with torch.no_grad():
        before = net(image)
        for parameter in changed.parameters():
            parameter.zero_()
        assert torch.equal(net(image), before) and torch.equal(changed(image), image)
