"""Feature maps of CLIP's image tower: sizes, layers, and unsupported towers."""

import json
import shutil

import open_clip
import pytest
import torch

from wxr_plugin.conditioning.clip import TINY, ClipError, ClipGuide, clip_config, load_clip
from wxr_plugin.conditioning.clip_spatial import (
    configured_tower,
    spatial_features,
    tower_of,
    widths_of,
)


@pytest.fixture(scope="module")
def vit() -> ClipGuide:
    """Return a ViT of three blocks with 4 x 4 patches of 16 pixels."""
    torch.manual_seed(0)
    vision = {"image_size": 64, "layers": 3, "width": 64, "patch_size": 16, "head_width": 32}
    text = {"context_length": 16, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1}
    model = open_clip.CLIP(48, vision, text)
    model.visual.preprocess_cfg = {
        "mean": (0.5,) * 3,
        "std": (0.25,) * 3,
        "interpolation": "bicubic",
    }
    return ClipGuide(model, None, "vit", "cpu")


def test_a_resnet_gives_four_layers_at_their_strides():
    guide, images = load_clip("tiny", "cpu"), torch.rand(2, 3, 64, 96)
    maps = spatial_features(guide, images, [4, 1, 2, 1])
    shapes = [tuple(features.shape) for features in maps]
    assert shapes == [(2, 512, 2, 3), (2, 64, 16, 24), (2, 128, 8, 12), (2, 64, 16, 24)]
    assert torch.equal(maps[1], maps[3]) and widths_of(guide, [4, 1]) == [512, 64]
    expected = guide.visual.layer1(guide.visual.stem(guide.normalised(images)))
    assert torch.equal(maps[1], expected)


def test_a_vit_gives_its_patches(vit):
    images = torch.rand(2, 3, 48, 80, requires_grad=True)
    maps = spatial_features(vit, images, [1, 3])
    assert [tuple(features.shape) for features in maps] == [(2, 64, 4, 4)] * 2
    means = maps[0].mean(1)  # 0 after the layer norm
    torch.testing.assert_close(means, torch.zeros(2, 4, 4), atol=1e-5, rtol=0)
    maps[1].square().sum().backward()
    assert images.grad.any()


def test_features_differ_where_the_weather_is():
    clean = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    degraded = clean.clone()
    degraded[..., :32] = 1
    guide = load_clip("tiny", "cpu")
    (before,) = spatial_features(guide, clean, [2])
    (after,) = spatial_features(guide, degraded, [2])
    change = (after - before).square().sum(1)[0]
    assert change[:, :3].mean() > 10 * change[:, 6:].mean()


def test_unsupported_layers_sizes_and_towers_are_refused(vit):
    guide = load_clip("tiny", "cpu")
    with pytest.raises(
        ClipError, match=r"'tiny' has layers 1 to 4 with spatial features, not \[5\]"
    ):
        spatial_features(guide, torch.rand(1, 3, 64, 64), [5])
    with pytest.raises(
        ClipError,
        match=r"too small for layer 4 of CLIP 'tiny', whose stride is 32: 2 x 2 .* at least 64",
    ):
        spatial_features(guide, torch.rand(1, 3, 63, 99), [1, 4])
    with pytest.raises(ClipError, match=r"31 pixels .* stride is 16"):
        spatial_features(vit, torch.rand(1, 3, 31, 31), [1])
    bare = type("Timm", (torch.nn.Module,), {"image_size": 64})()
    model = type("Clip", (torch.nn.Module,), {})()
    model.visual = bare
    with pytest.raises(
        ClipError,
        match=r"'odd' has no spatial features that are known here .Timm.: take a ResNet or",
    ):
        tower_of(ClipGuide(model, None, "odd", "cpu"))


def test_the_tower_follows_from_the_configuration(vit):
    assert configured_tower("tiny") == tower_of(load_clip("tiny", "cpu")) == (4, None, 128)
    assert configured_tower("ViT-B-16:openai") == (12, 16, 224)
    assert configured_tower("RN50:openai") == (4, None, 224)
    assert tower_of(vit) == (3, 16, 64)
    assert configured_tower("hf-hub:org/name") is None
    with pytest.raises(ClipError, match=r"convnext_base.* take a ResNet or a ViT"):
        configured_tower("convnext_base:laion400m_s13b_b51k")


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(
        ClipError, match=r"open_clip_config.json is not a configuration of open_clip"
    ):
        clip_config(f"local-dir:{tmp_path}")
    shutil.copy(TINY / "open_clip_config.json", tmp_path)
    assert (
        clip_config(f"local-dir:{tmp_path}")
        == json.loads((TINY / "open_clip_config.json").read_text())["model_cfg"]
    )


def test_an_embedding_has_unit_length_and_shows_the_centre():
    guide = load_clip("tiny", "cpu")
    images = torch.rand(2, 3, 128, 160, generator=torch.Generator().manual_seed(0))
    context = guide.embed(images)
    assert context.content is None and context.image.shape == (2, guide.dim)
    torch.testing.assert_close(context.image.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(context.image, guide.encode_image(images[..., 16:144]))
    assert not context.image.requires_grad and not context.image.is_inference()
