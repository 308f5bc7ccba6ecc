import pytest
import torch

from wxr_plugin.utils.sizes import cropped, extended


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 16), (17, 40), (40, 17)])
@pytest.mark.parametrize("least", [0, 20])
def test_sides_become_multiples_and_are_cropped_again(size, least):
    lq = torch.rand(2, 3, *size)
    large = extended(lq, 8, least)
    assert all(side % 8 == 0 and side >= least for side in large.shape[-2:])
    assert all(new - old < 8 or new == 24 for new, old in zip(large.shape[-2:], size))
    assert torch.equal(cropped(large, lq), lq)


def test_images_that_fit_are_returned_as_they_are():
    lq = torch.rand(1, 3, 16, 24)
    assert extended(lq, 8, 16) is lq


def test_reflection_and_repetition():
    row = torch.tensor([[[[1.0, 2.0, 3.0]]]]).expand(1, 1, 3, 3)
    assert extended(row, 5)[0, 0, 0].tolist() == [1, 2, 3, 2, 1]
    assert extended(row, 8)[0, 0, 0].tolist() == [1, 2, 3, 3, 3, 3, 3, 3]
    assert extended(row, 5, mode="constant")[0, 0, 0].tolist() == [1, 2, 3, 0, 0]


def test_an_enlarged_result_is_cut_at_its_scale():
    lq, restored = torch.rand(1, 3, 13, 15), torch.rand(1, 3, 32, 32)
    assert cropped(restored, lq, scale=2).shape[-2:] == (26, 30)
