"""Offline mode, also for libraries that were imported before."""

import os
import urllib.error
import urllib.request

import huggingface_hub
import pytest

from wxr_plugin.utils import offline


def test_the_variable_of_the_hub_counts(online, monkeypatch):
    assert not offline.is_offline()
    for value in ("1", "ON", "Yes", "true"):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        assert offline.is_offline()


def test_nothing_but_this_machine_is_reached(site, monkeypatch):
    url = site.put("/a", b"here")
    offline.apply_offline()
    assert not huggingface_hub.is_offline_mode()
    monkeypatch.setenv("HF_HUB_OFFLINE", "yes")
    offline.apply_offline()
    assert offline.is_offline() and os.environ["HF_HUB_OFFLINE"] == "1"
    assert huggingface_hub.is_offline_mode()
    assert urllib.request.urlopen(url).read() == b"here"
    for away in ("https://download.example/musiq.pth", "http://download.example:80/musiq.pth"):
        with pytest.raises(urllib.error.URLError, match=f"offline .*{away} is not cached"):
            urllib.request.urlopen(away)
