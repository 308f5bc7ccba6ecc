"""Checkpoints of DA-CLIP: published layouts, our own, and other files."""

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from small_clips import SMALL_VIT, packaged, small, trained

from wxr_plugin.checkpoints.reading import CheckpointError
from wxr_plugin.conditioning.daclip import DaCLIP
from wxr_plugin.conditioning.daclip_checkpoint import (
    config_from_shapes,
    fit_weights,
    named_config,
    read_daclip,
)
from wxr_plugin.conditioning.daclip_towers import DaClipError
from wxr_plugin.conditioning.guides import load_daclip

IMAGES = torch.rand(2, 3, 40, 56, generator=torch.Generator().manual_seed(0))


def embeddings(model):
    with torch.no_grad():
        return model.eval().encode_image(model.prepare(IMAGES), control=True)


def written(model, path, wrap):
    torch.save(wrap(model.state_dict()), path)
    return path


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"epoch": 3, "name": "run", "state_dict": state},
        lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {key: value for key, value in state.items() if not key.startswith("visual.")},
    ],
    ids=["bare", "state_dict", "module", "one name only"],
)
def test_published_layouts_are_read(tmp_path, wrap):
    model = trained(small())
    read = read_daclip(written(model, tmp_path / "daclip.pt", wrap))
    assert all(torch.equal(a, b) for a, b in zip(embeddings(read), embeddings(model)))
    assert read.image_size == 32 and read.dim == 16


def test_the_architecture_follows_from_the_shapes():
    config = config_from_shapes(small().state_dict())
    assert config["vision_cfg"] | SMALL_VIT["vision_cfg"] == config["vision_cfg"]
    assert config["text_cfg"] == SMALL_VIT["text_cfg"] and config["embed_dim"] == 16


def heads_of(visual):
    return (
        visual.transformer.resblocks[0].attn.num_heads
        if hasattr(visual, "transformer")
        else visual.attnpool.num_heads
    )


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-L-14", "ViT-H-14", "RN50"])
def test_heads_are_those_of_open_clip(name):
    """Compare shapes on the meta device; ViT-H has heads of 80 channels."""
    import open_clip

    expected = open_clip.get_model_config(name)
    with torch.device("meta"):
        clip = CLIP(**expected)
    config = config_from_shapes({f"clip.{key}": value for key, value in clip.state_dict().items()})
    assert config["text_cfg"]["heads"] == expected["text_cfg"]["heads"]
    with torch.device("meta"):
        again = CLIP(**config)
    heads = [heads_of(c.visual) for c in (clip, again)]
    assert heads[0] == heads[1] and again.state_dict().keys() == clip.state_dict().keys()


def test_our_own_file_names_its_clip(tmp_path):
    """Infer vocabulary, heads and preprocessing of the tiny CLIP from its name."""
    model = trained(packaged())
    block = {"type": "DaCLIP", "clip": "tiny"}
    torch.save({"state_dict": model.state_dict(), "network_g": block}, tmp_path / "net_g.pth")
    read = read_daclip(tmp_path / "net_g.pth")
    assert all(torch.equal(a, b) for a, b in zip(embeddings(read), embeddings(model)))
    assert torch.equal(read.tokenize(["hazy street"]), model.tokenize(["hazy street"]))


def test_a_file_with_the_controller_only_is_completed_by_its_clip(tmp_path):
    model = trained(packaged())
    part = {
        k: v.contiguous()
        for k, v in model.state_dict().items()
        if not k.startswith(("clip.", "visual."))
    }
    save_file(part, tmp_path / "c.safetensors", {"network_g": '{"type": "DaCLIP", "clip": "tiny"}'})
    read = read_daclip(tmp_path / "c.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(embeddings(read), embeddings(model)))
    save_file(part, tmp_path / "nameless.safetensors")
    with pytest.raises(DaClipError, match="without its CLIP, and does not name it"):
        read_daclip(tmp_path / "nameless.safetensors")


def test_another_grid_is_resized():
    model = trained(small())
    larger = DaCLIP(
        CLIP(**{**SMALL_VIT, "vision_cfg": {**SMALL_VIT["vision_cfg"], "image_size": 48}})
    )
    fit_weights(larger, model.state_dict(), "x.pt")
    for tower in (larger.visual, larger.visual_control):
        assert tower.positional_embedding.shape == (37, 64)
    assert torch.equal(larger.visual.positional_embedding[0], model.visual.positional_embedding[0])
    assert torch.equal(larger.visual_control.conv1.weight, model.visual_control.conv1.weight)


def test_the_message_about_shapes_has_both_sides(tmp_path):
    state = small().state_dict()
    state["visual_control.conv1.weight"] = torch.zeros(96, 3, 8, 8)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(
        DaClipError,
        match=r"odd.pt: 1 tensors .*conv1.weight is \(96, 3, 8, 8\) in it and \(64, 3, 8, 8\)",
    ):
        read_daclip(tmp_path / "odd.pt")


def test_missing_and_unknown_tensors_are_named(tmp_path):
    state = dict(small().state_dict())
    del state["visual_control.proj"]
    torch.save(state, tmp_path / "less.pt")
    with pytest.raises(DaClipError, match=r"less.pt: lacks 1 tensors .*visual_control.proj"):
        read_daclip(tmp_path / "less.pt")
    torch.save(
        {**small().state_dict(), "visual_control.more": torch.zeros(1)}, tmp_path / "more.pt"
    )
    with pytest.raises(DaClipError, match=r"more.pt: has unknown 1 tensors .*visual_control.more"):
        read_daclip(tmp_path / "more.pt")


def test_other_files_are_refused(tmp_path):
    torch.save(CLIP(**SMALL_VIT).state_dict(), tmp_path / "clip.pt")
    with pytest.raises(DaClipError, match=r"clip.pt: holds no DA-CLIP \(no visual_control"):
        load_daclip(str(tmp_path / "clip.pt"), "cpu")
    (tmp_path / "page.pt").write_text("<html>")
    with pytest.raises(CheckpointError):
        load_daclip(str(tmp_path / "page.pt"), "cpu")
    with pytest.raises(DaClipError, match="there is no file"):
        load_daclip("daclip_ViT-B-33.pt", "cpu")
    state = {
        key.replace("token_embedding", "words"): value
        for key, value in small().state_dict().items()
    }
    torch.save(state, tmp_path / "foreign.pt")
    with pytest.raises(DaClipError, match=r"its CLIP has no 'token_embedding.weight'"):
        read_daclip(tmp_path / "foreign.pt")


def test_a_checkpoint_is_loaded_once(tmp_path):
    path = str(written(trained(small()), tmp_path / "daclip.pt", dict))
    guide = load_daclip(path, "cpu")
    assert guide is load_daclip(path, "cpu")
    assert guide.dim == 16 and guide.name == path and len(guide.sha256) == 64


def test_configurations_by_name():
    assert named_config("tiny")["model_cfg"]["embed_dim"] == 64
    assert named_config("ViT-B-32:laion2b_s34b_b79k")["model_cfg"]["embed_dim"] == 512
    assert named_config("ViT-B-32:/a/file.pt")["preprocess_cfg"] == {}
    assert named_config("hf-hub:org/name") is None
