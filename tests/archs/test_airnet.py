import copy
from pathlib import Path

import parity
import pytest
import torch
from half_precision import bfloat16_error
from torch import Tensor

from wxr_plugin.archs.airnet_arch import AirNet, ModulatedDeformConv

PARITY = Path(__file__).parents[1] / "parity"


def parts(net: AirNet, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Compute the fixture's outputs, damped: offsets grow from block to block, beyond float32."""
    x = inputs["x"]
    fea, inter = net.E.E.encoder_q(x)
    group = net.R.body[0](net.R.head(x), inter)
    damped = copy.deepcopy(net)
    for name, parameter in damped.named_parameters():
        if name.startswith("R.body.") and ".conv2." in name:
            parameter.mul_(0.1)
    return {"fea": fea, "inter": inter, "dgg0": group, "restored": damped(x)}


@pytest.mark.slow
def test_matches_the_published_network():
    parity.check(AirNet(), PARITY / "airnet.json", call=parts)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(size):
    with torch.no_grad():
        assert AirNet(**AirNet.smoke).eval()(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_a_deformable_convolution_starts_as_half_of_a_plain_one():
    torch.manual_seed(0)
    layer, x = ModulatedDeformConv(4), torch.rand(1, 4, 9, 8)
    with torch.no_grad():
        plain = torch.nn.functional.conv2d(x, layer.weight, padding=1)
        torch.testing.assert_close(layer(x, torch.rand(1, 4, 9, 8)), plain / 2)


def test_runs_in_half_and_double_precision():
    net, image = AirNet(**AirNet.smoke).eval(), torch.rand(1, 3, 12, 10)
    with torch.no_grad():
        expected = net(image)
        torch.testing.assert_close(net.double()(image.double()).float(), expected)
    assert bfloat16_error(parity.fill(net.float()), image, skip=image) < 0.03


def test_the_queue_has_the_length_of_the_authors_files():
    assert AirNet(**AirNet.smoke | {"tasks": 3}).state_dict()["E.E.queue"].shape == (32, 768)


def test_nan_spreads_and_does_not_end_the_process():
    """A NaN offset once made the deformable convolution read memory that is not its own."""
    conv = ModulatedDeformConv(4).eval()
    x = torch.rand(1, 4, 400, 800)
    x[..., 400:] = torch.nan
    with torch.no_grad():
        conv.conv_offset_mask.weight.fill_(0.1)
        result = conv(x, x)
    assert result[..., 420:].isnan().all() and result[..., :380].isfinite().all()
