import pytest
import torch
from basicsr.losses import build_loss
from torch.autograd import gradcheck

from wxr_plugin.losses.pseudo_label_loss import pseudo_label_loss


def images(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def test_it_is_the_mean_absolute_difference():
    assert pseudo_label_loss(images(0.5, 0.2), images(0.1, 0.4)) == pytest.approx((0.4 + 0.2) / 2)


def test_without_ratings_it_is_the_same_l1_as_l_sup():
    """L_sup is BasicSR's own L1Loss."""
    prediction, truth = torch.rand(2, 2, 3, 4, 4, dtype=torch.float64)
    supervised = build_loss({"type": "L1Loss", "loss_weight": 0.5})
    assert supervised(images(0.5, 0.2), images(0.1, 0.4)) == pytest.approx(0.5 * 0.3)
    assert supervised(prediction, truth).item() == pytest.approx(
        0.5 * pseudo_label_loss(prediction, truth).item()
    )
    apart = (truth + 0.1 + truth.flip(0)).requires_grad_()
    assert gradcheck(lambda x: supervised(x, truth), apart)


def test_a_rating_of_1_weighs_nothing_and_5_fully():
    prediction, label = images(0.5, 0.5, 0.5), images(0.1, 0.3, 0.4)
    loss = pseudo_label_loss(prediction, label, torch.tensor([1.0, 5.0, 3.0]))
    assert loss == pytest.approx((0 * 0.4 + 1 * 0.2 + 0.5 * 0.1) / 3)


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    label = torch.rand(2, 3, 3, 3, dtype=torch.float64, generator=generator)
    prediction = (label + 0.1 + label.flip(0)).requires_grad_()  # well away from the kink at zero
    rating = torch.tensor([2.0, 4.5], dtype=torch.float64)
    assert gradcheck(pseudo_label_loss, (prediction, label))
    assert gradcheck(pseudo_label_loss, (prediction, label, rating))


def test_options_reach_the_loss():
    prediction, label, rating = images(0.5), images(0.1), torch.tensor([2.0])
    plain = build_loss({"type": "PseudoLabelLoss", "loss_weight": 0.5})
    rated = build_loss({"type": "PseudoLabelLoss", "loss_weight": 0.5, "by_rating": True})
    assert plain(prediction, label, rating) == pytest.approx(0.5 * 0.4)
    assert rated(prediction, label, rating) == pytest.approx(0.5 * 0.4 / 4)
