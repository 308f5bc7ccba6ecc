import pytest
import torch
from basicsr.losses import build_loss
from torch.autograd import gradcheck

from wxr_plugin.conditioning.depth import load_depth
from wxr_plugin.losses.feature_loss import feature_loss


def test_by_hand():
    """Cosines 1 (of other lengths), 0, -1 and 0.6: the mean of 0, 1, 2 and 0.4."""
    features = torch.tensor([[[2.0, 0.0], [0.0, 3.0]], [[1.0, 0.0], [3.0, 4.0]]])
    target = torch.tensor([[[5.0, 0.0], [1.0, 0.0]], [[-7.0, 0.0], [1.0, 0.0]]])
    assert feature_loss(features, target).item() == pytest.approx((0 + 1 + 2 + 0.4) / 4, rel=1e-6)


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    features, target = torch.randn(2, 2, 3, 4, dtype=torch.float64, generator=generator)
    assert gradcheck(lambda x: feature_loss(x, target), features.requires_grad_())


def test_both_targets_count_with_their_weights():
    restored, label, photo = (
        torch.eye(3)[:, None, :].requires_grad_(),
        torch.eye(3).flip(0)[:, None, :],
        torch.eye(3),
    )
    options = {
        "type": "DepthFeatureLoss",
        "loss_weight": 0.2,
        "label_weight": 0.7,
        "input_weight": 0.3,
    }
    loss = build_loss(options)(restored, label, photo[:, None, :])
    assert loss.item() == pytest.approx(
        0.2 * 0.7 * 2 / 3, rel=1e-5
    )  # the label differs in two of three, the photo not


def test_gradients_reach_the_restored_image_only():
    loss = build_loss({"type": "DepthFeatureLoss"})
    restored, label, photo = (torch.rand(1, 3, 42, 42, requires_grad=True) for _ in range(3))
    loss(*map(loss.guide.encode, (restored, label, photo))).backward()
    assert restored.grad.abs().max() > 0 and label.grad is None and photo.grad is None
    assert not list(loss.parameters()) and not loss.state_dict()


def test_options_reach_guide_and_cache():
    loss = build_loss({"type": "DepthFeatureLoss", "cache_mb": 2, "size": 28})
    assert loss.guide is load_depth("tiny", size=28)
    assert loss.cache.limit == 2_000_000
    keys, crops, asked = [("a", 1), ("b", 1)], torch.rand(2, 3, 64, 64), []

    def encode(rows: list[int]) -> torch.Tensor:
        asked.append(rows)
        return loss.guide.encode(crops[rows])

    first = loss.cache.features(keys, encode)
    assert torch.equal(loss.cache.features(keys, encode), first) and asked == [[0, 1]]
