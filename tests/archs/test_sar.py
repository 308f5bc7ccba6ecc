"""Soft residuals: values, the encoder, and every network with the option."""

import inspect

import pytest
import torch
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from wxr_plugin.archs.context import Context
from wxr_plugin.archs.sar import KINDS, Masked, SAREncoder, SoftGates, SoftMask

GATED = sorted(
    name
    for name, cls in ARCH_REGISTRY
    if cls.__module__.startswith("wxr_plugin.archs.")
    and "sar" in inspect.signature(cls.__init__).parameters
)


def build(name: str, sar: str | None, context: tuple[str, ...] = ()) -> nn.Module:
    torch.manual_seed(0)
    arguments = {
        **ARCH_REGISTRY.get(name).smoke,
        "sar": sar,
        "context": list(context),
        "context_dim": 6,
    }
    return build_network({"type": name, **arguments}).eval()


def test_there_are_networks_with_masks():
    assert set(GATED) == {"MSBDN", "NAFNet", "Restormer", "SARCWP"}


def test_a_gate_on_numbers():
    gates = SoftGates([2], "spatial")
    with torch.no_grad():
        gates.masks[0].reduce.weight.zero_()
        before, after, recorded = torch.full((1, 2, 3, 3), 2.0), torch.full((1, 2, 3, 3), 6.0), []
        # 2 + 0.5 * 4
        gated = gates.gate(0, before, after, recorded)
        assert torch.equal(gated, torch.full((1, 2, 3, 3), 4.0))
        # sigmoid(log 3) = 0.75: 2 + 0.75 * 4
        gates.masks[0].reduce.bias.fill_(torch.tensor(3.0).log())
        gated = gates.gate(0, before, after, recorded)
        torch.testing.assert_close(gated, torch.full((1, 2, 3, 3), 5.0))
    assert [float(gate.mask.mean()) for gate in recorded] == pytest.approx([0.5, 0.75])
    assert torch.equal(recorded[0].residual, torch.full((1, 2, 3, 3), 4.0))
    assert torch.equal(SoftGates([2], None).gate(0, before, after, recorded), after)
    assert len(recorded) == 2


def test_a_closed_mask_of_the_extra_kind_leaves_the_stage_as_it_is():
    torch.manual_seed(0)
    gates, recorded = SoftGates([2], "extra"), []
    before, after = torch.rand(1, 2, 6, 6), torch.rand(1, 2, 6, 6)
    with torch.no_grad():
        gates.masks[0].reduce.weight.zero_()
        gates.masks[0].reduce.bias.fill_(-100.0)
        assert torch.equal(gates.gate(0, before, after, recorded), after)
        gates.masks[0].reduce.bias.fill_(100.0)
        opened = gates.gate(0, before, after, recorded)
    torch.testing.assert_close(opened, after + recorded[1].residual)
    assert recorded[1].residual.abs().max() > 0


@pytest.mark.parametrize(("kind", "channels"), [("spatial", 1), ("channel", 5), ("extra", 1)])
def test_a_mask_looks_at_feature_and_residual_and_starts_in_the_middle(kind, channels):
    torch.manual_seed(0)
    head, feature, residual = SoftMask(5, kind), torch.randn(2, 5, 8, 9), torch.randn(2, 5, 8, 9)
    mask = head(feature, residual)
    assert mask.shape == (2, channels, 8, 9) and mask.min() > 0 and mask.max() < 1
    assert abs(mask.mean().item() - 0.5) < 0.15 and not head.reduce.bias.any()
    assert not torch.equal(mask, head(feature, 2 * residual)) and not torch.equal(
        mask, head(2 * feature, residual)
    )


def test_the_encoder_gives_features_and_gates_of_every_stage():
    stages, downs = [nn.Conv2d(4, 4, 1), nn.Conv2d(8, 8, 1)], [nn.Conv2d(4, 8, 2, 2)]
    features, recorded = SAREncoder(stages, downs, [4, 8], "spatial")(torch.rand(2, 4, 12, 10))
    assert [feature.shape[1:] for feature in features] == [(4, 12, 10), (8, 6, 5)]
    assert [gate.mask.shape[1:] for gate in recorded] == [(1, 12, 10), (1, 6, 5)]
    features, recorded = SAREncoder(stages, downs, [4, 8], None)(image := torch.rand(2, 4, 12, 10))
    assert recorded == [] and torch.equal(features[0], stages[0](image))


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize("kind", KINDS)
def test_masks_have_the_size_of_the_image_and_leave_the_result_unchanged(name, kind):
    net, image = build(name, kind), torch.rand(2, 3, 37, 53)
    with torch.no_grad():
        restored, masks, residuals = masked = net(image, masks=True)
        assert isinstance(masked, Masked) and torch.equal(restored, net(image))
    assert len(masks) == len(residuals) == len(net.sar_widths) > 0
    assert all(mask.shape == (2, 1, 37, 53) and mask.min() > 0 and mask.max() < 1 for mask in masks)
    sizes = [(-(-37 // (1 << level)), -(-53 // (1 << level))) for level in range(len(masks))]
    shapes = [(width, *size) for width, size in zip(net.sar_widths, sizes)]
    assert [tuple(part.shape[1:]) for part in residuals] == shapes


@pytest.mark.parametrize("name", GATED)
def test_open_gates_change_nothing(name):
    """With every mask at 1 a network with the option has the same result as without."""
    plain, gated, image = build(name, None), build(name, "spatial"), torch.rand(1, 3, 32, 40)
    left = gated.load_state_dict(plain.state_dict(), strict=False)
    assert not left.unexpected_keys and all("masks." in key for key in left.missing_keys)
    with torch.no_grad():
        for head in (module for module in gated.modules() if isinstance(module, SoftMask)):
            head.reduce.weight.zero_()
            head.reduce.bias.fill_(40.0)
        torch.testing.assert_close(gated(image), plain(image), rtol=1e-4, atol=1e-5)
        assert plain(image, masks=True).masks == [] and plain.sar_widths == ()


@pytest.mark.parametrize("name", GATED)
def test_every_mask_learns(name):
    net = build(name, "spatial", ("image",)).train()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    masked = net(torch.rand(2, 3, 45, 51), Context(image=torch.randn(2, 6)), masks=True)
    masked.restored.square().mean().backward()
    dead = [
        key
        for key, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not dead


def test_masks_go_through_compile():
    net, image = build("NAFNet", "spatial"), torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        plain = net(image, masks=True)
        net.compile(backend="eager")
        torch.testing.assert_close(net(image, masks=True), plain)
    torch.compiler.reset()


def test_an_unknown_kind_is_refused():
    message = "sar is one of spatial, channel, extra, or absent; not 'hard'"
    with pytest.raises(ValueError, match=message):
        SoftGates([4], "hard")
