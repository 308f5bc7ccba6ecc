"""Every network that this package registers, walked: a new `*_arch.py` needs no line here.

A class may carry `smoke`, the constructor arguments of a quick instance; without it the defaults are built. And
`unused`: how the names of parameters begin that are kept for the published weights only; no gradient need reach those.
"""

import inspect

import pytest
import torch
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY

OURS = sorted(name for name, cls in ARCH_REGISTRY if cls.__module__.startswith("wxr_plugin.archs."))


def build(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network({"type": name, **getattr(ARCH_REGISTRY.get(name), "smoke", {})})


def unused(name: str) -> tuple[str, ...]:
    return getattr(ARCH_REGISTRY.get(name), "unused", ())


def run(net: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """`net` on `image`; one that predicts the noise of a diffusion also takes the degraded image and the time."""
    predicts_noise = "time" in inspect.signature(net.forward).parameters
    return net(image, image.flip(-1), 3) if predicts_noise else net(image)


def test_there_are_networks():
    assert "MSBDN" in OURS


@pytest.mark.parametrize("name", OURS)
def test_every_parameter_learns_from_an_odd_sized_image(name):
    net = build(name).train()
    image = torch.rand(2, 3, 45, 51)
    restored = run(net, image)
    assert restored.shape == image.shape
    restored.square().mean().backward()
    trained = {key: p for key, p in net.named_parameters() if p.requires_grad and not key.startswith(unused(name))}
    dead = [key for key, p in trained.items() if p.grad is None]
    assert not dead, f"{name}: no gradient reaches {dead}"
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", [name for name in OURS if unused(name)])
def test_what_is_called_unused_is_there_and_changes_nothing(name):
    net, image = build(name).eval(), torch.rand(1, 3, 32, 32)
    found = [(key, p) for key, p in net.named_parameters() if key.startswith(unused(name))]
    assert found
    with torch.no_grad():
        before = run(net, image)
        for _, parameter in found:
            parameter.add_(1)
        assert torch.equal(run(net, image), before)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("size", [(33, 64), (64, 47), (64, 64)])
def test_sizes_are_kept(name, size):
    with torch.no_grad():
        assert run(build(name).eval(), torch.rand(1, 3, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("name", OURS)
def test_a_state_dict_brings_the_same_network_back(name, tmp_path):
    net, other = build(name).eval(), build(name).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    other.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(run(net, image), run(other, image))
