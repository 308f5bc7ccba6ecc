import pytest
import torch
from basicsr.losses import build_loss

from wxr_plugin.errors import WxrError

IMAGES = torch.full((2, 3, 4, 4), 0.5)


def loss(**settings):
    return build_loss({"type": "RelativeL1Loss", **settings})


def test_light_and_heavy_weather_count_alike():
    """Halving the error of either image lowers the loss by the same amount, but for the floor."""
    lq = IMAGES + torch.tensor([0.02, 0.4]).view(2, 1, 1, 1)
    light, heavy = lq.clone(), lq.clone()
    light[0] -= 0.01
    heavy[1] -= 0.2
    measure = loss(floor=1e-6)
    assert measure(lq, IMAGES, lq).item() == pytest.approx(1.0, abs=1e-3)
    assert measure(light, IMAGES, lq).item() == pytest.approx(0.75, abs=1e-3)
    assert measure(heavy, IMAGES, lq).item() == pytest.approx(0.75, abs=1e-3)


def test_the_floor_bounds_the_loss_of_clear_images():
    changed = IMAGES + 0.03
    assert loss(floor=0.03)(changed, IMAGES, IMAGES).item() == pytest.approx(1.0)
    assert loss(floor=0.06, loss_weight=2.0)(changed, IMAGES, IMAGES).item() == pytest.approx(1.0)


def test_details_count_streaks_and_not_tone():
    """A change of tone costs the same with details; a streak that is left costs more."""
    clear = torch.full((1, 3, 32, 32), 0.5)
    streak = clear.clone()
    streak[..., 10] += 0.3
    plain, detailed = loss(), loss(detail_weight=1.0)
    darker = clear - 0.1
    assert detailed(darker, clear, streak).item() == pytest.approx(
        plain(darker, clear, streak).item(), abs=1e-4
    )
    assert detailed(streak, clear, streak) > 1.5 * plain(streak, clear, streak)


def test_gradients_reach_the_prediction_alone():
    prediction, lq = IMAGES.clone().requires_grad_(), (IMAGES + 0.1).requires_grad_()
    loss()(prediction + 0.01, IMAGES, lq.detach()).backward()
    assert prediction.grad.isfinite().all() and prediction.grad.abs().sum() > 0
    assert lq.grad is None


def test_what_is_missing_or_wrong_is_said():
    with pytest.raises(WxrError, match="take model_type: WxrModel"):
        loss()(IMAGES, IMAGES)
    with pytest.raises(WxrError, match="take a positive number"):
        loss(floor=0.0)
    with pytest.raises(WxrError, match="take an odd number"):
        loss(detail_size=4)
