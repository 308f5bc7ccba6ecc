"""Image-to-image functions in overlapping tiles whose edges are blended.

Of the pixels that two neighbours share, the middle third (at most BLEND pixels) is blended linearly
(our choice). The pixels at the edge of a tile get weight 0, because they depend on the cut. So a
network that looks no farther than `margin` gives the same result in tiles and whole.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

ALIGN = 32
"""Tiles begin at multiples of this if they are large enough: networks halve them as the image."""
BLEND = 32
"""Largest width in pixels of the strip on which two tiles are blended."""
Read = Callable[[int, int, int, int], Tensor]
"""Returns the part (N, C, rows, columns) of an image between top, bottom, left and right."""


class Area(NamedTuple):
    """Borders of a tile in pixels."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height = self.bottom - self.top
        width = self.right - self.left
        return height, width


class Span(NamedTuple):
    """Begin and end of a tile along one side of the image."""

    begin: int
    end: int

    @property
    def pixels(self) -> slice:
        """Index of its pixels."""
        return slice(self.begin, self.end)


def cuts(length: int, tile: int, overlap: int) -> list[Span]:
    """Return (begin, end) of the fewest tiles of about equal length that cover `length`.

    They are at most `tile` long, and neighbours share `overlap` pixels or a few more.
    """
    if length <= tile:
        return [Span(0, length)]
    align = _alignment(tile, overlap)
    size = tile - tile % align
    # Steps between the fewest tiles; then the tiles shrink as far as this number still covers.
    gaps = _divided_up(length - size, _step(size, overlap, align))
    smaller = size - align
    while length - smaller <= gaps * _step(smaller, overlap, align):
        size = smaller
        smaller -= align
    spans = []
    rest = length - size
    for number in range(gaps + 1):
        begin = align * _divided_up(number * rest, gaps * align)
        end = min(begin + size, length)
        spans.append(Span(begin, end))
    return spans


def tile_count(size: tuple[int, int], tile: int | None, overlap: int) -> int:
    """Return how many tiles an image of `size` (height, width) is cut into; 1 without a `tile`."""
    rows, columns = _rows_and_columns(size, tile, overlap)
    return len(rows) * len(columns)


def _rows_and_columns(
    size: tuple[int, int], tile: int | None, overlap: int
) -> tuple[list[Span], list[Span]]:
    height, width = size
    rows = cuts(height, tile or height, overlap)
    columns = cuts(width, tile or width, overlap)
    return rows, columns


def _alignment(tile: int, overlap: int) -> int:
    """Return ALIGN, or a lower power of two that costs tiles less than a fifth of their step."""
    longest = tile - overlap
    align = ALIGN
    while align > 1:
        size = tile - tile % align
        if _step(size, overlap, align) >= 0.8 * longest:
            break
        align //= 2
    return align


def _step(size: int, overlap: int, align: int) -> int:
    """Return the distance between two tiles of `size`, a multiple of `align`."""
    steps = (size - overlap) // align
    return steps * align


def _divided_up(count: int, parts: int) -> int:
    # Floor division of the negative number rounds up.
    return -(-count // parts)


def margin(overlap: int) -> int:
    """Return how many pixels at the edge of a tile have weight 0 for an `overlap`."""
    third = overlap // 3
    outside_strip = (overlap - BLEND) // 2
    return max(third, outside_strip)


def weights(spans: list[Span], overlap: int) -> list[Tensor]:
    """Return the weights (length,) of the pixels of each of `cuts`; they add up to 1 everywhere."""
    length = spans[-1].end
    total = torch.zeros(length)
    ramps = []
    for span in spans:
        ramp = _ramp(span, length, overlap)
        ramps.append(ramp)
        total[span.pixels] += ramp
    parts = [total[span.pixels] for span in spans]
    return [ramp / part for ramp, part in zip(ramps, parts, strict=True)]


def _ramp(span: Span, length: int, overlap: int) -> Tensor:
    """Return for each pixel 0 on the unused edge, 1 inside, and a line over the blended strip."""
    begin, end = span
    unused = margin(overlap)
    blended = max(overlap - 2 * unused, 0.5)
    pixels = torch.arange(end - begin)
    after = pixels
    before = pixels.flip(0)
    # Distance to either end; the edges of the image are not cuts, so it is larger there.
    if begin == 0:
        after = after + overlap
    if end == length:
        before = before + overlap
    inside = torch.minimum(after, before) + 0.5
    ramp = (inside - unused) / blended
    return ramp.clamp(0, 1)


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

    def read(top: int, bottom: int, left: int, right: int) -> Tensor:
        return image[..., top:bottom, left:right]

    def compute(part: Tensor) -> Tensor:
        return function(part).to(image.device)

    height, width = image.shape[-2:]
    rows = blended_rows(compute, read, (height, width), tile, overlap, batch)
    return torch.cat(list(rows), dim=-2)


def blended_rows(
    function: Callable[[Tensor], Tensor],
    read: Read,
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
    rows, columns = _rows_and_columns(size, tile, overlap)
    areas = [Area(*row, *column) for row in rows for column in columns]
    results = _results(function, read, areas, batch)
    if len(areas) == 1:
        # A single tile has weight 1 everywhere.
        yield from results
        return
    heights = weights(rows, overlap)
    widths = weights(columns, overlap)
    # A row of tiles is finished down to where the next one begins.
    ends = [row.begin for row in rows[1:]]
    ends.append(rows[-1].end)
    above: Tensor | None = None  # the lower part of the last row of tiles, which the next overlaps
    for row, weight, end in zip(rows, heights, ends, strict=True):
        strip = _joined(results, columns, widths)
        column = weight[:, None]  # (rows, 1)
        strip *= column.to(strip.device)
        if above is not None:
            shared = above.shape[-2]
            strip[..., :shared, :] += above
        finished = end - row.begin
        yield strip[..., :finished, :]
        # A copy, so that the memory of the finished rows is not held any longer.
        above = strip[..., finished:, :].clone()


def _results(function: Callable, read: Read, areas: list[Area], batch: int) -> Iterator[Tensor]:
    """Yield the result of each tile in order, computed in batches of neighbours of one size."""
    for _, neighbours in groupby(areas, lambda area: area.size):
        waiting = list(neighbours)
        for first in range(0, len(waiting), batch):
            end = first + batch
            parts = [read(*area) for area in waiting[first:end]]
            count = len(parts)
            # A single tile needs no copy.
            together = torch.cat(parts) if count > 1 else parts[0]
            results = function(together)
            yield from results.chunk(count)


def _joined(results: Iterator[Tensor], columns: list[Span], widths: list[Tensor]) -> Tensor:
    """Return a row of tiles (N, C, rows, W), blended sideways."""
    width = columns[-1].end
    strip: Tensor | None = None
    for column, weight in zip(columns, widths, strict=True):
        result = next(results)
        if strip is None:
            size = result.shape[:-1]
            strip = result.new_zeros(*size, width)
        weight = weight.to(result.device)
        strip[..., column.pixels] += result * weight
    assert strip is not None
    return strip
