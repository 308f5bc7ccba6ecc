import math

import pytest
import torch
import torch.nn.functional as F
from basicsr.losses import build_loss
from torch.autograd import gradcheck

from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.descriptions import DescriptionFeatures
from wxr_plugin.conditioning.prompts import WeatherPrompts
from wxr_plugin.losses.semantic_loss import semantic_loss

IMAGE = torch.tensor([[0.6, 0.8], [1.0, 0.0]])
POSITIVE = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
NEGATIVE = torch.tensor([[0.0, 1.0], [0.6, 0.8]])


def unit(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 5, dtype=torch.float64, generator=generator), dim=1)


def test_by_hand_with_the_printed_temperature():
    first = -math.log(math.exp(0.6) / (math.exp(0.6) + math.exp(0.8)))
    second = -math.log(1 / (1 + math.exp(0.6)))
    assert semantic_loss(IMAGE, POSITIVE, NEGATIVE).item() == pytest.approx(
        (first + second) / 2, rel=1e-6
    )


def test_by_hand_with_clips_temperature():
    expected = (20 + math.log1p(math.exp(-20)) + 60) / 2
    assert semantic_loss(IMAGE, POSITIVE, NEGATIVE, 100.0).item() == pytest.approx(
        expected, rel=1e-6
    )


def test_no_image_with_a_text_gives_a_zero_that_can_be_differentiated():
    image = torch.rand(0, 5, requires_grad=True)
    loss = semantic_loss(image, torch.rand(0, 5), torch.rand(0, 5))
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_gradients(scale):
    image, positive, negative = unit(3, 0).requires_grad_(), unit(3, 1), unit(3, 2)
    assert gradcheck(lambda x: semantic_loss(x, positive, negative, scale), image)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_descent_moves_towards_the_rewrite_and_away_from_the_description(scale):
    image, positive, negative = unit(3, 0).requires_grad_(), unit(3, 1), unit(3, 2)
    semantic_loss(image, positive, negative, scale).backward()
    moved = image - 1e-3 * image.grad
    assert ((moved * positive).sum(1) > (image * positive).sum(1)).all()
    assert ((moved * negative).sum(1) < (image * negative).sum(1)).all()


def test_options_reach_the_loss_and_the_guide_is_shared():
    loss = build_loss({"type": "SemanticLoss", "logit_scale": 10, "loss_weight": 0.05})
    plain = semantic_loss(IMAGE, POSITIVE, NEGATIVE, 10.0)
    assert loss(IMAGE, POSITIVE, NEGATIVE).item() == pytest.approx(0.05 * plain.item())
    assert loss.guide is load_clip("tiny")
    assert not list(loss.parameters()) and not loss.state_dict()


def test_one_clip_serves_both_losses_and_texts_are_encoded_before_training(tmp_path, monkeypatch):
    """L_wpl and L_sem share features of one guide, and no step runs its text tower."""
    guide = load_clip("tiny")
    WeatherPrompts(torch.randn(4, 16, guide.width), guide.name, guide.sha256).save(
        tmp_path / "prompts.safetensors"
    )
    prompt_loss = build_loss(
        {"type": "WeatherPromptLoss", "prompts_path": str(tmp_path / "prompts.safetensors")}
    )
    semantic = build_loss({"type": "SemanticLoss"})
    texts = DescriptionFeatures(guide, {"a": ("a street in rain", "a street")})
    prompt_loss.prepare()
    assert prompt_loss.guide is semantic.guide
    for name in ("encode_text", "encode_prompts"):
        monkeypatch.delattr(type(guide), name)
    features = guide.encode_image(torch.rand(1, 3, 64, 64))
    rows, negative, positive = texts.lookup(["a"])
    assert (prompt_loss(features) + semantic(features[rows], positive, negative)).isfinite()


def test_from_keys_to_a_gradient_on_pixels():
    loss = build_loss({"type": "SemanticLoss"})
    texts = DescriptionFeatures(
        loss.guide, {"rain/a": ("a street in heavy rain", "a street in clear weather")}
    )
    restored = torch.rand(2, 3, 64, 64, requires_grad=True)
    rows, negative, positive = texts.lookup(["rain/a@0,0,64,64", "rain/b@0,0,64,64"])
    loss(loss.guide.encode_image(restored)[rows], positive, negative).backward()
    assert restored.grad[0].abs().max() > 0 and restored.grad[1].abs().max() == 0
