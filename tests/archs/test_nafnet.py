from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.context import Context
from wxr_plugin.archs.nafnet_arch import LocalMean, NAFNet

PARITY = Path(__file__).parents[1] / "parity"
GOPRO = {"enc_blk_nums": [1, 1, 1, 28], "middle_blk_num": 1, "dec_blk_nums": [1, 1, 1, 1]}
SIDD = {"enc_blk_nums": [2, 2, 4, 8], "middle_blk_num": 12, "dec_blk_nums": [2, 2, 2, 2]}
SMALL = {
    "width": 8,
    "enc_blk_nums": [1, 1],
    "middle_blk_num": 1,
    "dec_blk_nums": [1, 1],
    "context_dim": 6,
}


@pytest.mark.parametrize("name, blocks", [("gopro", GOPRO), ("sidd", SIDD)])
@pytest.mark.parametrize("width", [32, 64])
def test_matches_the_published_network(name, blocks, width):
    parity.check(NAFNet(width, **blocks), PARITY / f"nafnet_{name}_w{width}.json")


def test_matches_the_published_local_network():
    net = NAFNet(8, [1, 2], 1, [1, 1], local_size=32)
    parity.check(net, PARITY / "nafnet_local.json")


def test_a_local_mean_is_the_mean_of_a_box_and_global_in_training():
    x = torch.arange(30.0).reshape(1, 1, 5, 6)
    pool = LocalMean(3)
    assert torch.equal(pool(x), x.mean((2, 3), keepdim=True))
    means = pool.eval()(x)
    assert means.shape == x.shape
    torch.testing.assert_close(means[0, 0, 2, 3], x[0, 0, 1:4, 2:5].mean())
    assert torch.equal(means[0, 0, 0], means[0, 0, 1])  # no box ends outside of the image
    assert torch.equal(LocalMean(9).eval()(x), x.mean((2, 3), keepdim=True))


def test_steering_changes_nothing_before_training():
    torch.manual_seed(0)
    plain, steered = NAFNet(**SMALL), NAFNet(**SMALL, context=["degradation"])
    steered.load_state_dict(plain.state_dict(), strict=False)
    image = torch.rand(2, 3, 16, 20)
    with torch.no_grad():
        assert torch.equal(plain(image), steered(image, Context(degradation=torch.randn(2, 6))))


def test_wrong_levels_and_widths_are_refused():
    with pytest.raises(ValueError, match="2 encoder levels and 1 decoder levels"):
        NAFNet(enc_blk_nums=[1, 1], dec_blk_nums=[1])
    with pytest.raises(ValueError, match="multiple of 32; there are 16"):
        NAFNet(**SMALL | {"width": 4}, context=["content"])
