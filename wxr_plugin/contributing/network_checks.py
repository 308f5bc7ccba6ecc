"""Contract tests of a restoration network, run on a quick instance; plug-ins can use them too.

A class can declare, all of it optional:

    smoke = {"width": 4}    # constructor arguments of a quick instance; default: no arguments
    unused = ("head.",)     # prefixes of parameters that only published weights need
    least = 3               # smallest accepted side in pixels (an instance may set it); default: 1
    waived = {"float64": "sorts in float32"}    # checks that the class fails -> reason
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from wxr_plugin.archs.context import Context, context_inputs
from wxr_plugin.errors import WxrError

Check = Callable[[type[nn.Module]], None]
"""Function that raises an error for a class that does not comply."""
SIZES = ((37, 53), (64, 47), (64, 64))
"""Heights and widths of test images; `least` is tested in addition."""


def build_quick(cls: type[nn.Module]) -> nn.Module:
    """Return a quick instance of `cls`, with the same weights at every call."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return cls(**getattr(cls, "smoke", {}))


def call(net: nn.Module, image: Tensor) -> Tensor:
    """Return the output of `net` for images (N, 3, H, W) in [0, 1].

    A network that predicts the noise of a diffusion also gets degraded images and a time, a network
    that takes embeddings a context of ones.
    """
    inputs: list[Any] = [image]
    # The signature is forward(noisy, degraded, time); any degraded image and time will do.
    if "time" in inspect.signature(net.forward).parameters:
        inputs += [image.flip(-1), 3]
    if context_inputs(net):
        ones = image.new_ones(len(image), net.context_dim)
        inputs.append(Context(ones, ones, ones))
    return net(*inputs)


def photos(count: int, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return images (count, 3, height, width) in [0, 1], the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, height, width, dtype=dtype, generator=generator)


def trained_parameters(net: nn.Module) -> dict[str, nn.Parameter]:
    """Return name -> parameter for those that are neither frozen nor declared `unused`."""
    unused = getattr(net, "unused", ())
    trained = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad and not name.startswith(unused):
            trained[name] = parameter
    return trained


def check_learns(cls: type[nn.Module]) -> None:
    """Check that a finite gradient reaches every parameter that is trained."""
    net = build_quick(cls).train()
    image = photos(2, 45, 51)  # a batch of two, for batch norms
    restored = call(net, image)
    _require_size(restored, image)
    restored.square().mean().backward()
    trained = trained_parameters(net)
    dead = [name for name, weight in trained.items() if weight.grad is None]
    advice = "use these parameters, freeze them, or name them in `unused`"
    _require(not dead, f"no gradient reaches {dead}: {advice}")
    gradients = {name: weight.grad for name, weight in net.named_parameters()}
    wild = [name for name, grad in gradients.items() if not _is_finite(grad)]
    _require(not wild, f"the gradient of {wild} is not finite")


def check_sizes(cls: type[nn.Module]) -> None:
    """Check that images of odd sizes and of side `least` keep their size.

    Smaller images have to raise a WxrError.
    """
    net = build_quick(cls).eval()
    least = getattr(net, "least", 1)
    with torch.no_grad():
        for size in (*SIZES, (least, least)):
            image = photos(1, *size)
            restored = call(net, image)
            _require_size(restored, image)
        if least > 1:
            _require_refusal(net, photos(1, least - 1, least - 1))


def check_unused(cls: type[nn.Module]) -> None:
    """Check that parameters declared `unused` exist and do not change the output."""
    net = build_quick(cls).eval()
    unused = getattr(net, "unused", ())
    idle = []
    for name, weight in net.named_parameters():
        if name.startswith(unused):
            idle.append(weight)
    _require(bool(idle) == bool(unused), f"no parameter's name begins with any of {unused}")
    image = photos(1, 32, 32)
    with torch.no_grad():
        before = call(net, image)
        for weight in idle:
            weight.add_(1)
        after = call(net, image)
    _require(torch.equal(after, before), f"a parameter of {unused} takes part")


def check_state_dict(cls: type[nn.Module]) -> None:
    """Check that another instance with the same state dict gives the same images."""
    source = build_quick(cls).eval()
    copied = build_quick(cls).eval()
    image = photos(1, 32, 32)
    with torch.no_grad():
        # Both instances start with the same weights; a difference shows that loading restores them.
        for weight in copied.parameters():
            weight.add_(1)
        copied.load_state_dict(copy.deepcopy(source.state_dict()), strict=True)
        expected = call(source, image)
        restored = call(copied, image)
    same = torch.equal(restored, expected)
    _require(same, "a network with its state dict gives another image")


def check_bf16(cls: type[nn.Module]) -> None:
    """Check that under autocast to bfloat16 images keep their size and are finite."""
    net = build_quick(cls).eval()
    image = photos(1, 37, 53)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        restored = call(net, image)
    _require_size(restored, image)


def check_float64(cls: type[nn.Module]) -> None:
    """Check that a network in float64 computes in float64."""
    net = build_quick(cls).eval().double()
    image = photos(1, 37, 53, torch.float64)
    with torch.no_grad():
        restored = call(net, image)
    _require_size(restored, image)
    _require(restored.dtype == image.dtype, f"images of float64 come back as {restored.dtype}")


def check_compile(cls: type[nn.Module]) -> None:
    """Check that torch.compile can trace the network, with the same result.

    Kernels are not compiled, as that takes minutes and tests torch rather than the network.
    """
    net = build_quick(cls).eval()
    image = photos(1, 37, 53)
    torch.compiler.reset()
    with torch.no_grad():
        plain = call(net, image)
        net.compile(backend="eager")  # graph capture without code generation
        traced = call(net, image)
        torch.testing.assert_close(traced, plain, rtol=1e-3, atol=1e-4)
    torch.compiler.reset()


CHECKS: dict[str, Check] = {
    "learns": check_learns,
    "sizes": check_sizes,
    "unused": check_unused,
    "state_dict": check_state_dict,
    "bf16": check_bf16,
    "float64": check_float64,
    "compile": check_compile,
}
"""Name, as in `waived`, -> check of a class.

A failed check raises AssertionError, or the error of the network.
"""


def _require_size(restored: Tensor, image: Tensor) -> None:
    size = tuple(image.shape)
    result = tuple(restored.shape)
    _require(result == size, f"{size} became {result}")
    _require(_is_finite(restored), f"images of {size} came back with values that are not finite")


def _require_refusal(net: nn.Module, image: Tensor) -> None:
    try:
        call(net, image)
    except WxrError:
        return
    raise AssertionError(
        f"{type(net).__name__} accepts images of {tuple(image.shape)}, which are below its `least`"
    )


def _is_finite(values: Tensor | None) -> bool:
    return values is None or bool(values.isfinite().all())


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
