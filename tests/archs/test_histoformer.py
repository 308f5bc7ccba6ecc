from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.histoformer_arch import (
    Histoformer,
    HistogramAttention,
    normed,
    sorted_half,
    unsorted_half,
)

PARITY = Path(__file__).parents[1] / "parity"


@pytest.mark.slow
def test_matches_the_published_network():
    """In float64, as recorded: sorts amplify float32's differences between two orders of a sum."""
    parity.check(
        Histoformer(),
        PARITY / "histoformer.json",
        call=lambda net, given: net.double()(given["x"].double()),
    )


def test_sorting_is_undone():
    x = torch.rand(2, 6, 5, 7)
    result, rows, columns = sorted_half(x)
    assert torch.equal(unsorted_half(result, rows, columns), x)
    assert (result[:, :3].diff(dim=-1) >= 0).all() and torch.equal(result[:, 3:], x[:, 3:])


@pytest.mark.parametrize("between_bins", [True, False])
def test_bins_are_undone_and_hold_neighbours_or_every_nth(between_bins):
    attention, x = HistogramAttention(4, heads=2), torch.arange(28.0).view(1, 4, 7)
    binned = attention._binned(x, between_bins)
    assert binned.shape == (1, 2, 4, 4)
    assert binned[0, 0, 0].tolist() == ([0, 1, 2, 3] if between_bins else [0, 2, 4, 6])
    assert torch.equal(attention._unbinned(binned, between_bins)[..., :7], x)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_is_restored_as_its_extension(size):
    net, image = (
        parity.fill(Histoformer(**Histoformer.smoke)).double(),
        torch.rand(1, 3, *size).double(),
    )
    height, width = (-(-side // 8) * 8 for side in size)
    mode = "reflect" if height - size[0] < size[0] and width - size[1] < size[1] else "replicate"
    extended = torch.nn.functional.pad(image, (0, width - size[1], 0, height - size[0]), mode=mode)
    with torch.no_grad():
        assert torch.equal(net(image), net(extended)[..., : size[0], : size[1]])


def test_a_width_that_cannot_be_shuffled_is_refused():
    with pytest.raises(ValueError, match="not a multiple of 4"):
        Histoformer(dim=8)


def test_the_norm_is_the_authors_arithmetic_to_the_last_bit():
    """Sorts amplify a rounding of 7e-7 to a tenth of the range; F.layer_norm is too far off."""
    x = torch.randn(2, 12, 9, 13, generator=torch.Generator().manual_seed(0))
    pixels = x.flatten(2).transpose(1, 2)
    mean, variance = pixels.mean(-1, keepdim=True), pixels.var(-1, keepdim=True, unbiased=False)
    expected = ((pixels - mean) / torch.sqrt(variance + 1e-5)).transpose(1, 2).view_as(x)
    assert torch.equal(normed(x), expected)
    assert not torch.equal(
        normed(x), torch.nn.functional.layer_norm(x.movedim(1, -1), (12,)).movedim(-1, 1)
    )
