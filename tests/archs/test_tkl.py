from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.msbdn_arch import MSBDN
from wxr_plugin.archs.tkl_arch import TKL

PARITY = Path(__file__).parents[1] / "parity"


def published(net, inputs):
    return dict(zip(("image", "features"), net.published(*inputs.values())))


@pytest.mark.slow
def test_matches_the_published_network():
    parity.check(TKL(), PARITY / "tkl.json", call=published)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_it_is_msbdn_with_residual_dense_fusion(size):
    net, msbdn = parity.fill(TKL(**TKL.smoke)), parity.fill(MSBDN("rdff", **TKL.smoke))
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        assert torch.equal(net(image), msbdn(image))


def test_features_are_those_of_three_levels_and_the_bottleneck():
    _, features = TKL(**TKL.smoke).published(torch.rand(2, 3, 64, 96))
    assert [tuple(f.shape) for f in features] == [
        (2, 16, 16, 24),
        (2, 32, 8, 12),
        (2, 64, 4, 6),
        (2, 64, 4, 6),
    ]
