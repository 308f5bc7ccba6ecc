"""References in the options of a run: fetched at its start, and pinned to commits."""

from collections import OrderedDict

import pytest
from hub_toys import NAME, local_hub

from wxr_plugin.errors import WxrError
from wxr_plugin.options.pinning import fetch_references, replace_references


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Gives a hub on this machine with weights, a model and prompts."""
    with local_hub(monkeypatch, tmp_path / "cache") as hub:
        hub.add(NAME, {"net.pth": b"net"})
        hub.add("me/rater", {"config.json": b"{}", "model.safetensors": b"rater"})
        hub.add("me/clip", {"clip.pt": b"clip"})
        yield hub


def test_files_are_fetched_and_get_their_commit(hub, tmp_path):
    commit = hub.repos[NAME].branches["main"]
    options = {"path": {"pretrain_network_g": f"hf://{NAME}"}}
    pins = fetch_references(options)
    assert pins == {f"hf://{NAME}": f"hf://{NAME}@{commit}/net.pth"}
    assert list((tmp_path / "cache").rglob("net.pth"))
    path = replace_references(options, pins)["path"]
    assert path == {"pretrain_network_g": f"hf://{NAME}@{commit}/net.pth"}
    assert options["path"] == {"pretrain_network_g": f"hf://{NAME}"}


def test_a_model_gets_its_commit_and_is_fetched_by_the_process_that_uses_it(hub, tmp_path):
    commit = hub.repos["me/rater"].branches["main"]
    options = {"train": {"rating": [{"rater": {"model": "hf://me/rater"}}]}}
    pins = fetch_references(options)
    assert pins == {"hf://me/rater": f"hf://me/rater@{commit}"}
    assert not (tmp_path / "cache").exists()


def test_the_weights_of_an_architecture_are_pinned_too(hub):
    commit = hub.repos["me/clip"].branches["main"]
    options = OrderedDict(clip="ViT-B-32:hf://me/clip/clip.pt", seed=3, other=None)
    pinned = replace_references(options, fetch_references(options))
    assert pinned["clip"] == f"ViT-B-32:hf://me/clip@{commit}/clip.pt"
    assert isinstance(pinned, OrderedDict) and pinned["seed"] == 3


def test_options_without_references_ask_nobody(hub):
    options = {"name": "about hf:// and more", "path": {"pretrain_network_g": "a.pth"}}
    assert fetch_references(options) == {} and hub.requests == []


def test_a_reference_that_cannot_be_fetched_ends_the_start(hub):
    with pytest.raises(WxrError, match="no such repository"):
        fetch_references({"path": {"pretrain_network_g": "hf://me/none"}})
    with pytest.raises(WxrError, match="not a reference to the hub"):
        fetch_references({"path": {"pretrain_network_g": "hf://none"}})
