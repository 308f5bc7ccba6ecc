from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.msbdn_arch import MSBDN

PARITY = Path(__file__).parents[1] / "parity"

SMALL = {"width": 4, "bottleneck_blocks": 2, "stage_blocks": 1}


@pytest.fixture(params=["dff", "rdff"])
def variant(request) -> str:
    return request.param


def test_matches_the_published_network(variant):
    parity.check(MSBDN(variant), PARITY / f"msbdn_{variant}.json")


def test_parity_sees_a_difference():
    with pytest.raises(AssertionError, match="missing"):
        parity.check(MSBDN("dff", bottleneck_blocks=17), PARITY / "msbdn_dff.json")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        parity.check(MSBDN("dff", global_residual=True), PARITY / "msbdn_dff.json")


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 50), (16, 16), (17, 33), (31, 64), (48, 32), (47, 65)]
)
def test_any_size_comes_back(variant, size):
    net = MSBDN(variant, **SMALL, global_residual=True).eval()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        assert torch.equal(
            net(image), image
        )  # starts from the identity, so no pixel is moved by padding


def test_padding_changes_nothing_on_multiples_of_16(variant):
    net = parity.fill(MSBDN(variant, **SMALL))
    image = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        assert torch.equal(net(image), net._restore(image))


def test_an_odd_image_is_restored_as_its_reflection(variant):
    net = parity.fill(MSBDN(variant, **SMALL))
    image = torch.rand(1, 3, 41, 43)
    extended = torch.nn.functional.pad(image, (0, 5, 0, 7), mode="reflect")
    with torch.no_grad():
        assert torch.equal(net(image), net(extended)[..., :41, :43])


def test_the_global_residual_is_the_input_added():
    plain, residual = MSBDN(**SMALL), MSBDN(**SMALL, global_residual=True)
    parity.fill(plain), parity.fill(residual)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(residual(image), plain(image) + image)


def test_a_wrong_variant_or_width_is_refused():
    with pytest.raises(ValueError, match="'dff' or 'rdff', not 'dfff'"):
        MSBDN("dfff")
    with pytest.raises(ValueError, match="even"):
        MSBDN("rdff", width=5)
