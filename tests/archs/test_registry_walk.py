"""Contract tests of every network that this package registers; a new one needs no line here.

wxr_plugin/contributing/network_checks.py has the checks and the attributes that a class may set.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from wxr_plugin.contributing import network_checks
from wxr_plugin.errors import WxrError
from wxr_plugin.options import safe_yaml

OPTIONS = Path(__file__).parents[2] / "options"
OURS = {
    name: cls for name, cls in sorted(ARCH_REGISTRY) if cls.__module__.startswith("wxr_plugin.")
}
# Tracing all networks takes 80 seconds of one core, all other checks 25.
SLOW = {"compile": pytest.mark.slow}
WALKED = [name for name, cls in OURS.items() if "restores" not in getattr(cls, "waived", {})]


def network_blocks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (option file, its network_g) for every full-size training of one of our networks."""
    seen = []
    for file in sorted((OPTIONS / "train").rglob("*.yml")):
        network = safe_yaml.load(file).get("network_g")
        if isinstance(network, dict) and network["type"] in WALKED and network not in seen:
            seen.append(network)
            yield str(file.relative_to(OPTIONS)), network


BLOCKS = dict(network_blocks())


def test_there_are_networks():
    assert {"MSBDN", "WeatherDiff", "DaCLIP"} <= OURS.keys()
    assert len(WALKED) >= 28


@pytest.mark.parametrize("name", OURS)
def test_reasons_are_given_for_checks_that_there_are(name):
    waived = getattr(OURS[name], "waived", {})
    assert waived.keys() <= network_checks.CHECKS.keys() | {"restores"}
    assert all(len(reason) > 10 for reason in waived.values())


@pytest.mark.parametrize(
    "check", [pytest.param(name, marks=SLOW.get(name, ())) for name in network_checks.CHECKS]
)
@pytest.mark.parametrize("name", WALKED)
def test_network_contract(name, check, request):
    reason = getattr(OURS[name], "waived", {}).get(check)
    if reason:
        # Strict: a check that passes must not be waived.
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    network_checks.CHECKS[check](OURS[name])


@pytest.mark.parametrize("name", WALKED)
def test_an_option_file_trains_it(name):
    assert any(block["type"] == name for block in BLOCKS.values())


@pytest.mark.parametrize("file", BLOCKS)
def test_the_network_of_an_option_file_is_built_and_run_forward_and_backward(file):
    """At full size, but without values: torch's meta device only computes shapes."""
    with torch.device("meta"):
        net = build_network(dict(BLOCKS[file])).train()
    image = torch.rand(2, 3, 75, 85, device="meta")
    restored = network_checks.call(net, image)
    assert restored.shape == image.shape
    restored.square().mean().backward()
    trained = network_checks.trained_parameters(net)
    assert trained and all(p.grad is not None and p.grad.shape == p.shape for p in trained.values())


class Toy(nn.Module):
    """A network whose attributes are wrong."""

    def __init__(self):
        super().__init__()
        self.conv, self.spare = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 1)

    def forward(self, lq: torch.Tensor) -> torch.Tensor:
        return self.conv(lq)


class Reading(Toy):
    """A network that uses parameters named `unused`."""

    unused = ("spare.",)

    def forward(self, lq: torch.Tensor) -> torch.Tensor:
        return self.spare(lq).float()


class Shy(Toy):
    """A network whose smallest image differs from `least`."""

    least, takes = 9, 1

    def forward(self, lq: torch.Tensor) -> torch.Tensor:
        if lq.shape[-1] < self.takes:
            raise WxrError("too small")
        return self.spare(lq)


class Bold(Shy):
    least, takes = 3, 12


@pytest.mark.parametrize(
    ("check", "cls", "words"),
    [
        ("learns", Toy, r"\(2, 3, 45, 51\) became \(2, 3, 43, 49\)"),
        ("learns", Shy, "no gradient reaches .'conv.weight', 'conv.bias'."),
        ("unused", Reading, "takes part"),
        ("unused", type("Gone", (Toy,), {"unused": ("head.",)}), "no parameter's name begins"),
        ("sizes", Shy, "accepts images of .*, which are below its `least`"),
        ("sizes", Bold, "too small"),
        ("float64", Reading, "come back as torch.float32"),
    ],
)
def test_the_checks_detect_wrong_networks(check, cls, words):
    with pytest.raises((AssertionError, WxrError), match=words):
        network_checks.CHECKS[check](cls)
