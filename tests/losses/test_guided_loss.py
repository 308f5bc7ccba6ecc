"""A guide is on the device of its loss, and loaded only there."""

import pytest
import torch
from basicsr.losses import build_loss

from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.depth import load_depth
from wxr_plugin.conditioning.prompts import WeatherPrompts
from wxr_plugin.losses.clip_srd_loss import ClipSRDLoss
from wxr_plugin.pseudo_labelling.guided_losses import GuidedLosses
from wxr_plugin.pseudo_labelling.online import Labels
from wxr_plugin.pseudo_labelling.options import WResVLMTrainOptions


@pytest.fixture
def prompts(tmp_path):
    guide, path = load_clip("tiny", "cpu"), tmp_path / "prompts.safetensors"
    WeatherPrompts(torch.randn(4, 16, guide.width), guide.name, guide.sha256).save(path)
    return str(path)


@pytest.fixture
def with_gpu(monkeypatch):
    """Simulate a machine with CUDA whose GPU cannot be used."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.parametrize(
    "kind", ["WeatherPromptLoss", "SemanticLoss", "ClipSRDLoss", "DepthFeatureLoss"]
)
def test_a_guide_follows_its_loss_and_is_not_loaded_elsewhere(kind, prompts, monkeypatch):
    asked = []
    for name in ("clip.load_clip", "depth.load_depth"):
        monkeypatch.setattr(
            f"wxr_plugin.conditioning.{name}", lambda name, device, *more: asked.append(device.type)
        )
    loss = build_loss(
        {"type": kind, **({"prompts_path": prompts} if kind == "WeatherPromptLoss" else {})}
    )
    assert asked == []
    loss.to("meta").guide  # noqa: B018 (asks for it)
    assert asked == ["meta"]


def test_the_losses_of_a_model_on_the_cpu_leave_the_gpu_alone(prompts, with_gpu):
    blocks = {
        "weather_prompt_opt": {"type": "WeatherPromptLoss", "prompts_path": prompts},
        "feature_opt": {"type": "DepthFeatureLoss"},
    }
    options = WResVLMTrainOptions.read(
        {"ema_decay": 0.9, "pixel_opt": {"type": "L1Loss"}, **blocks}
    )
    losses = GuidedLosses(options, torch.device("cpu"), {})
    images = torch.rand(1, 3, 42, 42)
    values = losses(images, images, Labels(images, torch.ones(1), None), ["a"])
    assert values.keys() == {"l_wpl", "l_feat"}
    assert all(loss.isfinite() for loss in values.values())


def test_srd_on_the_cpu_leaves_the_gpu_alone(with_gpu):
    images = torch.rand(2, 1, 3, 64, 64)
    assert ClipSRDLoss("tiny", [1])([torch.rand(1, 1, 64, 64)], *images).isfinite()


def test_a_device_with_and_without_its_number_is_one(with_gpu):
    with torch._subclasses.FakeTensorMode():
        from wxr_plugin.conditioning.clip import numbered

        assert numbered(None) == numbered("cuda") == torch.device("cuda:0")
    assert load_depth("tiny", "cpu") is load_depth("tiny", torch.device("cpu"))
