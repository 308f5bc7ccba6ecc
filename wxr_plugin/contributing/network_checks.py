"""What every restoration network has to bear, checked on a quick instance: for the tests, also those of plug-ins.

What a class says of itself, all of it optional:

    smoke = {"width": 4}    # constructor arguments of a quick instance; without it the defaults are
    built unused = ("head.",)     # how the names of parameters begin that are kept for published
    weights only least = 3               # smallest side in pixels that it takes (also of an
    instance); 1 when absent waived = {"float64": "sorts in float32"}    # checks that it does not
    pass, each with the reason
"""

import copy
import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from wxr_plugin.archs.context import Context, context_inputs
from wxr_plugin.errors import WxrError

SIZES = ((37, 53), (64, 47), (64, 64))
"""Heights and widths of images that come back at their size, beside the least one."""


def build_quick(cls: type[nn.Module]) -> nn.Module:
    """A quick instance of `cls`, the same at every call."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return cls(**getattr(cls, "smoke", {}))


def call(net: nn.Module, image: Tensor) -> Tensor:
    """`net` on images (N, 3, H, W) in [0, 1], and on whatever else it takes.

    One that predicts a diffusion's noise also gets degraded images and a time, one that is steered
    a context of ones.
    """
    predicts_noise = "time" in inspect.signature(net.forward).parameters
    given = [image, image.flip(-1), 3] if predicts_noise else [image]
    if context_inputs(net):
        ones = image.new_ones(len(image), net.context_dim)
        given.append(Context(ones, ones, ones))
    return net(*given)


def photos(count: int, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images (count, 3, height, width) in [0, 1], the same at every call."""
    return torch.rand(
        count, 3, height, width, dtype=dtype, generator=torch.Generator().manual_seed(0)
    )


def trained_parameters(net: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that a training has to reach: not frozen, and not called `unused`."""
    unused = getattr(net, "unused", ())
    return {
        key: p
        for key, p in net.named_parameters()
        if p.requires_grad and not key.startswith(unused)
    }


def check_learns(cls: type[nn.Module]) -> None:
    """A gradient that is finite reaches every parameter that is trained."""
    net, image = build_quick(cls).train(), photos(2, 45, 51)
    restored = call(net, image)
    _same_size(restored, image)
    restored.square().mean().backward()
    dead = [key for key, p in trained_parameters(net).items() if p.grad is None]
    _holds(
        not dead,
        f"no gradient reaches {dead}: use these parameters, freeze them, or name them in `unused`",
    )
    wild = [
        key
        for key, p in net.named_parameters()
        if p.grad is not None and not p.grad.isfinite().all()
    ]
    _holds(not wild, f"the gradient of {wild} is not finite")


def check_sizes(cls: type[nn.Module]) -> None:
    """Images of odd sizes and of the least one keep their size; below it a WxrError tells why not."""
    net = build_quick(cls).eval()
    least = getattr(net, "least", 1)
    with torch.no_grad():
        for size in (*SIZES, (least, least)):
            _same_size(call(net, photos(1, *size)), photos(1, *size))
        if least > 1:
            _refuses(net, photos(1, least - 1, least - 1))


def check_unused(cls: type[nn.Module]) -> None:
    """What is called `unused` is there and changes nothing."""
    net, image = build_quick(cls).eval(), photos(1, 32, 32)
    unused = getattr(net, "unused", ())
    found = [p for key, p in net.named_parameters() if unused and key.startswith(unused)]
    _holds(bool(found) == bool(unused), f"no parameter's name begins with any of {unused}")
    with torch.no_grad():
        before = call(net, image)
        for parameter in found:
            parameter.add_(1)
        _holds(torch.equal(call(net, image), before), f"a parameter of {unused} takes part")


def check_state_dict(cls: type[nn.Module]) -> None:
    """Weights that are saved and loaded, strictly, give the same images."""
    net, other = build_quick(cls).eval(), build_quick(cls).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
        other.load_state_dict(copy.deepcopy(net.state_dict()), strict=True)
        image = photos(1, 32, 32)
        _holds(
            torch.equal(call(net, image), call(other, image)),
            "a network with its state dict gives another image",
        )


def check_bf16(cls: type[nn.Module]) -> None:
    """Under autocast to bfloat16 images keep their size and are finite."""
    net, image = build_quick(cls).eval(), photos(1, 37, 53)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _same_size(call(net, image), image)


def check_float64(cls: type[nn.Module]) -> None:
    """In float64 it computes in float64."""
    net, image = build_quick(cls).eval().double(), photos(1, 37, 53, torch.float64)
    with torch.no_grad():
        restored = call(net, image)
    _same_size(restored, image)
    _holds(restored.dtype == torch.float64, f"images of float64 come back as {restored.dtype}")


def check_compile(cls: type[nn.Module]) -> None:
    """torch.compile traces it and computes the same.

    Kernels are not compiled: that takes minutes and is not ours.
    """
    net, image = build_quick(cls).eval(), photos(1, 37, 53)
    torch.compiler.reset()
    with torch.no_grad():
        plain = call(net, image)
        net.compile(backend="eager")
        torch.testing.assert_close(call(net, image), plain, rtol=1e-3, atol=1e-4)
    torch.compiler.reset()


CHECKS: dict[str, Callable[[type[nn.Module]], None]] = {
    "learns": check_learns,
    "sizes": check_sizes,
    "unused": check_unused,
    "state_dict": check_state_dict,
    "bf16": check_bf16,
    "float64": check_float64,
    "compile": check_compile,
}
"""Name, as in `waived`, -> a check of a class; raises AssertionError, or what the network raises."""


def _same_size(restored: Tensor, image: Tensor) -> None:
    _holds(restored.shape == image.shape, f"{tuple(image.shape)} became {tuple(restored.shape)}")
    _holds(
        bool(restored.isfinite().all()),
        f"images of {tuple(image.shape)} came back with values that are not finite",
    )


def _refuses(net: nn.Module, image: Tensor) -> None:
    try:
        call(net, image)
    except WxrError:
        return
    raise AssertionError(
        f"{type(net).__name__} says that it takes no images of {tuple(image.shape)}, and does"
    )


def _holds(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
