from pathlib import Path

import parity
import pytest
import torch
from half_precision import bfloat16_error

from wxr_plugin.archs.onerestore_arch import OneRestore, Restorer, joined
from wxr_plugin.archs.onerestore_embedder import TYPES, Embedder

PARITY = Path(__file__).parents[1] / "parity"


@pytest.mark.parametrize("name, antialias", [("onerestore", True), ("onerestore_noaa", False)])
def test_matches_the_published_network(name, antialias):
    parity.check(Restorer(antialias=antialias), PARITY / f"{name}.json")


def test_embeds_as_the_published_embedder():
    def answers(net, inputs):
        return {"visual": net.visual(inputs["x"]), "table": net.table(), "auto": net(inputs["x"])}

    parity.check(Embedder(), PARITY / "onerestore_embedder.json", call=answers)


@pytest.fixture(scope="module")
def net() -> OneRestore:
    return parity.fill(OneRestore(**OneRestore.smoke))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_the_restorer_uses_the_embedding_of_the_image(net, size):
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
        assert restored.shape == image.shape
        assert torch.equal(restored, net.published(image, net.embedder(image)))


@pytest.mark.parametrize("antialias", [False, True])
def test_runs_in_half_precision(antialias):
    torch.manual_seed(0)
    net, image = (
        parity.fill(OneRestore(**OneRestore.smoke, antialias=antialias)),
        torch.rand(1, 3, 40, 40),
    )
    assert bfloat16_error(net, image, skip=image) < 0.03


def test_a_named_degradation_replaces_the_estimated_one(net):
    fixed = OneRestore(**OneRestore.smoke, degradation="haze_snow").eval()
    fixed.load_state_dict(net.state_dict())
    image = torch.rand(2, 3, 12, 9)
    with torch.no_grad():
        row = net.embedder.table()[TYPES.index("haze_snow")].expand(2, -1)
        assert torch.equal(fixed(image), net.published(image, row))
    with pytest.raises(ValueError, match="no degradation 'fog'; take one of clear, low"):
        OneRestore(**OneRestore.smoke, degradation="fog")
    with pytest.raises(ValueError, match="multiple of them, not 12"):
        OneRestore(channel=12)


def test_two_published_files_make_one_state_dict(net):
    torch.manual_seed(1)
    restorer, embedder = Restorer(8), Embedder()
    merged = OneRestore(**OneRestore.smoke)
    merged.load_state_dict(joined(restorer.state_dict(), embedder.state_dict()))
    assert torch.equal(merged.embedder.img_final.weight, embedder.img_final.weight)
    assert torch.equal(merged.in_conv.weight, restorer.in_conv.weight)


def test_the_embedder_is_not_trained():
    net = OneRestore(**OneRestore.smoke).train()
    before = {name: tensor.clone() for name, tensor in net.embedder.state_dict().items()}
    net(torch.rand(2, 3, 16, 16)).mean().backward()
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in net.embedder.state_dict().items()
    )
    assert not any(parameter.requires_grad for parameter in net.embedder.parameters())
