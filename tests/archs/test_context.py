"""Tests of every network that takes a `context` argument; a new one needs no line here.

A class may have `smoke_context`, entries that replace those of `smoke` when it takes a context,
and `context_names`, which embeddings it may take.
"""

import inspect

import pytest
import torch
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY

from wxr_plugin.archs.context import (
    NAMES,
    Context,
    ContextError,
    DegradationPrompt,
    checked_inputs,
    context_inputs,
)

STEERED = sorted(
    name
    for name, cls in ARCH_REGISTRY
    if cls.__module__.startswith("wxr_plugin.archs.")
    and "context" in inspect.signature(cls.__init__).parameters
)
DIM = 6


def names_of(name: str) -> tuple[str, ...]:
    return getattr(ARCH_REGISTRY.get(name), "context_names", NAMES)


ONE = [(name, used) for name in STEERED for used in names_of(name)]
BOTH = [name for name in STEERED if "content" in names_of(name)]
CHOICES = [(name, (used,)) for name, used in ONE]
CHOICES += [(name, ("content", "degradation")) for name in BOTH]


def build(name: str, context: tuple[str, ...]) -> torch.nn.Module:
    torch.manual_seed(0)
    cls = ARCH_REGISTRY.get(name)
    arguments = cls.smoke | getattr(cls, "smoke_context", {}) if context else cls.smoke
    return build_network({"type": name, **arguments, "context": list(context), "context_dim": DIM})


def embeddings(seed: int = 0, count: int = 2) -> Context:
    made = torch.Generator().manual_seed(seed)
    return Context(*(torch.randn(count, DIM, generator=made) for _ in NAMES))


def run(net: torch.nn.Module, image: torch.Tensor, *context: Context) -> torch.Tensor:
    """Run `net` on `image`; a predictor of noise also takes the degraded image and the time."""
    predicts_noise = "time" in inspect.signature(net.forward).parameters
    return net(image, image.flip(-1), 3, *context) if predicts_noise else net(image, *context)


def moved(net: torch.nn.Module) -> torch.nn.Module:
    """Add noise to every weight of `net`, so that layers that start at zero have an effect."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net.eval()


def test_there_are_networks_with_context():
    assert {"MSBDN", "NAFNet", "Restormer"} <= set(STEERED)


@pytest.mark.parametrize(("name", "context"), CHOICES)
def test_every_parameter_learns(name, context):
    net = moved(build(name, context))
    assert context_inputs(net) == context
    restored = run(net, torch.rand(2, 3, 45, 51), embeddings())
    assert restored.shape == (2, 3, 45, 51)
    restored.square().mean().backward()
    dead = [
        key
        for key, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not dead, f"{name}: no gradient reaches {dead}"


@pytest.mark.parametrize(("name", "used"), ONE)
def test_the_embedding_counts_and_the_others_do_not(name, used):
    net, image = moved(build(name, (used,))), torch.rand(2, 3, 32, 32)
    first, second = embeddings(0), embeddings(1)
    with torch.no_grad():
        restored = run(net, image, first)
        assert not torch.allclose(restored, run(net, image, second), atol=1e-7)
        assert torch.equal(
            restored, run(net, image, second._replace(**{used: getattr(first, used)}))
        )
        assert torch.equal(
            restored, run(net, image, Context()._replace(**{used: getattr(first, used)}))
        )


@pytest.mark.parametrize(
    ("name", "context"), CHOICES[len(ONE) :] + [pair for pair in CHOICES if "image" in pair[1]]
)
def test_an_image_is_steered_by_its_own_embedding(name, context):
    net, image = moved(build(name, context)), torch.rand(2, 3, 32, 32)
    context = embeddings()
    with torch.no_grad():
        both = run(net, image, context)
        alone = run(net, image[1:], Context(*(part[1:] for part in context)))
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", STEERED)
def test_without_context_it_is_ignored(name):
    net, image = moved(build(name, ())), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(run(net, image), run(net, image, embeddings(count=1)))


@pytest.mark.parametrize("name", STEERED)
def test_wrong_contexts_are_refused(name):
    names = names_of(name)
    net, image = build(name, (names[-1],)), torch.rand(1, 3, 32, 32)
    with pytest.raises(ContextError, match=f"got no {names[-1]} embedding"):
        run(net, image)
    with pytest.raises(
        ContextError, match=rf"\(N, {DIM}\), the guide gives \(1, 9\).*context_dim to 9"
    ):
        run(net, image, Context()._replace(**{names[-1]: torch.rand(1, 9)}))
    with pytest.raises(ValueError, match=f"{', '.join(names)}, not 'content'"):
        ARCH_REGISTRY.get(name)(**(ARCH_REGISTRY.get(name).smoke | {"context": "content"}))


def test_a_network_has_one_guide():
    with pytest.raises(
        ValueError, match="image is made by a CLIP, content and degradation by a DA-CLIP"
    ):
        checked_inputs(["image", "content"])


def test_the_prompt_on_numbers():
    prompt = DegradationPrompt(1, 2)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.zero_()
        prompt.prompt.copy_(torch.tensor([[3.0, 5.0]]))
        prompt.prompt_mlp.weight.copy_(torch.eye(2))
        prompt.text_mlp[2].bias.copy_(
            torch.tensor([0.0, 3.0]).log1p()
        )  # softmax of log 1 and log 4
        torch.testing.assert_close(prompt(torch.rand(1, 1)), torch.tensor([[0.2 * 3, 0.8 * 5]]))
