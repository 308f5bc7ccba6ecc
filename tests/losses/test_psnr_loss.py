import pytest
import torch
from basicsr.losses import build_loss
from basicsr.metrics import calculate_psnr
from torch.autograd import gradcheck

from wxr_plugin.losses.psnr_loss import psnr_loss


def test_it_is_minus_the_mean_psnr_of_the_images():
    photos = torch.randint(0, 256, (2, 3, 9, 7), generator=torch.Generator().manual_seed(0))
    shuffled = photos.flip(1)
    pairs = zip(photos.permute(0, 2, 3, 1).numpy(), shuffled.permute(0, 2, 3, 1).numpy())
    psnr = [calculate_psnr(first, second, crop_border=0) for first, second in pairs]
    assert psnr_loss(photos / 255, shuffled / 255).item() == pytest.approx(-sum(psnr) / 2, abs=1e-4)


def test_no_error_is_80_dB_and_has_a_gradient():
    image = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    loss = build_loss({"type": "PSNRLoss", "loss_weight": 0.5})(
        image, torch.full((1, 3, 2, 2), 0.5)
    )
    assert loss.item() == pytest.approx(-40)
    loss.backward()
    assert image.grad.isfinite().all()


def test_gradients():
    target, prediction = torch.rand(2, 2, 3, 3, 3, dtype=torch.float64)
    assert gradcheck(psnr_loss, (prediction.requires_grad_(), target))


def test_option_files_of_nafnet_name_the_only_reduction():
    image = torch.rand(2, 3, 4, 4)
    loss = build_loss({"type": "PSNRLoss", "loss_weight": 1, "reduction": "mean"})
    assert loss(image, image.flip(0)) == psnr_loss(image, image.flip(0))
    with pytest.raises(ValueError, match="reduction is mean, not 'sum'"):
        build_loss({"type": "PSNRLoss", "reduction": "sum"})
