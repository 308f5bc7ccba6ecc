import pytest
import torch
from basicsr.losses import build_loss
from torch.autograd import gradcheck

from wxr_plugin.losses.frequency_psnr_loss import spectral_loss
from wxr_plugin.losses.psnr_loss import psnr_loss


def images(seed=0):
    return torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_sum_of_both_in_dB():
    prediction, target = images(0), images(1)
    loss = build_loss({"type": "FrequencyPSNRLoss", "loss_weight": 0.1, "frequency_weight": 0.3})
    expected = 0.1 * (psnr_loss(prediction, target) + 0.3 * spectral_loss(prediction, target))
    assert loss(prediction, target).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_tenth_of_the_error_is_20_dB_less():
    target, error = images(0), images(1) - 0.5
    large, small = (spectral_loss(target + scale * error, target) for scale in (0.5, 0.05))
    assert (large - small).item() == pytest.approx(20, abs=0.3)


def test_at_equal_squared_error_a_wide_spectrum_costs_more_than_a_shade():
    target = images(0)
    shade = torch.full_like(target, 0.1)
    noise = 0.1 * torch.randn(target.shape, generator=torch.Generator().manual_seed(2)).sign()
    assert psnr_loss(target + noise, target).item() == pytest.approx(psnr_loss(target + shade, target).item(), abs=1e-3)
    assert spectral_loss(target + noise, target) > spectral_loss(target + shade, target) + 10


def test_no_error_has_a_finite_gradient():
    image = images(0).requires_grad_()
    build_loss({"type": "FrequencyPSNRLoss"})(image, image.detach().clone()).backward()
    assert image.grad.isfinite().all()


def test_half_precision_is_computed_in_float32():
    assert spectral_loss(images(0).bfloat16(), images(1).bfloat16()).dtype == torch.float32


def test_gradients():
    target, prediction = torch.rand(2, 1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    loss = build_loss({"type": "FrequencyPSNRLoss"})
    assert gradcheck(lambda x: loss(x, target), (prediction.requires_grad_(),), atol=1e-3)
