import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from wxr_plugin.losses.weather_prompt_loss import weather_prompt_loss

PROMPTS = torch.eye(4)  # orthogonal: clear, rain, haze, snow


def test_by_hand_with_the_printed_temperature():
    image = torch.tensor([[0.6, 0.0, 0.8, 0.0]])
    expected = -math.log(math.exp(0.6) / (math.exp(0.6) + math.exp(0.8) + 2))
    assert weather_prompt_loss(image, PROMPTS, 1.0).item() == pytest.approx(expected, rel=1e-6)


def test_by_hand_with_clip_lits_temperature():
    image = torch.tensor([[0.6, 0.0, 0.8, 0.0]])
    assert weather_prompt_loss(image, PROMPTS, 100.0).item() == pytest.approx(
        20.0, rel=1e-6
    )  # 100 (0.8 - 0.6)


def test_it_is_the_mean_over_images():
    images = torch.eye(4)[:2]
    first, second = (weather_prompt_loss(image[None], PROMPTS, 1.0).item() for image in images)
    assert weather_prompt_loss(images, PROMPTS, 1.0).item() == pytest.approx((first + second) / 2)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_descent_moves_towards_clear(scale):
    image = F.normalize(torch.tensor([[0.5, 0.5, 0.5, 0.5]]), dim=1).requires_grad_()
    weather_prompt_loss(image, PROMPTS, scale).backward()
    moved = F.normalize(image - 1e-3 * image.grad, dim=1)
    assert moved[0, 0] > image[0, 0] and (moved[0, 1:] < image[0, 1:]).all()


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_gradients(scale):
    generator = torch.Generator().manual_seed(0)
    image, prompts = (
        F.normalize(torch.randn(n, 6, dtype=torch.float64, generator=generator), dim=1)
        for n in (3, 4)
    )
    assert gradcheck(lambda x: weather_prompt_loss(x, prompts, scale), image.requires_grad_())
