"""The student's view: unchanged at strength 0, and the same for the same seed."""

import pytest
import torch

from wxr_plugin.pseudo_labelling.strong_augment import (
    StrongAugmentOptions,
    blurred,
    erased,
    recoloured,
    strong_view,
)


@pytest.fixture
def images():
    return torch.rand(3, 3, 12, 10, generator=torch.Generator().manual_seed(0))


def ones(*values):
    return torch.tensor(values).view(-1, 1, 1, 1)


def test_no_strength_changes_nothing(images):
    none = StrongAugmentOptions(colour=0, blur=0, noise=0, erase=0)
    torch.testing.assert_close(strong_view(images, none), images)


def test_the_seed_decides(images):
    options = StrongAugmentOptions(erase=0.5)
    views = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        views.append(strong_view(images, options))
    assert torch.equal(views[0], views[1]) and not torch.equal(views[0], views[2])
    assert views[0].min() >= 0 and views[0].max() <= 1


def test_colours(images):
    same = ones(1.0, 1.0, 1.0)
    torch.testing.assert_close(recoloured(images, 0.5 * same, same, same), 0.5 * images)
    flat = recoloured(images, same, 0 * same, same)
    torch.testing.assert_close(flat, images.mean((1, 2, 3), keepdim=True).expand_as(images))
    grey = recoloured(images, same, same, 0 * same)
    luma = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
    torch.testing.assert_close(grey, luma[:, None].expand_as(images))


def test_each_image_is_blurred_with_its_own_sigma(images):
    sharp = blurred(images, torch.tensor([0.0, 1.0, 2.0]))
    torch.testing.assert_close(sharp[0], images[0])
    assert (
        images[1].std() > sharp[1].std()
        and sharp[2].std() < sharp[1].std() / images[1].std() * images[2].std()
    )
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    spread = blurred(point, torch.tensor([1.0]))[0, 0]
    weights = torch.exp(-0.5 * torch.arange(-3.0, 4) ** 2)
    weights /= weights.sum()
    torch.testing.assert_close(spread[1:8, 1:8], torch.outer(weights, weights))


def test_a_grey_square_of_its_size_lies_inside(images):
    view = erased(
        images, torch.tensor([0.5, 0.0, 0.5]), torch.tensor([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    )
    changed = (view != images).any(1)
    assert changed.sum((1, 2)).tolist() == [6 * 5, 0, 6 * 5]
    assert changed[0, :6, 5:].all() and changed[2, 6:, :5].all()
    assert (view[0, :, :6, 5:] == 0.5).all()
