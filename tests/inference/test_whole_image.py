"""Networks that see the whole image are measured, and those with a `look` get their view."""

import inspect

import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from wxr_plugin.archs.context import Context, context_inputs
from wxr_plugin.inference import reach
from wxr_plugin.inference.reach import whole_image_networks, whole_image_part
from wxr_plugin.inference.restorer import Restorer

NETWORKS = [
    name
    for name, cls in sorted(ARCH_REGISTRY)
    if cls.__module__.startswith("wxr_plugin.") and name != "DaCLIP"
]
HEIGHT, WIDTH = 32, 512
FAR = 448
"""Pixels; quick instances of local networks see less than 400 far."""


def built(name, **options):
    torch.manual_seed(0)
    net = build_network({"type": name, **getattr(ARCH_REGISTRY.get(name), "smoke", {}), **options})
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net.eval()


def far_change(net):
    """Return the change of the left of a result with the right of the image."""
    image = torch.rand(1, 3, HEIGHT, WIDTH)
    darkened = image.clone()
    darkened[..., FAR + 32 :] *= 0.2
    sampled = "time" in inspect.signature(net.forward).parameters
    steering = [Context(image=torch.ones(1, net.context_dim))] if context_inputs(net) else []
    with torch.no_grad():
        unchanged, changed = (
            net(x, x, 5.0) if sampled else net(x, *steering) for x in (image, darkened)
        )
    return (unchanged - changed)[..., :32].abs().max().item()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_list_has_those_networks_that_see_the_whole_image(name):
    assert (far_change(built(name)) > 0) == (name in whole_image_networks())


def test_the_list_has_no_others():
    assert (
        whole_image_networks().keys() <= set(NETWORKS)
        and whole_image_part(built("Restormer")) == "attention over channels"
    )


def test_local_windows_make_nafnet_local():
    net = built("NAFNet", local_size=64)
    assert far_change(net) == 0 and whole_image_part(net) is None


def test_networks_of_others_say_it_themselves():
    net = nn.Conv2d(3, 3, 1)
    assert whole_image_part(net) is None
    net.whole_image = "a histogram"
    assert whole_image_part(net) == "a histogram"


@pytest.mark.parametrize("name", ["OneRestore", "MWFormer"])
def test_a_network_looks_at_the_photo_once_and_every_tile_gets_the_view(name, monkeypatch, caplog):
    net, views, seen = built(name), [], []
    look = net.look
    monkeypatch.setattr(net, "look", lambda image: seen.append(image.shape) or look(image))
    net.register_forward_pre_hook(lambda net, inputs: views.append(inputs[1]))
    photo = np.random.default_rng(0).integers(0, 256, (80, 128, 3), np.uint8)
    Restorer(net, "cpu", tile=64, overlap=16).restore(photo)
    assert seen == [(1, 3, 40, 64)] and len(views) == 6
    assert all(torch.equal(view, views[0]) for view in views)
    assert f"{name} depends on the whole image" in caplog.text
    views.clear()
    seen.clear()
    with torch.no_grad():
        whole = net(
            torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
            look(torch.zeros(1, 3, 64, 64)),
        )
    assert whole.shape == (1, 3, 64, 64) and not seen


def test_a_whole_photo_needs_no_look(monkeypatch):
    net = built("OneRestore")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(image), net(image, net.look(image)))


def test_another_projects_network_of_the_same_name_is_not_ours():
    theirs = type("NAFNet", (nn.Conv2d,), {})(3, 3, 3, padding=1)
    assert "NAFNet" in whole_image_networks() and whole_image_part(theirs) is None
    ours = built("NAFNet")
    table = {
        "NAFNet": {
            sum(parameter.numel() for parameter in net.parameters()): 7 for net in (ours, theirs)
        }
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reach, "table", lambda: table)
        assert reach.known(ours) == 7 and reach.known(theirs) is None
