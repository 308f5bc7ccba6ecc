"""`wxr models get`: names, sources, failures."""

import json

import pytest

from wxr_plugin.cli.main import main
from wxr_plugin.conditioning import prefetching
from wxr_plugin.conditioning.prefetching import find_prefetch
from wxr_plugin.errors import WxrError
from wxr_plugin.vlm import fetch


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("llava-1.5-7b", "llava-hf/llava-1.5-7b-hf"),
        ("depth-anything", "LiheYoung/depth-anything-small-hf"),
        ("depth-anything-v2-base", "depth-anything/Depth-Anything-V2-Base-hf"),
        ("qwen3-4b", "Qwen/Qwen3-4B-Instruct-2507"),
        ("owner/model", "owner/model"),
        ("qalign_4bit", "q-future/one-align"),
        ("musiq", "pyiqa"),
        ("lpips", "pyiqa"),
        ("ViT-B-32:openai", "open_clip"),
        ("hf-hub:owner/clip", "open_clip"),
    ],
)
def test_every_kind_of_name_is_known(name, source):
    assert find_prefetch(name).source == source


def test_unknown_and_packaged_names():
    with pytest.raises(WxrError, match="unknown model 'musik'; did you mean musiq"):
        find_prefetch("musik")
    with pytest.raises(WxrError) as error:
        find_prefetch("nothing")
    assert "tiny" not in str(error.value) and "wxr models list" in str(error.value)
    with pytest.raises(WxrError, match="there is nothing to fetch"):
        find_prefetch("tiny")


def test_models_are_fetched_into_their_caches(monkeypatch, capsys):
    fetched = []
    monkeypatch.setattr(fetch, "local_folder", fetched.append)
    monkeypatch.setattr(prefetching, "_fetch_metric", fetched.append)
    monkeypatch.setattr(prefetching, "_fetch_clip", fetched.append)
    names = ["llava-1.5-7b", "musiq", "ViT-B-32:openai", "musiq"]
    assert main(["models", "get", *names, "--dry-run"]) == 0 and fetched == []
    line = capsys.readouterr().out.splitlines()[2]
    assert line.startswith("musiq ") and " pyiqa " in line and line.endswith("  to fetch")
    assert main(["models", "get", *names]) == 0
    assert fetched == ["llava-hf/llava-1.5-7b-hf", "musiq", "ViT-B-32:openai"]
    assert main(["models", "get", "llava-1.5-7b", "nonsense"]) == 2 and len(fetched) == 3


def test_a_model_that_cannot_be_fetched_does_not_keep_the_others(monkeypatch, capsys):
    fetched = []

    def fails(name):
        raise WxrError("cannot get it")

    monkeypatch.setattr(prefetching, "_fetch_metric", fails)
    monkeypatch.setattr(fetch, "local_folder", fetched.append)
    assert main(["models", "get", "musiq", "blip-base"]) == 1
    assert "wxr models get: musiq: cannot get it" in capsys.readouterr().err
    assert fetched == ["Salesforce/blip-image-captioning-base"]
    assert main(["models", "get", "musiq", "blip-base", "--json"]) == 1
    states = {row["name"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert states == {"musiq": "failed", "blip-base": "cached"}


def test_the_list_has_every_name_that_can_be_fetched(capsys):
    assert main(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    by_name = {row["name"]: row for row in rows}
    assert by_name["depth-anything"]["use"] == "depth encoder" and "tiny" not in by_name
    for name in ("llava-1.5-7b", "depth-anything", "musiq"):
        assert find_prefetch(name).source == by_name[name]["source"]
    assert main(["models", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(rows)
