"""Activation of every pretrained tag of open_clip; nothing is downloaded."""

import json
import logging
import shutil

import open_clip
import pytest
import torch
from open_clip import factory, pretrained
from safetensors.torch import load_file, save_file
from torch import nn

from wxr_plugin.conditioning import clip
from wxr_plugin.conditioning.clip import (
    TINY,
    ClipError,
    build_clip,
    clip_config,
    forget_clips,
    load_clip,
)
from wxr_plugin.conditioning.daclip_checkpoint import named_config
from wxr_plugin.conditioning.prompts import PromptError, WeatherPrompts

TAGS = pretrained.list_pretrained()
DISPUTED = {("roberta-ViT-B-32", "laion2b_s12b_b32k")}
"""Tags without QuickGELU whose architecture has it: open_clip does not say which is right."""
SMALL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


class Recorder(nn.Module):
    """Substitute for open_clip's model classes that records its configuration."""

    def __init__(self, **config):
        super().__init__()
        self.config, self.visual = config, nn.Module()


@pytest.fixture
def offline(monkeypatch):
    """Replace downloads by the name of a file, and load no weights."""
    monkeypatch.setattr(factory, "download_pretrained", lambda *_, **__: "weights.safetensors")
    monkeypatch.setattr(factory, "load_checkpoint", lambda *_, **__: {})
    monkeypatch.setattr(clip, "build_tokenizer", lambda name: None)


@pytest.fixture
def small(monkeypatch):
    """Register a small architecture with a tag with QuickGELU and a tag without."""
    monkeypatch.setitem(factory._MODEL_CONFIGS, "Test-ViT", SMALL)
    tags = {"openai": {"quick_gelu": True, "hf_hub": "none/none"}, "laion": {"hf_hub": "none/none"}}
    monkeypatch.setitem(pretrained._PRETRAINED, "Test-ViT", tags)
    yield "Test-ViT"
    forget_clips()


def test_there_are_tags_of_both_kinds():
    flags = {bool(open_clip.get_pretrained_cfg(*tag).get("quick_gelu")) for tag in TAGS}
    assert len(TAGS) > 100 and flags == {True, False}


@pytest.mark.parametrize("tag", TAGS, ids=":".join)
def test_a_tag_decides_on_the_activation(tag, offline, monkeypatch):
    for kind in ("CLIP", "CustomTextCLIP", "CoCa"):
        monkeypatch.setattr(factory, kind, Recorder)
    name = ":".join(tag)
    quick_gelu = bool(open_clip.get_pretrained_cfg(*tag).get("quick_gelu"))
    if tag in DISPUTED:
        with pytest.raises(ClipError, match=r"QuickGELU mismatch .* hf-hub:ORG/NAME"):
            build_clip(name)
        return
    assert bool(build_clip(name)[0].config.get("quick_gelu")) == quick_gelu
    assert bool(clip_config(name).get("quick_gelu")) == quick_gelu
    assert bool(named_config(name)["model_cfg"].get("quick_gelu")) == quick_gelu


@pytest.mark.parametrize(
    ("tag", "activation"), [("openai", open_clip.transformer.QuickGELU), ("laion", nn.GELU)]
)
def test_both_towers_have_the_activation(tag, activation, small, offline, caplog):
    model = build_clip(f"{small}:{tag}")[0]
    for tower in (model.visual.transformer, model.transformer):
        assert all(isinstance(block.mlp.gelu, activation) for block in tower.resblocks)
    with caplog.at_level(logging.INFO, "basicsr"):
        guide = load_clip(f"{small}:{tag}", "cpu")
    assert (
        guide.quick_gelu == (tag == "openai")
        and f"({'Quick' * guide.quick_gelu}GELU)" in caplog.text
    )


def test_the_activation_is_part_of_the_identity(small, offline, monkeypatch):
    """Hash the activation too; with GELU the hash equals that of the weights."""
    monkeypatch.setattr(
        factory, "load_checkpoint", lambda model, *_, **__: model.load_state_dict(weights) and {}
    )
    weights = open_clip.model.CLIP(**SMALL).state_dict()
    quick, plain = (load_clip(f"{small}:{tag}", "cpu") for tag in ("openai", "laion"))
    assert quick.weights_sha256 == plain.weights_sha256 == plain.sha256 != quick.sha256
    images = torch.rand(2, 3, 32, 32)
    assert not torch.allclose(quick.encode_image(images), plain.encode_image(images), atol=1e-5)


def test_prompts_depend_on_the_activation(small, offline, monkeypatch):
    """Accept older files, which hash the weights only, if the activation is GELU."""
    monkeypatch.setattr(
        factory, "load_checkpoint", lambda model, *_, **__: model.load_state_dict(weights) and {}
    )
    weights = open_clip.model.CLIP(**SMALL).state_dict()
    quick, plain = (load_clip(f"{small}:{tag}", "cpu") for tag in ("openai", "laion"))
    old = WeatherPrompts(torch.zeros(4, 16, 32), f"{small}:openai", plain.weights_sha256)
    old.check(plain)
    with pytest.raises(
        PromptError, match=r"not with its activation, QuickGELU.*: learn them again"
    ):
        old.check(quick)
    new = WeatherPrompts(torch.zeros(4, 16, 32), quick.name, quick.sha256)
    new.check(quick)
    with pytest.raises(PromptError, match="the CLIP in use is 'Test-ViT:laion'"):
        new.check(plain)


def test_prompts_of_the_packaged_clip_stay_valid():
    guide = load_clip("tiny", "cpu")
    assert not guide.quick_gelu and guide.sha256 == guide.weights_sha256


def test_a_file_with_another_activation_next_to_it_is_refused(tmp_path, monkeypatch):
    shutil.copytree(TINY, tmp_path / "folder")
    config = json.loads((TINY / "open_clip_config.json").read_text())
    monkeypatch.setitem(factory._MODEL_CONFIGS, "Test-RN", dict(config["model_cfg"]))
    config["model_cfg"]["quick_gelu"] = True
    (tmp_path / "folder" / "open_clip_config.json").write_text(json.dumps(config))
    file = tmp_path / "folder" / "open_clip_model.safetensors"
    with pytest.raises(
        ClipError, match=r"says QuickGELU, .*has GELU: take local-dir:.*folder instead"
    ):
        build_clip(f"Test-RN:{file}")
    assert load_clip(f"local-dir:{tmp_path / 'folder'}", "cpu").quick_gelu


def test_a_file_has_the_activation_of_its_architecture_and_the_log_names_the_other(
    tmp_path, caplog, monkeypatch
):
    config = json.loads((TINY / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(factory._MODEL_CONFIGS, "Test-RN", config)
    monkeypatch.setitem(factory._MODEL_CONFIGS, "Test-RN-quickgelu", {**config, "quick_gelu": True})
    save_file(load_file(TINY / "open_clip_model.safetensors"), tmp_path / "weights.safetensors")
    with caplog.at_level(logging.INFO, "basicsr"):
        plain = load_clip(f"Test-RN:{tmp_path}/weights.safetensors", "cpu")
        quick = load_clip(f"Test-RN-quickgelu:{tmp_path}/weights.safetensors", "cpu")
    assert (plain.quick_gelu, quick.quick_gelu) == (False, True)
    assert f"need Test-RN-quickgelu:{tmp_path}/weights.safetensors" in caplog.text
