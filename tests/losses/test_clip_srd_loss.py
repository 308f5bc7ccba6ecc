"""CLIP-SRD: values by hand, gradients, and invalid input."""

import math

import pytest
import torch

from wxr_plugin.conditioning.clip import ClipError
from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.losses.clip_srd_loss import (
    ClipSRDLoss,
    difference_target,
    feature_distance,
    mask_loss,
    residual_loss,
    set_target,
    soft_target,
)


def pair(size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a photo that is white on the left, and the clean one."""
    gt = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    lq = gt.clone()
    lq[..., : size // 2] = 1
    return lq, gt


def test_the_distance_is_that_of_directions():
    first, second = torch.zeros(2, 1, 2, 1, 3)
    first[0, 0, 0], first[0, 1, 0] = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([0.0, 0.0, 1.0])
    second[0, 0, 0], second[0, 1, 0] = torch.tensor([3.0, -1.0, 0.0]), torch.tensor([0.0, 0.0, 5.0])
    expected = torch.tensor([[[0.0, 2.0, 1 - math.sqrt(0.5)]]])
    torch.testing.assert_close(feature_distance(first, second), expected)


def test_quantiles_become_the_ends_and_a_flat_map_does_not_count():
    ramp = torch.arange(101.0).view(1, 1, 101) / 100
    target, counts = soft_target(torch.cat((ramp, 0.5 + ramp * 1e-3)))
    assert counts.tolist() == [True, False]
    expected = ((ramp[0] - 0.05) / 0.9).clamp(0, 1)
    torch.testing.assert_close(target[0], expected)
    wild = ramp.clone()
    wild[..., -1] = 1000
    torch.testing.assert_close(
        soft_target(wild)[0], target[:1]
    )  # one extreme position sets no scale


def test_one_scale_for_all_images_keeps_their_order():
    distance = torch.tensor([[[0.1, 0.1]], [[0.4, 0.9]]])
    target, counts = set_target(distance, 0.5)
    torch.testing.assert_close(target, torch.tensor([[[0.2, 0.2]], [[0.8, 1.0]]]))
    assert counts.tolist() == [True, True]


def test_the_target_that_knows_the_truth():
    gt = torch.zeros(1, 3, 4, 4)
    lq = gt.clone()
    lq[..., :2] = 0.1
    lq[:, 0, :2, 2:] = 0.9  # a third of 0.9 is above the scale of 0.2
    target, _ = difference_target(lq, gt, (2, 2))
    torch.testing.assert_close(target, torch.tensor([[[0.5, 1.0], [0.5, 0.0]]]))


@pytest.mark.parametrize("arguments", [{"scales": [0.2, 0.2]}, {"target": "difference"}])
def test_other_targets_teach_the_masks_where_the_photo_is_degraded(arguments):
    lq, gt = pair()
    logits = torch.zeros(2, 1, 64, 64, requires_grad=True)
    loss = ClipSRDLoss("tiny", [1, 2], loss_weight=1.0, **arguments)
    loss([logits.sigmoid()] * 2, lq, gt).backward()
    left, right = logits.grad[..., :24].mean(), logits.grad[..., 40:].mean()
    assert left < 0 < right


def test_masks_on_numbers():
    mask = torch.tensor([0.2, 0.4, 0.6, 0.8]).view(1, 1, 1, 4).expand(2, 1, 2, 4)
    target, both = torch.tensor([[[0.0, 1.0]], [[0.5, 0.5]]]), torch.tensor([True, True])
    assert mask_loss(mask, target, both).item() == pytest.approx((0.3 + 0.2) / 2)
    assert mask_loss(mask, target, torch.tensor([True, False])).item() == pytest.approx(0.3)
    assert mask_loss(mask, target, both, "bce").item() == pytest.approx(
        (-math.log(0.7) - math.log(0.21) / 2) / 2
    )
    none = mask_loss(mask.clone().requires_grad_(), target, torch.tensor([False, False]))
    assert none.item() == 0 and none.requires_grad


def test_residuals_on_numbers():
    difference = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)
    projected = torch.tensor([[1.0, -1.0], [0.0, -1.0]]).view(1, 2, 1, 2)
    target, counts = torch.tensor([[[0.75, 0.25]]]), torch.tensor([True])
    expected = 0.25 * (1 + math.sqrt(0.5))
    assert residual_loss(projected, difference, target, counts).item() == pytest.approx(expected)
    assert residual_loss(projected, difference, 0 * target, counts).item() == 0


@pytest.mark.parametrize("criterion", ["l1", "bce"])
def test_gradients_in_float64(criterion):
    generator = torch.Generator().manual_seed(1)
    mask = 0.1 + 0.8 * torch.rand(2, 1, 4, 6, generator=generator)
    target, counts = torch.rand(2, 2, 3, generator=generator), torch.tensor([True, False])
    step = torch.zeros_like(mask)
    step[0, 0, 1, 2] = 1e-3
    mask.requires_grad_()
    slope = (
        mask_loss(mask + step, target, counts, criterion)
        - mask_loss(mask - step, target, counts, criterion)
    ) / 2e-3
    mask_loss(mask, target, counts, criterion).backward()
    assert mask.grad[0, 0, 1, 2].item() == pytest.approx(slope.item(), rel=2e-2)
    assert not mask.grad[1].any()


@pytest.mark.parametrize("variant", ["map", "feature", "both"])
def test_masks_and_residuals_learn_where_the_photo_is_degraded(variant):
    torch.manual_seed(0)
    loss = ClipSRDLoss("tiny", [1, 2], variant, loss_weight=1.0)
    lq, gt = pair()
    logits, residuals = (
        torch.zeros(2, 1, 64, 64, requires_grad=True),
        torch.randn(2, 5, 64, 64, requires_grad=True),
    )
    projectors = loss.projectors([5, 5])
    assert (projectors is None) == (variant == "map")
    optimizer = torch.optim.Adam(
        [logits, residuals, *(projectors.parameters() if projectors else ())], 0.1
    )
    seen = []
    for _ in range(12):
        masks = [logits.sigmoid()] * 2
        value = loss(masks, lq, gt, projectors([residuals] * 2) if projectors else None)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        seen.append(value.item())
    assert seen[-1] < 0.8 * seen[0]
    left, right = logits.detach()[..., :24].mean(), logits.detach()[..., 40:].mean()
    assert (left > 0.5 > right) if variant != "feature" else (left == right == 0)
    assert residuals.grad is None or variant != "map"


def test_the_mean_over_stages_and_the_weight():
    lq, gt = pair()
    masks = [torch.rand(2, 1, 64, 64) for _ in range(2)]
    parts = [
        ClipSRDLoss("tiny", [layer], loss_weight=1.0)([mask], lq, gt)
        for layer, mask in zip((1, 3), masks)
    ]
    whole = ClipSRDLoss("tiny", [1, 3], loss_weight=0.1)(masks, lq, gt)
    torch.testing.assert_close(whole, 0.1 * (parts[0] + parts[1]) / 2)


def test_equal_photos_cost_nothing():
    _, gt = pair()
    mask = torch.rand(2, 1, 64, 64, requires_grad=True)
    loss = ClipSRDLoss("tiny", [1])([mask], gt, gt)
    loss.backward()
    assert loss.item() == 0 and not mask.grad.any()


def test_bad_input_is_refused():
    lq, gt = pair()
    mask = torch.rand(2, 1, 64, 64)
    loss = ClipSRDLoss("tiny", [1, 4])
    with pytest.raises(WxrError, match="there is no clean one"):
        loss([mask, mask], lq, None)
    with pytest.raises(WxrError, match="3 masks, but 2 layers"):
        loss([mask] * 3, lq, gt)
    with pytest.raises(
        WxrError, match=r"64 pixels are too small for layer 4 .* 4 x 4 positions take at least 128"
    ):
        loss([mask, mask], lq, gt)
    with pytest.raises(ClipError, match="layers 1 to 4"):
        ClipSRDLoss("tiny", [0])
    with pytest.raises(OptionError, match="variant is 'maps': take one of map, feature, both"):
        ClipSRDLoss("tiny", [1], "maps")
    with pytest.raises(OptionError, match="criterion is 'l2'"):
        ClipSRDLoss("tiny", [1], criterion="l2")
    with pytest.raises(OptionError, match="target is 'truth'"):
        ClipSRDLoss("tiny", [1], target="truth")
    with pytest.raises(OptionError, match="take variant map"):
        ClipSRDLoss("tiny", [1], "both", target="difference")
    with pytest.raises(OptionError, match="one positive number for each of the 2 layers"):
        ClipSRDLoss("tiny", [1, 2], scales=[0.3])
