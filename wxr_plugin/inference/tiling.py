"""Image-to-image functions in overlapping tiles whose edges are blended.

Of the pixels that two neighbours share, the middle third (at most BLEND pixels) is blended linearly
(our choice). The pixels at the edge of a tile get weight 0, because they depend on the cut. So a
network that looks no farther than `margin` gives the same result in tiles and whole.
"""

from collections.abc import Callable, Iterator
from itertools import groupby

import torch
from torch import Tensor

ALIGN = 32
"""Tiles begin at multiples of this if they are large enough: networks halve them as the image."""
BLEND = 32
"""Largest width in pixels of the strip on which two tiles are blended."""
Area = tuple[int, int, int, int]
"""Top, bottom, left and right of a tile."""


def cuts(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Return (begin, end) of the fewest tiles of about equal length that cover `length`.

    They are at most `tile` long, and neighbours share `overlap` pixels or a few more.
    """
    if length <= tile:
        return [(0, length)]
    align = _alignment(tile, overlap)
    size = tile - tile % align
    step = lambda size: (size - overlap) // align * align  # noqa: E731
    # Steps between the fewest tiles; then the tiles shrink as far as this number still covers.
    gaps = -(-(length - size) // step(size))
    while length - (size - align) <= gaps * step(size - align):
        size -= align
    begins = [-(-number * (length - size) // (gaps * align)) * align for number in range(gaps + 1)]
    return [(begin, min(begin + size, length)) for begin in begins]


def tile_count(size: tuple[int, int], tile: int | None, overlap: int) -> int:
    """Return how many tiles an image of `size` (height, width) is cut into; 1 without a `tile`."""
    rows, columns = (len(cuts(length, tile or length, overlap)) for length in size)
    return rows * columns


def _alignment(tile: int, overlap: int) -> int:
    """Return ALIGN, or a lower power of two that costs tiles less than a fifth of their step."""
    powers = (ALIGN >> power for power in range(ALIGN.bit_length()))
    return next(
        align
        for align in powers
        if (tile - tile % align - overlap) // align * align >= 0.8 * (tile - overlap)
    )


def margin(overlap: int) -> int:
    """Return how many pixels at the edge of a tile have weight 0 for an `overlap`."""
    return max(overlap // 3, (overlap - BLEND) // 2)


def weights(spans: list[tuple[int, int]], overlap: int) -> list[Tensor]:
    """Return the weights (length,) of the pixels of each of `cuts`; they add up to 1 everywhere."""
    length, unused = spans[-1][1], margin(overlap)
    total, ramps = torch.zeros(length), []
    for begin, end in spans:
        pixels = torch.arange(end - begin)
        # Distance to either end; the edges of the image are not cuts, so it is larger there.
        after = pixels + overlap * (begin == 0)
        before = pixels.flip(0) + overlap * (end == length)
        inside = torch.minimum(after, before)
        # 0 on the unused pixels, then a linear ramp over the blended ones, then 1.
        ramp = ((inside + 0.5 - unused) / max(overlap - 2 * unused, 0.5)).clamp(0, 1)
        ramps.append(ramp)
        total[begin:end] += ramp
    return [ramp / total[begin:end] for ramp, (begin, end) in zip(ramps, spans, strict=True)]


def run_tiled(
    function: Callable[[Tensor], Tensor],
    image: Tensor,
    tile: int,
    overlap: int = 32,
    batch: int = 1,
) -> Tensor:
    """Apply `function` to tiles of `image` (N, C, H, W) and return the blended (N, D, H, W).

    The image and the result stay on the image's device; `function` moves `batch` tiles at a time to
    where it computes. Raises ValueError if `overlap` is not below `tile`.
    """
    size = (image.shape[-2], image.shape[-1])
    read = lambda top, bottom, left, right: image[..., top:bottom, left:right]  # noqa: E731
    rows = blended_rows(
        lambda part: function(part).to(image.device), read, size, tile, overlap, batch
    )
    return torch.cat(list(rows), dim=-2)


def blended_rows(
    function: Callable[[Tensor], Tensor],
    read: Callable[[int, int, int, int], Tensor],
    size: tuple[int, int],
    tile: int | None,
    overlap: int,
    batch: int = 1,
) -> Iterator[Tensor]:
    """Yield the blended result (N, C, rows, W) from top to bottom, one row of tiles at a time.

    Args:
        function: called on up to `batch` tiles at once; its device needs memory for a row of
            results.
        read: read(top, bottom, left, right) returns a tile (N, channels, rows, columns).
        size: height and width of the image.
        tile: longest side of a tile; None: all at once.
    """
    if tile and not 0 <= overlap < tile:
        raise ValueError(f"overlap must lie in [0, tile): got overlap {overlap} for tile {tile}")
    rows, columns = (cuts(length, tile or length, overlap) for length in size)
    results = _results(
        function, read, [(*row, *column) for row in rows for column in columns], batch
    )
    if len(rows) == len(columns) == 1:
        # A single tile has weight 1 everywhere.
        yield from results
        return
    heights, widths = weights(rows, overlap), weights(columns, overlap)
    above: Tensor | None = None  # the lower part of the last row of tiles, which the next overlaps
    for number, (top, bottom) in enumerate(rows):
        strip = _joined(results, columns, widths)
        strip *= heights[number][:, None].to(strip.device)
        if above is not None:
            strip[..., : above.shape[-2], :] += above
        finished = (rows[number + 1][0] if number + 1 < len(rows) else bottom) - top
        yield strip[..., :finished, :]
        # A copy, so that the memory of the finished rows is not held any longer.
        above = strip[..., finished:, :].clone()


def _results(function: Callable, read: Callable, areas: list[Area], batch: int) -> Iterator[Tensor]:
    """Yield the result of each tile in order, computed in batches of neighbours of one size."""
    # Tiles that go through the network together need one size: (height, width) is the key.
    for _, same in groupby(areas, lambda area: (area[1] - area[0], area[3] - area[2])):
        waiting = list(same)
        for first in range(0, len(waiting), batch):
            parts = [read(*area) for area in waiting[first : first + batch]]
            yield from function(torch.cat(parts) if len(parts) > 1 else parts[0]).chunk(len(parts))


def _joined(
    results: Iterator[Tensor], columns: list[tuple[int, int]], widths: list[Tensor]
) -> Tensor:
    """Return a row of tiles (N, C, rows, W), blended sideways."""
    strip: Tensor | None = None
    for (left, right), width in zip(columns, widths, strict=True):
        result = next(results)
        if strip is None:
            strip = result.new_zeros(*result.shape[:-1], columns[-1][1])
        strip[..., left:right] += result * width.to(result.device)
    assert strip is not None
    return strip
