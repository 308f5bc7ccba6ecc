from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.dehazeformer_arch import SMALLEST, DehazeFormer

PARITY = Path(__file__).parents[1] / "parity"
VARIANTS = {
    "s": {"depths": [8, 8, 8, 4, 4]},
    "b": {},
    "m": {"depths": [12, 12, 12, 6, 6], "conv_type": "Conv"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_matches_the_published_network(variant):
    small = 0.2 if variant == "s" else 0.1
    factors = {".mlp.mlp.2.weight": small, ".attn.proj.weight": small, ".norm1.meta1.weight": 0.2}
    if variant == "m":
        factors[".attn.conv.2.weight"] = 0.2

    def damped(net, inputs):
        """Scale the weights as in the fixture, so that values stay small."""
        for name, tensor in net.state_dict().items():
            for ending in filter(name.endswith, factors):
                tensor.mul_(factors[ending])
        return net.published(inputs["x"])

    parity.check(
        DehazeFormer(**VARIANTS[variant]), PARITY / f"dehazeformer_{variant}.json", call=damped
    )


def test_forward_is_the_published_network_on_the_converted_image():
    net, image = DehazeFormer(**DehazeFormer.smoke).eval(), torch.rand(1, 3, 36, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(image), (net.published((image - 0.5) / 0.5) + 1) / 2)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (28, 29), (33, 50)])
def test_any_size_comes_back(size):
    net, image = DehazeFormer(**DehazeFormer.smoke).eval(), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()


def test_smaller_sides_than_the_smallest_do_not_fit():
    net = DehazeFormer(**DehazeFormer.smoke | {"attn_ratio": [1, 1, 1, 1, 1]}).eval()
    with torch.no_grad():
        assert net.published(torch.rand(1, 3, SMALLEST, SMALLEST)).isfinite().all()
        with pytest.raises(RuntimeError, match="Padding size"):
            net.published(torch.rand(1, 3, SMALLEST - 4, SMALLEST - 4))


def test_wrong_kinds_and_numbers_of_layers_are_refused():
    with pytest.raises(ValueError, match="conv_type is 'conv'; take DWConv or Conv"):
        DehazeFormer(conv_type="conv")
    with pytest.raises(ValueError, match="zip"):
        DehazeFormer(depths=[1, 1, 1])
