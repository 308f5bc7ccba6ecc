"""Every registered network on a device, forward and backward, against itself on the CPU."""

import copy

import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch.nn.utils import convert_conv2d_weight_memory_format

from wxr_plugin.contributing import network_checks

pytestmark = pytest.mark.gpu

OURS = {
    name: cls for name, cls in sorted(ARCH_REGISTRY) if cls.__module__.startswith("wxr_plugin.")
}
NETWORKS = [name for name, cls in OURS.items() if "restores" not in getattr(cls, "waived", {})]

NAN_ON_CPU = {
    "Histoformer": "torch 2.14's bfloat16 gradient of its dilated depthwise convolutions is "
    "sometimes NaN on a CPU"
}


def computed(net, image):
    """Return `net`'s result and the gradients of all parameters."""
    result = network_checks.call(net, image)
    result.float().square().mean().backward()
    gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    return {"result": result.detach()} | gradients


def distance(tensors, reference):
    """Return the largest relative difference of two sets of tensors.

    It is relative to the largest value of each tensor.
    """
    assert tensors.keys() == reference.keys()
    ratios = []
    for name in tensors:
        expected = reference[name].cpu().double()
        gap = (tensors[name].cpu().double() - expected).abs().max()
        ratios.append((gap / expected.abs().max().clamp_min(1e-3)).item())
    return max(ratios)


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_and_backward_are_those_of_a_cpu(name, device):
    """In float64, where differences are not rounding; in float32 where a network cannot.

    The size needs no padding, which repeats pixels, and a device may sort equal values otherwise.
    """
    exact = "float64" not in getattr(OURS[name], "waived", {})
    dtype, room = (torch.float64, 1e-6) if exact else (torch.float32, 2e-2)
    net = network_checks.build_quick(OURS[name]).eval().to(dtype)
    image = network_checks.photos(2, 48, 48, dtype)
    moved = copy.deepcopy(net).to(device)
    assert distance(computed(moved, image.to(device)), computed(net, image)) < room


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_in_channels_last_is_finite(name, precision, device):
    """On a CPU in the usual layout, and bfloat16 alone: fp16 is slow there."""
    if device.type == "cpu" and (precision == "fp16" or name in NAN_ON_CPU):
        pytest.skip(NAN_ON_CPU.get(name, "fp16 is for GPUs"))
    layout = torch.contiguous_format if device.type == "cpu" else torch.channels_last
    net = network_checks.build_quick(OURS[name]).train().to(device)
    convert_conv2d_weight_memory_format(net, layout)
    image = network_checks.photos(2, 45, 51).to(device).to(memory_format=layout)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    with torch.autocast(device.type, dtype):
        result = network_checks.call(net, image)
    assert result.shape == image.shape
    result.float().square().mean().backward()
    gradients = [p.grad for p in network_checks.trained_parameters(net).values()]
    assert all(value is not None and value.isfinite().all() for value in (result, *gradients))
