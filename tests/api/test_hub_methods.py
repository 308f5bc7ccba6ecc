"""`save_pretrained`, `push_to_hub` and `from_pretrained` of a model."""

import numpy as np
import pytest
import torch
from hub_server import TOKEN, front_matter
from hub_toys import forget, local_hub, log_in

import wxr_plugin as wxr
from wxr_plugin.data.packaged_photos import packaged_photo

PHOTO = packaged_photo("chelsea")[:64, :64]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Gives an empty hub on this machine."""
    with local_hub(monkeypatch, tmp_path / "cache") as hub:
        yield hub


@pytest.fixture
def model():
    return wxr.load("tiny", device="cpu")


def test_a_saved_model_restores_the_same(model, tmp_path):
    assert model.save_pretrained(tmp_path / "saved") is None
    loaded = wxr.Model.from_pretrained(tmp_path / "saved", device="cpu")
    assert np.array_equal(loaded(PHOTO), model(PHOTO))
    assert loaded.network == model.network and loaded.parameters == model.parameters


def test_the_weights_are_those_of_the_network_as_it_is_now(model, tmp_path):
    with torch.no_grad():
        for parameter in model.restorer.net.parameters():
            parameter.mul_(1.01)
    model.save_pretrained(tmp_path)
    loaded = wxr.Model.from_pretrained(tmp_path, device="cpu")
    assert np.array_equal(loaded(PHOTO), model(PHOTO))
    assert not np.array_equal(loaded(PHOTO), wxr.load("tiny", device="cpu")(PHOTO))


def test_a_pushed_model_is_loaded_by_name_and_revision(model, hub, monkeypatch):
    log_in(monkeypatch)
    address = model.push_to_hub("me/tiny", private=True, licence="mit", commit_message="first")
    first = hub.repos["me/tiny"].branches["main"]
    assert address == f"{hub.url}/me/tiny/commit/{first}"
    assert front_matter(hub.files("me/tiny")["README.md"])["license"] == "mit"
    with torch.no_grad():
        next(model.restorer.net.parameters()).zero_()
    model.push_to_hub("me/tiny", branch="zeroed")
    forget()
    expected = wxr.load("tiny", device="cpu")(PHOTO)
    for place, revision, is_first in (
        ("me/tiny", None, True),
        ("me/tiny", first, True),
        ("me/tiny", "zeroed", False),
        ("hf://me/tiny@zeroed", None, False),
    ):
        loaded = wxr.Model.from_pretrained(place, revision=revision, device="cpu")
        assert np.array_equal(loaded(PHOTO), expected) == is_first
    assert loaded.name == "tiny"
    assert np.array_equal(wxr.load("hf://me/tiny", device="cpu")(PHOTO), expected)


def test_saving_can_push_too(model, hub, tmp_path):
    address = model.save_pretrained(tmp_path, repo_id="me/tiny", push_to_hub=True, token=TOKEN)
    assert address.endswith(hub.repos["me/tiny"].branches["main"])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda model, path: model.push_to_hub("me/tiny"), "`hf auth login`"),
        (lambda model, path: model.push_to_hub("tiny"), "write OWNER/NAME"),
        (lambda model, path: wxr.Model.from_pretrained("me/none"), "no such repository"),
        (lambda model, path: wxr.Model.from_pretrained(path), "has no weights"),
        (lambda model, path: wxr.Model.from_pretrained(path, revision="v1"), "leave it out"),
        (lambda model, path: wxr.Model(model.restorer, "x").save_pretrained(path), "wxr.load"),
        (lambda model, path: wxr.load("hf://none"), "write hf://OWNER/NAME"),
    ],
)
def test_bad_input_is_one_line(model, hub, tmp_path, call, words):
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(wxr.WxrError, match=words) as caught:
        call(model, folder)
    assert "\n" not in str(caught.value) and list(folder.iterdir()) == []
