import pytest
import torch
import torch.nn.functional as F
from basicsr.losses import build_loss
from torch.autograd import gradcheck

from wxr_plugin.losses.pixel_frequency_loss import spectral_loss


def images(seed=0):
    return torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_weighted_sum_of_both():
    prediction, target = images(0), images(1)
    loss = build_loss({"type": "PixelFrequencyLoss", "loss_weight": 2.0, "frequency_weight": 0.3})
    expected = 2.0 * (F.l1_loss(prediction, target) + 0.3 * spectral_loss(prediction, target))
    assert loss(prediction, target).item() == pytest.approx(expected.item(), rel=1e-6)


def test_at_equal_squared_error_fine_detail_costs_more_than_a_shade():
    target = images(0)
    shade = torch.full_like(target, 0.1)
    noise = 0.1 * torch.randn(target.shape, generator=torch.Generator().manual_seed(2)).sign()
    assert F.mse_loss(target + noise, target).item() == pytest.approx(
        F.mse_loss(target + shade, target).item()
    )
    assert spectral_loss(target + noise, target) > 5 * spectral_loss(target + shade, target)


def test_no_error_has_a_finite_gradient():
    image = images(0).requires_grad_()
    build_loss({"type": "PixelFrequencyLoss"})(image, image.detach().clone()).backward()
    assert image.grad.isfinite().all()


def test_half_precision_is_computed_in_float32():
    assert spectral_loss(images(0).bfloat16(), images(1).bfloat16()).dtype == torch.float32


def test_gradients():
    target, prediction = torch.rand(
        2, 1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    loss = build_loss({"type": "PixelFrequencyLoss"})
    assert gradcheck(lambda x: loss(x, target), (prediction.requires_grad_(),))
