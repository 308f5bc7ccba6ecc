from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.mwdt_arch import MWDT

PARITY = Path(__file__).parents[1] / "parity"


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_restores_as_the_published_network(factor):
    parity.check(MWDT(factor).restorer, PARITY / f"mwdt_restore_f{factor}.json")


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_translates_as_the_published_network(factor):
    parity.check(MWDT(factor).snow, PARITY / f"mwdt_translate_f{factor}.json")


def test_forward_is_the_published_network_on_the_converted_image():
    net, image = parity.fill(MWDT(**MWDT.smoke)), torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        expected = (net.published((image[:, [2, 1, 0]] - 0.5) / 0.5)[:, [2, 1, 0]] + 1) / 2
        torch.testing.assert_close(net(image), expected)


def test_each_translation_has_its_place():
    net, image = parity.fill(MWDT(**MWDT.smoke)), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        parts = [net.fog(image), net.rain(image), net.snow(image)]
        assert torch.equal(net.published(image), net.restorer(image, *parts))
        assert not torch.allclose(net.published(image), net.restorer(image, *reversed(parts)))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_comes_back(size):
    net, image = parity.fill(MWDT(**MWDT.smoke)), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()


def test_weights_of_taps_that_take_no_part_are_not_trained():
    net = MWDT(**MWDT.smoke)
    still = {
        name.split(".")[-2]
        for name, parameter in net.named_parameters()
        if not parameter.requires_grad
    }
    assert still == {"modulator_conv"}


def test_a_wrong_factor_is_refused():
    with pytest.raises(ValueError, match="one of 1, 2, 4, not 3"):
        MWDT(factor=3)
