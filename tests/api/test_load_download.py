"""`wxr.load(NAME, download=True)` fetches published files through the real download."""

import io
import sys

import numpy as np
import pytest
from published_files import offer

import wxr_plugin as wxr
from wxr_plugin.errors import WxrError
from wxr_plugin.zoo.download import http

ROW = "griddehazenet-indoor"
OFFICIAL = "indoor_haze_best_3_6"


@pytest.fixture
def published(site, tmp_path, monkeypatch):
    """Serve the row's file at its only address, and work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(http, "PAUSE", 0.0)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return offer(site, monkeypatch, ROW, OFFICIAL, tmp_path / "published")


def test_the_file_arrives_once_and_restores(published, tmp_path):
    with pytest.raises(WxrError, match="add download=True"):
        wxr.load(ROW, device="cpu")
    assert published.requests == []
    model = wxr.load(ROW, device="cpu", download=True, accept_licence=True)
    file = tmp_path / "experiments/pretrained_models" / OFFICIAL
    assert file.is_file() and len(published.requests) == 1
    photo = np.full((24, 32, 3), 99, np.uint8)
    assert model(photo).shape == photo.shape
    wxr.load(ROW, device="cpu", download=True)
    assert len(published.requests) == 1


def test_the_licence_has_to_be_accepted(published, tmp_path):
    with pytest.raises(WxrError, match="licence"):
        wxr.load(ROW, device="cpu", download=True)
    assert published.requests == [] and not (tmp_path / "experiments").exists()


def test_a_page_in_place_of_the_file_leaves_nothing(published, tmp_path):
    published.files["/a"].body = b"<html>log in</html>"
    with pytest.raises(WxrError, match="web page"):
        wxr.load(ROW, device="cpu", download=True, accept_licence=True)
    assert not (tmp_path / "experiments/pretrained_models" / OFFICIAL).exists()


def test_a_packaged_network_needs_no_download(published):
    assert "tiny" in repr(wxr.load("tiny", device="cpu", download=True))
    assert published.requests == []
