import itertools

import pytest
import torch
from torch import nn

from wxr_plugin.inference.tiling import ALIGN, Span, blended_rows, cuts, run_tiled, weights


class Halving(nn.Module):
    """Network with a reach of REACH pixels and a stride of 4; pads images to multiples of 4."""

    REACH = 10

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1)
        self.down, self.up = nn.Conv2d(6, 8, 4, 4), nn.ConvTranspose2d(8, 6, 4, 4)
        self.middle = nn.Conv2d(8, 8, 3, padding=1)
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        height, width = x.shape[-2:]
        x = self.first(nn.functional.pad(x, (0, -width % 4, 0, -height % 4))).sigmoid()
        x = x + self.up(self.middle(self.down(x)).relu())
        return self.last(x)[..., :height, :width]


@pytest.mark.parametrize(
    ("tile", "overlap"), [(32, 8), (48, 16), (512, 32), (64, 63), (10, 0), (33, 1), (1, 0)]
)
@pytest.mark.parametrize("length", [1, 7, 32, 33, 257, 1000])
def test_tiles_cover_every_pixel_and_overlap(length, tile, overlap):
    spans = cuts(length, tile, overlap)
    assert (
        spans[0][0] == 0
        and spans[-1][1] == length
        and all(0 < end - begin <= tile for begin, end in spans)
    )
    assert all(
        left[1] - right[0] >= overlap and right[0] > left[0]
        for left, right in itertools.pairwise(spans)
    )
    total = torch.zeros(length)
    for (begin, end), weight in zip(spans, weights(spans, overlap), strict=True):
        assert weight.min() >= 0
        total[begin:end] += weight
    torch.testing.assert_close(total, torch.ones(length))


def test_tiles_are_as_few_as_can_be_about_equal_and_begin_where_networks_halve():
    spans = cuts(4000, 1024, 64)
    assert len(spans) == 5 and all(begin % ALIGN == 0 for begin, _ in spans)
    lengths = [end - begin for begin, end in spans]
    assert max(lengths) - min(lengths) < ALIGN


def test_the_edges_of_tiles_count_for_nothing_and_the_middle_of_the_overlap_is_a_ramp():
    first, second = weights([Span(0, 40), Span(28, 80)], 12)
    assert torch.equal(first[:32], torch.ones(32)) and torch.equal(first[36:], torch.zeros(4))
    torch.testing.assert_close(first[32:36], torch.tensor([0.875, 0.625, 0.375, 0.125]))
    torch.testing.assert_close(first[28:] + second[:12], torch.ones(12))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 170), (165, 96), (197, 131)])
def test_tiled_equals_whole_for_a_local_network_that_halves(size, batch):
    net, image = Halving().eval(), torch.rand(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(
            run_tiled(net, image, 96, 3 * net.REACH, batch), net(image), atol=1e-5, rtol=0
        )
        assert max(size) <= 96 or not torch.allclose(
            run_tiled(net, image, 96, 4), net(image), atol=1e-5
        )


def test_tiles_go_in_batches_and_rows_come_as_soon_as_they_are_done():
    net, image = Halving().eval(), torch.rand(1, 3, 256, 224)
    read = lambda top, bottom, left, right: image[..., top:bottom, left:right]  # noqa: E731
    rows = blended_rows(net, read, (256, 224), 96, 32, batch=2)
    first = next(rows)
    assert len(net.shapes) == 2 and net.shapes[0] == (2, 3, 96, 96)
    assert first.shape == (1, 3, 64, 224) and sum(part.shape[-2] for part in rows) == 256 - 64
    assert [shape[0] for shape in net.shapes] == [2] * 6, (
        "twelve tiles, two at a time, over the ends of rows"
    )


def test_overlap_must_be_smaller_than_the_tile():
    with pytest.raises(ValueError, match="overlap 32 for tile 32"):
        run_tiled(nn.Identity(), torch.rand(1, 3, 8, 8), 32, 32)
